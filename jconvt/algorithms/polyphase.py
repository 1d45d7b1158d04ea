"""Transposed convolution as one dense convolution for each output phase.

Output position ``q * stride + p`` is of phase ``p``. Only the taps with ``t * dilation = p + lo`` modulo ``stride``
reach it, each from another pixel:

    output[q * stride + p]  =  sum over those t of  w[t] * x[q + (p + lo - t * dilation) / stride]

so each phase is a convolution of stride 1, with its own share of the taps. Neighbouring phases that meet the same
pixels with neighbouring taps are the output channels of one convolution. No zero is multiplied.

Read backwards, the outputs of these phases in one block, times the taps, are what the block adds to the pixels that it
meets: that is the forward convolution. Times these pixels, they are the share's part of the kernel gradient.
"""

import dataclasses
import functools
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
from .blocks import MOST_PARTS, by_group, counts, interleave, refuse, split, together
from .products import as_matrices, matrix_product
from .sums import alike, sums_in


def transposed_convolution(
    x: jax.Array, w: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any
) -> jax.Array:
    wide = sums_in(dtype)
    x, w = alike(x, w, wide)
    rank, groups, out = spec.rank, spec.groups, w.shape[spec.rank]
    sizes = layout.spatial(x.shape)
    starts, aligned = _aligned(spec)
    numbers = counts(aligned, sizes)

    def phases(chosen: tuple[_Share, ...]) -> jax.Array:
        """``(groups, batch, blocks..., phases..., o / groups)`` of the phases that these shares have."""
        axis = len(chosen)
        if axis < rank:
            return lax.concatenate([phases((*chosen, share)) for share in _shares(aligned.axes[axis])], 2 + rank + axis)
        widths = [share.width for share in chosen]
        if not all(share.taps for share in chosen):
            return jnp.zeros((groups, x.shape[0], *numbers, *widths, out), wide)
        # (taps..., c / groups, groups * phases... * o / groups)
        kernel = jnp.moveaxis(_taps(w, chosen, groups, last_first=True), (0, -1), (rank + 1, rank))
        y = lax.conv_general_dilated(
            x,
            lax.optimization_barrier(kernel.reshape(*kernel.shape[: rank + 1], groups * math.prod(widths) * out)),
            window_strides=(1,) * rank,
            padding=[
                (share.reach - share.ahead, number - size + share.ahead)
                for share, number, size in zip(chosen, numbers, sizes, strict=True)
            ],
            rhs_dilation=[share.spacing for share in chosen],
            dimension_numbers=lax.ConvDimensionNumbers(
                lhs_spec=(0, layout.channel_axis, *layout.spatial_axes),
                rhs_spec=(rank + 1, rank, *range(rank)),
                out_spec=(0, rank + 1, *range(1, rank + 1)),
            ),
            feature_group_count=groups,
            precision=precision,
            preferred_element_type=wide,
        )
        return jnp.moveaxis(y.reshape(*y.shape[:-1], groups, *widths, out), rank + 1, 0)

    return interleave(phases(()), aligned, layout, starts, spec.output_sizes(sizes)).astype(dtype)


