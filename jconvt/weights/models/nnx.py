"""Loading models of ``flax.nnx`` from checkpoints, and the inverse."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp

from .._errors import require
from ..checkpoint import Checkpoint, Layer
from ..layouts import ROLES
from ..matching import Names, fit
from ..report import Report
from ._modules import Path, dotted, to_checkpoint, to_layer, walk


def into_nnx(checkpoint: Checkpoint, model: Any, names: Names = None, strict: bool = True) -> Report:
    """Assign a checkpoint's numbers to an NNX model, in place.

    Args:
      checkpoint: from ``jconvt.weights.read``.
      model: the ``flax.nnx.Module``. It changes only if all of the checkpoint fits, and keeps its dtypes.
      names, strict: as for ``into_linen``. A module's path is that of its attributes: "decoder.up", "layers.0".

    Returns:
      A ``Report``.

    Raises:
      ArgumentError: layers are not matched, or do not fit; the model is unchanged.
      ArgumentTypeError: the model's dtype cannot hold the numbers; the model is unchanged.

    >>> import numpy as np
    >>> from flax import nnx
    >>> from jconvt.weights import Checkpoint, Layer
    >>> up = Layer("conv_transpose", {"kernel": np.ones((8, 4, 3, 3)), "bias": np.ones(4)}, "torch", groups=1)
    >>> model = nnx.Sequential(nnx.ConvTranspose(8, 4, (3, 3), rngs=nnx.Rngs(0)))
    >>> report = into_nnx(Checkpoint({"up": up}, "torch"), model)
    >>> float(model.layers[0].kernel[0, 0, 0, 0])
    1.0
    """
    nnx = require("flax.nnx", "loading into an NNX model")
    modules = _modules(model, nnx)
    targets = _layers(modules, nnx)
    unowned = [dotted(path) for path, _ in _unowned(model, modules, targets, nnx)]
    fitted, report = fit(checkpoint, targets, unowned, names, strict)
    for path, arrays in fitted.items():
        for role, array in arrays.items():
            getattr(modules[path], role)[...] = jnp.asarray(array)
    return report


def from_nnx(model: Any) -> Checkpoint:
    """Return the checkpoint of an NNX model.

    >>> from flax import nnx
    >>> print(from_nnx(nnx.Sequential(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))))
    layer     kind   groups  arrays
    layers.0  dense  -       kernel (2, 3), bias (3,)
    """
    nnx = require("flax.nnx", "reading an NNX model")
    modules = _modules(model, nnx)
    layers = _layers(modules, nnx)
    unowned = ((path, variable[...]) for path, variable in _unowned(model, modules, layers, nnx))
    return to_checkpoint(layers, unowned, "flax")


def _modules(model: Any, nnx: Any) -> dict[str, Any]:
    """Return the modules by path, in the order of their attributes, which NNX's iteration would sort."""
    return {
        dotted(path): module for path, module in walk(model, nnx.Module, lambda each: vars(each).items(), (), set())
    }


def _layers(modules: Mapping[str, Any], nnx: Any) -> dict[str, Layer]:
    layers = {}
    for path, module in modules.items():
        held: dict[str, Any] = {role: getattr(module, role, None) for role in ROLES}
        arrays = {role: value[...] for role, value in held.items() if isinstance(value, nnx.Variable)}
        if layer := to_layer(module, arrays, "flax"):
            layers[path] = layer
    return layers


def _unowned(
    model: Any, modules: Mapping[str, Any], layers: Mapping[str, Layer], nnx: Any
) -> Iterator[tuple[Path, Any]]:
    """Yield the parameters and statistics that no layer owns, with their paths."""
    owned = {id(getattr(modules[path], role)) for path, layer in layers.items() for role in layer.arrays}
    for path, variable in nnx.iter_graph(model):
        if isinstance(variable, nnx.Param | nnx.BatchStat) and id(variable) not in owned:
            yield path, variable
