"""The three maps as matrix products, where each axis is a scatter axis or a gather axis.

Along a *scatter* axis the product of a pixel holds all of its taps, and overlapping stamps are added. Tap ``t`` lands
at

    i * stride + t * dilation - lo  =  (i + row) * stride + phase,    0 <= phase < stride

so the taps of one row never overlap, and rows are shifted against each other by whole blocks of ``stride`` outputs.

Along a *gather* axis the product of a block sums over the pixels that its phases read. Phases that read the same pixels
share a product; so there is one product for each combination of phase groups.

Scattering copies outputs ``kernel / stride`` times. Gathering copies pixels as often as blocks read them. Which one
copies less depends on the channels; one axis of each kind copies both a few times, neither ``kernel`` squared times. In
the gradients, scatter axes gather from the outputs, and gather axes add up on the pixels. No zero is multiplied, and
the kernel is not flipped.
"""

import functools
import itertools
import math
import operator
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from .._geometry.arguments import Size
from .._geometry.axis import Axis
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ._method import acc_dtype, promote_pair
from ._phases import (
    PhaseGroup,
    aligned,
    concatenate_phases,
    deinterleave,
    gather_pixels,
    group_taps,
    interleave,
    merge_groups,
    num_blocks,
    pad_axes,
    phase_groups,
    reads_per_pixel,
    split_groups,
)


def transposed_convolution(
    x: Array, w: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any, num_scatter: int
) -> Array:
    acc = acc_dtype(dtype)
    x, w = promote_pair(x, w, acc)
    rank, sizes = spec.rank, layout.spatial(x.shape)
    starts, blocks_spec = aligned(spec, num_scatter)
    blocks = num_blocks(blocks_spec, sizes)
    x = split_groups(x, spec, layout)
    strides = [axis.stride for axis in spec.axes[:num_scatter]]
    parts = []
    for chosen in itertools.product(*map(phase_groups, blocks_spec.axes[num_scatter:])):
        if not all(group.taps for group in chosen):
            widths = [group.width for group in chosen]
            parts.append(jnp.zeros((*x.shape[:2], *blocks, *strides, *widths, w.shape[rank]), acc))
            continue
        pixels, taps = _pixels(x, chosen, blocks, num_scatter), _taps(w, chosen, spec)
        product = _matrix_product(_as_matrices(pixels, 1 + rank), _as_matrices(taps, 1 + rank), (2, 2), precision, acc)
        product = product.reshape(*pixels.shape[: 2 + rank], *taps.shape[1 : 2 + rank])
        parts.append(_overlap_add(product, blocks_spec, sizes, blocks, num_scatter))
    y = concatenate_phases(parts, blocks_spec, num_scatter)
    return interleave(y, blocks_spec, layout, starts, spec.output_sizes(sizes)).astype(dtype)


def forward_convolution(
    z: Array, w: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any, num_scatter: int
) -> Array:
    acc = acc_dtype(dtype)
    z, w = promote_pair(z, w, acc)
    rank, sizes = spec.rank, spec.input_sizes(layout.spatial(z.shape))
    parts = []
    for chosen, outputs in _outputs(z, spec, layout, sizes, num_scatter):
        taps = _taps(w, chosen, spec)
        product = _matrix_product(_as_matrices(outputs, 1 + rank), _as_matrices(taps, 1 + rank), (2, 1), precision, acc)
        product = product.reshape(*outputs.shape[: 2 + rank], *taps.shape[2 + rank :])
        for tap in itertools.product(*(range(len(group.taps)) for group in chosen)):
            config = {}
            for axis, (group, number) in enumerate(zip(chosen, tap, strict=True), num_scatter):
                by = group.offset(number)
                config[2 + axis] = (by, sizes[axis] - outputs.shape[2 + axis] - by, 0)
            parts.append(pad_axes(product[(..., *tap, slice(None))], config))
    return merge_groups(functools.reduce(operator.add, parts), layout).astype(dtype)


