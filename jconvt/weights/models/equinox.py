"""Loading models of Equinox from checkpoints, and the inverse."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from .._errors import require
from ..checkpoint import Checkpoint, Layer
from ..matching import Names, fit
from ..report import Report
from ._modules import Path, dotted, kind, to_checkpoint, to_layer, walk


def into_equinox(
    checkpoint: Checkpoint, model: Any, names: Names = None, strict: bool = True, state: Any = None
) -> tuple[Any, Report]:
    """Return an Equinox model with a checkpoint's numbers.

    Args:
      checkpoint: from ``jconvt.weights.read``.
      model: the ``equinox.Module``. It does not change.
      names, strict: as for ``into_linen``. A module's path is that of its fields: "decoder.up", "layers.0".
      state: the state from ``equinox.nn.make_with_state``, to load mean and variance of batch normalisations too.

    Returns:
      The new model, or with ``state`` a pair of it and the new state; and a ``Report``.

    Raises:
      ArgumentError: layers are not matched, or do not fit.
      ArgumentTypeError: the model's dtype cannot hold the numbers.

    >>> import equinox as eqx, jax, numpy as np
    >>> from jconvt.weights import Checkpoint, Layer
    >>> up = Layer("conv_transpose", {"kernel": np.ones((8, 4, 3, 3)), "bias": np.ones(4)}, "torch", groups=1)
    >>> model = eqx.nn.Sequential([eqx.nn.ConvTranspose2d(8, 4, 3, key=jax.random.key(0))])
    >>> model, report = into_equinox(Checkpoint({"up": up}, "torch"), model)
    >>> model.layers[0].weight.shape
    (4, 8, 3, 3)
    """
    eqx = require("equinox", "loading into an Equinox model")
    modules = _modules(model, eqx)
    targets = _layers(modules, state)
    unowned = [dotted(path) for path, _ in _unowned(model, targets, eqx)]
    fitted, report = fit(checkpoint, {dotted(path): layer for path, layer in targets.items()}, unowned, names, strict)
    places, values = [], []
    for path in targets:
        filled = fitted.get(dotted(path), {})
        for role in filled.keys() - {"mean", "var"}:
            places.append((*path, "bias" if role == "bias" else "weight"))
            values.append(jnp.asarray(filled[role]))
        if "mean" in filled:
            state = _set_statistics(state, modules[path], filled)
    if places:
        model = eqx.tree_at(lambda tree: [functools.reduce(_child, path, tree) for path in places], model, values)
    return (model if state is None else (model, state)), report


def from_equinox(model: Any, state: Any = None) -> Checkpoint:
    """Return the checkpoint of an Equinox model, and of its state if its batch normalisations have one.

    >>> import equinox as eqx, jax
    >>> print(from_equinox(eqx.nn.Sequential([eqx.nn.Linear(2, 3, key=jax.random.key(0))])))
    layer     kind   groups  arrays
    layers.0  dense  -       kernel (3, 2), bias (3,)
    """
    eqx = require("equinox", "reading an Equinox model")
    layers = _layers(_modules(model, eqx), state)
    named = {dotted(path): layer for path, layer in layers.items()}
    return to_checkpoint(named, _unowned(model, layers, eqx), "equinox")


def _modules(model: Any, eqx: Any) -> dict[Path, Any]:
    def attributes(module: Any) -> Iterator[tuple[str, Any]]:
        return ((field.name, getattr(module, field.name, None)) for field in dataclasses.fields(module))

    return dict(walk(model, eqx.Module, attributes))


def _layers(modules: Mapping[Path, Any], state: Any) -> dict[Path, Layer]:
    return {path: layer for path, module in modules.items() if (layer := _layer(module, state))}


def _layer(module: Any, state: Any) -> Layer | None:
    """Return the module as a layer, or ``None`` if it is not converted or has no arrays."""
    found = kind(module)
    if found is None:
        return None
    arrays = {"scale" if found == "norm" else "kernel": module.weight, "bias": module.bias}
    arrays = {role: array for role, array in arrays.items() if array is not None}
    index = _statistics_index(module)
    if state is not None and index is not None:
        arrays["mean"], arrays["var"] = state.get(index)
    return to_layer(module, arrays, "equinox")


def _unowned(model: Any, layers: Mapping[Path, Layer], eqx: Any) -> Iterator[tuple[Path, Any]]:
    """Yield the arrays that no layer owns, with their paths."""
    owned = {id(array) for layer in layers.values() for array in layer.arrays.values()}
    for path, leaf in jax.tree_util.tree_leaves_with_path(model):
        if eqx.is_inexact_array(leaf) and id(leaf) not in owned:
            yield tuple(jax.tree_util.keystr((key,), simple=True) for key in path), leaf


def _statistics_index(module: Any) -> Any:
    """Return the index of a batch normalisation's mean and variance in the state."""
    return getattr(module, "batch_state_index", None) or getattr(module, "ema_state_index", None)


def _set_statistics(state: Any, module: Any, arrays: Mapping[str, Any]) -> Any:
    """Return the state after batches of exactly this mean and variance."""
    state = state.set(_statistics_index(module), (jnp.asarray(arrays["mean"]), jnp.asarray(arrays["var"])))
    if getattr(module, "ema_first_time_index", None) is not None:
        return state.set(module.ema_first_time_index, jnp.array(False))
    return state


def _child(node: Any, key: Any) -> Any:
    return node[key] if isinstance(node, dict | list | tuple) else getattr(node, key)
