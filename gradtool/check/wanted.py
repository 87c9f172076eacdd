"""Which functions of a file are to be checked: by name, or by the line that they stand at."""

from __future__ import annotations

from gradtool.check.candidate import Candidate
from gradtool.records import Struct


class Wanted(Struct, frozen=True):
    """A choice among the candidates of a file; the default chooses all.

    Attributes:
        function: the name of a forward, a backward or a class, or ``Class.method``.
        cell: the number of a notebook's code cell, from 1.
        line: a line of the file, or of the cell.
        places: where the answer itself has to stand: the backward pass, or the class.
        elsewhere: layers that other questions ask for: what is called after one of them is meant
            for that, though it be all that there is.
        how: what to do where it cannot be told which functions are meant.
    """

    function: str | None = None
    cell: int | None = None
    line: int | None = None
    places: frozenset[str] | None = None
    elsewhere: tuple[str, ...] = ()
    how: str = "Choose with --function NAME, or in the spec's check: block"

    @property
    def everything(self) -> bool:
        return self.function is None and self.cell is None and self.line is None

    @property
    def text(self) -> str:
        """The choice in words, after "no function"."""
        parts = [f"called {self.function}"] if self.function else []
        parts += [f"in cell {self.cell}"] if self.cell else []
        parts += [f"at line {self.line}"] if self.line else []
        return " ".join(parts)

    def keeps(self, candidate: Candidate) -> bool:
        """Whether a candidate is chosen: one of its functions is enough."""
        if self.function is not None and self.function not in _names(candidate):
            return False
        answer = candidate.owner or candidate.backward or candidate.forward
        if self.places is not None and (answer is None or answer.place not in self.places):
            return False
        items = [i for i in (candidate.owner, candidate.forward, candidate.backward) if i]
        if self.cell is not None:
            items = [i for i in items if i.place.endswith(f" cell {self.cell}")]
        if self.line is not None:
            items = [i for i in items if i.line <= self.line <= i.end]
        return bool(items)


def _names(candidate: Candidate) -> set[str]:
    owner = candidate.owner
    methods = (candidate.forward, candidate.backward)
    qualified = {f"{owner.name}.{m.name}" for m in methods if m} if owner else set()
    return {*candidate.names, *qualified}


EVERYTHING = Wanted()
