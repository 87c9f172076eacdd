"""What a worker locks behind itself, one file per layer, found by itself.

A module here that holds a `LAYER` is a layer; `base.Layer.order` says when it is applied.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from importlib import import_module

from gradtool.lint.isolation.layers.base import Context, Inactive, Layer, Step
from gradtool.lint.isolation.status import LayerStatus
from gradtool.records import replace


def all_layers() -> tuple[Layer, ...]:
    """Every layer, in the order in which a worker applies them."""
    modules = (
        import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)
    )
    layers = [module.LAYER for module in modules if hasattr(module, "LAYER")]
    return tuple(sorted(layers, key=lambda layer: layer.order))


def lock_in(
    context: Context, layers: tuple[Layer, ...], off: tuple[str, ...] = ()
) -> tuple[LayerStatus, ...]:
    """Apply and probe the layers in this process, but for those named in `off`.

    There is no way back. Never raises for a layer that the host does not have: its status says why.
    """
    statuses: tuple[LayerStatus, ...] = ()
    for layer in layers:
        steps = [step for step in (layer.once, layer.each) if step is not None]
        statuses += (_done(context.with_active(statuses), _fresh(layer, off), steps),)
    return statuses


def lock_once(
    context: Context, layers: tuple[Layer, ...], off: tuple[str, ...] = ()
) -> tuple[LayerStatus, ...]:
    """The part of `lock_in` that a fork inherits, with what is known of the layers then."""
    statuses: tuple[LayerStatus, ...] = ()
    for layer in layers:
        steps = [] if layer.once is None else [layer.once]
        statuses += (_done(context.with_active(statuses), _fresh(layer, off), steps),)
    return statuses


def lock_each(
    context: Context, layers: tuple[Layer, ...], statuses: tuple[LayerStatus, ...]
) -> tuple[LayerStatus, ...]:
    """The rest of `lock_in`, in a fork of a process for which `lock_once` said `statuses`."""
    return tuple(
        [
            status if layer.each is None else _done(context, status, [layer.each])
            for layer, status in zip(layers, statuses, strict=True)
        ]
    )


def ready_again(
    context: Context, layers: tuple[Layer, ...], locked: tuple[LayerStatus, ...]
) -> tuple[Callable[[], object], ...]:
    """What `lock_again` is to do in forks of this process, of which one has done `lock_each`."""
    pairs = zip(layers, locked, strict=True)
    steps = [layer.each for layer, status in pairs if layer.each is not None and status.active]
    return tuple(one for step in steps for one in step.ready(context))


def lock_again(ready: tuple[Callable[[], object], ...]) -> bool:
    """`lock_each` where another fork of the same process has done it and seen it in force; whether
    the system has taken all of it again.

    What the same system says of the same calls is not tried once more in each of many workers.
    """
    try:
        for one in ready:
            one()
    except (Inactive, OSError):
        return False
    return True


def _fresh(layer: Layer, off: tuple[str, ...]) -> LayerStatus:
    if layer.name in off:
        return LayerStatus(layer.name, False, "switched off", layer.guards)
    return LayerStatus(layer.name, True, "", layer.guards)


def _done(context: Context, status: LayerStatus, steps: Sequence[Step]) -> LayerStatus:
    """The status after these steps; a layer that is not active stays so, and is left alone."""
    if not status.active:
        return status
    try:
        remarks = [step.apply(context) for step in steps]
        for step in steps:
            step.probe(context)
    except Inactive as reason:
        return replace(status, active=False, reason=str(reason))
    except OSError as error:
        return replace(status, active=False, reason=error.strerror or str(error))
    told = "; ".join(filter(None, [status.reason, *remarks]))
    return status if told == status.reason else replace(status, reason=told)
