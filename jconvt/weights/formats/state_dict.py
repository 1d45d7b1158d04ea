"""Layers from arrays with dotted names, as in PyTorch state_dicts and safetensors files, and the inverse."""

import fnmatch
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ...errors import ArgumentError, ArgumentTypeError
from .. import layouts, slopes
from .._errors import check_choice, listed
from ..checkpoint import Checkpoint, Layer
from ..layouts import FRAMEWORKS, OTHER, ROLES, UNKNOWN, VECTOR
from .reparametrised import fold

Kinds = Mapping[str, str] | None
"""Kinds of layers that the user states, by pattern of the path."""


class Arrays(NamedTuple):
    """Arrays by name; why others cannot be read, by name; and notes for the report."""

    arrays: dict[str, np.ndarray]
    unread: dict[str, str]
    notes: tuple[str, ...] = ()


def from_state_dict(
    state: Mapping[str, Any],
    framework: str = "torch",
    *,
    kinds: Kinds = None,
    groups: Mapping[str, int] | int | None = None,
) -> Checkpoint:
    """Return the layers of a state_dict in memory.

    Args:
      state: tensors or arrays by dotted name, as ``module.state_dict()`` returns them. Other values are ignored.
      framework: the framework whose names and layouts the arrays have: "torch", "keras", "flax" or "equinox".
      kinds, groups: as for ``read``.

    Raises:
      ArgumentError: the framework is unknown, there are no arrays, kinds or groups do not fit, or a part of a weight
        norm is missing.
      ArgumentTypeError: ``state`` is not a dictionary.

    >>> import numpy as np
    >>> state = {"up.weight": np.zeros((8, 4, 3, 3)), "up.bias": np.zeros(4)}
    >>> print(from_state_dict(state, kinds={"up": "conv_transpose"}))
    layer  kind            groups  arrays
    up     conv_transpose  1       kernel (8, 4, 3, 3), bias (4,)
    """
    if not isinstance(state, Mapping):
        got, fix = f"state of type {type(state).__name__}", "pass module.state_dict(), or a file's name to read"
        raise ArgumentTypeError("state is not a state_dict", got=got, legal="a dictionary of arrays", fix=fix)
    check_choice("framework", "framework", framework, FRAMEWORKS)
    found, unread, copies = {}, {}, {}
    for name, value in state.items():
        if hasattr(value, "shape") and hasattr(value, "dtype"):
            try:
                array = _to_numpy(value)
            except (TypeError, RuntimeError):  # tensors that are quantised, sparse, or without numbers
                unread[str(name)] = f"{value.dtype} {tuple(value.shape)}"
                continue
            if (place := _place(array)) not in copies:
                copies[place] = np.array(array)
            found[str(name)] = copies[place]
    if state and not (found or unread):
        inner = [name for name, value in state.items() if isinstance(value, Mapping)]
        got, legal = f"state with {listed(map(repr, state))}", "tensors or arrays by dotted name"
        fix = f"pass state[{inner[0]!r}]" if inner else "pass module.state_dict()"
        raise ArgumentError("state has no arrays", got=got, legal=legal, fix=fix)
    return checkpoint(Arrays(found, unread, tied_note(found)), framework, "the state_dict", kinds).told(kinds, groups)


def _to_numpy(value: Any) -> np.ndarray:
    """Return a PyTorch tensor, or another array, as a NumPy array."""
    if not hasattr(value, "detach"):
        return np.asarray(value)
    tensor = value.detach().cpu()
    if str(tensor.dtype) != "torch.bfloat16":
        return tensor.numpy()
    import torch

    return tensor.view(torch.int16).numpy().view(jnp.bfloat16)


