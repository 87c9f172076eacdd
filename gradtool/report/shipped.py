"""Plans of the bundled layers that come with an installed gradtool, made when its wheel was built.

They are found by the text of the spec, read only, and never there in a checkout, where they could
be older than the code: the build makes them anew each time from the code that it packs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "plans_data"


def entry(text: str) -> dict[str, Any] | None:
    """What was kept for the text of a spec, or None."""
    try:
        data = json.loads((FOLDER / _name(text)).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def build(names: Iterable[str], folder: Path) -> int:
    """Write the plans of bundled layers into a folder; how many there are."""
    from gradtool.report import library
    from gradtool.report.plans import described

    count = 0
    for name in names:
        spec = library.load(name)
        # The error function of the standard library: nobody knows whether SciPy will be there.
        made = described(spec, library.finder(spec), "math")
        if made is not None:
            text = json.dumps(made, separators=(",", ":"), sort_keys=True)
            (folder / _name(spec.text)).write_text(text + "\n", encoding="utf-8")
            count += 1
    return count


def _name(text: str) -> str:
    return f"{sha256(text.encode()).hexdigest()[:32]}.json"
