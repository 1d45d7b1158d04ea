"""Workaround: XLA misreads some convolution axes as batch dimensions of a dot and aborts the process.

XLA writes a batch dimension of a dot as a convolution axis without padding, whose input dilation is the kernel size and
whose stride is one less. It treats every such axis as a batch dimension, also where the sizes do not match, as with
kernel 2, stride 2 and crop (1, 1). If it then swaps the operands, the process aborts (seen with jaxlib 0.10.2 on CPU).
A convolution over the dilated input is without padding if the crop is ``extent - 1`` at both ends. One more output at
the end adds padding.
"""

import functools
from typing import Any

from jax import Array, lax

from .._geometry.axis import Axis
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ._method import Compute


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
