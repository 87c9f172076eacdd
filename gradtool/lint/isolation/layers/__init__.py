"""What a worker locks behind itself, one file per layer, found by itself.

A module here that holds a `LAYER` is a layer; `base.Layer.order` says when it is applied.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from gradtool.lint.isolation.layers.base import Context, Inactive, Layer
from gradtool.lint.isolation.status import LayerStatus


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
        try:
            if layer.name in off:
                raise Inactive("switched off")
            remark = layer.apply(context.with_active(statuses))
            layer.probe(context)
        except Inactive as reason:
            status = LayerStatus(layer.name, False, str(reason), layer.guards)
        except OSError as error:
            status = LayerStatus(layer.name, False, error.strerror or str(error), layer.guards)
        else:
            status = LayerStatus(layer.name, True, remark, layer.guards)
        statuses += (status,)
    return statuses
