"""Submissions that do not work, or not rightly; none is malicious."""

from __future__ import annotations

from tests.lint.hostile.honest import notebook
from tests.lint.hostile.model import FORWARD, HEAD, RIGHT, SCALED, WRONG, Case, Content, one

_TEXTS: dict[str, tuple[Content, str]] = {
    "empty": ("", "GT105"),
    "comments": ("# TODO\n", "GT105"),
    "syntax": (RIGHT + "def f(:\n", "GT103"),
    "indentation": (RIGHT.replace("    return X @ W", "  return X @ W\n     pass"), "GT103"),
    "null_bytes": (RIGHT.encode() + b"\0\0", "GT103"),
    "binary": (bytes(range(256)) * 40, "GT103"),
    "not_utf8": (b"# \xff\xfe\n" + RIGHT.encode(), "GT103"),
    "unknown_coding": (b"# -*- coding: klingon -*-\n" + RIGHT.encode(), "GT103"),
    "brackets": ("(" * 100_000, "GT103"),
    "deep": ("x = " + "-" * 50_000 + "1\n", "GT103"),
    "wrong": (WRONG, "GT202"),
    "no_backward": (HEAD + FORWARD, "GT105"),
    "unfinished": (
        HEAD + FORWARD + "def affine_backward(dY, cache):\n    raise NotImplementedError\n",
        "GT206",
    ),
    "none": (
        HEAD + FORWARD + "def affine_backward(dY, cache):\n    return None, None, None\n",
        "GT206",
    ),
    "raises": (
        HEAD + FORWARD + "def affine_backward(dY, cache):\n    return cache['X']\n",
        "GT106",
    ),
    "too_few": (
        HEAD
        + FORWARD
        + "def affine_backward(dY, cache):\n    X, W, b = cache\n    return dY @ W.T, X.T @ dY\n",
        "GT105",
    ),
    "nan": (
        HEAD
        + FORWARD
        + "def affine_backward(dY, cache):\n    return tuple(v * np.nan for v in cache)\n",
        "GT202",
    ),
    "text": (
        HEAD + FORWARD + "def affine_backward(dY, cache):\n    return 'dX', 'dW', 'db'\n",
        "GT202",
    ),
    "wrong_shapes": (
        HEAD + FORWARD + "def affine_backward(dY, cache):\n    return dY, dY, dY\n",
        "GT202",
    ),
    "forward_wrong": (RIGHT.replace("X @ W + b", "X @ W - b"), "GT201"),
    "swallows": (
        HEAD
        + FORWARD
        + "def affine_backward(dY, cache):\n"
        + "    try:\n        return missing\n    except Exception:\n        return 0, 0, 0\n",
        "GT202",
    ),
    "import_fails": ("import no_such_module\nno_such_module.go()\n", "GT105"),
}

CASES = (
    *(
        Case(f"broken_{name}", "broken", one(f"broken_{name}", text), (code,))
        for name, (text, code) in _TEXTS.items()
    ),
    Case("broken_scale", "broken", {"layers.py": SCALED, "scale.txt": "2"}, ("GT202",)),
    Case("broken_json", "broken", {"broken_json.ipynb": "{"}, ("GT103",)),
    Case("broken_nested_json", "broken", {"broken_nested_json.ipynb": "[" * 200_000}, ("GT103",)),
    Case("broken_no_cells", "broken", {"broken_no_cells.ipynb": "{}"}, ("GT103",)),
    Case(
        "broken_cell",
        "broken",
        {"broken_cell.ipynb": notebook(HEAD, FORWARD, "def affine_backward(:\n")},
        ("GT105",),
    ),
)
