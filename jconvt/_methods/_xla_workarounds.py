"""A way around axes that XLA mistakes for batches of products.

XLA writes a batch axis of a product as a convolution without padding, whose input dilation is the kernel's size and
whose stride is one less. It takes any such convolution for a batch, also where sizes do not fit, as with kernel 2,
stride 2 and crop (1, 1); if it then swaps the operands, the process aborts (seen with jaxlib 0.10.2 on CPU). A
convolution over the dilated input is without padding if the crop is ``extent - 1`` at both ends.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
from jax import lax

from .._geometry.axis import Axis
from .._geometry.layout import Layout
from .._geometry.spec import Spec


def avoiding_mistaken_axes(transposed_convolution: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """The same transposed convolution, which computes one output more at the end of such an axis and cuts it off."""

    @functools.wraps(transposed_convolution)
    def compute(x: jax.Array, w: jax.Array, spec: Spec, layout: Layout, *options: Any) -> jax.Array:
        longer = Spec(tuple(_longer(axis) for axis in spec.axes), spec.groups)
        y = transposed_convolution(x, w, longer, layout, *options)
        if longer == spec:
            return y
        sizes = spec.output_sizes(layout.spatial(x.shape))
        return lax.slice(y, (0,) * y.ndim, layout.shape(y.shape[0], sizes, y.shape[layout.channel_axis]))

    return compute


def _longer(axis: Axis) -> Axis:
    if axis.kernel > 1 and axis.stride > 1 and axis.lo == axis.hi == axis.extent - 1:
        return dataclasses.replace(axis, hi=axis.hi - 1)
    return axis
