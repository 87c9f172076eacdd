"""A backward pass before any simplification, and the backward pass of one step of a loop."""

from __future__ import annotations

from collections.abc import Mapping

from gradtool.ir.graph import AnyStatement, Graph, Loop, Scan, Sliced
from gradtool.ir.index import Tensor
from gradtool.records import Struct, field


class Cotangents(Struct, frozen=True):
    """The backward pass before any simplification.

    Attributes:
        graph: the forward graph, with the argmax statements that maxima need.
        upstream: the given cotangents, by output name; a scalar output's is 1.
        statements: one for each tensor that needs a cotangent, outputs first.
        of: the cotangent tensor of a forward tensor, by its name; absent when it is zero.
        turned: for each loop of the backward pass, the cotangents of one step.
        begun: cotangents to which the seeds of a step contribute.
    """

    graph: Graph
    upstream: Mapping[str, Tensor]
    statements: tuple[AnyStatement, ...]
    of: Mapping[str, Tensor]
    turned: Mapping[Loop, Turned] = field(default_factory=dict)
    begun: frozenset[str] = frozenset()


class Handed(Struct, frozen=True):
    """A cotangent that travels from step to step.

    Attributes:
        name: what a step gets, ``dh_next``.
        of: the carried input of the forward body, whose cotangent the step hands on; of a tangent,
            the value of the body that the next step gets.
        initial: the cotangent of the value after the last step (of a tangent, before the first);
            None for zero.
    """

    name: str
    of: str
    initial: Tensor | None


class Turned(Struct, frozen=True):
    """The backward pass of a loop, or (`along`) its tangents.

    Attributes:
        forward: the loop of the forward pass.
        found: the cotangents of one step.
        wanted: the inputs of a step that get a cotangent; its values that get a tangent.
        handed, seeds: the cotangents that travel, and slices of the cotangents of collected arrays.
        statements: the results of the loop, in index notation; a step computes the forward values
            again from what it began with.
        arrivals: for each result (its `line` counts them) the tensor of the graph that it is a
            part of the cotangent (or tangent) of, and the result.
    """

    forward: Loop
    found: Cotangents
    wanted: tuple[str, ...]
    handed: tuple[Handed, ...]
    seeds: tuple[Sliced, ...]
    statements: tuple[Scan, ...]
    arrivals: tuple[tuple[Tensor, Tensor], ...]
    along: bool = False

    @property
    def loop(self) -> Loop:
        """The loop of the cotangents."""
        return self.statements[0].loop
