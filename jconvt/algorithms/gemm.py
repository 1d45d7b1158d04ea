"""Transposed convolution as matrix products that overlap and add.

A tap's stamps are one product: every pixel's channels times the tap's matrix. A tap ``t`` puts its stamps at

    i * stride + t * dilation - lo  =  (i + row) * stride + phase,    0 <= phase < stride

so the taps of one row never overlap, and go into one product whose columns are their phases, side by side. The products
of different rows are shifted against each other by whole blocks of ``stride`` outputs, and add up. No zero is
multiplied, and no kernel is flipped.

Read backwards, a row's product takes what its taps gather from the shifted blocks: times the taps, and summed over
rows, it is the forward convolution; times the pixels, it is the row's share of the kernel gradient.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ..axis import Axis
from ..errors import ArgumentError
from ..integers import Size
from ..layout import Layout
from ..spec import Spec
from .blocks import MOST_PARTS, blocked, counts, interleave, refuse
from .sums import alike, sums_in


def transposed_convolution(
    x: jax.Array, w: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any
) -> jax.Array:
    wide = sums_in(dtype)
    x, w = alike(x, w, wide)
    rank, channel, sizes = spec.rank, layout.channel_axis, layout.spatial(x.shape)
    numbers = counts(spec, sizes)
    x, w = _split(x, channel, spec.groups), _split(w, rank + 1, spec.groups)
    contracted = ((channel + 1,), (rank + 2,)), ((channel,), (rank + 1,))
    total = None
    for rows in _products(spec):
        # (groups, batch, pixels..., taps..., o / groups)
        product = lax.dot_general(x, _taps(w, rows), contracted, precision=precision, preferred_element_type=wide)
        shifts = [(r.number, number - size - r.number, 0) for r, number, size in zip(rows, numbers, sizes, strict=True)]
        phases = [
            (r.phase, a.stride - r.phase - (r.last - r.first - 1) * a.dilation - 1, a.dilation - 1)
            for r, a in zip(rows, spec.axes, strict=True)
        ]
        around = (0, 0, 0)
        placed = lax.pad(product, jnp.zeros((), wide), [around, around, *shifts, *phases, around])
        total = placed if total is None else total + placed
    assert total is not None  # a kernel has a tap
    return interleave(total, spec, layout, spec.output_sizes(sizes)).astype(dtype)


def forward_convolution(
    z: jax.Array, w: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any
) -> jax.Array:
    wide = sums_in(dtype)
    z, w = alike(z, w, wide)
    rank, sizes = spec.rank, spec.input_sizes(layout.spatial(z.shape))
    blocks, w = blocked(z, spec, layout, counts(spec, sizes)), _split(w, rank + 1, spec.groups)
    # Of the gathered (groups, batch, pixels..., taps..., o / groups) and of (taps..., o / groups, groups, c / groups).
    contracted = (tuple(range(rank + 2, 2 * rank + 3)), tuple(range(rank + 1))), ((0,), (rank + 1,))
    total = None
    for rows in _products(spec):
        gathered = _gathered(blocks, rows, spec, sizes)
        product = lax.dot_general(
            gathered, _taps(w, rows), contracted, precision=precision, preferred_element_type=wide
        )
        total = product if total is None else total + product
    assert total is not None
    spatial = range(2, 2 + rank)
    order = (1, 0, rank + 2, *spatial) if layout.channels_first else (1, *spatial, 0, rank + 2)
    channels = total.shape[0] * total.shape[-1]
    return total.transpose(order).reshape(layout.shape(total.shape[1], sizes, channels)).astype(dtype)


def kernel_gradient(x: jax.Array, z: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> jax.Array:
    wide = sums_in(dtype)
    x, z = alike(x, z, wide)
    rank, channel, sizes = spec.rank, layout.channel_axis, layout.spatial(x.shape)
    blocks, x = blocked(z, spec, layout, counts(spec, sizes)), _split(x, channel, spec.groups)
    spatial = (axis + 1 if axis > channel else axis for axis in layout.spatial_axes)
    contracted = ((0, *spatial), tuple(range(1, rank + 2))), ((channel,), (0,))

    def taps(rows: tuple[_Row, ...]) -> jax.Array:
        """``(groups, c / groups, taps..., o / groups)`` of the taps in these rows, and in all along further axes."""
        axis = len(rows)
        if axis < rank:
            return lax.concatenate([taps((*rows, row)) for row in _rows(spec.axes[axis])], 2 + axis)
        gathered = _gathered(blocks, rows, spec, sizes)
        return lax.dot_general(x, gathered, contracted, precision=precision, preferred_element_type=wide)

    w = taps(())
    w = w.transpose(*range(2, rank + 3), 0, 1)
    return w.reshape(*w.shape[: rank + 1], w.shape[-2] * w.shape[-1]).astype(dtype)


def refusal(spec: Spec) -> ArgumentError | None:
    """The error for a geometry that takes too many products."""
    if math.prod(len(_rows(axis)) for axis in spec.axes) > MOST_PARTS:
        return refuse("gemm", "products", spec)
    return None


class _Row(NamedTuple):
    """The taps from ``first`` to before ``last`` that lie in one row, and the phase of the first of them."""

    number: int
    first: int
    last: int
    phase: int


def _rows(axis: Axis) -> list[_Row]:
    def number(tap: int) -> int:
        return (tap * axis.dilation - axis.lo) // axis.stride

    found = [(row, [*taps]) for row, taps in itertools.groupby(range(axis.kernel), key=number)]
    return [_Row(row, taps[0], taps[-1] + 1, (taps[0] * axis.dilation - axis.lo) % axis.stride) for row, taps in found]


def _products(spec: Spec) -> Iterator[tuple[_Row, ...]]:
    """One row for each axis: what is one product."""
    return itertools.product(*map(_rows, spec.axes))


def _split(a: jax.Array, axis: int, groups: int) -> jax.Array:
    """``a`` with the channels at ``axis`` as (groups, channels of a group)."""
    return a.reshape(*a.shape[:axis], groups, a.shape[axis] // groups, *a.shape[axis + 1 :])


def _taps(w: jax.Array, rows: tuple[_Row, ...]) -> jax.Array:
    return w[tuple(slice(row.first, row.last) for row in rows)]


def _gathered(blocks: jax.Array, rows: tuple[_Row, ...], spec: Spec, sizes: Sequence[Size]) -> jax.Array:
    """``(groups, batch, pixels..., taps..., o / groups)``: the outputs under each pixel's taps in these rows."""
    shifts = [
        (-row.number, size + row.number - number, 0)
        for row, size, number in zip(rows, sizes, blocks.shape[2:], strict=False)
    ]
    around = (0, 0, 0)
    shifted = lax.pad(blocks, jnp.zeros((), blocks.dtype), [around, around, *shifts, *[around] * (spec.rank + 1)])
    phases = [
        slice(row.phase, row.phase + (row.last - row.first - 1) * axis.dilation + 1, axis.dilation)
        for row, axis in zip(rows, spec.axes, strict=True)
    ]
    return shifted[(..., *phases, slice(None))]
