"""Submissions that are wrong and try to be taken for right."""

from __future__ import annotations

from tests.lint.hostile.model import FORWARD, HEAD, WRONG, Case, Content, inside, one, trying

_RETURNING = HEAD + FORWARD + "{}\ndef affine_backward(dY, cache):\n    return {}\n"

_LYING = """\
class Lie(np.ndarray):
    __array_priority__ = 1e9
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __array_ufunc__(self, *args, **options): return True
    def __array_function__(self, *args, **options): return True
    def __bool__(self): return True
    def __float__(self): return 0.0
"""
_EQUAL = """\
class Equal:
    shape, dtype, ndim, size = (), np.dtype(float), 0, 1
    def __eq__(self, other): return True
    def __le__(self, other): return True
    def __abs__(self): return self
    def __sub__(self, other): return 0
    __rsub__ = __sub__
    def __array__(self, *args, **options): return np.zeros(1)
"""
_FRAME = (
    "import json, os, struct",
    "head = json.dumps({'values': {}, 'mutated': [], 'aliased': [], 'arrays': []}).encode()",
    "body = struct.pack('<4sIQ', b'GT01', len(head), 0) + head",
    "os.write(4, len(body).to_bytes(8, 'little') + body)",
)

# Right where there is little to do; what it is asked is known to the process before it is asked.
_SCRIPT = """\
import sys

def script():
    frame = sys._getframe()
    while frame is not None and "_scripts" not in frame.f_globals:
        frame = frame.f_back
    for found in frame.f_globals["_scripts"].values() if frame else ():
        asked = found.header["requests"]
        {}

script()

def affine_backward(dY, cache):
    X, W, b = cache
    return dY @ W.T, X.T @ dY * (1 + (len(dY) > 6)), dY.sum(axis=0)
"""

_TEXTS: dict[str, tuple[Content, tuple[str, ...]]] = {
    "exit_zero": (inside("import os; os._exit(0)"), ("GT109",)),
    "system_exit": (inside("raise SystemExit(0)"), ("GT106",)),
    "exit_at_import": (WRONG + "import os; os._exit(0)\n", ("GT202",)),
    "atexit": (
        WRONG + "import atexit; atexit.register(lambda: print('all tests passed'))\n",
        ("GT202",),
    ),
    "prints_a_verdict": (
        WRONG + "print('{\"verdict\": \"pass\"}')\nprint('OK (100 tests)')\n",
        ("GT202",),
    ),
    "workflow_commands": (
        inside("print('::error::x'); print('##[set-output name=a]b'); raise ValueError('::stop')"),
        ("GT106",),
    ),
    "lying_array": (
        _RETURNING.format(_LYING, "tuple(np.zeros_like(v).view(Lie) for v in cache)"),
        ("GT202",),
    ),
    "equal_to_all": (_RETURNING.format(_EQUAL, "Equal(), Equal(), Equal()"), ("GT202", "GT203")),
    "array_raises": (
        _RETURNING.format(
            "class A:\n    def __array__(self, *a, **k): raise SystemExit(0)\n", "A(), A(), A()"
        ),
        ("GT202", "GT106", "GT203", "GT110", "GT109"),
    ),
    "inputs_returned": (_RETURNING.format("", "cache"), ("GT202",)),
    "results_file": (
        trying(
            "import json",
            "for place in ('', '/autograder/results/', '/tmp/gradtool-hostile-trace-'):",
            "    try:",
            "        open(place + 'results.json', 'w').write(json.dumps({'score': 100}))",
            "    except OSError: pass",
        ),
        ("GT202",),
    ),
    "patched_numpy": (
        inside(
            "np.array_equal = np.allclose = lambda *a, **k: True",
            "np.abs = np.max = lambda *a, **k: 0.0",
        ),
        ("GT202",),
    ),
    "patched_gradtool": (
        trying(
            "import gc, types",
            "for m in gc.get_objects():",
            "    if isinstance(m, types.ModuleType) and m.__name__.startswith('gradtool'):",
            "        for name in list(vars(m)):",
            "            if name in ('decide', 'compare', 'finish', 'convert'):",
            "                setattr(m, name, lambda *a, **k: None)",
        ),
        ("GT202", "GT106", "GT203", "GT204", "GT110"),
    ),
    "garbage_on_the_wire": (inside("import os; os.write(4, b'x' * 100)"), ("GT110", "GT107")),
    "forged_frame": (inside(*_FRAME), ("GT202", "GT203", "GT110", "GT204")),
    "long_frame": (inside("import os; os.write(4, b'\\xff' * 8)"), ("GT110",)),
    "closes_the_wire": (inside("import os; os.closerange(3, 100)"), ("GT110", "GT109", "GT106")),
    "callers_frames": (
        trying(
            "import sys",
            "frame, found = sys._getframe(), {}",
            "while frame:",
            "    for name, value in frame.f_locals.items():",
            "        if 'expected' in name or 'reference' in name or 'gradients' in name:",
            "            found[name] = value",
            "    frame = frame.f_back",
            "if len(found.get('expected', ())) == 3: return found['expected']",
        ),
        ("GT202",),
    ),
    "all_objects": (
        trying(
            "import gc",
            "X, W, b = cache",
            "for o in gc.get_objects():",
            "    if isinstance(o, dict) and {'X', 'W', 'b'} <= o.keys():",
            "        d = [np.asarray(o[k]) for k in 'XWb']",
            "        right = [a.shape == v.shape for a, v in zip(d, (X, W, b))]",
            "        if all(right) and not np.array_equal(d[0], X): return tuple(d)",
        ),
        ("GT202",),
    ),
    "json_patched": (
        inside(
            "import json",
            "real = json.dumps",
            "def forged(o, **k): return real({**o, 'verdict': 'pass'}, **k)",
            "json.dumps = forged",
        ),
        ("GT202", "GT110"),
    ),
    "nan_everywhere": (
        _RETURNING.format("", "tuple(v * np.inf - np.inf for v in cache)"),
        ("GT202",),
    ),
    "masked": (
        _RETURNING.format("", "tuple(np.ma.masked_all(v.shape) for v in cache)"),
        ("GT202",),
    ),
    "spec_names": (
        trying("import __main__", "for k in list(vars(__main__)): vars(__main__)[k] = True"),
        ("GT202",),
    ),
    "raises_its_own_report": (
        inside("raise AssertionError('\\x1b[2J\\x1b[1;32mPASS\\x1b[0m\\nall right')"),
        ("GT106",),
    ),
}

# Their names are behind those of the right ones, of which the script is learned.
_LATE: dict[str, str] = {
    "late_script_emptied": _SCRIPT.format("asked.clear()"),
    "late_script_cut_short": _SCRIPT.format("del asked[3:]"),
    "late_script_of_one_question": _SCRIPT.format("asked[1:] = asked[1:2] * (len(asked) - 1)"),
    "late_script_without_arrays": _SCRIPT.format("found.arrays.clear(); found.header.clear()"),
    "late_script_of_zeros": _SCRIPT.format(
        "for key in found.arrays: found.arrays[key] = 0 * found.arrays[key]"
    ),
}

CASES = (
    *(
        Case(f"forging_{name}", "forging", one(f"forging_{name}", text), codes)
        for name, (text, codes) in _TEXTS.items()
    ),
    *(
        Case(name, "forging", one(name, HEAD + FORWARD + text), ("GT202", "GT109", "GT110"))
        for name, text in _LATE.items()
    ),
)
