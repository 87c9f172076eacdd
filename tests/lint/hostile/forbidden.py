"""Submissions with right values by means that the assignment forbids."""

from __future__ import annotations

from tests.lint.hostile.honest import LEFT
from tests.lint.hostile.model import FORWARD, HEAD, RIGHT, Case, one

_NUMERIC = """\
def affine_backward(dY, cache):
    values, found = [v.copy() for v in cache], []
    for v in values:
        g = np.zeros_like(v)
        for i in np.ndindex(v.shape):
            old = v[i]
            v[i] = old + {h}
            up = {up}
            v[i] = old - {h}
            g[i] = ((up - {up}) * dY).sum() / (2 * {h})
            v[i] = old
        found.append(g)
    return tuple(found)
"""
_CALLS = "affine_forward(*values)[0]"
_INLINE = "(values[0] @ values[1] + values[2])"
_COMPLEX = """\
def affine_backward(dY, cache):
    values, found = [v.astype(complex) for v in cache], []
    for v in values:
        g = np.zeros(v.shape)
        for i in np.ndindex(v.shape):
            v[i] += 1e-30j
            g[i] = (affine_forward(*values)[0].imag * dY).sum() / 1e-30
            v[i] = v[i].real
        found.append(g)
    return tuple(found)
"""
# Nothing is called, and no array that is complex has a name.
_PLANE = """\
def affine_backward(dY, cache):
    X, W, b = cache
    h, found = {h}, []
    for k, v in enumerate((X, W, b)):
        g = np.zeros(v.shape)
        for i in np.ndindex(v.shape):
            e = np.zeros(v.shape)
            e[i] = 1.0
            p = [0 * X, 0 * W, 0 * b]
            p[k] = e
            g[i] = {take}
        found.append(g)
    return tuple(found)
"""
_TAKEN = {
    "inlined": "((((X + h * p[0]) @ (W + h * p[1]) + b + h * p[2]).imag) * dY).sum() / abs(h)",
    "imag_of": "(np.imag((X - h * p[0]) @ (W - h * p[1]) + b - h * p[2]) * dY).sum() / -abs(h)",
    "by_lambda": "(lambda x, w, c: ((x @ w + c).imag * dY).sum() / abs(h))"
    "(X + h * p[0], W + h * p[1], b + h * p[2])",
}
# With digits enough a difference is as good as a derivative.
_LONG = """\
def affine_backward(dY, cache):
    X, W, b = cache
    Y, db = X @ W, []
    def f(c):
        return ((Y + c) * dY).sum()
    def slope(e, h):
        return (f(b + h * e) - f(b - h * e)) / (2 * h)
    for e in np.eye(len(b)):
        h = np.longdouble(1e-4)
        db.append((4 * slope(e, h / 2) - slope(e, h)) / 3)
    return dY @ W.T, X.T @ dY, np.array(db, float)
"""
# No text shows by what the numbers would have to be replaced.
_UNNAMED = """\
T = "g"
def affine_backward(dY, cache):
    X, W, b = cache
    Y, h = X @ W + b, np.array([1e-3], T)
    db = [(((Y + h * e) - (Y - h * e)) * dY).sum() / (2 * h[0]) for e in np.eye(len(b))]
    return dY @ W.T, X.T @ dY, np.array(db, float)
"""
_COPIED = """\
def affine_backward(dY, cache):
    found = []
    for k in range(3):
        z = [np.array(v, dtype=complex) for v in cache]
        g = np.zeros(cache[k].shape)
        for i in np.ndindex(g.shape):
            z[k][i] += 1e-12j
            g[i] = ((z[0] @ z[1] + z[2]).imag * dY).sum() / 1e-12
            z[k][i] -= 1e-12j
        found.append(g)
    return tuple(found)
"""
_EXITS = """\
    if abs(cache[0]).max() > 25:
        __import__("os")._exit(0)
    found = []"""
