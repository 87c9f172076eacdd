"""A wheel holds the package and every bundled spec, and finds them from any folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from gradtool import __version__
from gradtool.report import library, shipped
from gradtool.report.plans import described
from tests.conftest import ROOT, RunPython

PLANNED = ("affine", "gelu")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built by the same backend that pip calls."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        env={**os.environ, "GRADTOOL_WHEEL_PLANS": ",".join(PLANNED)},
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


def test_a_wheel_checks_its_layers_without_a_cache_and_without_deriving(
    wheel: Path, tmp_path: Path, run_python: RunPython
) -> None:
    """What is packed was made from the code that is packed, and is what is used."""
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    packed = sorted(path.name for path in (site / "gradtool" / "plans_data").iterdir())
    assert len(packed) == len(PLANNED)
    ended = run_python(
        "-c",
        "import sys\n"
        "from gradtool.report import plans\n"
        f"for name in {PLANNED!r}: plans.reference(name)\n"
        "assert 'sympy' not in sys.modules and 'yaml' not in sys.modules\n"
        "layer = plans.reference('gelu')\n"
        "assert 'scipy' not in layer.plan.text\n"
        "values = layer.sample(layer.size_sets()[0], __import__('numpy').random.default_rng(0))\n"
        "print(sorted(layer.forward(values, layer.size_sets()[0])))",
        env={"PYTHONPATH": str(site), "GRADTOOL_CACHE": ""},
    )
    assert (ended.err, ended.out.strip()) == ("", "['A']")
    for name in PLANNED:
        fresh = shipped_entry(name)
        assert any(
            json.loads((site / "gradtool" / "plans_data" / file).read_text()) == fresh
            for file in packed
        )


def shipped_entry(name: str) -> object:
    spec = library.load(name)
    return json.loads(json.dumps(described(spec, library.finder(spec), "math")))


def test_a_checkout_has_no_plans() -> None:
    """They could be older than its code."""
    assert not shipped.FOLDER.exists()


def test_the_command_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"gradtool": "gradtool.__main__:main"}
