"""The three maps with all axes kept apart, so that a compiler can split any of them over devices.

``joint`` makes matrices: the batch and the pixels become one axis there, which cannot be split by rows of pixels. Here
rows stay where they are, what is shifted are the operands and not their larger products, and each map is one product.
So a device fetches the rows that its taps reach from its neighbours once, and sums that are split are added up once.

    transposed convolution    the pixels that a block meets, times the taps of each phase, with zeros for those that it
                              has not
    forward convolution       what lies under the taps of each pixel, times the taps
    kernel gradient           the same, times the pixels
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .._geometry.arguments import Size
from .._geometry.axis import Axis
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ._accumulation import alike, sums_in
from ._matmul import Row, rows_of
from ._phases import by_group, counts, interleave, together


def transposed_convolution(
    x: jax.Array, w: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any
) -> jax.Array:
    wide = sums_in(dtype)
    x, w = alike(x, w, wide)
    rank, sizes = spec.rank, layout.spatial(x.shape)
    pixels = by_group(x, spec, layout)
    w = w.reshape(*w.shape[:-1], spec.groups, w.shape[-1] // spec.groups)
    for number, (axis, blocks) in enumerate(zip(spec.axes, counts(spec, sizes), strict=True)):
        rows = rows_of(axis)
        w = jnp.stack([_of_all_phases(w, 2 * number, axis, row) for row in rows], 2 * number)
        pixels = _met(pixels, 2 + number, rows, blocks)
    # The axes of w are a row and a phase, for each spatial axis, then out / groups, groups, c / groups.
    met, groups, taken = range(0, 2 * rank, 2), 2 * rank + 1, 2 * rank + 2
    contracted = [*range(2 + rank, pixels.ndim)], [*met, taken]
    blocks = _product(pixels, w, contracted, ([0], [groups]), precision, wide)
    return interleave(blocks, spec, layout, [0] * rank, spec.output_sizes(sizes)).astype(dtype)


def forward_convolution(
    z: jax.Array, w: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any
) -> jax.Array:
    wide = sums_in(dtype)
    z, w = alike(z, w, wide)
    w = w.reshape(*w.shape[:-1], spec.groups, w.shape[-1] // spec.groups)
    outputs, rank = _under_taps(z, spec, layout, spec.input_sizes(layout.spatial(z.shape))), spec.rank
    contracted = [*range(2 + rank, outputs.ndim)], [*range(rank + 1)]
    product = _product(outputs, w, contracted, ([0], [rank + 1]), precision, wide)
    return together(product, layout).astype(dtype)


def kernel_gradient(x: jax.Array, z: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> jax.Array:
    wide = sums_in(dtype)
    x, z = alike(x, z, wide)
    outputs, rank = _under_taps(z, spec, layout, layout.spatial(x.shape)), spec.rank
    positions = [*range(1, 2 + rank)]
    product = _product(outputs, by_group(x, spec, layout), (positions, positions), ([0], [0]), precision, wide)
    w = jnp.moveaxis(product, 0, rank + 1)
    return w.reshape(*w.shape[: rank + 1], w.shape[-2] * w.shape[-1]).astype(dtype)


def _product(a: jax.Array, b: jax.Array, contracted: Any, batch: Any, precision: Any, dtype: Any) -> jax.Array:
    return lax.dot_general(a, b, (contracted, batch), precision=precision, preferred_element_type=dtype)


def _of_all_phases(w: jax.Array, position: int, axis: Axis, row: Row) -> jax.Array:
    """The taps of ``w`` along ``position`` that are in this row, at their phases, and zeros at the others."""
    around, end = [(0, 0, 0)] * w.ndim, row.phase + (row.last - row.first - 1) * axis.dilation + 1
    around[position] = (row.phase, axis.stride - end, axis.dilation - 1)
    return lax.pad(lax.slice_in_dim(w, row.first, row.last, axis=position), jnp.zeros((), w.dtype), around)


def _met(pixels: jax.Array, position: int, rows: Sequence[Row], blocks: Size) -> jax.Array:
    """The pixels whose stamps' ``rows`` lie in each block, on an axis of their own before the channels."""
    size = pixels.shape[position]
    there = {0: _of_size(pixels, position, max(blocks, size))}
    for ahead, reached, _ in _outward([-row.number for row in rows]):
        there[ahead] = _shifted(there[reached], position, ahead - reached)
    return jnp.stack([_of_size(there[-row.number], position, blocks) for row in rows], pixels.ndim - 1)


def _under_taps(z: jax.Array, spec: Spec, layout: Layout, sizes: Any) -> jax.Array:
    """``(groups, batch, pixels..., taps..., o / groups)``: the outputs under the taps of each pixel."""
    z = by_group(z, spec, layout)
    for position, (axis, size) in enumerate(zip(spec.axes, sizes, strict=True), 2):
        number = max(size, -(-z.shape[position] // axis.stride))
        z = _of_size(z, position, number * axis.stride)
        z = z.reshape(*z.shape[:position], number, axis.stride, *z.shape[position + 1 :])
        rows, there = {row.number: row for row in rows_of(axis)}, {}
        last = {by: row.phase + (row.last - row.first - 1) * axis.dilation for by, row in rows.items()}
        for by, reached, further in _outward(rows):  # with no more phases than are met there, or further on
            phases, start = there[reached] if reached else (z, 0)
            first, end = min(rows[one].phase for one in further), max(last[one] for one in further) + 1
            phases = lax.slice_in_dim(phases, first - start, end - start, axis=position + 1)
            there[by] = _shifted(phases, position, by - reached), first
        each = []
        for by, row in rows.items():
            phases, start = there[by]
            taps = slice(row.phase - start, last[by] + 1 - start, axis.dilation)
            each.append(_of_size(phases, position, size)[(slice(None),) * (position + 1) + (taps,)])
        z = jnp.moveaxis(lax.concatenate(each, position + 1), position + 1, z.ndim - 2)
    return z


def _outward(ahead: Collection[int]) -> Iterator[tuple[int, int, list[int]]]:
    """Each number of rows ahead, the one that it is shifted on from, and it and those further on: first 0, then away.

    So no row crosses from one device to another twice.
    """
    for way in (1, -1):
        reached, found = 0, sorted((by for by in ahead if by * way > 0 or by == 0 < way), key=abs)
        for number, by in enumerate(found):
            yield by, reached, found[number:]
            reached = by


def _shifted(a: jax.Array, position: int, ahead: int) -> jax.Array:
    """What lies so many rows ahead, and zero where there is nothing."""
    return _padded(a, position, -ahead, ahead)


def _of_size(a: jax.Array, position: int, size: Size) -> jax.Array:
    """``a`` with zeros after it, or cut."""
    return _padded(a, position, 0, size - a.shape[position])


def _padded(a: jax.Array, position: int, before: Size, after: Size) -> jax.Array:
    around: list[Any] = [(0, 0, 0)] * a.ndim
    around[position] = (before, after, 0)
    return lax.pad(a, jnp.zeros((), a.dtype), around)
