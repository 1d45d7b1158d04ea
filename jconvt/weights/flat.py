"""Layers from arrays with dotted names, as a PyTorch state_dict and safetensors have them, and back."""

import json
from collections.abc import Mapping
from typing import Any

from . import frameworks
from .frameworks import FRAMEWORKS, KINDS, OTHER, UNKNOWN
from .layer import Layer

METADATA = "jconvt"
"""The entry of a safetensors file's metadata that says what its names do not."""


def layers(arrays: Mapping[str, Any], framework: str, told: Mapping[str, Any] | None = None) -> dict[str, Layer]:
    """The layers of arrays whose names are paths with the framework's own last part.

    ``told`` is what ``metadata`` wrote. Without it, a kernel of two axes is a dense layer's, and one of more is that of
    a convolution of which it is not known whether it is transposed.
    """
    groups: dict[str, dict[str, Any]] = {}
    for name, array in arrays.items():
        path, _, last = name.rpartition(".")
        groups.setdefault(path, {})[last] = array
    known = {path: entry for path, entry in (told or {}).items() if path in groups}
    order = [*known, *(path for path in groups if path not in known)]
    return {path: _layer(groups[path], framework, known.get(path, {})) for path in order}


def arrays(layers: Mapping[str, Layer]) -> dict[str, Any]:
    """The inverse of ``layers``."""
    found = {}
    for path, layer in layers.items():
        for role, array in layer.arrays.items():
            last = role if layer.kind == OTHER else frameworks.suffix(layer.framework, layer.kind, role)
            found[f"{path}.{last}" if path else last] = array
    return found


def metadata(layers: Mapping[str, Layer], framework: str) -> dict[str, str]:
    """What the names of the arrays do not say, as a safetensors file's metadata."""
    told = {path: _told(layer) for path, layer in layers.items()}
    found = {METADATA: json.dumps({"framework": framework, "layers": told})}
    return {**found, "format": "pt"} if framework == "torch" else found


def parsed(metadata: Mapping[str, str] | None) -> tuple[str | None, dict[str, Any]]:
    """The framework and the layers that ``metadata`` told; nothing, where it was not jconvt that wrote."""
    try:
        found = json.loads((metadata or {}).get(METADATA, "{}"))
        framework, told = found.get("framework"), found.get("layers", {})
        fine = all(isinstance(entry, dict) for entry in told.values())
    except (ValueError, AttributeError, RecursionError):
        return None, {}
    return (framework, told) if fine and framework in FRAMEWORKS else (None, {})


def _told(layer: Layer) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": layer.kind}
    if layer.groups is not None:
        told["groups"] = layer.groups
    if layer.transpose_kernel:
        told["transpose_kernel"] = True
    return told


def _layer(named: Mapping[str, Any], framework: str, told: Mapping[str, Any]) -> Layer:
    roles = {last: frameworks.role(framework, last, array.ndim) for last, array in named.items()}
    found = {roles[last] or last: array for last, array in named.items()}
    found = {role: found[role] for role in sorted(found, key=_place)}
    guess = _kind(found)
    kind = told.get("kind")
    # A kind that was told has to be a possible one: the metadata may be a stranger's.
    convolution = guess == UNKNOWN and kind in ("conv", "conv_transpose")
    if guess == OTHER or kind == OTHER or len(found) < len(named):
        return Layer(OTHER, dict(named), framework)
    number = told.get("groups")
    groups = number if isinstance(number, int) and not isinstance(number, bool) and number >= 1 else None
    transpose_kernel = told.get("transpose_kernel") is True
    layer = Layer(kind if convolution and kind in KINDS else guess, found, framework, groups, transpose_kernel)
    return layer.grouped()


def _place(role: str) -> int:
    order = ("kernel", "scale", "bias", "mean", "var")
    return order.index(role) if role in order else len(order)


def _kind(found: Mapping[str, Any]) -> str:
    axes = found["kernel"].ndim if "kernel" in found else 0
    if axes > 2:
        return UNKNOWN
    if axes == 2:
        return "dense"
    return "norm" if {"scale", "mean"} & found.keys() else OTHER