def kernel_gradient(
    x: Array, z: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any, num_scatter: int
) -> Array:
    acc = acc_dtype(dtype)
    x, z = promote_pair(x, z, acc)
    rank, sizes = spec.rank, layout.spatial(x.shape)
    x = split_groups(x, spec, layout)
    parts = []
    for chosen, outputs in _outputs(z, spec, layout, sizes, num_scatter):
        pixels = _pixels(x, chosen, outputs.shape[2 : 2 + rank], num_scatter)
        a, b = _as_matrices(outputs, 1 + rank), _as_matrices(pixels, 1 + rank)
        product = _matrix_product(a, b, (1, 1), precision, acc)
        product = product.reshape(spec.groups, *outputs.shape[2 + rank :], *pixels.shape[2 + rank :])
        parts.append(_scatter_taps(product, chosen, [axis.kernel for axis in spec.axes], num_scatter))
    w = functools.reduce(operator.add, parts)
    return w.reshape(*w.shape[:-2], math.prod(w.shape[-2:])).astype(dtype)


def temporary_elements(spec: Spec, num_scatter: int, in_channels: int, out_channels: int) -> int:
    """The number of temporary elements for each input pixel."""
    stamps = math.prod(axis.kernel for axis in spec.axes[:num_scatter])
    phases = math.prod(axis.stride for axis in spec.axes[num_scatter:])
    reads = math.prod(map(reads_per_pixel, aligned(spec, num_scatter)[1].axes[num_scatter:]))
    return stamps * phases * out_channels + (reads * in_channels if num_scatter < spec.rank else 0)


def num_slices(spec: Spec, num_scatter: int) -> int:
    """An upper bound of the number of slices that a map is unrolled into."""
    stamps = math.prod(len(tap_rows(axis)) for axis in spec.axes[:num_scatter])
    axes = aligned(spec, num_scatter)[1].axes[num_scatter:]
    return stamps * math.prod(max(len(phase_groups(axis)), reads_per_pixel(axis)) for axis in axes)


class TapRow(NamedTuple):
    """The taps ``first`` to ``last - 1`` that land in the block ``number`` ahead, and the phase of the first one."""

    number: int
    first: int
    last: int
    phase: int


