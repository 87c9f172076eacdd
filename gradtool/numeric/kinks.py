"""Where a forward pass has no derivative: comparisons of equal values, ties of a maximum.

The values that are compared are emitted as one more forward pass, so that a sample can be looked
at without index notation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gradtool.records import Struct, replace

if TYPE_CHECKING:
    from gradtool.derive.derivation import Derivation
    from gradtool.ir.graph import AnyStatement, Graph, Loop, Scan, Statement
    from gradtool.ir.index import Index
    from gradtool.ir.poly import Poly
    from gradtool.spec.model import LayerSpec

Array = np.ndarray[Any, Any]

# Numbers of this size stand for minus infinity in the padding of a maximum.
_PADDING = 1e100


class Site(Struct, frozen=True):
    """What is compared in one line of the forward pass.

    Attributes:
        names: two tensors whose equality is a kink, or one whose best entries are.
        best: "" for two tensors, else "max" or "min".
        rank: for one tensor, over how many of the last axes the best is taken.
        where: the line, in words.
    """

    names: tuple[str, ...]
    best: str
    rank: int
    where: str


class Closest(Struct, frozen=True):
    """The smallest gap that is not zero, relative to the largest number compared; how many
    comparisons there are; how many are equal; and where the smallest gap is.

    Exactly equal values are no danger to a comparison of two programs that agree on them: they
    come from entries that move together, such as a score minus itself.
    """

    gap: float = np.inf
    count: int = 0
    equal: int = 0
    where: str = ""


def closest(sites: Sequence[Site], made: Mapping[str, Array]) -> Closest:
    """Look at the values of all sites."""
    best = Closest()
    count = equal = 0
    with np.errstate(all="ignore"):
        for site in sites:
            gap, scale, number = _gaps(site, made)
            count += number
            equal += int(np.count_nonzero(gap == 0))
            open_gaps = gap[(gap > 0) & np.isfinite(gap)]
            if open_gaps.size and scale > 0:
                share = float(np.min(open_gaps)) / scale
                if share < best.gap:
                    best = Closest(share, 0, 0, site.where)
    return replace(best, count=count, equal=equal)


def _gaps(site: Site, made: Mapping[str, Array]) -> tuple[Array, float, int]:
    if not site.best:
        left, right = (np.asarray(made[name], dtype=float) for name in site.names)
        scale = max(_largest(left), _largest(right))
        gap = np.abs(np.subtract(left, right))
        return np.atleast_1d(gap), scale, gap.size
    values = np.asarray(made[site.names[0]], dtype=float)
    rows = values.reshape(*values.shape[: values.ndim - site.rank], -1)
    if rows.shape[-1] < 2:
        return np.empty(0), 0.0, 0
    rows = rows if site.best == "max" else -rows
    two = np.partition(rows, rows.shape[-1] - 2, axis=-1)[..., -2:]
    gap = np.asarray(two[..., 1] - two[..., 0])
    return np.atleast_1d(gap), _largest(rows[np.abs(rows) < _PADDING]), gap.size


def _largest(values: Array) -> float:
    return float(np.max(np.abs(values), initial=0.0))


def kinks_text(spec: LayerSpec, derivation: Derivation, erf: str) -> tuple[str, tuple[Site, ...]]:
    """The module whose forward pass gives what is compared, and the sites; "" without any.

    Raises:
        UnsupportedError: a comparison that has no NumPy text.
    """
    from gradtool.emit.numpy_module import module_text

    graph, sites = _compared(derivation.graph)
    if not sites:
        return "", ()
    upstream = {name: (f"d{name}", graph.tensors[name].shape) for name in graph.outputs}
    plain = replace(derivation, graph=graph, upstream=upstream, lines=(), zero=())
    return module_text(spec, plain, erf=erf), sites


def _compared(graph: Graph) -> tuple[Graph, tuple[Site, ...]]:
    """The forward graph with what is compared as its outputs."""
    from gradtool.ir.graph import Scan

    found = _Sites()
    statements: list[AnyStatement] = []
    outputs: list[str] = []
    loops = dict.fromkeys(s.loop for s in graph.statements if isinstance(s, Scan))
    for loop in loops:
        loops[loop] = found.inside(loop)
    last = {s.loop: s for s in graph.statements if isinstance(s, Scan)}
    for statement in graph.statements:
        changed = loops[statement.loop] if isinstance(statement, Scan) else None
        if changed is None or not isinstance(statement, Scan):
            statements.append(statement)
            continue
        statements.append(replace(statement, loop=changed[0]))
        if last[statement.loop] is statement:
            statements += changed[1]
            outputs += [scan.out.name for scan in changed[1]]
    own = found.of(graph.statements)
    outputs += [statement.out.name for statement in own]
    whole = replace(graph, wanted=(), statements=(*statements, *own), outputs=tuple(outputs))
    return whole, tuple(found.sites)


class _Sites:
    """The values that are compared, made into tensors of their own."""

    def __init__(self) -> None:
        self.sites: list[Site] = []
        self.count = 0

    def of(self, statements: Sequence[AnyStatement]) -> list[Statement]:
        """Statements for what some statements compare."""
        from gradtool.derive.raising import raised
        from gradtool.ir.graph import Statement
        from gradtool.ir.index import Tensor

        found: list[Statement] = []

        def made(body: Poly, free: tuple[Index, ...]) -> str:
            out = Tensor(f"kink_{self.count}", tuple(index.size for index in free))
            self.count += 1
            found.append(Statement(out, free, body, raised(body, free)))
            return out.name

        for statement in statements:
            if not isinstance(statement, Statement):
                continue
            where = f"line {statement.line}" if statement.line else statement.out.name
            if statement.reduce != "sum":
                names = (made(statement.body, (*statement.free, *statement.bound)),)
                best = "max" if statement.reduce in ("max", "argmax") else "min"
                words = f"the two best candidates of the {best} in {where}"
                self.sites.append(Site(names, best, len(statement.bound), words))
            for left, right in switches(statement.body):
                free = tuple(sorted(left.indices | right.indices, key=lambda i: i.name))
                sides = (made(left, free), made(right, free))
                self.sites.append(Site(sides, "", 0, f"the two sides of a comparison in {where}"))
        return found

    def inside(self, loop: Loop) -> tuple[Loop, list[Scan]] | None:
        """The loop that collects what its steps compare; None when they compare nothing."""
        from gradtool.ir.graph import Scan
        from gradtool.ir.index import Tensor
        from gradtool.ir.tree import loop_tree

        made = self.of(loop.body.statements)
        if not made:
            return None
        body = replace(loop.body, statements=(*loop.body.statements, *made))
        new = replace(loop, body=body)
        scans: list[Scan] = []
        for statement in made:
            # Under a name of its own: the value of a step is one thing, those of all another.
            shape = (loop.first + loop.size, *statement.out.shape)
            out = Tensor(f"{statement.out.name}_steps", shape)
            tree = loop_tree(new.sources, out.name)
            scans.append(Scan(out, new, statement.out.name, "slices", tree))
        names = {s.source: s.out.name for s in scans}
        self.sites = [
            replace(site, names=tuple(names.get(name, name) for name in site.names))
            for site in self.sites
        ]
        return new, scans


def switches(body: Poly) -> Iterator[tuple[Poly, Poly]]:
    """The pairs of values at whose equality an expression changes its formula."""
    from gradtool.ir.poly import NOTHING, Compare, Function, number
    from gradtool.ir.walk import atoms
    from gradtool.ops.scalar import FUNCTIONS

    for base in atoms(body):
        match base:
            case Compare(relation=">" | ">=", left=left, right=right):
                yield left, right
            case Function(name=name, args=(argument,)) if FUNCTIONS[name].kinks:
                for kink in FUNCTIONS[name].kinks:
                    yield argument, number(int(kink)) if kink != "0" else NOTHING
