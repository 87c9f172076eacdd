"""The specs that come with gradtool: where they are and what they are called."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def bundled_specs_dir() -> Path:
    """The folder of the bundled specs: inside the package when installed, else the checkout's.

    Raises:
        FileNotFoundError: neither is there, so the installation is broken.
    """
    installed = _PACKAGE / "specs_data"
    if installed.is_dir():
        return installed
    checkout = _PACKAGE.parent
    # The project file proves that this is the checkout and not, say, site-packages, where a
    # folder called "specs" would be somebody else's.
    if (checkout / "pyproject.toml").is_file() and (checkout / "specs").is_dir():
        return checkout / "specs"
    raise FileNotFoundError(
        f"the specs that come with gradtool are missing: expected them in {installed}; "
        "install gradtool again"
    )


def bundled_specs(folder: Path | None = None) -> dict[str, Path]:
    """Layer name (the file's stem) to spec file, sorted by name, folders searched too.

    Args:
        folder: where to search; the bundled specs by default.

    Raises:
        FileNotFoundError: see `bundled_specs_dir`.
        ValueError: two files have one name, so that the name would be ambiguous.
    """
    found: dict[str, Path] = {}
    for path in sorted((folder or bundled_specs_dir()).rglob("*.yaml")):
        earlier = found.setdefault(path.stem, path)
        if earlier is not path:
            raise ValueError(f"two specs are called {path.stem!r}: {earlier} and {path}")
    return dict(sorted(found.items()))


def about(path: Path) -> str:
    """The first line of a spec's ``about:``, or "" when it has none or is no YAML mapping."""
    import yaml  # only for `gradtool specs`: nothing else here needs it

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=loader)
    except (yaml.YAMLError, OSError, UnicodeDecodeError):
        return ""  # a list of names must not fail because of one bad file; `derive` explains it
    if not isinstance(root, yaml.MappingNode):
        return ""
    for key, value in root.value:
        if key.value == "about" and isinstance(value, yaml.ScalarNode):
            return next(iter(str(value.value).strip().splitlines()), "")
    return ""
