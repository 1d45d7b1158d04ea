"""The three maps as products of matrices, where each axis is stamped or gathered.

Along a *stamped* axis a pixel's product holds all of its taps, and what overlaps is added up. Tap ``t`` lands at

    i * stride + t * dilation - lo  =  (i + row) * stride + phase,    0 <= phase < stride

so the taps of one row never overlap, and rows are shifted against each other by whole blocks of ``stride`` outputs.

Along a *gathered* axis a block of outputs sums, within the product, over the pixels that its phases meet. Phases that
meet the same pixels share a product; so there is one for each choice of a share along each gathered axis.

Stamping copies outputs ``kernel / stride`` times, and gathering copies pixels as often as blocks meet them: which is
less depends on the channels. One axis of each kind copies both a few times, and neither ``kernel`` squared times.
Read backwards, what was stamped is gathered from the outputs, and what was gathered is added up on the pixels.
No zero is multiplied, and no kernel is flipped.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .._geometry.arguments import Size
from .._geometry.axis import Axis
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ._accumulation import alike, sums_in
from ._phases import (
    Share,
    aligned,
    by_group,
    counts,
    interleave,
    meeting,
    of_all_shares,
    pixels_met,
    shares,
    split,
    taps_of_shares,
    together,
)


def transposed_convolution(
    x: jax.Array, w: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any, stamped: int
) -> jax.Array:
    """``z``, with the first ``stamped`` axes stamped, and the others gathered."""
    wide = sums_in(dtype)
    x, w = alike(x, w, wide)
    rank, sizes = spec.rank, layout.spatial(x.shape)
    starts, blocks_spec = aligned(spec, stamped)
    numbers = counts(blocks_spec, sizes)
    x = by_group(x, spec, layout)
    strides = [axis.stride for axis in spec.axes[:stamped]]

    def part(chosen: tuple[Share, ...]) -> jax.Array:
        widths = [share.width for share in chosen]
        if not all(share.taps for share in chosen):
            return jnp.zeros((*x.shape[:2], *numbers, *strides, *widths, w.shape[rank]), wide)
        pixels, taps = _pixels(x, chosen, numbers, stamped), _taps(w, chosen, spec)
        product = matrix_product(as_matrices(pixels, 1 + rank), as_matrices(taps, 1 + rank), (2, 2), precision, wide)
        product = product.reshape(*pixels.shape[: 2 + rank], *taps.shape[1 : 2 + rank])
        return _added_up(product, blocks_spec, sizes, numbers, stamped)

    blocks = of_all_shares(part, blocks_spec, stamped)
    return interleave(blocks, blocks_spec, layout, starts, spec.output_sizes(sizes)).astype(dtype)


def forward_convolution(
    z: jax.Array, w: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any, stamped: int
) -> jax.Array:
    """``x``, with the first ``stamped`` axes stamped, and the others gathered."""
    wide = sums_in(dtype)
    z, w = alike(z, w, wide)
    rank, sizes = spec.rank, spec.input_sizes(layout.spatial(z.shape))
    total = None
    for chosen, outputs in _outputs(z, spec, layout, sizes, stamped):
        taps = _taps(w, chosen, spec)
        product = matrix_product(as_matrices(outputs, 1 + rank), as_matrices(taps, 1 + rank), (2, 1), precision, wide)
        product = product.reshape(*outputs.shape[: 2 + rank], *taps.shape[2 + rank :])
        for tap in itertools.product(*(range(len(share.taps)) for share in chosen)):
            around = [(0, 0, 0)] * (3 + rank)
            for axis, (share, number) in enumerate(zip(chosen, tap, strict=True), stamped):
                met = share.met(number)
                around[2 + axis] = (met, sizes[axis] - outputs.shape[2 + axis] - met, 0)
            met = lax.pad(product[(..., *tap, slice(None))], jnp.zeros((), wide), around)
            total = met if total is None else total + met
    assert total is not None  # a kernel has a tap
    return together(total, layout).astype(dtype)


def kernel_gradient(
    x: jax.Array, z: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any, stamped: int
) -> jax.Array:
    """``w``, with the first ``stamped`` axes stamped, and the others gathered."""
    wide = sums_in(dtype)
    x, z = alike(x, z, wide)
    rank, sizes = spec.rank, layout.spatial(x.shape)
    x = by_group(x, spec, layout)
    kernel = [axis.kernel for axis in spec.axes]
    total = None
    for chosen, outputs in _outputs(z, spec, layout, sizes, stamped):
        pixels = _pixels(x, chosen, outputs.shape[2 : 2 + rank], stamped)
        product = matrix_product(as_matrices(outputs, 1 + rank), as_matrices(pixels, 1 + rank), (1, 1), precision, wide)
        product = product.reshape(spec.groups, *outputs.shape[2 + rank :], *pixels.shape[2 + rank :])
        placed = _placed(product, chosen, kernel, stamped)
        total = placed if total is None else total + placed
    assert total is not None  # a kernel has a tap
    return total.reshape(*total.shape[:-2], math.prod(total.shape[-2:])).astype(dtype)


def copied(spec: Spec, stamped: int, taken: int, out: int) -> int:
    """How many numbers of each pixel, of ``taken`` channels to ``out``, lie between operands and result."""
    stamps = math.prod(axis.kernel for axis in spec.axes[:stamped])
    phases = math.prod(axis.stride for axis in spec.axes[stamped:])
    met = math.prod(map(pixels_met, aligned(spec, stamped)[1].axes[stamped:]))
    return stamps * phases * out + (met * taken if stamped < spec.rank else 0)


def parts(spec: Spec, stamped: int) -> int:
    """A bound of the slices that a map is written out as."""
    stamps = math.prod(len(rows_of(axis)) for axis in spec.axes[:stamped])
    gathers = (max(len(shares(axis)), pixels_met(axis)) for axis in aligned(spec, stamped)[1].axes[stamped:])
    return stamps * math.prod(gathers)


class Row(NamedTuple):
    """The taps from ``first`` to before ``last`` that lie in one row, and the phase of the first of them."""

    number: int
    first: int
    last: int
    phase: int


def rows_of(axis: Axis) -> list[Row]:
    def number(tap: int) -> int:
        return (tap * axis.dilation - axis.lo) // axis.stride

    found = [(row, [*taps]) for row, taps in itertools.groupby(range(axis.kernel), key=number)]
    return [Row(row, taps[0], taps[-1] + 1, (taps[0] * axis.dilation - axis.lo) % axis.stride) for row, taps in found]


def _taps(w: jax.Array, chosen: tuple[Share, ...], spec: Spec) -> jax.Array:
    """``(groups, stamped taps..., phases..., o / groups, gathered taps..., c / groups)``: close to how ``w`` lies."""
    stamped, gathered = spec.rank - len(chosen), len(chosen)
    w = taps_of_shares(w, chosen, stamped)
    w = w.reshape(*w.shape[:-1], spec.groups, w.shape[-1] // spec.groups)
    group, taken = w.ndim - 2, w.ndim - 1
    taps, phases = range(stamped, stamped + 2 * gathered, 2), range(stamped + 1, stamped + 2 * gathered, 2)
    return w.transpose(group, *range(stamped), *phases, w.ndim - 3, *taps, taken)


def _pixels(x: jax.Array, chosen: tuple[Share, ...], numbers: Sequence[Size], stamped: int) -> jax.Array:
    """``(groups, batch, pixels or blocks..., gathered taps..., c / groups)``: what each block meets."""
    for axis, share in enumerate(chosen, stamped):
        x = meeting(x, 2 + axis, share, numbers[axis])
    return x


def _added_up(
    product: jax.Array, spec: Spec, sizes: Sequence[Size], numbers: Sequence[Size], stamped: int
) -> jax.Array:
    """The taps of the stamped axes, which follow the positions, as blocks and phases: overlapped, and added up."""
    rank, around = spec.rank, (0, 0, 0)
    total = None
    for rows in itertools.product(*map(rows_of, spec.axes[:stamped])):
        taps = (slice(row.first, row.last) for row in rows)
        row = product[((slice(None),) * (2 + rank)) + (*taps,)]
        config = [around] * product.ndim
        for axis, one in enumerate(rows):
            geometry = spec.axes[axis]
            config[2 + axis] = (one.number, numbers[axis] - sizes[axis] - one.number, 0)
            after = geometry.stride - one.phase - (one.last - one.first - 1) * geometry.dilation - 1
            config[2 + rank + axis] = (one.phase, after, geometry.dilation - 1)
        placed = lax.pad(row, jnp.zeros((), product.dtype), config)
        total = placed if total is None else total + placed
    assert total is not None  # a kernel has a tap
    return total


def _outputs(
    z: jax.Array, spec: Spec, layout: Layout, sizes: Sequence[Size], stamped: int
) -> Iterator[tuple[tuple[Share, ...], jax.Array]]:
    """One share for each gathered axis, and the outputs that go with them.

    These are ``(groups, batch, pixels or blocks..., stamped taps..., phases..., o / groups)``.
    """
    z = by_group(z, spec, layout)
    for position, (axis, size) in enumerate(zip(spec.axes[:stamped], sizes, strict=False), 2):
        # This axis, of outputs, becomes one of pixels, and one of taps that goes before the channels.
        z = jnp.moveaxis(_under_taps(z, position, axis, size), position + 1, z.ndim - 1)
    starts, blocks_spec = aligned(spec, stamped)
    numbers = counts(blocks_spec, sizes)
    z = split(z, blocks_spec, starts, numbers, stamped)
    for chosen in itertools.product(*map(shares, blocks_spec.axes[stamped:])):
        if all(share.taps for share in chosen):
            yield chosen, z[(..., *(slice(one.phase, one.phase + one.width) for one in chosen), slice(None))]


def _under_taps(z: jax.Array, position: int, axis: Axis, size: Size) -> jax.Array:
    """``z`` with the outputs at ``position`` made two axes: pixels, and what lies under the taps of each."""
    rows = rows_of(axis)
    first, blocks = rows[0].number, size + rows[-1].number - rows[0].number
    ends = [(0, 0, 0)] * z.ndim
    ends[position] = (-first * axis.stride, (blocks + first) * axis.stride - z.shape[position], 0)
    z = lax.pad(z, jnp.zeros((), z.dtype), ends)
    z = z.reshape(*z.shape[:position], blocks, axis.stride, *z.shape[position + 1 :])
    each = []
    for row in rows:
        shifted = lax.slice_in_dim(z, row.number - first, row.number - first + size, axis=position)
        last = row.phase + (row.last - row.first - 1) * axis.dilation
        each.append(lax.slice_in_dim(shifted, row.phase, last + 1, axis.dilation, axis=position + 1))
    return lax.concatenate(each, position + 1)


def _placed(product: jax.Array, chosen: Sequence[Share], kernel: Sequence[int], stamped: int) -> jax.Array:
    """``(k..., o / groups, groups, c / groups)``: the kernel that a product of pixels and outputs is a part of.

    The product is ``(groups, stamped taps..., phases..., o / groups, gathered taps..., c / groups)``. Taps that the
    shares do not have are zero.
    """
    out, taken = 1 + len(kernel), product.ndim - 1
    phases, taps = range(1 + stamped, out), range(out + 1, taken)
    pairs = [axis for pair in zip(taps, phases, strict=True) for axis in pair]
    w = product.transpose(*range(1, 1 + stamped), *pairs, out, 0, taken)
    for axis, share in enumerate(chosen, stamped):
        first, step = share.taps[0], share.taps[1] - share.taps[0] if len(share.taps) > 1 else share.width
        around = [(0, 0, 0)] * w.ndim
        around[axis + 1] = (0, step - share.width, 0)
        w = lax.pad(w, jnp.zeros((), w.dtype), around)
        w = w.reshape(*w.shape[:axis], w.shape[axis] * step, *w.shape[axis + 2 :])
        around = [(0, 0, 0)] * w.ndim
        around[axis] = (first, kernel[axis] - first - w.shape[axis], 0)
        w = lax.pad(w, jnp.zeros((), w.dtype), around)
    return w


def matrix_product(a: jax.Array, b: jax.Array, contracted: tuple[int, int], precision: Any, dtype: Any) -> jax.Array:
    """``(groups, rows, columns)``: the product of two such, summed over one axis of each, 1 or 2."""
    (one, other), options = contracted, {"precision": precision, "preferred_element_type": dtype}
    if a.shape[0] > 1:
        return lax.dot_general(a, b, (((one,), (other,)), ((0,), (0,))), **options)
    # An operand of more than two axes would be copied by XLA.
    return lax.dot_general(a[0], b[0], (((one - 1,), (other - 1,)), ((), ())), **options)[None]


def as_matrices(a: jax.Array, rows: int) -> jax.Array:
    """``a`` with its first axis, of groups, kept, the next ``rows`` made one, and the others made one."""
    return a.reshape(a.shape[0], math.prod(a.shape[1 : 1 + rows]), math.prod(a.shape[1 + rows :]))