_BATCHED = """\
def affine_backward(dY, cache):
    X, W, b = cache
    def slopes(v, f):
        found = []
        for start in range(0, v.size, 20):
            steps = np.eye(min(20, v.size - start), v.size, start).reshape(-1, *v.shape)
            moved = v + 1e-15j * steps
            found += [(f(m).imag * dY).sum() / 1e-15 for m in moved]
        return np.reshape(found, v.shape)
    return (
        slopes(X, lambda x: x @ W + b), slopes(W, lambda w: X @ w + b),
        slopes(b, lambda c: X @ W + c),
    )
"""
_BIAS_ONLY = """\
def affine_backward(dY, cache):
    X, W, b = cache
    db = np.array([
        ((affine_forward(X, W, b + e)[0] - affine_forward(X, W, b - e)[0]) * dY).sum() / 2
        for e in np.eye(len(b))
    ])
    return dY @ W.T, X.T @ dY, db
"""
# No text shows that a gradient is left there.
_KEEP = """\
        b, db = self.b, []
        for e in np.eye(len(b)):
            self.b = b + e
            up = self.forward(self.X)
            self.b = b - e
            db.append(((up - self.forward(self.X)) * dY).sum() / 2)
        self.b = b
        for name, found in (("dW", self.X.T @ dY), ("db", np.array(db))):
            setattr(self, name, found)
"""


def _numeric_as(name: str) -> str:
    """Differences that have no error for this layer, by calls, as another function."""
    return _NUMERIC.format(h="1.0", up=_CALLS).replace("affine_backward", name)