def forward_convolution(
    z: jax.Array, w: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any
) -> jax.Array:
    wide = sums_in(dtype)
    z, w = alike(z, w, wide)
    rank, groups, sizes = spec.rank, spec.groups, spec.input_sizes(layout.spatial(z.shape))
    total = jnp.zeros((groups, z.shape[0], *sizes, w.shape[-1] // groups), wide)
    for shares, outputs in _shared(by_group(z, spec, layout), spec, sizes):
        # (groups, phases... and o / groups, taps... and c / groups)
        taps = jnp.moveaxis(_taps(w, shares, groups), range(1, rank + 1), range(rank + 2, 2 * rank + 2))
        product = matrix_product(as_matrices(outputs, 1 + rank), as_matrices(taps, 1 + rank), (2, 1), precision, wide)
        product = product.reshape(*outputs.shape[: 2 + rank], *(len(share.taps) for share in shares), total.shape[-1])
        for tap in itertools.product(*(range(len(share.taps)) for share in shares)):
            shifts = [
                (share.met(number), size - blocks - share.met(number), 0)
                for share, number, size, blocks in zip(shares, tap, sizes, outputs.shape[2:], strict=False)
            ]
            around = (0, 0, 0)
            met = lax.pad(product[(..., *tap, slice(None))], jnp.zeros((), wide), [around, around, *shifts, around])
            total = total + met
    return together(total, layout).astype(dtype)


def kernel_gradient(x: jax.Array, z: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> jax.Array:
    wide = sums_in(dtype)
    x, z = alike(x, z, wide)
    rank, sizes = spec.rank, layout.spatial(x.shape)
    x, z = by_group(x, spec, layout), by_group(z, spec, layout)
    kernel = [axis.kernel for axis in spec.axes]
    total = jnp.zeros((*kernel, z.shape[-1], spec.groups, x.shape[-1]), wide)
    for shares, outputs in _shared(z, spec, sizes):
        pixels = x
        for axis, share in enumerate(shares):
            pixels = _met(pixels, 2 + axis, share, outputs.shape[2 + axis])
        # (groups, taps... and c / groups, phases... and o / groups)
        product = matrix_product(as_matrices(pixels, 1 + rank), as_matrices(outputs, 1 + rank), (1, 1), precision, wide)
        taps, widths = [len(share.taps) for share in shares], [share.width for share in shares]
        product = product.reshape(spec.groups, *taps, x.shape[-1], *widths, z.shape[-1])
        total = total + _placed(product, shares, kernel)
    return total.reshape(*total.shape[:-2], math.prod(total.shape[-2:])).astype(dtype)


def refusal(spec: Spec) -> ArgumentError | None:
    """The error for a geometry that takes too many convolutions, or whose forward convolution adds up too much."""
    many = max(axis.stride for axis in spec.axes) > MOST_PARTS  # then do not count them one by one
    if many or math.prod(len(_shares(axis)) for axis in _aligned(spec)[1].axes) > MOST_PARTS:
        return refuse("polyphase", "convolutions", spec)
    return refuse("polyphase", "slices", spec) if pixels_met(spec) > MOST_PARTS else None


def pixels_met(spec: Spec) -> int:
    """How many times each pixel is read or written by the products of the two gradients."""
    return math.prod(sum(len(share.taps) for share in _shares(axis)) for axis in _aligned(spec)[1].axes)


def _aligned(spec: Spec) -> tuple[list[int], Spec]:
    """Where the output begins in blocks that begin at a multiple of the stride, and the geometry of these blocks.

    There a kernel of a multiple of the stride has but one share: all phases meet the same pixels. Blocks begin with the
    output, at 0, where this gains nothing.
    """
    starts, axes = [], []
    for axis in spec.axes:
        start = axis.lo % axis.stride
        moved = dataclasses.replace(axis, lo=axis.lo - start)
        gains = len(_shares(moved)) < len(_shares(axis))
        starts.append(start if gains else 0)
        axes.append(moved if gains else axis)
    return starts, Spec(tuple(axes), spec.groups)


class _Share(NamedTuple):
    """``width`` phases, from ``phase`` on, that meet the same pixels, each with taps one on from the last one's.

    ``taps`` are those of the first phase. The first tap meets the pixel ``ahead`` of the block; each further one, the
    pixel ``spacing`` before.
    """

    phase: int
    width: int
    taps: tuple[int, ...]
    ahead: int
    spacing: int

    def met(self, tap: int) -> int:
        """How far ahead of the block the pixel is that the tap of this number meets."""
        return self.ahead - tap * self.spacing

    @property
    def reach(self) -> int:
        """From the last to the first pixel."""
        return (len(self.taps) - 1) * self.spacing


@functools.lru_cache(1024)
def _shares(axis: Axis) -> tuple[_Share, ...]:
    found: list[_Share] = []
    for phase in range(axis.stride):
        position = phase + axis.lo
        taps = [tap for tap in range(axis.kernel) if (position - tap * axis.dilation) % axis.stride == 0]
        ahead = (position - taps[0] * axis.dilation) // axis.stride if taps else 0
        spacing = (taps[1] - taps[0]) * axis.dilation // axis.stride if len(taps) > 1 else 1
        before = found[-1] if found else None
        if before and (before.ahead, [tap + before.width for tap in before.taps]) == (ahead, taps):
            found[-1] = before._replace(width=before.width + 1)
        else:
            found.append(_Share(phase, 1, tuple(taps), ahead, spacing))
    return tuple(found)


def _shared(z: jax.Array, spec: Spec, sizes: Sequence[Size]) -> Iterator[tuple[tuple[_Share, ...], jax.Array]]:
    """One share for each axis, and their outputs: ``(groups, batch, blocks..., phases..., o / groups)``."""
    starts, aligned = _aligned(spec)
    blocks = split(z, aligned, starts, counts(aligned, sizes))
    for shares in itertools.product(*map(_shares, aligned.axes)):
        if all(share.taps for share in shares):
            yield shares, blocks[(..., *(slice(one.phase, one.phase + one.width) for one in shares), slice(None))]


def _taps(w: jax.Array, shares: tuple[_Share, ...], groups: int, last_first: bool = False) -> jax.Array:
    """``(groups, taps..., phases..., o / groups, c / groups)``: what each phase multiplies what its taps meet by.

    Taps are put in order one by one: XLA would make a reversal part of the convolution, and then compute it in loops.
    """
    rank = len(shares)
    for axis, share in enumerate(shares):  # one axis of taps after the other becomes one of taps and one of phases
        taps = reversed(share.taps) if last_first else share.taps
        w = jnp.stack([lax.slice_in_dim(w, tap, tap + share.width, axis=2 * axis) for tap in taps], 2 * axis)
    w = w.reshape(*w.shape[:-1], groups, w.shape[-1] // groups)
    taps, phases = range(0, 2 * rank, 2), range(1, 2 * rank, 2)
    return w.transpose(2 * rank + 1, *taps, *phases, 2 * rank, 2 * rank + 2)


def _met(pixels: jax.Array, position: int, share: _Share, number: Size) -> jax.Array:
    """``pixels`` with the axis at ``position`` made one of blocks, and one, before the channels, of what taps meet."""
    around, size = [(0, 0, 0)] * pixels.ndim, pixels.shape[position]
    each = []
    for tap in range(len(share.taps)):
        ahead = share.met(tap)
        around[position] = (-ahead, number - size + ahead, 0)
        each.append(lax.pad(pixels, jnp.zeros((), pixels.dtype), around))
    return jnp.stack(each, pixels.ndim - 1)


def _placed(product: jax.Array, shares: Sequence[_Share], kernel: Sequence[int]) -> jax.Array:
    """``(groups, taps..., c / groups, phases..., o / groups)`` as ``(k..., o / groups, groups, c / groups)``.

    Taps that the shares do not have are zero.
    """
    rank = len(shares)
    pairs = [axis for pair in zip(range(1, 1 + rank), range(2 + rank, 2 + 2 * rank), strict=True) for axis in pair]
    w = product.transpose(*pairs, 2 + 2 * rank, 0, 1 + rank)
    for axis, (share, size) in enumerate(zip(shares, kernel, strict=True)):
        first, step = share.taps[0], share.taps[1] - share.taps[0] if len(share.taps) > 1 else share.width
        around = [(0, 0, 0)] * w.ndim
        around[axis + 1] = (0, step - share.width, 0)
        w = lax.pad(w, jnp.zeros((), w.dtype), around)
        w = w.reshape(*w.shape[:axis], w.shape[axis] * step, *w.shape[axis + 2 :])
        around = [(0, 0, 0)] * w.ndim
        around[axis] = (first, size - first - w.shape[axis], 0)
        w = lax.pad(w, jnp.zeros((), w.dtype), around)
    return w
