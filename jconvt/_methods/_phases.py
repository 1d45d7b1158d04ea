"""Phases and blocks: which taps reach which outputs, and from which pixels.

Output position ``q * stride + p`` is in block ``q`` and has phase ``p``. Only the taps with ``t * dilation = p + lo``
modulo ``stride`` reach it, each from another pixel:

    output[q * stride + p]  =  sum over those t of  w[t] * x[q + (p + lo - t * dilation) / stride]
"""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from .._geometry.arguments import Size
from .._geometry.axis import Axis
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ..errors import ArgumentError

MAX_PARTS = 256
"""The most convolutions or slices that one call is unrolled into. Larger programs take minutes to compile."""


def too_many_parts(method: str, parts: str, spec: Spec) -> ArgumentError:
    """The error for a geometry that a method would unroll into more than ``MAX_PARTS`` parts."""
    return ArgumentError(
        f"method {method!r} would unroll into too many {parts}",
        got=f"kernel {[a.kernel for a in spec.axes]}, stride {[a.stride for a in spec.axes]}",
        legal=f"at most {MAX_PARTS} {parts}",
        fix="leave method out for 'auto', or pass 'dilated' or 'vjp', which support every geometry",
    )


class PhaseGroup(NamedTuple):
    """``width`` phases, from ``phase`` on, that read the same pixels.

    ``taps`` are the taps of the first phase; each further phase uses the next tap. The first tap reads the pixel
    ``ahead`` of the block, and each further tap reads ``spacing`` pixels before that.
    """

    phase: int
    width: int
    taps: tuple[int, ...]
    ahead: int
    spacing: int

    @property
    def span(self) -> int:
        """The distance from the last to the first pixel that is read."""
        return (len(self.taps) - 1) * self.spacing


@functools.lru_cache(1024)
def phase_groups(axis: Axis) -> tuple[PhaseGroup, ...]:
    """The phases of an axis, grouped where neighboring phases read the same pixels with neighboring taps."""
    found: list[PhaseGroup] = []
    for phase in range(axis.stride):
        position = phase + axis.lo
        taps = [tap for tap in range(axis.kernel) if (position - tap * axis.dilation) % axis.stride == 0]
        ahead = (position - taps[0] * axis.dilation) // axis.stride if taps else 0
        spacing = (taps[1] - taps[0]) * axis.dilation // axis.stride if len(taps) > 1 else 1
        previous = found[-1] if found else None
        if previous and (previous.ahead, [tap + previous.width for tap in previous.taps]) == (ahead, taps):
            found[-1] = previous._replace(width=previous.width + 1)
        else:
            found.append(PhaseGroup(phase, 1, tuple(taps), ahead, spacing))
    return tuple(found)


@functools.lru_cache(1024)
def aligned(spec: Spec) -> tuple[tuple[int, ...], Spec]:
    """Return where the output starts inside the blocks, and the geometry of these blocks.

    Blocks that start at a multiple of the stride need fewer phase groups: a kernel whose size is a multiple of the
    stride needs one. Where that saves nothing, blocks start with the output.
    """
    starts, axes = [], []
    for axis in spec.axes:
        start = axis.lo % axis.stride
        moved = axis.with_crop(axis.lo - start, axis.hi)
        saves = len(phase_groups(moved)) < len(phase_groups(axis))
        starts.append(start if saves else 0)
        axes.append(moved if saves else axis)
    return tuple(starts), Spec(tuple(axes), spec.groups)


def num_blocks(spec: Spec, sizes: Sequence[Size]) -> list[Size]:
    """``ceil(output / stride)`` along each axis for ``sizes`` pixels, written so that symbolic sizes stay affine."""
    return [n - (a.stride - a.extent + a.lo + a.hi) // a.stride for a, n in zip(spec.axes, sizes, strict=True)]


def pad_axes(a: Array, config: Mapping[int, tuple[Size, Size, int]]) -> Array:
    """``lax.pad`` with zeros: (before, after, interior) for some axes. Negative numbers crop."""
    return lax.pad(a, jnp.zeros((), a.dtype), [config.get(axis, (0, 0, 0)) for axis in range(a.ndim)])


def group_taps(w: Array, groups: Sequence[PhaseGroup]) -> Array:
    """Split each axis of ``w`` into the taps, the last one first, and the phases of its phase group.

    Taps are stacked one by one: XLA would fuse a reversal into the convolution, and then compute it with loops.
    """
    for axis, group in zip(range(0, 2 * len(groups), 2), groups, strict=True):
        taps = reversed(group.taps)
        w = jnp.stack([lax.slice_in_dim(w, tap, tap + group.width, axis=axis) for tap in taps], axis)
    return w


def concatenate_phases(parts: Sequence[Array], spec: Spec) -> Array:
    """Concatenate the phases of each combination of one phase group for each axis.

    ``spec`` is aligned. Parts are ``(groups, batch, blocks..., phases..., channels)``, the last axis varying fastest.
    """
    for axis in reversed(range(spec.rank)):
        count = len(phase_groups(spec.axes[axis]))
        starts = range(0, len(parts), count)
        parts = [lax.concatenate(parts[i : i + count], 2 + spec.rank + axis) for i in starts]
    return parts[0]


def split_groups(a: Array, spec: Spec, layout: Layout) -> Array:
    """``(batch, spatial..., channels)`` in ``layout`` as ``(groups, batch, spatial..., channels / groups)``."""
    channel = layout.channel_axis
    a = a.reshape(*a.shape[:channel], spec.groups, a.shape[channel] // spec.groups, *a.shape[channel + 1 :])
    return jnp.moveaxis(a, (channel, channel + 1), (0, a.ndim - 1))


def merge_groups(a: Array, layout: Layout) -> Array:
    """The inverse of ``split_groups``."""
    channel = layout.channel_axis
    a = jnp.moveaxis(a, (0, a.ndim - 1), (channel, channel + 1))
    return a.reshape(*a.shape[:channel], a.shape[channel] * a.shape[channel + 1], *a.shape[channel + 2 :])


def interleave(blocks: Array, spec: Spec, layout: Layout, starts: Sequence[int], sizes: Sequence[Size]) -> Array:
    """``(groups, batch, blocks..., phases..., o / groups)`` as ``(batch, sizes..., o)`` in ``layout``.

    Along each axis the output starts at position ``start`` of the blocks.
    """
    rank, last = spec.rank, blocks.ndim - 1
    spatial = [axis for pair in zip(range(2, 2 + rank), range(2 + rank, last), strict=True) for axis in pair]
    order = (1, 0, last, *spatial) if layout.channels_first else (1, *spatial, 0, last)
    covered = [number * axis.stride for number, axis in zip(blocks.shape[2:], spec.axes, strict=False)]
    batch, channels = blocks.shape[1], blocks.shape[0] * blocks.shape[last]
    y = blocks.transpose(order).reshape(layout.shape(batch, covered, channels))
    ends = [start + size for start, size in zip(starts, sizes, strict=True)]
    return lax.slice(y, layout.shape(0, starts, 0), layout.shape(batch, ends, channels))