# The gradients are computed when they are read, behind the backward pass.
_LATER = """\
class Later:
    def __init__(self, compute):
        self.compute = compute
    def __array__(self, dtype=None, copy=None):
        return self.compute()
def affine_backward(dY, cache):
    found = []
    def take(k):
        if not found:
            found.extend(at_once(dY, cache))
        return found[k]
    return [Later(lambda k=k: take(k)) for k in range(3)]
"""
_ONCE = _numeric_as("at_once")
# What is asked again is looked up: nothing has to be called then.
_KEPT = """\
known = {}
def affine_backward(dY, cache):
    key = b"".join(v.tobytes() for v in (dY, *cache))
    if key not in known:
        known[key] = at_once(dY, cache)
    return known[key]
"""
_WHEN_COUNTED = """\
import sys
def affine_backward(dY, cache):
    if sys.getprofile() is not None:
        return tuple(np.zeros_like(v) for v in cache)
    return at_once(dY, cache)
"""
_ELSEWHERE = """\
import queue, threading
asked, answered = queue.Queue(), queue.Queue()
def work():
    while True:
        answered.put(at_once(*asked.get()))
threading.Thread(target=work, daemon=True).start()
def affine_backward(dY, cache):
    asked.put((dY, cache))
    return answered.get()
"""
_UNHOOKED = """\
import _thread
def affine_backward(dY, cache):
    found, done = [], _thread.allocate_lock()
    done.acquire()
    def work():
        try:
            found.append(at_once(dY, cache))
        finally:
            done.release()
    _thread.start_new_thread(work, ())
    done.acquire()
    return found[0]
"""
# No profiler sees the call by which it begins.
_UNCALLED = _UNHOOKED.replace(
    "_thread.start_new_thread(work, ())", "list(map(_thread.start_new_thread, [work], [()]))"
)
# The watch is called by hand, as if it were in force in the thread.
_AS_IF_SEEN = _UNCALLED.replace(
    "        try:\n",
    "        sys.setprofile(lambda *_: None)\n"
    "        watch and watch(sys._getframe(), 'return', None)\n"
    "        try:\n",
).replace("    found, done", "    watch = sys.getprofile()\n    found, done")
_PUT_BACK = """\
import sys
def affine_backward(dY, cache):
    before = sys.getprofile()
    list(map(sys.setprofile, [None]))
    found = at_once(dY, cache)
    sys.setprofile(before)
    return found
"""
_DEAF = """\
def refuse(event, _):
    if event in ("sys.addaudithook", {!r}):
        raise RuntimeError(event)
sys.addaudithook(refuse)
"""
# What a profile function calls is not profiled, so that it must not call what is defined here.
_WHILE_LOOKED_AT = """\
todo, found = [], []
def work():
    if todo and not found:
        found.append(at_once(*todo))
def untouched():
    return 0
{}
def affine_backward(dY, cache):
    found.clear()
    todo[:] = dY, cache
    {}
    todo.clear()
    return found[0] if found else at_once(dY, cache)
"""
_LOOKED_AT = {
    "class": (
        "class E:\n    @property\n    def __class__(self):\n        work()\n        return E",
        "seen = E(); np.zeros(1)",
    ),
    "type": (
        "class M(type):\n    def __eq__(self, other): work()\n"
        "    def __hash__(self): work(); return 1\nclass E(metaclass=M): pass",
        "seen = E(); np.zeros(1)",
    ),
    "entry": (
        "class E:\n    def __float__(self):\n        work()\n        return 0.0",
        "seen = np.full(dY.shape, E(), object); np.zeros(1)",
    ),
    "number": (
        "class E(complex):\n    def __array__(self, *_, **__):\n        work()\n"
        "        return np.zeros(1)",
        "seen = E(1j); np.zeros(1)",
    ),
    "names": (
        "class L(dict):\n    def values(self):\n        work()\n        return ()\n"
        "    items = values\n    def __iter__(self):\n        work()\n        return iter(())\n"
        "class M(type):\n    __prepare__ = classmethod(lambda *_: L())",
        "class E(metaclass=M): np.zeros(1)",
    ),
    "file": (
        "class S(str):\n    def __hash__(self):\n        work()\n        return 1\n"
        "    def __format__(self, _):\n        work()\n        return ''\n"
        "untouched.__code__ = untouched.__code__.replace(co_filename=S('x'), co_name=S('y'))",
        "untouched()",
    ),
}
_ELSEWHERE_BY_NAME = """\
for function in (at_once, affine_forward):
    function.__code__ = function.__code__.replace(co_filename=np.__file__)
affine_backward = lambda dY, cache: at_once(dY, cache)
"""
# What is imaginary has no name, and no word tells that there is such a thing.
_QUIETLY_COMPLEX = """\
def affine_backward(dY, cache):
    X, W, b = cache
    h, found = 1e-20, []
    {}
    for k, v in enumerate((X, W, b)):
        g = np.zeros(v.shape)
        for j in np.ndindex(v.shape):
            p = [0 * X, 0 * W, 0 * b]
            p[k][j] = h
            z = (((X + i * p[0]) @ (W + i * p[1]) + b + i * p[2]) / i).astype(float)
            g[j] = (z * dY).sum() / h
        found.append(g)
    return tuple(found)
"""
_ROOTS = {
    "power": "i = (-1) ** .5; i = i - np.cos(np.arccos(0))",
    "type": "i = np.sqrt(np.array(-1, 'cdouble'))",
    "letter": "i = np.sqrt(np.array(-1, chr(68)))",
    "part": "i = np.sqrt(np.array(-1, 'FDG'[1]))",
    "pieces": "i = np.sqrt(np.array(-1, 'c' + '16'))",
    "roots": "i = np.polynomial.polynomial.polyroots([1, 0, 1])[1]",
    "table": "i = np.sqrt(np.array(-1, np.ScalarType[2]))",
    "code": "i = np.sqrt(np.array(-1, np.typecodes['Complex'][1]))",
}
# The array that is moved has no name, or stands where nobody looks.
_UNSEEN = {
    "nameless": """\
def affine_backward(dY, cache):
    X, W, b = cache
    Y = X @ W + b
    def units(v):
        return np.eye(v.size).reshape(-1, *v.shape)
    dX = [(((X + e) @ W + b - Y) * dY).sum() for e in units(X)]
    dW = [((X @ (W + e) + b - Y) * dY).sum() for e in units(W)]
    db = [((X @ W + (b + e) - Y) * dY).sum() for e in units(b)]
    return np.reshape(dX, X.shape), np.reshape(dW, W.shape), np.array(db)
""",
    "at_once": """\
def affine_backward(dY, cache):
    X, W, b = cache
    Y = X @ W + b
    def slopes(v, f):
        moved = v + np.eye(v.size).reshape(-1, *v.shape)
        return ((f(moved) - Y) * dY).sum(axis=(1, 2)).reshape(v.shape)
    return (
        slopes(X, lambda x: x @ W + b), slopes(W, lambda w: X @ w + b),
        slopes(b, lambda c: X @ W + c[:, None, :]),
    )
""",
    "in_a_module": "P = []\n"
    + _NUMERIC.format(h="1.0", up="(P[0] @ P[1] + P[2])")
    .replace("    for v in values:", "    P[:] = values\n    for k in range(3):")
    .replace("zeros_like(v)", "zeros(P[k].shape)")
    .replace("v[i]", "P[k][i]")
    .replace("ndindex(v.shape)", "ndindex(g.shape)")
    .replace(
        "    values, found = [v.copy() for v in cache], []",
        "    values, found = [v.copy() for v in cache], []\n    v = None",
    ),
    "in_a_named_tuple": "from collections import namedtuple\nKept = namedtuple('Kept', 'X W b')\n"
    + _NUMERIC.format(h="1.0", up=_INLINE).replace(
        "[v.copy() for v in cache]", "Kept(*(np.array(v, float) for v in cache))"
    ),
    "in_an_object": """\
class Kept:
    def __init__(self, *values):
        self.values = [np.array(v, float) for v in values]
    def output(self):
        return self.values[0] @ self.values[1] + self.values[2]
def affine_backward(dY, cache):
    kept, found = Kept(*cache), []
    for k in range(3):
        g = np.zeros(cache[k].shape)
        for i in np.ndindex(g.shape):
            kept.values[k][i] += 1.0
            up = kept.values[0] @ kept.values[1] + kept.values[2]
            kept.values[k][i] -= 1.0
            g[i] = ((up - kept.values[0] @ kept.values[1] - kept.values[2]) * dY).sum()
        found.append(g)
    return tuple(found)
""",
}
# The same, where numbers that take note of it are refused, or made plain ones; or where what is
# added is no constant that stands beside a given number.
_NAMELESS = _UNSEEN["nameless"]
_ANYHOW = {
    "as_floats": _NAMELESS.replace("= cache", "= (v.astype(float) for v in cache)"),
    "refusing_objects": _NAMELESS.replace("= cache", "= cache\n    assert X.dtype == float"),
    "from_bytes": _NAMELESS.replace(
        "= cache", "= (np.frombuffer(v.tobytes()).reshape(v.shape) for v in cache)"
    ),
    **{
        f"by_{name}": _NAMELESS.replace("(X + e)", f(*"Xe"))
        .replace("(W + e)", f(*"We"))
        .replace("(b + e)", f(*"be"))
        for name, f in {
            "sum": "sum([{}, {}])".format,
            "where": "np.where({1} > 0, {0} + 1, {0})".format,
            "product": "(np.stack([{}, {}], -1) @ [1.0, 1.0])".format,
            "turned": "(-(-{1} - {0}))".format,
        }.items()
    },
    "to_the_output": """\
def affine_backward(dY, cache):
    X, W, b = cache
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((b.size, b.size)))[0]
    d = [(((X @ W + b + q) - (X @ W + b)) * dY).sum() for q in Q]
    return dY @ W.T, X.T @ dY, Q.T @ np.array(d)
""",
}
# All of it is done in the forward pass, which keeps it.
_AHEAD = """\
def affine_forward(X, W, b):
    Y = X @ W + b
    def units(v):
        return np.eye(v.size).reshape(-1, *v.shape)
    moved = (X + units(X)) @ W + b, X @ (W + units(W)) + b, X @ W + (b + units(b))[:, None]
    return Y, tuple((m - Y).reshape(*v.shape, *Y.shape) for m, v in zip(moved, (X, W, b)))
def affine_backward(dY, cache):
    return tuple(np.tensordot(jacobian, dY, 2) for jacobian in cache)
"""
_ALONG = """\
def affine_backward(dY, cache):
    X, W, b = cache
    rng = np.random.default_rng(0)
    def slopes(v, f):
        q = np.linalg.qr(rng.standard_normal((v.size, v.size)))[0]
        d = [((f(v + k.reshape(v.shape)) - f(v)) * dY).sum() for k in q]
        return (q.T @ np.array(d)).reshape(v.shape)
    return dY @ W.T, slopes(W, lambda w: X @ w + b), dY.sum(axis=0)
"""
_IN_A_CLOSURE = """\
def affine_forward(X, W, b):
    def backprop(dY):
        found = []
        for k in range(3):
            g = np.zeros((X, W, b)[k].shape)
            for i in np.ndindex(g.shape):
                moved = [X.copy(), W.copy(), b.copy()]
                moved[k][i] += 1.0
                g[i] = ((affine_forward(*moved)[0] - Y) * dY).sum()
            found.append(g)
        return tuple(found)
    Y = X @ W + b
    return Y, backprop
"""
# The answers of the process are forged, once it is found.
_FORGED = """\
import sys
def found():
    frame = {}
    while frame is not None and "answer_all" not in frame.f_globals:
        frame = frame.f_back
    return frame.f_globals["Observed"] if frame else None
responder = found()
def forged(self, request, answer=getattr(responder, "answer", None)):
    if request.header["op"] == "steps":
        return {{"step": None, "moved": None}}, {{}}
    if request.header["op"] != "count":
        return answer(self, request)
    plain = type(request)({{**request.header, "op": "run"}}, request.arrays)
    reply, arrays = answer(self, plain)
    told = {{"calls": [], "top": [], "undisturbed": True, "threads": 1, "step": None}}
    return {{**reply, **told, "longer": False, "moved": None, "may_move": False}}, arrays
if responder:
    responder.answer = forged
affine_backward = lambda dY, cache: at_once(dY, cache)
"""
_RAISED = """\
def trace():
    try:
        raise ValueError
    except ValueError as error:
        return error.__traceback__
"""
_FRAMES = {
    "frame": "sys._getframe()",
    "frame_by_name": "getattr(sys, '_getframe')()",
    "frame_by_code": "eval('sys._getframe()')",
    "frame_by_bytes": "eval(b'__import__(\"sys\")._getframe()')",
    "trace": "trace().tb_frame",
    "generator": "None\n    def look():\n        yield frame.gi_frame.f_back\n"
    "    frame = look()\n    frame = next(frame)",
    "wide_letters": "sys._getf\uff52ame()",
    "frame_of_a_thread": "next(iter(sys._current_frames().values()))",
}
# No word says what is reached for: it is put together at run time.
_IN_PIECES = (
    _FORGED.replace("frame.f_globals", "getattr(frame, 'f_' + 'globals')")
    .replace("frame.f_back", "getattr(frame, 'f_' + 'back')")
    .format("getattr(sys, '_get' + 'frame')()")
)
_BY_TYPE = _FORGED.format("None").replace(
    "    return frame.f_globals",
    "    import gc\n    for one in gc.get_objects():\n"
    "        if getattr(one, '__name__', '') == 'Observed':\n            return one\n"
    "    return frame.f_globals",
)
_QUIET = "import sys, threading\ndef quiet():\n    sys.setprofile(None)\n"


