"""All that a check needs of a layer, as data: made once by a derivation, kept as JSON.

Whoever has the plan of a layer needs neither the derivation nor sympy.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gradtool.numeric.kinks import Site
from gradtool.numeric.settings import Setting
from gradtool.records import Struct, to_builtins

if TYPE_CHECKING:
    from gradtool.spec.model import LayerSpec


class Plan(Struct, frozen=True):
    """A derived layer.

    Attributes:
        text: the emitted module with `forward` and `backward`.
        wanted: the variables that get a gradient, in the order in which `backward` gives them.
        outputs: the outputs, with their symbolic shapes.
        settings: where it is checked.
        kinks: the emitted module whose `forward` gives what is compared; "" without comparisons.
        sites: what is compared there; the names are the outputs of that module.
    """

    text: str
    wanted: tuple[str, ...]
    outputs: Mapping[str, tuple[str, ...]]
    settings: tuple[Setting, ...]
    kinks: str = ""
    sites: tuple[Site, ...] = ()


def plan_of(
    spec: LayerSpec, find: Callable[[str], LayerSpec | None] | None = None, erf: str = ""
) -> Plan:
    """Derive a layer; `erf` is where the error function comes from, by default what is there.

    Raises:
        SpecError: the forward pass has mistakes.
        UnsupportedError: a construct that is refused.
        CertificationError: the emitted module does not compute what was derived: a bug.
    """
    from gradtool.derive.derivation import derive
    from gradtool.ir.errors import UnsupportedError
    from gradtool.numeric.kinks import kinks_text
    from gradtool.numeric.proved import proved_module
    from gradtool.numeric.settings import settings
    from gradtool.spec.forward import graph_of

    derivation = derive(graph_of(spec, find))
    graph = derivation.graph
    try:
        kinks, sites = kinks_text(spec, derivation, erf or error_function())
    except UnsupportedError:
        kinks, sites = "", ()
    return Plan(
        proved_module(spec, derivation, erf=erf or error_function()),
        graph.wanted,
        {n: tuple(str(d) for d in graph.tensors[n].shape) for n in graph.outputs},
        settings(graph, spec.sizes),
        kinks,
        sites,
    )


def error_function() -> str:
    """Where the emitted code takes the error function from: SciPy only when it is installed."""
    return "scipy" if importlib.util.find_spec("scipy") is not None else "math"


def to_data(plan: Plan) -> dict[str, Any]:
    """What `json.dumps` takes."""
    told: dict[str, Any] = to_builtins(plan)
    return told


def from_data(data: Mapping[str, Any]) -> Plan:
    """The plan that `to_data` described.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    return Plan(
        str(data["text"]),
        tuple(map(str, data["wanted"])),
        {str(name): tuple(map(str, shape)) for name, shape in data["outputs"].items()},
        tuple(Setting(**setting) for setting in data["settings"]),
        str(data["kinks"]),
        tuple(
            Site(tuple(map(str, site["names"])), site["best"], site["rank"], site["where"])
            for site in data["sites"]
        ),
    )
