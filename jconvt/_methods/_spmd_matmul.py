"""The three maps as one ``dot_general`` each, with every axis kept separate, for programs that XLA shards.

``gemm`` merges the batch and the pixels into one axis, which XLA cannot shard by rows of pixels. Here rows stay in
place, the operands are shifted instead of their larger products, and each map is one product. So each device fetches
the rows that its taps reach from its neighbors once, and partial sums are added across devices once.

    transposed convolution    pixels that a block reads, times the taps of each phase, with zeros for missing taps
    forward convolution       outputs under the taps of each pixel, times the taps
    kernel gradient           outputs under the taps of each pixel, times the pixels
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from .._geometry.arguments import Size
from .._geometry.axis import Axis
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ._method import acc_dtype, promote_pair
from ._phases import interleave, merge_groups, num_blocks, pad_axes, split_groups
from ._xla_workarounds import exact_dot_general
from .gemm import TapRow, tap_rows


def transposed_convolution(x: Array, w: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> Array:
    acc = acc_dtype(dtype)
    x, w = promote_pair(x, w, acc)
    rank, sizes = spec.rank, layout.spatial(x.shape)
    pixels = split_groups(x, spec, layout)
    w = w.reshape(*w.shape[:-1], spec.groups, w.shape[-1] // spec.groups)
    for number, (axis, blocks) in enumerate(zip(spec.axes, num_blocks(spec, sizes), strict=True)):
        rows = tap_rows(axis)
        w = jnp.stack([_at_all_phases(w, 2 * number, axis, row) for row in rows], 2 * number)
        pixels = _gather_rows(pixels, 2 + number, rows, blocks)
    # The axes of w are now a row and a phase for each spatial axis, then out / groups, groups, c / groups.
    w_rows, groups, channels = range(0, 2 * rank, 2), 2 * rank + 1, 2 * rank + 2
    contracted = [*range(2 + rank, pixels.ndim)], [*w_rows, channels]
    blocks = exact_dot_general(pixels, w, (contracted, ([0], [groups])), precision, acc)
    return interleave(blocks, spec, layout, [0] * rank, spec.output_sizes(sizes)).astype(dtype)


def forward_convolution(z: Array, w: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> Array:
    acc = acc_dtype(dtype)
    z, w = promote_pair(z, w, acc)
    w = w.reshape(*w.shape[:-1], spec.groups, w.shape[-1] // spec.groups)
    outputs, rank = _im2col(z, spec, layout, spec.input_sizes(layout.spatial(z.shape))), spec.rank
    contracted = [*range(2 + rank, outputs.ndim)], [*range(rank + 1)]
    product = exact_dot_general(outputs, w, (contracted, ([0], [rank + 1])), precision, acc)
    return merge_groups(product, layout).astype(dtype)


def kernel_gradient(x: Array, z: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> Array:
    acc = acc_dtype(dtype)
    x, z = promote_pair(x, z, acc)
    outputs, rank = _im2col(z, spec, layout, layout.spatial(x.shape)), spec.rank
    positions = [*range(1, 2 + rank)]
    axes = (positions, positions), ([0], [0])
    product = exact_dot_general(outputs, split_groups(x, spec, layout), axes, precision, acc)
    w = jnp.moveaxis(product, 0, rank + 1)
    return w.reshape(*w.shape[: rank + 1], w.shape[-2] * w.shape[-1]).astype(dtype)


def _at_all_phases(w: Array, position: int, axis: Axis, row: TapRow) -> Array:
    """Place the taps of this row at their phases, with zeros at the other phases."""
    end = row.phase + (row.last - row.first - 1) * axis.dilation + 1
    taps = lax.slice_in_dim(w, row.first, row.last, axis=position)
    return pad_axes(taps, {position: (row.phase, axis.stride - end, axis.dilation - 1)})


def _gather_rows(pixels: Array, position: int, rows: Sequence[TapRow], blocks: Size) -> Array:
    """Stack, before the channels, the pixels whose taps of each row land in each block."""
    shifted = {0: _pad_or_crop(pixels, position, max(blocks, pixels.shape[position]))}
    for by, nearer, _ in _nearest_first([-row.number for row in rows]):
        shifted[by] = _shift(shifted[nearer], position, by - nearer)
    return jnp.stack([_pad_or_crop(shifted[-row.number], position, blocks) for row in rows], pixels.ndim - 1)


def _im2col(z: Array, spec: Spec, layout: Layout, sizes: Sequence[Size]) -> Array:
    """``(groups, batch, pixels..., taps..., o / groups)``: the outputs under the taps of each pixel."""
    z = split_groups(z, spec, layout)
    for position, (axis, size) in enumerate(zip(spec.axes, sizes, strict=True), 2):
        number = max(size, -(-z.shape[position] // axis.stride))
        z = _pad_or_crop(z, position, number * axis.stride)
        z = z.reshape(*z.shape[:position], number, axis.stride, *z.shape[position + 1 :])
        rows, shifted = {row.number: row for row in tap_rows(axis)}, {}
        last = {by: row.phase + (row.last - row.first - 1) * axis.dilation for by, row in rows.items()}
        for by, nearer, remaining in _nearest_first(rows):  # keep only the phases that these rows still read
            phases, start = shifted[nearer] if nearer else (z, 0)
            first, end = min(rows[i].phase for i in remaining), max(last[i] for i in remaining) + 1
            phases = lax.slice_in_dim(phases, first - start, end - start, axis=position + 1)
            shifted[by] = _shift(phases, position, by - nearer), first
        parts = []
        for by, row in rows.items():
            phases, start = shifted[by]
            taps = slice(row.phase - start, last[by] + 1 - start, axis.dilation)
            parts.append(_pad_or_crop(phases, position, size)[(slice(None),) * (position + 1) + (taps,)])
        z = jnp.moveaxis(lax.concatenate(parts, position + 1), position + 1, z.ndim - 2)
    return z


def _nearest_first(offsets: Collection[int]) -> Iterator[tuple[int, int, list[int]]]:
    """Yield (offset, nearest smaller offset, remaining offsets), moving outward from 0 in both directions.

    Shifting from the nearest smaller offset moves no row between devices twice.
    """
    for sign in (1, -1):
        nearer, found = 0, sorted((by for by in offsets if by * sign > 0 or by == 0 < sign), key=abs)
        for number, by in enumerate(found):
            yield by, nearer, found[number:]
            nearer = by


def _shift(a: Array, position: int, by: int) -> Array:
    """Shift ``a`` so that index ``i`` holds row ``i + by``, and zeros beyond the border."""
    return pad_axes(a, {position: (-by, by, 0)})


def _pad_or_crop(a: Array, position: int, size: Size) -> Array:
    return pad_axes(a, {position: (0, size - a.shape[position], 0)})
