"""Transposed convolution as one matrix product whose stamps overlap and add.

Every pixel's channels times every tap's matrix is one product: all stamps of all pixels. Tap ``t`` lands at

    i * stride + t * dilation - lo  =  (i + row) * stride + phase,    0 <= phase < stride

so the taps of one row never overlap, and what is shifted against each other by whole blocks of ``stride`` outputs is
one slice of the product for each row. They add up to the output. No zero is multiplied, and no kernel is flipped.

Read backwards, the outputs under every pixel's taps are gathered: the patches. Times the kernel they are the forward
convolution; times the pixels they are the kernel gradient.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ..axis import Axis
from ..errors import ArgumentError
from ..integers import Size
from ..layout import Layout
from ..spec import Spec
from .blocks import MOST_PARTS, by_group, counts, interleave, refuse, together
from .products import as_matrices, matrix_product
from .sums import alike, sums_in


def transposed_convolution(
    x: jax.Array, w: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any
) -> jax.Array:
    wide = sums_in(dtype)
    x, w = alike(x, w, wide)
    rank, sizes = spec.rank, layout.spatial(x.shape)
    numbers = counts(spec, sizes)
    pixels = as_matrices(by_group(x, spec, layout), 1 + rank)
    stamps = matrix_product(pixels, _taps(w, spec), (2, 2), precision, wide)
    stamps = stamps.reshape(spec.groups, x.shape[0], *sizes, *w.shape[: rank + 1])
    total = None
    for rows in itertools.product(*map(_rows, spec.axes)):
        row = stamps[(..., *(slice(row.first, row.last) for row in rows), slice(None))]
        shifts = [(r.number, number - size - r.number, 0) for r, number, size in zip(rows, numbers, sizes, strict=True)]
        phases = [
            (r.phase, a.stride - r.phase - (r.last - r.first - 1) * a.dilation - 1, a.dilation - 1)
            for r, a in zip(rows, spec.axes, strict=True)
        ]
        around = (0, 0, 0)
        placed = lax.pad(row, jnp.zeros((), wide), [around, around, *shifts, *phases, around])
        total = placed if total is None else total + placed
    assert total is not None  # a kernel has a tap
    return interleave(total, spec, layout, (0,) * rank, spec.output_sizes(sizes)).astype(dtype)


def forward_convolution(
    z: jax.Array, w: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any
) -> jax.Array:
    wide = sums_in(dtype)
    z, w = alike(z, w, wide)
    sizes = spec.input_sizes(layout.spatial(z.shape))
    x = matrix_product(_patches(z, spec, layout, sizes), _taps(w, spec), (2, 1), precision, wide)
    return together(x.reshape(spec.groups, z.shape[0], *sizes, x.shape[2]), layout).astype(dtype)


def kernel_gradient(x: jax.Array, z: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> jax.Array:
    wide = sums_in(dtype)
    x, z = alike(x, z, wide)
    pixels = as_matrices(by_group(x, spec, layout), 1 + spec.rank)
    w = matrix_product(_patches(z, spec, layout, layout.spatial(x.shape)), pixels, (1, 1), precision, wide)
    shape = [axis.kernel for axis in spec.axes]
    out, taken = z.shape[layout.channel_axis] // spec.groups, x.shape[layout.channel_axis]
    return jnp.moveaxis(w, 0, 1).reshape(*shape, out, taken).astype(dtype)


def refusal(spec: Spec) -> ArgumentError | None:
    """The error for a geometry that takes too many shifted slices."""
    if math.prod(len(_rows(axis)) for axis in spec.axes) > MOST_PARTS:
        return refuse("gemm", "slices", spec)
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


def _taps(w: jax.Array, spec: Spec) -> jax.Array:
    """``(groups, taps and o / groups, c / groups)``."""
    w = w.reshape(math.prod(w.shape[:-1]), spec.groups, w.shape[-1] // spec.groups)
    return jnp.moveaxis(w, 1, 0)


def _patches(z: jax.Array, spec: Spec, layout: Layout, sizes: Sequence[Size]) -> jax.Array:
    """``(groups, batch and pixels, taps and o / groups)``: the outputs under the taps of each of ``sizes`` pixels."""
    z = by_group(z, spec, layout)
    for position, (axis, size) in enumerate(zip(spec.axes, sizes, strict=True), 2):
        # This axis, of outputs, becomes one of pixels, and one of taps that goes before the channels.
        z = _gathered(z, position, axis, size)
        z = jnp.moveaxis(z, position + 1, z.ndim - 2)
    return as_matrices(z, 1 + spec.rank)


def _gathered(z: jax.Array, position: int, axis: Axis, size: Size) -> jax.Array:
    """``z`` with the outputs at ``position`` gathered into two axes: pixels, and the taps of each."""
    rows = _rows(axis)
    first, blocks = rows[0].number, size + rows[-1].number - rows[0].number
    ends = [(0, 0, 0)] * z.ndim
    ends[position] = (-first * axis.stride, (blocks + first) * axis.stride - z.shape[position], 0)
    z = lax.pad(z, jnp.zeros((), z.dtype), ends)
    z = z.reshape(*z.shape[:position], blocks, axis.stride, *z.shape[position + 1 :])
    gathered = []
    for row in rows:
        shifted = lax.slice_in_dim(z, row.number - first, row.number - first + size, axis=position)
        last = row.phase + (row.last - row.first - 1) * axis.dilation
        gathered.append(lax.slice_in_dim(shifted, row.phase, last + 1, axis.dilation, axis=position + 1))
    return lax.concatenate(gathered, position + 1)
