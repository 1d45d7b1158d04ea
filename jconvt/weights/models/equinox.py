"""Loading models of Equinox from checkpoints, and the inverse."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ...errors import ArgumentError
from .._errors import require
from ..checkpoint import Checkpoint, Layer
from ..layouts import STORED
from ..matching import fit
from ..names import Names
from ..report import Report
from ..slopes import are_per_channel
from ._check import Check, checked
from ._modules import dotted, kind, to_checkpoint, to_layer, walk


def into_equinox(
    checkpoint: Checkpoint,
    model: Any,
    names: Names = None,
    strict: bool = True,
    state: Any = None,
    by_order: bool = False,
    check: Check = None,
    tolerance: float | None = None,
) -> tuple[Any, Report]:
    """Return an Equinox model with a checkpoint's numbers.

    Args:
      checkpoint: from ``jconvt.weights.read``.
      model: the ``equinox.Module``. It does not change.
      names, strict, by_order: as for ``into_linen``. A module's path is that of its fields: "decoder.up", "layers.0";
        their order is that of the class.
      state: the state from ``equinox.nn.make_with_state``, to load mean and variance of batch normalisations too.
      check, tolerance: as for ``into_linen``. The model runs in inference mode, for one example, with ``state`` after
        the inputs.

    Returns:
      The new model, or with ``state`` a pair of it and the new state; and a ``Report``.

    Raises:
      ArgumentError: layers are not matched, could be matched otherwise too, or do not fit; or the output differs.
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
    targets, unowned = _layers(model, modules, state, eqx)
    fitted, report = fit(checkpoint, targets, tuple(unowned), names, strict, by_order)
    arrays = {}
    for path, filled in fitted.items():
        arrays |= {(path, role): jnp.asarray(array) for role, array in filled.items() if role not in ("mean", "var")}
        if "mean" in filled:
            state = _set_statistics(state, modules[path], filled)

    def find(tree: Any) -> list[Any]:
        found = _modules(tree, eqx)
        return [getattr(found[path], STORED["equinox"].suffixes[role]) for path, role in arrays]

    if arrays:
        model = eqx.tree_at(find, model, list(arrays.values()))
    if check is not None:
        run = eqx.nn.inference_mode(model)
        call = run if state is None else lambda *inputs: run(*inputs, state)[0]
        report = checked(report, call, check, tolerance, fitted)
    return (model if state is None else (model, state)), report


def from_equinox(model: Any, state: Any = None) -> Checkpoint:
    """Return the checkpoint of an Equinox model, and of its state if its batch normalisations have one.

    A layer in a ``WeightNorm`` or ``SpectralNorm`` has the kernel that it is called with in inference mode.

    Raises:
      ArgumentError: that kernel cannot be computed, as the model has a ``SpectralNorm`` and there is no ``state``.

    >>> import equinox as eqx, jax
    >>> print(from_equinox(eqx.nn.Sequential([eqx.nn.Linear(2, 3, key=jax.random.key(0))])))
    layer     kind   groups  arrays
    layers.0  dense  -       kernel (3, 2), bias (3,)
    """
    eqx = require("equinox", "reading an Equinox model")
    modules = _modules(model, eqx)
    kernels = {path: _kernel(path, modules[path], state, eqx) for path in _wrapped(modules, eqx)}
    layers, unowned = _layers(model, modules, state, eqx, kernels)
    return to_checkpoint(layers, unowned, "equinox")


def _modules(model: Any, eqx: Any) -> dict[str, Any]:
    def attributes(module: Any) -> Iterator[tuple[str, Any]]:
        return ((field.name, getattr(module, field.name, None)) for field in dataclasses.fields(module))

    return dict(walk(model, eqx.Module, attributes))


def _wrapped(modules: Mapping[str, Any], eqx: Any) -> dict[str, str]:
    """Return the paths of layers in a ``WeightNorm`` or ``SpectralNorm``, by the wrapper's path."""
    wrappers = (eqx.nn.WeightNorm, eqx.nn.SpectralNorm)
    return {path: f"{path}.layer".lstrip(".") for path, module in modules.items() if isinstance(module, wrappers)}


