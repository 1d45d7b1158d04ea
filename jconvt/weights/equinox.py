"""Checkpoints into and out of models of Equinox."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .fitting import fit
from .layer import Checkpoint, Layer, with_others
from .modules import described, kind
from .packages import package
from .pairing import Names
from .report import Report

_Path = tuple[Any, ...]


def into_equinox(
    checkpoint: Checkpoint, model: Any, names: Names = None, strict: bool = True, state: Any = None
) -> tuple[Any, Report]:
    """An Equinox model with a checkpoint's numbers.

    Args:
      checkpoint: what ``jconvt.weights.read`` gave.
      model: the ``equinox.Module``. It is not changed.
      names: the name map, ``{source path: target path}``, or a function from the one to the other. A module's path is
        that of its fields, joined by dots: "decoder.up", "layers.0".
      strict: whether every parameter has to be found.
      state: the state that ``equinox.nn.make_with_state`` gave, if batch normalisations are to have the checkpoint's
        mean and variance.

    Returns:
      The new model, or with ``state`` a pair of it and the new state; and a ``Report``.

    Raises:
      ArgumentError: layers that match nothing, or do not fit.
      ArgumentTypeError: numbers that the model's dtype cannot hold.

    >>> import equinox as eqx, jax, numpy as np
    >>> from jconvt.weights import Checkpoint, Layer
    >>> up = Layer("conv_transpose", {"kernel": np.ones((8, 4, 3, 3)), "bias": np.ones(4)}, "torch", groups=1)
    >>> model = eqx.nn.Sequential([eqx.nn.ConvTranspose2d(8, 4, 3, key=jax.random.key(0))])
    >>> model, report = into_equinox(Checkpoint({"up": up}, "torch"), model)
    >>> model.layers[0].weight.shape
    (4, 8, 3, 3)
    """
    eqx = package("equinox", "loading into an Equinox model", "'jconvt[equinox]'")
    modules = {_name(path): (path, module) for path, module in _modules(model, eqx, ())}
    targets = {name: layer for name, (_, module) in modules.items() if (layer := _layer(module, state))}
    others = [_name(path) for path in _others(model, targets, eqx)]
    fitted = fit(checkpoint, targets, others, names, strict)
    places, values = [], []
    for name, filled in fitted.arrays.items():
        path, module = modules[name]
        for role, array in filled.items():
            if role in ("kernel", "scale", "bias"):
                places.append((*path, "bias" if role == "bias" else "weight"))
                values.append(jnp.asarray(array))
        if "mean" in filled:
            state = _with_statistics(state, module, filled)
    if places:
        model = eqx.tree_at(lambda tree: [functools.reduce(_step, path, tree) for path in places], model, values)
    return (model if state is None else (model, state)), fitted.report


def from_equinox(model: Any, state: Any = None) -> Checkpoint:
    """The checkpoint of an Equinox model, and of its state if its batch normalisations have one.

    >>> import equinox as eqx, jax
    >>> print(from_equinox(eqx.nn.Sequential([eqx.nn.Linear(2, 3, key=jax.random.key(0))])))
    layer     kind   groups  arrays
    layers.0  dense  -       kernel (3, 2), bias (3,)
    """
    eqx = package("equinox", "reading an Equinox model", "'jconvt[equinox]'")
    layers = {_name(path): _layer(module, state) for path, module in _modules(model, eqx, ())}
    layers = {name: layer for name, layer in layers.items() if layer is not None}
    others = {path: np.asarray(leaf) for path, leaf in _others(model, layers, eqx).items()}
    own = {
        name: dataclasses.replace(layer, arrays={role: np.asarray(array) for role, array in layer.arrays.items()})
        for name, layer in layers.items()
    }
    return Checkpoint(with_others(own, others, "equinox"), "equinox", source="the model")


def _others(model: Any, layers: dict[str, Layer], eqx: Any) -> dict[tuple[str, ...], Any]:
    """The arrays that are in none of the layers."""
    owned = {id(array) for layer in layers.values() for array in layer.arrays.values()}
    return {
        tuple(jax.tree_util.keystr((key,), simple=True) for key in path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(model)
        if eqx.is_inexact_array(leaf) and id(leaf) not in owned
    }


def _layer(module: Any, state: Any) -> Layer | None:
    """The module as a layer, or ``None`` if it is none with arrays."""
    found = kind(module)
    if found is None:
        return None
    named = {"scale" if found == "norm" else "kernel": module.weight, "bias": module.bias}
    arrays = {role: array for role, array in named.items() if array is not None}
    index = _index(module)
    if state is not None and index is not None:
        arrays["mean"], arrays["var"] = state.get(index)
    return described(module, arrays, "equinox") if arrays else None


def _index(module: Any) -> Any:
    """Where the state has the mean and the variance of a batch normalisation."""
    return getattr(module, "batch_state_index", None) or getattr(module, "ema_state_index", None)


def _with_statistics(state: Any, module: Any, arrays: dict[str, Any]) -> Any:
    """The state after batches of exactly this mean and variance."""
    state = state.set(_index(module), (jnp.asarray(arrays["mean"]), jnp.asarray(arrays["var"])))
    if getattr(module, "ema_first_time_index", None) is not None:
        return state.set(module.ema_first_time_index, jnp.array(False))
    return state


def _modules(node: Any, eqx: Any, path: _Path) -> Iterator[tuple[_Path, Any]]:
    if isinstance(node, eqx.Module):
        yield path, node
        inner = [(field.name, getattr(node, field.name, None)) for field in dataclasses.fields(node)]
    elif isinstance(node, dict):
        inner = list(node.items())
    elif isinstance(node, list | tuple):
        inner = list(enumerate(node))
    else:
        return
    for key, value in inner:
        yield from _modules(value, eqx, (*path, key))


def _step(node: Any, key: Any) -> Any:
    return node[key] if isinstance(node, dict | list | tuple) else getattr(node, key)


def _name(path: _Path) -> str:
    return ".".join(map(str, path))