@functools.lru_cache(1024)
def tap_rows(axis: Axis) -> tuple[TapRow, ...]:
    """The taps of an axis, grouped by the block that they land in."""

    def position(tap: int) -> int:
        return tap * axis.dilation - axis.lo

    rows = itertools.groupby(range(axis.kernel), key=lambda tap: position(tap) // axis.stride)
    found = [(number, [*taps]) for number, taps in rows]
    return tuple(TapRow(row, taps[0], taps[-1] + 1, position(taps[0]) % axis.stride) for row, taps in found)


def _taps(w: Array, chosen: Sequence[PhaseGroup], spec: Spec) -> Array:
    """``(groups, scatter taps..., phases..., o / groups, gather taps..., c / groups)``, close to the order of ``w``."""
    scatter, gather = spec.rank - len(chosen), len(chosen)
    w = group_taps(w, chosen, scatter)
    w = w.reshape(*w.shape[:-1], spec.groups, w.shape[-1] // spec.groups)
    taps, phases = range(scatter, scatter + 2 * gather, 2), range(scatter + 1, scatter + 2 * gather, 2)
    return w.transpose(w.ndim - 2, *range(scatter), *phases, w.ndim - 3, *taps, w.ndim - 1)


def _pixels(x: Array, chosen: Sequence[PhaseGroup], blocks: Sequence[Size], num_scatter: int) -> Array:
    """``(groups, batch, pixels or blocks..., gather taps..., c / groups)``: the pixels that each block reads."""
    for axis, group in enumerate(chosen, num_scatter):
        x = gather_pixels(x, 2 + axis, group, blocks[axis])
    return x


def _overlap_add(product: Array, spec: Spec, sizes: Sequence[Size], blocks: Sequence[Size], num_scatter: int) -> Array:
    """Replace the taps of the scatter axes, which follow the positions, by phases, and add what overlaps."""
    rank, parts = spec.rank, []
    for rows in itertools.product(*map(tap_rows, spec.axes[:num_scatter])):
        part, config = product[((slice(None),) * (2 + rank)) + tuple(slice(row.first, row.last) for row in rows)], {}
        for axis, row in enumerate(rows):
            geometry = spec.axes[axis]
            after = geometry.stride - row.phase - (row.last - row.first - 1) * geometry.dilation - 1
            config[2 + axis] = (row.number, blocks[axis] - sizes[axis] - row.number, 0)
            config[2 + rank + axis] = (row.phase, after, geometry.dilation - 1)
        parts.append(pad_axes(part, config))
    return functools.reduce(operator.add, parts)


def _outputs(
    z: Array, spec: Spec, layout: Layout, sizes: Sequence[Size], num_scatter: int
) -> Iterator[tuple[tuple[PhaseGroup, ...], Array]]:
    """Yield one phase group for each gather axis, and the outputs of these groups.

    These are ``(groups, batch, pixels or blocks..., scatter taps..., phases..., o / groups)``.
    """
    z = split_groups(z, spec, layout)
    for position, (axis, size) in enumerate(zip(spec.axes[:num_scatter], sizes, strict=False), 2):
        z = jnp.moveaxis(_im2col_axis(z, position, axis, size), position + 1, z.ndim - 1)
    starts, blocks_spec = aligned(spec, num_scatter)
    z = deinterleave(z, blocks_spec, starts, num_blocks(blocks_spec, sizes), num_scatter)
    for chosen in itertools.product(*map(phase_groups, blocks_spec.axes[num_scatter:])):
        if all(group.taps for group in chosen):
            yield chosen, z[(..., *(slice(group.phase, group.phase + group.width) for group in chosen), slice(None))]


def _im2col_axis(z: Array, position: int, axis: Axis, size: Size) -> Array:
    """Split the outputs at ``position`` into two axes: pixels, and the outputs under the taps of each pixel."""
    rows = tap_rows(axis)
    first, blocks = rows[0].number, size + rows[-1].number - rows[0].number
    z = pad_axes(z, {position: (-first * axis.stride, (blocks + first) * axis.stride - z.shape[position], 0)})
    z = z.reshape(*z.shape[:position], blocks, axis.stride, *z.shape[position + 1 :])
    parts = []
    for row in rows:
        shifted = lax.slice_in_dim(z, row.number - first, row.number - first + size, axis=position)
        last = row.phase + (row.last - row.first - 1) * axis.dilation
        parts.append(lax.slice_in_dim(shifted, row.phase, last + 1, axis.dilation, axis=position + 1))
    return lax.concatenate(parts, position + 1)


def _scatter_taps(product: Array, chosen: Sequence[PhaseGroup], kernel: Sequence[int], num_scatter: int) -> Array:
    """``(k..., o / groups, groups, c / groups)``: the part of the kernel gradient that one product contributes.

    The product is ``(groups, scatter taps..., phases..., o / groups, gather taps..., c / groups)``. Taps of other phase
    groups are zero.
    """
    out, channels = 1 + len(kernel), product.ndim - 1
    phases, taps = range(1 + num_scatter, out), range(out + 1, channels)
    pairs = [axis for pair in zip(taps, phases, strict=True) for axis in pair]
    w = product.transpose(*range(1, 1 + num_scatter), *pairs, out, 0, channels)
    for axis, group in enumerate(chosen, num_scatter):
        first, step = group.taps[0], group.taps[1] - group.taps[0] if len(group.taps) > 1 else group.width
        w = pad_axes(w, {axis + 1: (0, step - group.width, 0)})
        w = w.reshape(*w.shape[:axis], w.shape[axis] * step, *w.shape[axis + 2 :])
        w = pad_axes(w, {axis: (first, kernel[axis] - first - w.shape[axis], 0)})
    return w


def _matrix_product(a: Array, b: Array, contracted: tuple[int, int], precision: Any, dtype: Any) -> Array:
    """Contract one axis, 1 or 2, of each of two arrays ``(groups, rows, columns)``."""
    (i, j), options = contracted, {"precision": precision, "preferred_element_type": dtype}
    if a.shape[0] > 1:
        return lax.dot_general(a, b, (((i,), (j,)), ((0,), (0,))), **options)
    # XLA would copy an operand with more than two axes.
    return lax.dot_general(a[0], b[0], (((i - 1,), (j - 1,)), ((), ())), **options)[None]


def _as_matrices(a: Array, rows: int) -> Array:
    """Merge the ``rows`` axes after the groups into one, and the remaining axes into another."""
    return a.reshape(a.shape[0], math.prod(a.shape[1 : 1 + rows]), math.prod(a.shape[1 + rows :]))