def checkpoint(
    arrays: Arrays, framework: str, source: str, kinds: Kinds, annotations: Mapping[str, Any] | None = None
) -> Checkpoint:
    """Return the checkpoint of arrays that are named by path and by the framework's name for the array.

    ``annotations`` are kinds and groups by path. Without them, a kernel of two axes belongs to a dense layer, and a
    kernel of more to a convolution of unknown kind.
    """
    annotations = annotations or {}

    def kind(path: str) -> str | None:
        stated = (each for pattern, each in (kinds or {}).items() if fnmatch.fnmatchcase(path, pattern))
        return next(stated, annotations.get(path, {}).get("kind"))

    found, unread = arrays.arrays, arrays.unread
    if framework == "torch":
        found, unread = fold(found, unread, kind)
    groups: dict[str, dict[str, Any]] = {}
    hidden: dict[str, dict[str, Any]] = {}
    for places, named in ((groups, found), (hidden, unread)):
        for name, each in named.items():
            path, _, last = name.rpartition(".")
            groups.setdefault(path, {})
            places.setdefault(path, {})[last] = each
    known = {path: entry for path, entry in annotations.items() if path in groups}
    layers = {
        path: layer(groups[path], framework, hidden.get(path), known.get(path))
        for path in dict.fromkeys((*known, *groups))
    }
    return Checkpoint(layers, framework, source=source, notes=arrays.notes)


def arrays(layers: Mapping[str, Layer]) -> dict[str, Any]:
    """Return the arrays of layers by name: the inverse of ``checkpoint``."""
    found = {}
    for path, layer in layers.items():
        for role, array in layer.arrays.items():
            last = role if layer.kind == OTHER else layouts.suffix(layer.framework, layer.kind, role)
            found[f"{path}.{last}" if path else last] = array
    return found


def tied_note(arrays: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Return a note of the names that have the same numbers in memory."""
    names: dict[Any, list[str]] = {}
    for name, array in arrays.items():
        if array.size:
            names.setdefault(_place(array), []).append(name)
    tied = [" = ".join(each) for each in names.values() if len(each) > 1]
    return (f"one array with several names: {', '.join(tied)}",) if tied else ()


def _place(array: np.ndarray) -> tuple[Any, ...]:
    return array.ctypes.data, array.dtype, array.shape, array.strides


def layer(
    named: Mapping[str, Any],
    framework: str,
    unread: Mapping[str, str] | None = None,
    annotation: Mapping[str, Any] | None = None,
) -> Layer:
    """Return the layer with arrays of these names, of which some may not be readable."""
    roles = {layouts.role_of(framework, name, array.ndim) or name: array for name, array in named.items()}
    found = {role: roles[role] for role in sorted(roles, key=lambda role: (*ROLES, role).index(role))}
    annotation = annotation or {}
    guess, kind, groups = _guess_kind(found, framework), annotation.get("kind"), annotation.get("groups")
    if guess == OTHER or kind == OTHER or len(found) < len(named) or unread:
        return Layer(OTHER, dict(named), framework, unread=unread or {})
    if guess == "prelu":
        found = {role: array.reshape(-1) for role, array in found.items()}
    groups = groups if type(groups) is int and groups >= 1 else None
    layer = Layer(guess, found, framework, groups, annotation.get("transpose_kernel") is True)
    # The metadata may be untrusted, so it only decides what the arrays leave open.
    if guess == VECTOR and kind not in ("norm", "prelu") and layer.shape == (1,):
        kind = "prelu"  # a norm of one feature would always give the same number
    return layer.as_kind(kind if isinstance(kind, str) and layer.may_be(kind) else guess)


def _guess_kind(found: Mapping[str, Any], framework: str) -> str:
    suffixes = layouts.STORED[framework].suffixes
    if found.keys() == {"scale"} and suffixes["scale"] == suffixes["negative_slope"]:
        return VECTOR if found["scale"].ndim == 1 else OTHER
    if found.keys() == {"negative_slope"}:
        channels_first = layouts.STORED[framework].channels_first
        return "prelu" if slopes.are_per_channel(found["negative_slope"].shape, channels_first) else OTHER
    axes = found["kernel"].ndim if "kernel" in found else 0
    if axes >= 2:
        return UNKNOWN if axes > 2 else "dense"
    return "norm" if {"scale", "mean"} & found.keys() else OTHER
