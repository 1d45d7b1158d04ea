"""Layers from arrays with dotted names, as in PyTorch state_dicts and safetensors files, and the inverse."""

from collections.abc import Mapping
from typing import Any

from .. import layouts, slopes
from ..checkpoint import Layer
from ..layouts import OTHER, ROLES, UNKNOWN, VECTOR


def layers(arrays: Mapping[str, Any], framework: str, annotations: Mapping[str, Any] | None = None) -> dict[str, Layer]:
    """Return the layers of arrays that are named by path and by the framework's name for the array.

    ``annotations`` are kinds and groups by path. Without them, a kernel of two axes belongs to a dense layer, and a
    kernel of more to a convolution of unknown kind.
    """
    groups: dict[str, dict[str, Any]] = {}
    for name, array in arrays.items():
        path, _, last = name.rpartition(".")
        groups.setdefault(path, {})[last] = array
    known = {path: entry for path, entry in (annotations or {}).items() if path in groups}
    order = dict.fromkeys((*known, *groups))
    return {path: _layer(groups[path], framework, known.get(path, {})) for path in order}


def arrays(layers: Mapping[str, Layer]) -> dict[str, Any]:
    """Return the arrays of layers by name: the inverse of ``layers``."""
    found = {}
    for path, layer in layers.items():
        for role, array in layer.arrays.items():
            last = role if layer.kind == OTHER else layouts.suffix(layer.framework, layer.kind, role)
            found[f"{path}.{last}" if path else last] = array
    return found


def _layer(named: Mapping[str, Any], framework: str, annotation: Mapping[str, Any]) -> Layer:
    roles = {layouts.role_of(framework, name, array.ndim) or name: array for name, array in named.items()}
    found = {role: roles[role] for role in sorted(roles, key=lambda role: (*ROLES, role).index(role))}
    guess, kind, groups = _guess_kind(found, framework), annotation.get("kind"), annotation.get("groups")
    if guess == OTHER or kind == OTHER or len(found) < len(named):
        return Layer(OTHER, dict(named), framework)
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
