"""What holds for root holds for a user without rights, in the same way."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.lint.isolation.conftest import ROOT


def test_the_harm_tests_pass_as_nobody() -> None:
    if os.getuid() != 0:
        # Then the harm tests themselves ran without rights.
        assert Path("/proc/self/status").read_text().find("CapEff:\t0000000000000000") >= 0
        return
    here = Path(__file__).parent
    folders = sorted({sys.prefix, sys.base_prefix, str(ROOT)})
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o777)
        pytest = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        pytest += ["--basetemp", f"{folder}/base", str(here / "test_harms.py")]
        result = subprocess.run(
            [sys.executable, str(here / "as_nobody.py"), *folders, "--", *pytest],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
        )
    if "unshare: " in result.stderr or "mount " in result.stderr:
        # This host's root is one in name only: it may not change users' view of the files.
        assert "not permitted" in result.stderr, result.stderr
    else:
        assert result.returncode == 0, result.stdout + result.stderr
        assert " passed" in result.stdout
        assert "skipped" not in result.stdout
