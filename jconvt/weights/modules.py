"""Modules of Flax and Equinox as layers, known by the names of their classes and attributes.

So Flax's own layers fit as well as jconvt's, which have the same names.
"""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ..axis import Axis
from ..errors import ArgumentError, ArgumentTypeError
from ..spec import Spec
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


def kind(module: Any) -> str | None:
    """The kind of layer that a module is, or ``None``."""
    return next((_KINDS[each.__name__] for each in type(module).__mro__ if each.__name__ in _KINDS), None)


def described(module: Any, arrays: Mapping[str, Any], framework: str) -> Layer | None:
    """The module as a layer with these arrays, or ``None`` if it is of no kind that is converted."""
    found = kind(module)
    if found is None:
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


def _spec(module: Any, layer: Layer) -> Spec | None:
    """The geometry, if it is one that jconvt computes, and does not depend on the input's size."""
    with contextlib.suppress(ArgumentError, ArgumentTypeError, TypeError, ValueError):
        *kernel, out, taken = layer.layout.filters_shape(layer.shape)
        groups = layer.groups or 1
        if layer.framework == "equinox":
            return _equinox(module, kernel, groups)
        shape = (*kernel, out, taken) if layer.transpose_kernel else (*kernel, taken, out)
        sizes = (8,) * len(kernel)
        spec = Spec.from_flax(
            (1, *sizes, taken), shape, module.strides, module.padding, module.kernel_dilation, layer.transpose_kernel
        )
        return dataclasses.replace(spec, groups=groups)
    return None


def _equinox(module: Any, kernel: Sequence[int], groups: int) -> Spec:
    """Equinox crops as PyTorch does, each end by its own number."""
    axes = zip(kernel, module.stride, module.dilation, module.padding, module.output_padding, strict=True)
    return Spec(tuple(Axis(k, s, d, lo, hi - added) for k, s, d, (lo, hi), added in axes), groups)
