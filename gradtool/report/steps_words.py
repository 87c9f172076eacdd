"""Why a share of a gradient looks as it does: sentences for one use of one value.

Nothing here knows a layer or a word of the vocabulary.  The sentences follow from the indices: an
index of the stage that the operand lacks is summed, an index of the operand that the stage lacks
is filled, a label picks, a sum of two indices slides.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradtool.derive.calculus import partial
from gradtool.derive.explain import Explanation, Use
from gradtool.derive.line import Line
from gradtool.derive.raising import raised
from gradtool.derive.reveal import shown
from gradtool.derive.shares import bare
from gradtool.emit.subscripts import subscripts
from gradtool.emit.text import text
from gradtool.ir.dims import ONE, Dim, shape_text
from gradtool.ir.errors import UnsupportedError
from gradtool.ir.graph import MatrixFunction, Reshape, Scan, Statement
from gradtool.ir.index import Index
from gradtool.ir.poly import (
    Access,
    Atom,
    Compare,
    Function,
    Poly,
    Term,
    poly_of,
)
from gradtool.ir.tree import Call, Name, Tree
from gradtool.ir.walk import accesses, atoms
from gradtool.ops.matrix import RULES
from gradtool.records import Struct, replace
from gradtool.report.index_structure import (
    CONDITIONS,
    axes_of,
    axes_text,
    condition_mentions,
    entry_of,
    is_labelled,
    is_linear,
    lacking_indices,
    listed,
    other_arrays,
    outermost,
    sliding,
    slope_of,
    term_mentions,
    under,
)
from gradtool.report.sections import Piece, formula, say
from gradtool.spec.lines import LineReader


class Words(Struct, frozen=True):
    """Sentences about the uses of one explanation; `reader` knows the shape of every name."""

    told: Explanation
    reader: LineReader

    def why(self, use: Use) -> Iterator[Piece]:
        """The reasons for one share, in the order in which a person would find them."""
        statement = use.stage.statement
        if isinstance(statement, Reshape):
            yield say(
                f"A reshape only puts the same entries in another order. The gradient goes "
                f"back into the shape of {use.of}, {shape_text(self.shape(use.of))}."
            )
        elif isinstance(statement, MatrixFunction):
            yield say(
                f"The rule for {statement.function} is a known result "
                f"({RULES[statement.function].source})."
            )
        elif isinstance(statement, Scan):
            raise UnsupportedError("a loop over an axis in an explanation")
        elif statement.reduce != "sum":
            yield from self._winner(use, statement)
        elif use.vanishes:
            yield from self._vanishing(use)
        elif use.local is not None:
            yield from self._slope(use, statement)
        else:
            yield from self._entries(use, statement)

    def shape(self, name: str) -> tuple[Dim, ...]:
        return self.told.graph.tensors[name].shape

    def cotangent(self, use: Use) -> str:
        step = self.told.step_of.get(use.stage.name)
        return step.name if step is not None else ""

    # -- one entry of the operand, one entry of the stage ----------------------------------

    def _slope(self, use: Use, statement: Statement) -> Iterator[Piece]:
        stage = use.stage.name
        assert use.local is not None
        assert use.body is not None
        slope = text(use.local)
        above = self.cotangent(use)
        entry = entry_of(use.body, use.of)
        order = [e.as_index for e in entry.index if e.as_index is not None]
        if slope == "1" and order != [i for i in statement.free if i in order]:
            yield say(f"{use.of} is only transposed, so its gradient is transposed back.")
        elif slope == "1":
            how = "only added" if len(use.body.terms) > 1 else "passed on as it is"
            onward = f"{above} passes through unchanged" if above else "that is all"
            yield say(f"{use.of} is {how}, so its slope is 1 and {onward}.")
        elif slope == "-1":
            yield say(f"{use.of} is only subtracted, so its slope is -1 and the sign turns.")
        else:
            condition = isinstance(use.local, Call) and use.local.op in CONDITIONS
            yield formula(f"∂{stage}/∂{use.of} = {f'({slope})' if condition else slope}")
            if condition:
                yield say("It is 1 where the condition holds and 0 elsewhere.")
            if statement.free and above:
                yield say(f"So {above} is multiplied by this slope, entry by entry.")
            elif above:
                yield say(f"So {above} is multiplied by this slope.")
            else:
                yield say(f"d{stage} is 1, so this is already d{use.of}.")
        yield from self._kinks(use, entry)
        yield from self._broadcast(use, lacking_indices(statement.free, entry))

    def _broadcast(self, use: Use, lacking: list[Index]) -> Iterator[Piece]:
        if not lacking:
            return
        statement = use.stage.statement
        assert isinstance(statement, Statement)
        over = axes_text(lacking, use.stage.name, statement.free)
        yield say(f"{use.of} was broadcast over {over}, so its gradient is summed over {over}.")

    def _kinks(self, use: Use, entry: Access) -> Iterator[Piece]:
        """Where the slope jumps, and what is taken there."""
        assert use.body is not None
        slope = slope_of(use.body, use.of, entry)
        seen: set[Atom] = set()
        for base in atoms(slope):
            if isinstance(base, Compare) and base not in seen and condition_mentions(base, use.of):
                seen.add(base)
                at = self._place(use, base, entry)
                sides = [under(slope, base, value) for value in (0, 1)]
                ends = [None if s is None else s.constant for s in sides]
                taken = ends[1 if base.relation == ">=" else 0]
                if base.relation not in (">", ">=") or not at:
                    continue
                if taken is not None and None in ends:
                    yield say(
                        f"At {at} there is a kink: the slope jumps. The value {taken} is "
                        "taken there."
                    )
                elif taken is None:
                    yield say(
                        f"At {at} there is a kink. There the formula takes the slope of the "
                        "side that the forward pass takes."
                    )
                elif ends[0] != ends[1]:
                    yield say(
                        f"At {at} there is a kink: the slope jumps between {ends[0]} and "
                        f"{ends[1]}. The value {taken} is taken there."
                    )
            if isinstance(base, Function) and base.name == "sign" and base not in seen:
                seen.add(base)
                place = self._text(base.args[0], use, axes_of(use, entry))
                yield say(f"At {place} = 0 there is a kink. The value sign(0) = 0 is taken there.")

    def _place(self, use: Use, compare: Compare, entry: Access) -> str:
        axes = axes_of(use, entry)
        left, right = self._text(compare.left, use, axes), self._text(compare.right, use, axes)
        return f"{right} = {left}" if compare.left.constant is not None else f"{left} = {right}"

    def _text(self, body: Poly, use: Use, free: tuple[Index, ...]) -> str:
        """A slope or a place, as an array expression with these axes."""
        if body.constant is not None:
            return str(body.constant)
        tree = raised(body, free)
        return text(bare(shown(self.told.graph, tree)))

    # -- sums, products, picks -------------------------------------------------------------

    def _entries(self, use: Use, statement: Statement) -> Iterator[Piece]:
        """A stage whose entries depend on several entries of the operand."""
        body = use.body
        if body is None:
            return
        mentioning = [t for t in body.terms if term_mentions(t, use.of)]
        used = {a for t in mentioning for a in accesses(poly_of((t,))) if a.tensor.name == use.of}
        if len(mentioning) != 1 or len(used) != 1:
            yield from self._subscripts(use)
            yield say(
                f"{use.of} occurs more than once in this stage. Each occurrence gives a "
                "share, and the shares are added."
            )
            return
        (term,) = mentioning
        (entry,) = used
        others = other_arrays(term, entry)
        if any(e.as_index is None and e.as_dim is None for e in entry.index):
            yield from self._picked(use, entry) if is_labelled(entry) else self._slid(use)
        elif len({e.as_index for e in entry.index}) < len(entry.index):
            yield from self._subscripts(use)
            yield say(
                f"Only the entries of {use.of} with equal indices, its diagonal, were used. "
                "They get a gradient, all others get 0."
            )
        elif (
            others
            and is_linear(term, entry)
            and (term.bound or lacking_indices((*statement.free, *term.bound), entry))
        ):
            if any(e.as_index is None and e.as_dim is None for o in others for e in o.index):
                yield from self._slid(use)
            else:
                yield from self._contracted(use, statement, term, entry, others)
        else:
            yield from self._reduced(use, statement, term, entry)

    def _subscripts(self, use: Use) -> Iterator[Piece]:
        """The forward and the backward formula with their indices."""
        stage = use.stage
        told = use.derivation
        forward = Line(stage.name, stage.name, "inner", stage.shape, Name(stage.name))
        shown_forward = subscripts(replace(told, lines=(forward,)))[stage.name]
        backward = subscripts(told)[f"d{use.of}"]
        above = self.cotangent(use)
        if above in ("", f"d{stage.name}"):
            yield formula(shown_forward)
            if use.several:
                backward = f"share{backward.removeprefix(f'd{use.of}')}"
            yield formula(backward)

    def _contracted(
        self, use: Use, statement: Statement, term: Term, entry: Access, others: list[Access]
    ) -> Iterator[Piece]:
        """A product summed over an index: the reason is in the axes."""
        above = self.cotangent(use)
        yield from self._subscripts(use)
        at_hand = {o.tensor.name: shape_text(o.tensor.shape) for o in others}
        if above:
            at_hand[above] = shape_text(use.stage.shape)
        have = listed(f"{name} is {shape}" for name, shape in at_hand.items())
        own = shape_text(self.shape(use.of))
        lacking = lacking_indices((*statement.free, *term.bound), entry)
        text_ = f"d{use.of} must be {own}, the shape of {use.of}. {have}."
        if lacking:
            gone = axes_text(lacking, "", ())
            verb = "it is summed over" if len(lacking) == 1 else "they are summed over"
            text_ += f" {gone[0].upper()}{gone[1:]} must disappear: {verb}."
        elif above and entry.index and entry.tensor.shape:
            text_ += " No axis has to disappear, so nothing is summed: every entry is one product."
        yield say(text_)
        product = outermost(use.tree, "matmul")
        if product is not None:
            shapes = [shape_text(self.reader.shape(a)) for a in product.args]
            result = shape_text(self.reader.shape(product))
            yield say(f"So {text(product)}: {shapes[0]} @ {shapes[1]} gives {result}.")
        sizes = [i.size for i in {*statement.free, *term.bound, *entry.indices} if i.size != ONE]
        if lacking and len(set(sizes)) < len(sizes):
            yield say(
                "Some sizes are equal here, so shapes alone could mislead; the subscripts decide."
            )

    def _reduced(
        self, use: Use, statement: Statement, term: Term, entry: Access
    ) -> Iterator[Piece]:
        """A sum or a mean: every entry that was added gets its share."""
        stage, above = use.stage.name, self.cotangent(use)
        gone = [i for i in term.bound if i in entry.indices]
        over = axes_text(gone, use.of, [e.as_index for e in entry.index])
        try:
            slope = partial(Term(term.coefficient, term.factors), entry)
            free = tuple(e.as_index or Index(f"@{k}", ONE) for k, e in enumerate(entry.index))
            local = self._text(slope, use, free) if slope.indices <= set(free) else ""
            constant = not slope.indices
        except UnsupportedError:
            local, constant = "", False
        if gone:
            yield say(f"{stage} is a sum over {over}: each entry of {use.of} stands in one term.")
        if local:
            yield formula(f"∂{stage}/∂(one entry of {use.of}) = {local}")
        if gone and above:
            share = "the same number" if constant else f"the same {above}, times its own slope"
            yield say(
                f"{above} does not have {over} any more: along {over}, every entry gets {share}."
            )
        yield from self._kinks(use, entry)
        yield from self._broadcast(use, lacking_indices((*statement.free, *term.bound), entry))

    def _picked(self, use: Use, entry: Access) -> Iterator[Piece]:
        """Entries chosen by labels."""
        yield from self._subscripts(use)
        labels = [label for e in entry.index for label in e.labels()]
        chosen = listed(dict.fromkeys(label.tensor.name for label in labels))
        written = next((w for w in ("scatter_add", "onehot") if w in text(use.tree)), "")
        yield say(
            f"Only the entries of {use.of} that {chosen} picks were used. They get a "
            "gradient, all others get 0" + (f": that is what {written} writes." if written else ".")
        )
        rows = any(not label.index for label in labels) or len(labels) < len(entry.index)
        if rows and not entry.indices - {i for label in labels for i in label.index_set}:
            return
        if len(labels) == 1 and not self._distinct(entry):
            yield say(
                f"The same entry of {use.of} can be picked more than once; its gradients are added."
            )

    def _distinct(self, entry: Access) -> bool:
        """Whether different places pick different entries, since they stand in different rows."""
        plain = {e.as_index for e in entry.index if e.as_index is not None}
        within = {i for e in entry.index for label in e.labels() for i in label.index_set}
        return within <= plain

    def _slid(self, use: Use) -> Iterator[Piece]:
        """Windows: an index that is a sum of two."""
        yield from self._subscripts(use)
        above = self.cotangent(use) or f"d{use.stage.name}"
        found = sliding(use)
        if found is None:
            return
        kind, other, strided = found
        if kind == "correlation":
            yield say(
                f"{above} is laid on {other}, entry on entry, and moved along: this is the "
                f"correlation of {other} with {above}."
            )
            if strided:
                yield say(
                    f"Because of the stride, the entries of {above} are laid that many steps apart."
                )
        else:
            yield say(
                f"The minus sign in the index turns {other} around: this is the full "
                f"convolution of {above} with {other}, that is, {other} rotated by 180 "
                f"degrees moves over {above}, which counts as 0 outside its borders."
            )
            if strided:
                yield say(
                    f"Because of the stride, {above} is first spread out with zeros between "
                    "its entries."
                )

    def _winner(self, use: Use, statement: Statement) -> Iterator[Piece]:
        best = "largest" if statement.reduce == "max" else "smallest"
        window = any(e.as_index is None for a in accesses(statement.body) for e in a.index)
        over = "of its window" if window else f"over {axes_text(statement.bound, '', ())}"
        yield say(
            f"Only the {best} entry {over} decides {use.stage.name}. So it gets the "
            "whole gradient and the others get 0. If several are equal, the first gets it."
        )

    def _vanishing(self, use: Use) -> Iterator[Piece]:
        share = text(use.tree)
        facts = [f for f in self.told.facts if any(text(t) in share for t in _as_written(f.left))]
        reason = " by the definitions of the forward pass"
        if facts:
            reason = f", because {listed(f'{text(f.left)} is {text(f.right)}' for f in facts)}"
        yield say(f"This share is 0{reason}. It can be left out.")


def _as_written(left: Tree) -> Iterator[Tree]:
    """A sum over an axis, and the mean that a share may hold instead."""
    yield left
    if isinstance(left, Call) and left.op == "sum":
        yield replace(left, op="mean")
