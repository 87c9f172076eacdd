"""Submissions that are odd as files: links, pipes, names, sizes, numbers."""

from __future__ import annotations

from tests.lint.hostile.model import RIGHT, WRONG, Case, Content, Fifo, Link, one

_MANY: dict[str | bytes, Content] = {f"part{number:04}.py": "x = 1\n" for number in range(600)}

CASES = (
    Case(
        "link_to_classmate",
        "packaging",
        one("link_to_classmate", Link("honest_plain.py")),
        ("GT102",),
    ),
    Case("link_to_nowhere", "packaging", one("link_to_nowhere", Link("nowhere.py")), ("GT102",)),
    Case(
        "link_to_itself", "packaging", one("link_to_itself", Link("link_to_itself.py")), ("GT102",)
    ),
    Case("link_to_device", "packaging", one("link_to_device", Link("/dev/zero")), ("GT102",)),
    Case("pipe", "packaging", one("pipe", Fifo()), ("GT102",)),
    Case("large", "packaging", one("large", RIGHT + "#" * (1 << 20)), ("GT102",)),
    Case(
        "folder_of_links",
        "packaging",
        {"layers.py": Link("../honest_plain.py"), "README": "x"},
        ("GT102",),
    ),
    Case("folder_without_code", "packaging", {"a.txt": "x", "b.txt": "y"}, ("GT101",)),
    Case("folder_of_two", "packaging", {"one.py": RIGHT, "two.py": RIGHT}, ("GT102",)),
    Case("folder_of_many", "packaging", _MANY, ("GT102",)),
    Case("folder.py", "packaging", {"layers.py": RIGHT, "x.txt": ""}, passed=True),
    Case("numpy", "packaging", one("numpy", RIGHT), passed=True),
    Case("json", "packaging", one("json", RIGHT), passed=True),
    Case(
        "shadows",
        "packaging",
        {"layers.py": WRONG, "json.py": "raise SystemExit(0)\n", "numpy.py": "ones = None\n"},
        ("GT202",),
    ),
    Case("newline", "packaging", {"new\nline\n::error::x.py": WRONG}, ("GT202",)),
    Case("escape", "packaging", {"\x1b[2J\x1b[31m.py": WRONG}, ("GT202",)),
    Case("markup", "packaging", {"<b>&amp;[bold]|`=1+1`.py": WRONG}, ("GT202",)),
    Case("formula", "packaging", {"=cmd|' !A1'.py": WRONG}, ("GT202",)),
    Case("bytes", "packaging", {b"caf\xe9.py": RIGHT}, passed=True),
    Case("spaces", "packaging", {"my  home work (1).py": RIGHT}, passed=True),
    Case("long_name", "packaging", {"x" * 200 + ".py": RIGHT}, passed=True),
    Case("direction", "packaging", {"abc\u202eyp.py": RIGHT}, passed=True),
)
