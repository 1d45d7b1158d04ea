"""Workarounds for two faults of XLA's compilers: an abort of the process, and wrong numbers.

XLA writes a batch dimension of a dot as a convolution axis without padding, whose input dilation is the kernel size and
whose stride is one less. It treats every such axis as a batch dimension, also where the sizes do not match, as with
kernel 2, stride 2 and crop (1, 1). If it then swaps the operands, the process aborts (seen with jaxlib 0.10.2 on CPU).
A convolution over the dilated input is without padding if the crop is ``extent - 1`` at both ends. One more output at
the end adds padding.

The kernel gradient of a grouped convolution is a convolution with ``batch_group_count``. cuDNN has no convolutions with
more than three spatial axes. With four and groups, kernel gradients were wrong on an NVIDIA H200 (JAX 0.11.2), and all
other maps right: so XLA's own GPU code for batch groups seems to be wrong. A loop over the groups needs none.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from .._geometry.axis import Axis
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ._method import Compute
from ._phases import split_groups


def avoid_batch_like_axes(transposed_convolution: Compute) -> Compute:
    """Return the same map, which computes one more output at the end of such an axis and slices it off."""

    @functools.wraps(transposed_convolution)
    def compute(x: Array, w: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> Array:
        safe = Spec(tuple(_without_batch_like_crop(axis) for axis in spec.axes), spec.groups)
        y = transposed_convolution(x, w, safe, layout, dtype, precision)
        if safe == spec:
            return y
        sizes = spec.output_sizes(layout.spatial(x.shape))
        return lax.slice(y, (0,) * y.ndim, layout.shape(y.shape[0], sizes, y.shape[layout.channel_axis]))

    return compute


def _without_batch_like_crop(axis: Axis) -> Axis:
    """Return ``axis``, with one more output if XLA would misread it."""
    if axis.kernel > 1 and axis.stride > 1 and axis.lo == axis.hi == axis.extent - 1:
        return axis.with_crop(axis.lo, axis.hi - 1)
    return axis


def avoid_batch_groups(kernel_gradient: Callable[..., Array]) -> Callable[..., Array]:
    """Return the same map, which computes one group at a time where batch groups would be wrong."""

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
