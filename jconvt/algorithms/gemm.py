"""Transposed convolution as matrix products that overlap and add.

A tap's stamps are one product: every pixel's channels times the tap's matrix. A tap ``t`` puts its stamps at

    i * stride + t * dilation - lo  =  (i + row) * stride + phase,    0 <= phase < stride

so the taps of one row never overlap, and go into one product whose columns are their phases, side by side. The products
of different rows are shifted against each other by whole blocks of ``stride`` outputs, and add up. No zero is
multiplied, and no kernel is flipped.
"""

import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ..axis import Axis
from ..layout import Layout
from ..spec import Spec
from .blocks import MOST_PARTS, count, interleave, prepare, refuse


def transposed_convolution(
    x: jax.Array, w: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any
) -> jax.Array:
    rank, groups, channel = spec.rank, spec.groups, layout.channel_axis
    sizes = layout.spatial(x.shape)
    every = [_rows(axis) for axis in spec.axes]
    if math.prod(map(len, every)) > MOST_PARTS:
        raise refuse("gemm", "products", spec)
    x, w = prepare(x, w, dtype, "gemm")
    x = x.reshape(*x.shape[:channel], groups, x.shape[channel] // groups, *x.shape[channel + 1 :])
    w = w.reshape(*w.shape[:-1], groups, w.shape[-1] // groups)
    contracted = ((channel + 1,), (rank + 2,)), ((channel,), (rank + 1,))
    wide = x.dtype if jnp.issubdtype(dtype, jnp.floating) else dtype
    counts = [count(axis, size) for axis, size in zip(spec.axes, sizes, strict=True)]
    total = None
    for rows in itertools.product(*every):
        taps = w[tuple(slice(row.first, row.last) for row in rows)]
        # (groups, batch, pixels..., taps..., o / groups)
        product = lax.dot_general(x, taps, contracted, precision=precision, preferred_element_type=wide)
        shifts = [(r.number, number - size - r.number, 0) for r, number, size in zip(rows, counts, sizes, strict=True)]
        phases = [
            (r.phase, a.stride - r.phase - (r.last - r.first - 1) * a.dilation - 1, a.dilation - 1)
            for r, a in zip(rows, spec.axes, strict=True)
        ]
        around = (0, 0, 0)
        placed = lax.pad(product, jnp.zeros((), wide), [around, around, *shifts, *phases, around])
        total = placed if total is None else total + placed
    assert total is not None  # a kernel has a tap
    return interleave(total, spec, layout, spec.output_sizes(sizes)).astype(dtype)


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
