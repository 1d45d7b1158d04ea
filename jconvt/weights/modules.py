"""Modules of Flax and Equinox as layers, known by the names of their classes and attributes.

So Flax's own layers fit as well as jconvt's, which have the same names.
"""

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._conventions import equinox, flax
from .._geometry.spec import Spec
from ..errors import ArgumentError, ArgumentTypeError
from .layer import Layer

_KINDS = {
    "ConvTranspose": "conv_transpose",
    "Conv": "conv",
    "Dense": "dense",
    "Linear": "dense",
    "BatchNorm": "norm",
    "LayerNorm": "norm",
    "GroupNorm": "norm",
    "InstanceNorm": "norm",
    "RMSNorm": "norm",
}

COLLECTIONS = {"mean": "batch_stats", "var": "batch_stats"}
"""The collection of Flax that a role is in, if it is not the parameters'."""


_SIZES = (8, 8, 8)  # what the layer is resolved for; no geometry depends on it


def kind(module: Any) -> str | None:
    """The kind of layer that a module is, or ``None``."""
    return next((_KINDS[each.__name__] for each in type(module).__mro__ if each.__name__ in _KINDS), None)


def described(module: Any, arrays: Mapping[str, Any], framework: str) -> Layer | None:
    """The module as a layer with these arrays, or ``None`` if it is of no kind that is converted."""
    found = kind(module)
    if found is None or _stacked(module, found, arrays):
        return None
    groups = getattr(module, "feature_group_count", getattr(module, "groups", 1))
    layer = Layer(
        found,
        arrays,
        framework,
        groups if found in ("conv_transpose", "conv") else None,
        transpose_kernel=bool(getattr(module, "transpose_kernel", False)),
        epsilon=getattr(module, "epsilon", getattr(module, "eps", None)) if found == "norm" else None,
    )
    if found != "conv_transpose" or "kernel" not in arrays:
        return layer
    return dataclasses.replace(layer, spec=_spec(module, layer))


def _stacked(module: Any, found: str, arrays: Mapping[str, Any]) -> bool:
    """Whether the kernel has axes that are not the layer's: those of a scan or of a vmap over many such layers."""
    sizes = () if found == "dense" else getattr(module, "kernel_size", None)
    if "kernel" not in arrays or sizes is None:
        return False
    rank = np.size(sizes)
    return len(arrays["kernel"].shape) != rank + 2


def _spec(module: Any, layer: Layer) -> Spec | None:
    """The geometry, if it is one that jconvt computes, and does not depend on the input's size."""
    with contextlib.suppress(ArgumentError, ArgumentTypeError):
        *kernel, _, taken = layer.layout.filters_shape(layer.shape)
        groups = layer.groups or 1
        if getattr(module, "output_shape", None) is not None:
            return None
        if layer.framework == "equinox":
            geometry = (module.stride, module.padding, module.output_padding, module.dilation, module.padding_mode)
            axes = equinox.resolve_axes(kernel, *geometry)
            return None if equinox.is_circular(module.padding_mode) else Spec(axes, groups)
        resolved = flax.resolve_layer(
            (1, *_SIZES[: len(kernel)], taken),
            layer.shape,
            module.strides,
            module.padding,
            module.kernel_dilation,
            layer.transpose_kernel,
            groups=groups,
            output_padding=getattr(module, "output_padding", None),
            use_consistent_padding=getattr(module, "use_consistent_padding", False),
        )
        return None if resolved.wrap else Spec(resolved.spec.axes, groups)
    return None
