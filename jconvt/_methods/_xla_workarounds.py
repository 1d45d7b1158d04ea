"""Workarounds for faults of XLA's compilers: wrong numbers on CPU and on GPU, errors, and an abort of the process.

On a CPU (jaxlib 0.10.0 and 0.10.2), a convolution in float32 or half precision is wrong, and differs from run to run,
if its padding crops an axis at the start and extends it at the end. JAX writes such a padding where ``lo`` is negative,
or larger than ``extent - 1``. So ``lo`` becomes the nearest number between these, and zeros or a crop of the image
``z`` make up for it.

XLA writes a batch dimension of a dot as a convolution axis without padding, whose input dilation is the kernel size and
whose stride is one less. It treats every such axis as a batch dimension, also where the sizes do not match, as with
kernel 2, stride 2 and crop (1, 1). If it then swaps the operands, the process aborts (seen with jaxlib 0.10.2 on CPU).
A convolution over the dilated input is without padding if the crop is ``extent - 1`` at both ends. One more output at
the end adds padding.

The kernel gradient of a grouped convolution is a convolution with ``batch_group_count``. cuDNN has no convolutions with
more than three spatial axes. With four and groups, kernel gradients were wrong on an NVIDIA H200 (JAX 0.11.2), and all
other maps right: so XLA's own GPU code for batch groups seems to be wrong. A loop over the groups needs none.

A product of two matrices can have sums of a wider dtype than its operands. On the same GPU, each single product of a
small one was rounded to the operands' dtype before it was added. By default, XLA compiles products of fewer than 100
elements itself, and calls cuBLAS for larger ones, which sums exact products. For a product of complex64 with sums in
complex128, it failed. Operands of the dtype of the sums avoid both, and cost nothing where matrices are small.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from .._geometry.arguments import Size
from .._geometry.axis import Axis
from .._geometry.layout import Layout
from .._geometry.maps import Map
from .._geometry.spec import Spec
from ._method import Compute
from ._phases import split_groups


def avoid_batch_like_axes(transposed_convolution: Compute) -> Compute:
    """Return the same map, which computes one more output at the end of such an axis and crops it."""
    return _with_safe_crops(transposed_convolution, Map.TRANSPOSE, _without_batch_like_crop)


def avoid_mixed_padding(map: Map) -> Callable[[Callable[..., Array]], Callable[..., Array]]:
    """Return a decorator of T or F that keeps ``lo`` within one stamp."""
    return functools.partial(_with_safe_crops, map=map, safe_axis=_with_crop_in_stamp)


def _with_safe_crops(
    compute: Callable[..., Array], map: Map, safe_axis: Callable[[Axis], Axis]
) -> Callable[..., Array]:
    """Return the same map, computed with ``safe_axis`` of each axis. Canvas positions that no stamp covers are zero."""

    @functools.wraps(compute)
    def safely(image: Array, w: Array, spec: Spec, layout: Layout, *options: Any) -> Array:
        sizes = layout.spatial(image.shape)
        z_sizes = spec.output_sizes(sizes) if map is Map.TRANSPOSE else sizes
        axes = tuple(_nonempty(axis, safe_axis(axis), size) for axis, size in zip(spec.axes, z_sizes, strict=True))
        if axes == spec.axes:
            return compute(image, w, spec, layout, *options)
        starts = [safe.lo - axis.lo for axis, safe in zip(spec.axes, axes, strict=True)]
        ends = [safe.hi - axis.hi for axis, safe in zip(spec.axes, axes, strict=True)]
        safe = Spec(axes, spec.groups)
        if map is Map.TRANSPOSE:
            return _extended(compute(image, w, safe, layout, *options), starts, ends, layout)
        return compute(_extended(image, [-n for n in starts], [-n for n in ends], layout), w, safe, layout, *options)

    return safely


def _nonempty(axis: Axis, safe: Axis, z_size: Size) -> Axis:
    """Return ``safe`` with a smaller crop at the end if it would leave nothing of ``z_size`` positions."""
    missing = 1 - (z_size - (safe.lo - axis.lo) - (safe.hi - axis.hi)) if isinstance(z_size, int) else 0
    return safe.with_crop(safe.lo, safe.hi - missing) if missing > 0 else safe


def _extended(z: Array, starts: Sequence[int], ends: Sequence[int], layout: Layout) -> Array:
    """Put zeros at the ends of the spatial axes, or crop where a number is negative."""
    ends_of = dict(zip(layout.spatial_axes, zip(starts, ends, strict=True), strict=True))
    return lax.pad(z, jnp.zeros((), z.dtype), [(*ends_of.get(axis, (0, 0)), 0) for axis in range(z.ndim)])


def _without_batch_like_crop(axis: Axis) -> Axis:
    """Return ``axis``, with one more output if XLA would misread it."""
    if axis.kernel > 1 and axis.stride > 1 and axis.lo == axis.hi == axis.extent - 1:
        return axis.with_crop(axis.lo, axis.hi - 1)
    return axis


def _with_crop_in_stamp(axis: Axis) -> Axis:
    return axis.with_crop(min(max(axis.lo, 0), axis.extent - 1), axis.hi)


_SMALL = 4096
"""The operands in half precision or 8 bits of products with fewer elements are converted: 40 times as many as XLA
compiles itself by default."""


def exact_dot_general(a: Array, b: Array, dimension_numbers: Any, precision: Any, dtype: Any) -> Array:
    """Return ``lax.dot_general`` with exact single products and sums in ``dtype``."""
    is_half = jnp.issubdtype(a.dtype, jnp.floating) and a.dtype.itemsize < 4
    mixed = (is_half and dtype == jnp.float32) or (a.dtype == jnp.int8 and dtype == jnp.int32)
    sizes = [math.prod(size for size in each.shape if isinstance(size, int)) for each in (a, b)]
    chosen = isinstance(precision, lax.DotAlgorithm | lax.DotAlgorithmPreset)  # it says what types are multiplied
    if not chosen and (not mixed or sum(sizes) < _SMALL * math.prod(a.shape[axis] for axis in dimension_numbers[1][0])):
        a, b = a.astype(dtype), b.astype(dtype)
    return lax.dot_general(a, b, dimension_numbers, precision=precision, preferred_element_type=dtype)


def avoid_batch_groups(kernel_gradient: Callable[..., Array]) -> Callable[..., Array]:
    """Return the same map, which computes one group at a time beyond three axes, on every platform."""

    @functools.wraps(kernel_gradient)
    def compute(x: Array, z: Array, spec: Spec, layout: Layout, *options: Any) -> Array:
        if spec.groups == 1 or spec.rank <= 3:
            return kernel_gradient(x, z, spec, layout, *options)
        one_group, channels_last = Spec(spec.axes), Layout(spec.rank)
        pairs = split_groups(x, spec, layout), split_groups(z, spec, layout)
        w = lax.map(lambda pair: kernel_gradient(*pair, one_group, channels_last, *options), pairs)
        w = jnp.moveaxis(w, 0, -2)
        return w.reshape(*w.shape[:-2], w.shape[-2] * w.shape[-1])

    return compute
