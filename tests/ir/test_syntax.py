"""Several threads may read texts at once; Python's own reader fails at that before version 3.13."""

from __future__ import annotations

import ast
import gc
import sys
import threading

import pytest

from gradtool.ir import syntax

TEXT = "\n".join(f"x{n} = (a + b * c[{n}:, j]) @ d.T + f(g(h({n}), k={n}))" for n in range(60))


class Cycle:
    """What a collection of garbage has to call."""

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        pass


def test_threads_do_not_disturb_each_other() -> None:
    problems: list[BaseException] = []
    found: set[str] = set()

    def read() -> None:
        for _ in range(40):
            Cycle()
            try:
                found.add(ast.dump(syntax.parse(TEXT)))
            except BaseException as problem:
                problems.append(problem)

    every, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(20)
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        gc.set_threshold(*every)
        sys.setswitchinterval(interval)
    assert problems == []
    assert found == {ast.dump(ast.parse(TEXT))}


def test_it_reads_as_python_does() -> None:
    assert ast.dump(syntax.parse("a + 1", mode="eval")) == ast.dump(ast.parse("a + 1", mode="eval"))
    with pytest.raises(SyntaxError):
        syntax.parse("a +")
