"""A wheel holds the package and every bundled spec, and finds them from any folder."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from gradtool import __version__
from tests.conftest import ROOT, RunPython


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built by the same backend that pip calls."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (built,) = folder.glob("*.whl")
    return built


def _specs_on_disk() -> dict[str, bytes]:
    folder = ROOT / "specs"
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.yaml")
    }


def test_the_wheel_holds_every_spec_unchanged(wheel: Path) -> None:
    prefix = "gradtool/specs_data/"
    with zipfile.ZipFile(wheel) as archive:
        inside = {
            name.removeprefix(prefix): archive.read(name)
            for name in archive.namelist()
            if name.startswith(prefix)
        }
    assert inside == _specs_on_disk()
    assert inside


def test_the_wheel_holds_the_package_and_nothing_of_the_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [Path(name) for name in archive.namelist()]
    modules = {name.as_posix() for name in names if name.suffix == ".py"}
    package = ROOT / "gradtool"
    assert modules == {path.relative_to(ROOT).as_posix() for path in package.rglob("*.py")}
    assert {name.parts[0] for name in names} == {"gradtool", f"gradtool-{__version__}.dist-info"}


def test_an_installed_wheel_finds_its_specs(
    wheel: Path, tmp_path: Path, run_python: RunPython
) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # Unpacked is installed, for pure Python; only this copy is on the path.
    ended = run_python(
        "-c",
        "from gradtool.spec.bundled import bundled_specs\n"
        "for name, path in bundled_specs().items(): print(name, path, sep='\\t')",
        env={"PYTHONPATH": str(site)},
    )
    assert ended.err == ""
    found = dict(line.split("\t") for line in ended.out.splitlines())
    assert set(found) == {Path(name).stem for name in _specs_on_disk()}
    assert all(Path(path).is_relative_to(site) for path in found.values())


def test_the_command_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"gradtool": "gradtool.cli:main"}
