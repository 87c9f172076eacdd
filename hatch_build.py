"""Puts the derived plans of the bundled layers into a wheel, so that a first check is fast.

They are made from the code that is being packed, so they are never older than it.  That needs
what gradtool itself needs: a build in an environment without it (`pip install .` makes one) goes
on without plans, and the layers are derived at their first use.  An editable install never has
plans.  The variable GRADTOOL_WHEEL_PLANS chooses layers by name, with commas; empty is none.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VARIABLE = "GRADTOOL_WHEEL_PLANS"


class PlansHook(BuildHookInterface):  # type: ignore[type-arg]
    """The hook of the wheel target."""

    folder: str | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the plans, unless this is an editable install."""
        chosen = os.environ.get(VARIABLE)
        if version == "editable" or chosen == "":
            return
        sys.path.insert(0, self.root)
        try:
            from gradtool.report import plans
            from gradtool.spec.bundled import bundled_specs
        except ImportError as missing:
            self.app.display_warning(f"no plans are put into the wheel: {missing}")
            return
        finally:
            sys.path.remove(self.root)
        self.folder = tempfile.mkdtemp()
        names = chosen.split(",") if chosen else list(bundled_specs())
        count = plans.pack_into(Path(self.folder), names)
        self.app.display_info(f"{count} plans are put into the wheel")
        build_data["force_include"][self.folder] = "gradtool/plans_data"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Leave nothing behind."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
