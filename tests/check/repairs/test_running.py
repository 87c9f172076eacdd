"""Where a value of earlier calls is read is told, but for the function that updates it itself."""

from __future__ import annotations

import ast

from gradtool.check.diagnose_where import Named
from gradtool.check.repairs.running import running_values

TEXT = """\
class Scale:
    def forward(self, X):
        self.mean = 0.9 * self.mean + 0.1 * X.mean()
        return X * self.mean

    def backward(self, dY):
        return dY * self.mean
"""


def methods(text: str) -> list[Named]:
    (owner,) = ast.parse(text).body
    assert isinstance(owner, ast.ClassDef)
    return [Named("hw.py", text, node) for node in owner.body if isinstance(node, ast.FunctionDef)]


def test_another_function_reads_it() -> None:
    forward, backward = methods(TEXT)
    (found,) = running_values([forward], [backward])
    assert found.attribute == "self.mean"
    assert found.reader is backward
    assert found.read.lineno == 7


def test_a_function_of_both_passes_is_no_reader_of_its_own() -> None:
    both, _ = methods(TEXT)
    assert running_values([both], [both]) == []


def test_what_is_not_updated_from_itself_is_of_one_call() -> None:
    forward, backward = methods(TEXT.replace("0.9 * self.mean + ", ""))
    assert running_values([forward], [backward]) == []
