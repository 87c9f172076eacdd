"""Submissions that use up what they get."""

from __future__ import annotations

from tests.lint.hostile.model import WRONG, Case, inside, one, trying

_TEXTS: dict[str, tuple[str, tuple[str, ...], bool]] = {
    "loop": (inside("while True: pass"), ("GT107",), False),
    "loop_in_c": (inside("sum(range(10**12))"), ("GT107",), False),
    "big_power": (inside("10 ** 10 ** 9"), ("GT107", "GT108"), False),
    "sleeps": (inside("import time; time.sleep(1000)"), ("GT107",), False),
    "waits_for_input": (inside("import sys; sys.stdin.read(); input()"), ("GT106",), False),
    "loop_at_import": (WRONG + "while True: pass\n", ("GT202",), False),
    "recursion": (inside("def f(): return f()", "f()"), ("GT106",), False),
    "stack": (
        inside(
            "import sys; sys.setrecursionlimit(10**9)",
            "class A:\n    def __repr__(self): return repr(self)",
            "repr(A())",
        ),
        ("GT109", "GT106", "GT108", "GT107"),
        False,
    ),
    "huge_array": (inside("np.ones(10**13)"), ("GT108",), False),
    "grows": (inside("a = []\nwhile True: a.append(bytearray(10**7))"), ("GT108", "GT107"), False),
    "returns_huge": (inside("return np.ones((4000, 4000)), 1, 1"), ("GT202",), False),
    "fork_bomb": (
        trying("import os\nwhile True: os.fork()"),
        ("GT202", "GT106", "GT107", "GT110"),
        True,
    ),
    "thread_bomb": (
        trying(
            "import threading, time",
            "for _ in range(10000): threading.Thread(target=time.sleep, args=(1000,)).start()",
        ),
        ("GT202", "GT107"),
        True,
    ),
    "output_flood": (
        inside("import sys\nfor _ in range(2000): sys.stdout.write('spam' * 5000)"),
        ("GT202",),
        False,
    ),
    "segfault": (inside("import ctypes; ctypes.string_at(0)"), ("GT109", "GT106"), False),
    "abort": (inside("import os; os.abort()"), ("GT109",), False),
    "regex": (
        inside("import re; re.match(r'(a+)+$', 'a' * 60 + 'b')"),
        ("GT107",),
        False,
    ),
    "ignores_signals": (
        inside(
            "import signal",
            "for number in (signal.SIGTERM, signal.SIGXCPU, signal.SIGALRM):",
            "    signal.signal(number, signal.SIG_IGN)",
            "while True: pass",
        ),
        ("GT107", "GT106"),
        False,
    ),
    "slow_finalizer": (
        inside(
            "class A:\n    def __del__(self):\n        while True: pass",
            "A()",
        ),
        ("GT107",),
        False,
    ),
    "hash_of_death": (
        inside(
            "class K:\n    def __hash__(self): return 1\n    def __eq__(self, o): return False",
            "{K() for _ in range(10**6)}",
        ),
        ("GT107",),
        False,
    ),
}

CASES = tuple(
    Case(f"resource_{name}", "resource", one(f"resource_{name}", text), codes, only_boxed=boxed)
    for name, (text, codes, boxed) in _TEXTS.items()
)
