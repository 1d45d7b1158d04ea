"""Both gradients where every group is one channel: products of elements, as there are no matrices to multiply.

A product of matrices of one row or one column each, one for each channel, is what libraries do worst. Here channels
stay where they lie, and what a tap meets is a slice of the output in blocks of ``stride`` positions:

    forward convolution    sum over taps of    w[tap] * slice
    kernel gradient        at each tap, sum over pixels of    x * slice

The second is computed one row of pixels after the other, so that a row's slices are read while they are in the cache.
"""

import functools
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .._geometry.arguments import Size
from .._geometry.axis import Axis
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ._accumulation import sums_in
from ._phases import MOST_PARTS


def serves(spec: Spec, taken: Size, out: Size) -> bool:
    """Whether groups are one channel, of ``taken`` and of ``out`` in all, with few enough taps to write out."""
    taps = math.prod(axis.kernel for axis in spec.axes)
    return 1 < spec.groups == taken == out and taps <= MOST_PARTS


def forward_convolution(z: jax.Array, w: jax.Array, spec: Spec, layout: Layout, dtype: Any) -> jax.Array:
    wide = sums_in(dtype)
    z, w = z.astype(wide), w.astype(wide)
    sizes = spec.input_sizes(layout.spatial(z.shape))
    blocks = _blocks(z, spec, layout, sizes)
    ones = (1,) * spec.rank
    products = (
        _met(blocks, tap, spec, layout, sizes) * w[tap].reshape(layout.shape(1, ones, spec.groups))
        for tap in _taps(spec)
    )
    return functools.reduce(jnp.add, products).astype(dtype)


def kernel_gradient(x: jax.Array, z: jax.Array, spec: Spec, layout: Layout, dtype: Any) -> jax.Array:
    wide = sums_in(dtype)
    x, z = x.astype(wide), z.astype(wide)
    sizes = layout.spatial(x.shape)
    blocks = _blocks(z, spec, layout, sizes)
    first = layout.spatial_axes[0]
    pixels = [axis for axis in range(x.ndim) if axis != layout.channel_axis]

    def of_row(row: Any) -> jax.Array:
        """``(taps, channels)`` of one row of pixels."""
        own = lax.dynamic_slice_in_dim(x, row, 1, first)
        reached = lax.dynamic_slice_in_dim(blocks, row, blocks.shape[first] - sizes[0] + 1, first)
        taps = (_met(reached, tap, spec, layout, (1, *sizes[1:])) for tap in _taps(spec))
        return jnp.stack([(own * met).sum(pixels) for met in taps])

    total = lax.map(of_row, jnp.arange(sizes[0])).sum(0)
    return total.reshape(*(axis.kernel for axis in spec.axes), 1, spec.groups).astype(dtype)


def _taps(spec: Spec) -> Any:
    return itertools.product(*(range(axis.kernel) for axis in spec.axes))


def _row(tap: int, axis: Axis) -> tuple[int, int]:
    """How many blocks ahead of a pixel a tap of it lands, and at which phase."""
    return divmod(tap * axis.dilation - axis.lo, axis.stride)


def _blocks(z: jax.Array, spec: Spec, layout: Layout, sizes: Any) -> jax.Array:
    """``z`` with each spatial axis made two, of blocks and of phases, from the first block that a tap meets on."""
    for position, axis, size in reversed([*zip(layout.spatial_axes, spec.axes, sizes, strict=True)]):
        first, last = _row(0, axis)[0], _row(axis.kernel - 1, axis)[0]
        ends = [(0, 0, 0)] * z.ndim
        ends[position] = (-first * axis.stride, (size + last) * axis.stride - z.shape[position], 0)
        z = lax.pad(z, jnp.zeros((), z.dtype), ends)
        z = z.reshape(*z.shape[:position], size + last - first, axis.stride, *z.shape[position + 1 :])
    return z


def _met(blocks: jax.Array, tap: tuple[int, ...], spec: Spec, layout: Layout, sizes: Any) -> jax.Array:
    """What ``tap`` of each of ``sizes`` pixels meets, in ``layout``."""
    for position, axis, size, one in zip(layout.spatial_axes, spec.axes, sizes, tap, strict=True):
        row, phase = _row(one, axis)
        ahead = row - _row(0, axis)[0]
        blocks = lax.slice_in_dim(blocks, ahead, ahead + size, axis=position)
        blocks = lax.index_in_dim(blocks, phase, position + 1, keepdims=False)
    return blocks
