"""The methods: one file for each way to compute the three maps. Files with a leading underscore are shared helpers."""

from typing import Any

from .._geometry.maps import Map
from .._geometry.spec import Spec
from . import _spmd_conv, _spmd_matmul, dilated, gemm, native, polyphase, reference, vjp
from ._method import Compute, Method, ProblemShape, acc_dtype
from ._rates import cpu_transposition_seconds

__all__ = [
    "METHODS",
    "Compute",
    "Method",
    "ProblemShape",
    "acc_dtype",
    "cpu_transposition_seconds",
    "spmd_implementation",
]

METHODS: dict[str, Method] = {
    module.METHOD.name: module.METHOD
    for module in (
        native,
        dilated,
        vjp,
        polyphase,
        gemm,
        reference,
    )
}
"""Every method by its name. To add one, add its file and a line here."""


def spmd_implementation(
    map: Map, spec: Spec, dtype: Any, platform: str | None, one_axis: bool, whole_batches: bool
) -> Compute:
    """The function that computes ``map`` in a program that XLA shards, whatever the method.

    XLA shards the products of ``_spmd_matmul`` correctly, and gathers no images. TPU and GPU compute convolutions
    faster. Every convolution is correct if the mesh is known to have ``one_axis``; otherwise only those of
    ``_spmd_conv`` are, but XLA gathers sharded images for their kernel gradient, unless ``whole_batches`` says that the
    batch can be sharded over all devices instead.
    """
    name = map.value
    if polyphase.METHOD.unsupported(map, spec, None) is not None:
        return getattr(_spmd_conv, name)
    products_only = platform == "cpu" or dilated.METHOD.unsupported_on(platform, dtype) is not None
    if products_only or spec.groups > 1:  # XLA gathers the groups of a convolution
        return getattr(_spmd_matmul, name)
    if one_axis:
        return (dilated if map is Map.TRANSPOSE else vjp).METHOD.implementation(map)
    strided = any(axis.stride > 1 for axis in spec.axes)
    if platform == "tpu":
        convolve = map is not Map.KERNEL_GRADIENT or (strided and whole_batches)
    else:  # GPU libraries may not support one more dilated axis
        convolve = map is Map.TRANSPOSE and strided
    return getattr(_spmd_conv if convolve else _spmd_matmul, name)