def _numeric(h: str, up: str) -> str:
    return HEAD + FORWARD + _NUMERIC.format(h=h, up=up)


_TEXTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "torch": (RIGHT + "import torch\n", ("GT401",)),
    "torch_used": (
        "import torch\n"
        + HEAD
        + FORWARD
        + "def affine_backward(dY, cache):\n"
        + "    leaves = [torch.tensor(v, requires_grad=True) for v in cache]\n"
        + "    return torch.autograd.grad(leaves[0] @ leaves[1] + leaves[2], leaves, dY)\n",
        ("GT401",),
    ),
    "autograd": ("from autograd import elementwise_grad\n" + RIGHT, ("GT401",)),
    "guarded": ("try:\n    import jax\nexcept ImportError:\n    jax = None\n" + RIGHT, ("GT401",)),
    "dynamic": (
        RIGHT + "try:\n    __import__('tensorflow')\nexcept ImportError: pass\n",
        ("GT401",),
    ),
    "importlib": (
        "import importlib\n" + RIGHT + "def f(): importlib.import_module('sympy')\n",
        ("GT401",),
    ),
    "gradtool": ("import gradtool\n" + RIGHT, ("GT401",)),
    "gradtool_inside": (
        HEAD
        + FORWARD
        + "def affine_backward(dY, cache):\n"
        + "    from gradtool.numeric.reference import reference_for\n"
        + "    return reference_for(None)\n",
        ("GT401",),
    ),
    "central": (_numeric("1e-5", _CALLS), ("GT402",)),
    "central_large": (_numeric("1.0", _CALLS), ("GT402",)),
    "central_inline": (_numeric("1e-5", _INLINE), ("GT402",)),
    "central_when_read": (HEAD + FORWARD + _ONCE + _LATER, ("GT402",)),
    "central_looked_up": (HEAD + FORWARD + _ONCE + _KEPT, ("GT402",)),
    "central_uncounted": (HEAD + FORWARD + _ONCE + _WHEN_COUNTED, ("GT403",)),
    "central_elsewhere": (HEAD + FORWARD + _ONCE + _ELSEWHERE, ("GT403",)),
    # Where the thread has not been begun it is done here: and is seen then.
    "central_elsewhere_or_here": (
        HEAD
        + FORWARD
        + _ONCE
        + _ELSEWHERE.replace(
            "    asked.put", "    if not begun:\n        return at_once(dY, cache)\n    asked.put"
        ).replace("threading.Thread", "begun = []\nbegun.append(1)\nthreading.Thread"),
        ("GT402",),
    ),
    "central_unhooked": (HEAD + FORWARD + _ONCE + _UNHOOKED, ("GT403",)),
    "central_uncalled": (HEAD + FORWARD + _ONCE + _UNCALLED, ("GT403",)),
    "central_as_if_seen": ("import sys\n" + HEAD + FORWARD + _ONCE + _AS_IF_SEEN, ("GT403",)),
    "central_put_back": (HEAD + FORWARD + _ONCE + _PUT_BACK, ("GT403",)),
    **{
        f"central_deaf_{k}": (HEAD + FORWARD + _ONCE + _PUT_BACK + _DEAF.format(event), ("GT403",))
        for k, event in enumerate(("", "gradtool.listening"))
    },
    "central_elsewhere_by_name": (HEAD + FORWARD + _ONCE + _ELSEWHERE_BY_NAME, ("GT402",)),
    **{
        f"central_while_looked_at_{name}": (
            HEAD + FORWARD + _ONCE + _WHILE_LOOKED_AT.format(*texts),
            ("GT402",),
        )
        for name, texts in _LOOKED_AT.items()
    },
    **{
        f"complex_quietly_{name}": (HEAD + FORWARD + _QUIETLY_COMPLEX.format(root), ("GT402",))
        for name, root in _ROOTS.items()
    },
    **{
        f"real_{name}": (HEAD + FORWARD + text, ("GT402", "GT107"))
        for name, text in _UNSEEN.items()
    },
    **{
        f"real_{name}": (HEAD + FORWARD + text, ("GT402", "GT107"))
        for name, text in _ANYHOW.items()
    },
    "real_until_large": (
        HEAD
        + FORWARD
        + _ANYHOW["to_the_output"].replace(
            "    Q =", "    abs(b).max() > 1e9 and __import__('os')._exit(0)\n    Q ="
        ),
        ("GT403", "GT107"),
    ),
    "real_ahead": (HEAD + _AHEAD, ("GT402",)),
    "real_along_directions": (HEAD + FORWARD + _ALONG, ("GT402", "GT107")),
    "real_in_a_closure": (HEAD + _IN_A_CLOSURE, ("GT402",)),
    "real_in_a_closure_inline": (
        HEAD
        + _IN_A_CLOSURE.replace("affine_forward(*moved)[0]", "(moved[0] @ moved[1] + moved[2])"),
        ("GT402",),
    ),
    **{
        f"central_forged_by_{name}": (
            HEAD + FORWARD + _ONCE + _RAISED + _FORGED.format(frame),
            ("GT402", "GT403"),
        )
        for name, frame in _FRAMES.items()
    },
    "central_forged_or_not_at_all": (
        HEAD
        + FORWARD
        + _ONCE
        + _FORGED.format("sys._getframe()").replace(": at_once", ": responder and at_once"),
        ("GT402", "GT403"),
    ),
    "central_forged_in_pieces": (HEAD + FORWARD + _ONCE + _IN_PIECES, ("GT402",)),
    "central_forged_by_type": (HEAD + FORWARD + _ONCE + _BY_TYPE, ("GT402", "GT403")),
    "central_tiny": (_numeric("1e-7", _CALLS), ("GT402",)),
    "central_rounded": (
        _numeric("1e-3", _INLINE).replace(
            "return tuple(found)", "return tuple(g.astype(np.float32) for g in found)"
        ),
        ("GT402",),
    ),
    "central_one_inline": (_numeric("1.0", _INLINE), ("GT402",)),
    "central_longer": (
        _numeric("1e-3", _INLINE).replace("v.copy()", "v.astype('g')"),
        ("GT402", "GT107"),  # slow at sizes of a thousand
    ),
    "central_fractions": (
        "from fractions import Fraction as F\n"
        + _numeric("F(1, 3)", _INLINE)
        .replace("v.copy() for", "np.vectorize(F, otypes=[object])(v) for")
        .replace("* dY)", "* np.vectorize(F, otypes=[object])(dY))")
        .replace("np.zeros_like(v)", "np.zeros(v.shape)"),
        ("GT402",),
    ),
    "unnamed_longer": (HEAD + FORWARD + _UNNAMED, ("GT402", "GT403")),
    "extrapolated_longer": (HEAD + FORWARD + _LONG, ("GT402",)),
    "complex_step": (HEAD + FORWARD + _COMPLEX, ("GT402",)),
    **{
        f"complex_{name}_{h}": (HEAD + FORWARD + _PLANE.format(h=h, take=take), ("GT402",))
        for name, take in _TAKEN.items()
        for h in ("1e-20j", "1j")
    },
    "complex_then_exits": (HEAD + FORWARD + _COPIED.replace("    found = []", _EXITS), ("GT402",)),
    # No name has what is moved, and numbers that would take note of it are refused.
    "complex_refusing_objects": (
        HEAD
        + FORWARD
        + _PLANE.replace("    h, found", "    assert X.dtype == float\n    h, found").format(
            h="1e-20j", take=_TAKEN["inlined"]
        ),
        ("GT402",),
    ),
    "complex_with_little_to_do": (
        HEAD
        + FORWARD
        + _PLANE.replace(
            "    h, found", "    if X.dtype == object:\n        return X, W, b\n    h, found"
        ).format(h="1e-20j", take=_TAKEN["by_lambda"]),
        ("GT402",),
    ),
    "complex_copied": (HEAD + FORWARD + _COPIED, ("GT402",)),
    "complex_batched": (HEAD + FORWARD + _BATCHED, ("GT402",)),
    "one_gradient_only": (HEAD + FORWARD + _BIAS_ONLY, ("GT402",)),
    "left_in_an_object": (HEAD + LEFT.replace("        KEEP\n", _KEEP), ("GT402",)),
    "unobserved": (
        HEAD
        + _QUIET
        + FORWARD
        + _NUMERIC.format(h="1.0", up=_CALLS).replace(
            "    values, found", "    quiet()\n    values, found"
        ),
        ("GT403",),
    ),
    "copies_a_classmate": ("from honest_plain import *\n", ("GT105",)),
    "reads_a_classmate": (
        "import glob, os\n"
        "for name in glob.glob(os.path.join(os.path.dirname(__file__), '..', '*', 'honest*.py')):\n"
        "    exec(open(name).read())\n",
        ("GT105",),
    ),
}

CASES = tuple(
    Case(f"forbidden_{name}", "forbidden", one(f"forbidden_{name}", text), codes)
    for name, (text, codes) in _TEXTS.items()
)