def _kernel(path: str, wrapper: Any, state: Any, eqx: Any) -> jax.Array:
    """Return the kernel that a ``WeightNorm`` or ``SpectralNorm`` calls its layer with in inference mode."""

    class Kernel(eqx.Module):
        weight: jax.Array

        def __call__(self, x: None) -> jax.Array:
            return self.weight

    is_spectral = isinstance(wrapper, eqx.nn.SpectralNorm)
    if wrapper.weight_name != "weight" or (is_spectral and state is None):
        got = f"weight_name = {wrapper.weight_name!r}, state of type {type(state).__name__}"
        legal, fix = "weight_name = 'weight'; and a state, with a SpectralNorm", "pass state=, from make_with_state"
        if wrapper.weight_name != "weight":
            fix = "replace the wrapper by its layer with the array that it computes, by equinox.tree_at"
        raise ArgumentError(f"the kernel of layer {path!r} cannot be computed", got=got, legal=legal, fix=fix)
    wrapper = eqx.tree_at(lambda each: each.layer, wrapper, Kernel(wrapper.layer.weight))
    return wrapper(None, state, inference=True)[0] if is_spectral else wrapper(None)


def _layers(
    model: Any, modules: Mapping[str, Any], state: Any, eqx: Any, kernels: Mapping[str, jax.Array] | None = None
) -> tuple[dict[str, Layer], dict[str, jax.Array]]:
    """Return the layers, and the arrays that no layer owns, by path.

    The weight of a wrapped layer is not the kernel that it is called with. So without ``kernels``, of wrappers by path,
    these layers are left out.
    """
    wrapped = _wrapped(modules, eqx)
    effective = {wrapped[path]: kernel for path, kernel in (kernels or {}).items()}
    layers, owned = {}, set()
    for path, module in modules.items():
        if (found := kind(module)) is None or (path in wrapped.values() and path not in effective):
            continue
        roles = {"norm": ("scale", "bias"), "prelu": ("negative_slope",)}.get(found, ("kernel", "bias"))
        arrays = {role: getattr(module, STORED["equinox"].suffixes[role]) for role in roles}
        arrays = {role: array for role, array in arrays.items() if array is not None}
        if nodes := [role for role, array in arrays.items() if not hasattr(array, "shape")]:
            got, legal = f"{nodes[0]} of type {type(arrays[nodes[0]]).__name__}", "arrays"
            fix = "with equinox.nn.Shared, pass a model that has shared() in its place"
            raise ArgumentError(f"layer {path!r} has something else than arrays", got=got, legal=legal, fix=fix)
        if found == "prelu" and not are_per_channel(module.negative_slope.shape, channels_first=True):
            continue
        owned |= set(map(id, arrays.values()))
        if path in effective:
            arrays["kernel"] = effective[path]
        if state is not None and (index := _statistics_index(module)) is not None:
            arrays["mean"], arrays["var"] = state.get(index)
        if layer := to_layer(module, arrays, "equinox"):
            layers[path] = layer
    unowned = {
        dotted(jax.tree_util.keystr((key,), simple=True) for key in path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(model)
        if eqx.is_inexact_array(leaf) and id(leaf) not in owned
    }
    for path in kernels or {}:
        for name in [name for name in unowned if name.startswith(f"{path}.".lstrip("."))]:
            if name == f"{wrapped[path]}.weight":
                unowned[name] = effective[wrapped[path]]  # of a layer that is not converted
            elif not name.startswith(f"{wrapped[path]}."):
                del unowned[name]  # of the wrapper, which the kernel contains
    return layers, unowned


def _statistics_index(module: Any) -> Any:
    """Return the index of a batch normalisation's mean and variance in the state."""
    return getattr(module, "batch_state_index", None) or getattr(module, "ema_state_index", None)


def _set_statistics(state: Any, module: Any, arrays: Mapping[str, Any]) -> Any:
    """Return the state after batches of exactly this mean and variance."""
    state = state.set(_statistics_index(module), (jnp.asarray(arrays["mean"]), jnp.asarray(arrays["var"])))
    first_time = getattr(module, "ema_first_time_index", None)
    return state if first_time is None else state.set(first_time, jnp.array(False))
