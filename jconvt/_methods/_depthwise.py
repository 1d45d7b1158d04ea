"""Both gradients where every group is one channel: elementwise products, since there are no matrices to multiply.

Libraries are slow at many matrix products of one row or column. Here channels stay in place, and a tap reads a slice of
the output in blocks of ``stride`` positions:

    forward convolution    sum over taps of    w[tap] * slice
    kernel gradient        at each tap, sum over pixels of    x * slice

The kernel gradient is computed one row of pixels at a time, so that the slices of a row are read from the cache.
"""

import functools
import itertools
import math
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from .._geometry.arguments import Size
from .._geometry.axis import Axis
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ._method import acc_dtype
from ._phases import MAX_PARTS, pad_axes


def supports(spec: Spec, in_channels: Size, out_channels: Size) -> bool:
    """Whether every group is one input and one output channel, with few enough taps to unroll."""
    taps = math.prod(axis.kernel for axis in spec.axes)
    return 1 < spec.groups == in_channels == out_channels and taps <= MAX_PARTS


def forward_convolution(z: Array, w: Array, spec: Spec, layout: Layout, dtype: Any) -> Array:
    acc = acc_dtype(dtype)
    z, w = z.astype(acc), w.astype(acc)
    sizes = spec.input_sizes(layout.spatial(z.shape))
    blocks, channels = _blocks(z, spec, layout, sizes), layout.shape(1, (1,) * spec.rank, spec.groups)
    products = (_read(blocks, tap, spec, layout, sizes) * w[tap].reshape(channels) for tap in _taps(spec))
    return functools.reduce(operator.add, products).astype(dtype)


def kernel_gradient(x: Array, z: Array, spec: Spec, layout: Layout, dtype: Any) -> Array:
    acc = acc_dtype(dtype)
    x, z = x.astype(acc), z.astype(acc)
    sizes = layout.spatial(x.shape)
    blocks = _blocks(z, spec, layout, sizes)
    first = layout.spatial_axes[0]
    summed = [axis for axis in range(x.ndim) if axis != layout.channel_axis]

    def row_gradient(row: Any) -> Array:
        """``(taps, channels)``: the sum over one row of pixels."""
        pixels = lax.dynamic_slice_in_dim(x, row, 1, first)
        outputs = lax.dynamic_slice_in_dim(blocks, row, blocks.shape[first] - sizes[0] + 1, first)
        reads = (_read(outputs, tap, spec, layout, (1, *sizes[1:])) for tap in _taps(spec))
        return jnp.stack([(pixels * read).sum(summed) for read in reads])

    total = lax.map(row_gradient, jnp.arange(sizes[0])).sum(0)
    return total.reshape(*(axis.kernel for axis in spec.axes), 1, spec.groups).astype(dtype)


def _taps(spec: Spec) -> Iterator[tuple[int, ...]]:
    return itertools.product(*(range(axis.kernel) for axis in spec.axes))


def _block_and_phase(tap: int, axis: Axis) -> tuple[int, int]:
    """The block, relative to the pixel, and the phase that a tap lands in."""
    return divmod(tap * axis.dilation - axis.lo, axis.stride)


def _blocks(z: Array, spec: Spec, layout: Layout, sizes: Sequence[Size]) -> Array:
    """Split each spatial axis of ``z`` into blocks and phases, starting at the first block that a tap reads."""
    for position, axis, size in reversed([*zip(layout.spatial_axes, spec.axes, sizes, strict=True)]):
        first, last = _block_and_phase(0, axis)[0], _block_and_phase(axis.kernel - 1, axis)[0]
        z = pad_axes(z, {position: (-first * axis.stride, (size + last) * axis.stride - z.shape[position], 0)})
        z = z.reshape(*z.shape[:position], size + last - first, axis.stride, *z.shape[position + 1 :])
    return z


def _read(blocks: Array, tap: tuple[int, ...], spec: Spec, layout: Layout, sizes: Sequence[Size]) -> Array:
    """The output under ``tap`` of each of ``sizes`` pixels, in ``layout``."""
    for position, axis, size, t in zip(layout.spatial_axes, spec.axes, sizes, tap, strict=True):
        block, phase = _block_and_phase(t, axis)
        start = block - _block_and_phase(0, axis)[0]
        blocks = lax.slice_in_dim(blocks, start, start + size, axis=position)
        blocks = lax.index_in_dim(blocks, phase, position + 1, keepdims=False)
    return blocks
