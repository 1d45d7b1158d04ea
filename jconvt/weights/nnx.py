"""Checkpoints into and out of models of ``flax.nnx``."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

from .fitting import fit
from .layer import ROLES, Checkpoint, Layer, with_others
from .modules import described
from .packages import package
from .pairing import Names
from .report import Report


def into_nnx(checkpoint: Checkpoint, model: Any, names: Names = None, strict: bool = True) -> Report:
    """Puts a checkpoint's numbers into an NNX model, in place.

    Args:
      checkpoint: what ``jconvt.weights.read`` gave.
      model: the ``flax.nnx.Module``. It is changed once all of the checkpoint is seen to fit, and keeps its dtypes.
      names: the name map, ``{source path: target path}``, or a function from the one to the other. A module's path is
        that of its attributes, joined by dots: "decoder.up", "layers.0".
      strict: whether every parameter has to be found.

    Returns:
      A ``Report``.

    Raises:
      ArgumentError: layers that match nothing, or do not fit; the model is unchanged.
      ArgumentTypeError: numbers that the model's dtype cannot hold; the model is unchanged.

    >>> import numpy as np
    >>> from flax import nnx
    >>> from jconvt.weights import Checkpoint, Layer
    >>> up = Layer("conv_transpose", {"kernel": np.ones((8, 4, 3, 3)), "bias": np.ones(4)}, "torch", groups=1)
    >>> model = nnx.Sequential(nnx.ConvTranspose(8, 4, (3, 3), rngs=nnx.Rngs(0)))
    >>> report = into_nnx(Checkpoint({"up": up}, "torch"), model)
    >>> float(model.layers[0].kernel[0, 0, 0, 0])
    1.0
    """
    nnx = package("flax.nnx", "loading into an NNX model", "'jconvt[flax]'")
    modules = dict(_modules(model, nnx, "", set()))
    targets = _layers(modules, nnx)
    others = [".".join(path) for path in _others(model, modules, targets, nnx)]
    fitted = fit(checkpoint, targets, others, names, strict)
    for path, arrays in fitted.arrays.items():
        for role, array in arrays.items():
            getattr(modules[path], role)[...] = jnp.asarray(array)
    return fitted.report


def from_nnx(model: Any) -> Checkpoint:
    """The checkpoint of an NNX model.

    >>> from flax import nnx
    >>> print(from_nnx(nnx.Sequential(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))))
    layer     kind   groups  arrays
    layers.0  dense  -       kernel (2, 3), bias (3,)
    """
    nnx = package("flax.nnx", "reading an NNX model", "'jconvt[flax]'")
    modules = dict(_modules(model, nnx, "", set()))
    layers = _layers(modules, nnx)
    others = {path: np.asarray(variable[...]) for path, variable in _others(model, modules, layers, nnx).items()}
    own = {
        path: dataclasses.replace(layer, arrays={role: np.asarray(array) for role, array in layer.arrays.items()})
        for path, layer in layers.items()
    }
    return Checkpoint(with_others(own, others, "flax"), "flax", source="the model")


def _others(model: Any, modules: dict[str, Any], layers: dict[str, Layer], nnx: Any) -> dict[tuple[str, ...], Any]:
    """The parameters and statistics that are in none of the layers."""
    owned = {id(getattr(modules[path], role)) for path, layer in layers.items() for role in layer.arrays}
    return {
        tuple(map(str, path)): variable
        for path, variable in nnx.iter_graph(model)
        if isinstance(variable, nnx.Param | nnx.BatchStat) and id(variable) not in owned
    }


def _layers(modules: dict[str, Any], nnx: Any) -> dict[str, Layer]:
    layers = {}
    for path, module in modules.items():
        held: dict[str, Any] = {role: getattr(module, role, None) for role in ROLES}
        arrays = {role: value[...] for role, value in held.items() if isinstance(value, nnx.Variable)}
        if arrays and (layer := described(module, arrays, "flax")):
            layers[path] = layer
    return layers


def _modules(module: Any, nnx: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """The modules in the order of their attributes, which NNX's own iteration sorts."""
    if id(module) in seen:
        return
    seen.add(id(module))
    if isinstance(module, nnx.Module):
        yield path, module
        inner = vars(module).items()
    elif isinstance(module, dict):
        inner = module.items()
    elif isinstance(module, list | tuple):
        inner = enumerate(module)
    else:
        return
    for name, value in inner:
        yield from _modules(value, nnx, f"{path}.{name}" if path else str(name), seen)
