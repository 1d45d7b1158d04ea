"""Transposed convolution as a matrix product whose stamps overlap and add.

Every pixel's channels times every tap's matrix is one product: all stamps of all pixels. They are shifted into place,
and added up. Read backwards, the outputs under every pixel's taps are gathered: the patches. Times the kernel they are
the forward convolution; times the pixels they are the kernel gradient. The products are those of ``joint``.

Where many taps overlap along several axes, stamps alone would be many times the output. So the last axes may sum within
the product instead, over the pixels that are gathered for it: as many axes as copies least. Where every group is one
channel there is nothing to multiply matrices for, and the gradients are those of ``depthwise``.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax

from .._geometry.arguments import Size, known
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ..errors import ArgumentError
from . import _depthwise, _matmul
from ._phases import MOST_PARTS, refuse


def transposed_convolution(
    x: jax.Array, w: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any
) -> jax.Array:
    pixels = _pixels(x.shape[0], layout.spatial(x.shape))
    stamped = stamped_axes(spec, pixels, w.shape[-1], w.shape[spec.rank] * spec.groups)
    return _matmul.transposed_convolution(x, w, spec, layout, dtype, precision, stamped)


def forward_convolution(
    z: jax.Array, w: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any
) -> jax.Array:
    taken, out = w.shape[-1], w.shape[spec.rank] * spec.groups
    if _depthwise.serves(spec, taken, out):
        return _depthwise.forward_convolution(z, w, spec, layout, dtype)
    pixels = _pixels(z.shape[0], spec.input_sizes(layout.spatial(z.shape)))
    return _matmul.forward_convolution(z, w, spec, layout, dtype, precision, stamped_axes(spec, pixels, taken, out))


def kernel_gradient(x: jax.Array, z: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> jax.Array:
    taken, out = x.shape[layout.channel_axis], z.shape[layout.channel_axis]
    if _depthwise.serves(spec, taken, out):
        return _depthwise.kernel_gradient(x, z, spec, layout, dtype)
    pixels = _pixels(x.shape[0], layout.spatial(x.shape))
    return _matmul.kernel_gradient(x, z, spec, layout, dtype, precision, stamped_axes(spec, pixels, taken, out))


def refusal(spec: Spec) -> ArgumentError | None:
    """The error for a geometry that takes too many shifted slices."""
    if min(_matmul.parts(spec, stamped) for stamped in range(1, spec.rank + 1)) > MOST_PARTS:
        return refuse("gemm", "slices", spec)
    return None


def stamped_axes(spec: Spec, pixels: int, taken: Size, out: Size) -> int:
    """How many axes are stamped, at least one: as many as copy the fewest numbers of pixels, outputs and kernel."""
    taken, out = known(taken), known(out)
    if _depthwise.serves(spec, taken, out):
        return spec.rank
    kernel = math.prod(axis.kernel for axis in spec.axes) * taken * out // spec.groups

    def cost(stamped: int) -> tuple[bool, int]:
        copied = pixels * _matmul.copied(spec, stamped, taken, out)
        return _matmul.parts(spec, stamped) > MOST_PARTS, copied + (2 * kernel if stamped < spec.rank else 0)

    return min(range(spec.rank, 0, -1), key=cost)


def _pixels(batch: Size, sizes: Sequence[Size]) -> int:
    return known(batch) * math.prod(map(known, sizes))
