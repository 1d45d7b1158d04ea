"""Which taps reach which output phases, from which pixels, along one axis.

Output position ``q * stride + p`` is of block ``q`` and phase ``p``. Only the taps with ``t * dilation = p + lo``
modulo ``stride`` reach it, each from another pixel:

    output[q * stride + p]  =  sum over those t of  w[t] * x[q + (p + lo - t * dilation) / stride]
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .._geometry.arguments import Size
from .._geometry.axis import Axis
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ..errors import ArgumentError


class Share(NamedTuple):
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
def shares(axis: Axis) -> tuple[Share, ...]:
    """The phases of an axis, those that meet the same pixels with neighbouring taps as one share."""
    found: list[Share] = []
    for phase in range(axis.stride):
        position = phase + axis.lo
        taps = [tap for tap in range(axis.kernel) if (position - tap * axis.dilation) % axis.stride == 0]
        ahead = (position - taps[0] * axis.dilation) // axis.stride if taps else 0
        spacing = (taps[1] - taps[0]) * axis.dilation // axis.stride if len(taps) > 1 else 1
        before = found[-1] if found else None
        if before and (before.ahead, [tap + before.width for tap in before.taps]) == (ahead, taps):
            found[-1] = before._replace(width=before.width + 1)
        else:
            found.append(Share(phase, 1, tuple(taps), ahead, spacing))
    return tuple(found)


def aligned(spec: Spec, stamped: int = 0) -> tuple[list[int], Spec]:
    """Where the output begins in blocks that begin at a multiple of the stride, and the geometry of these blocks.

    There a kernel of a multiple of the stride has but one share: all phases meet the same pixels. Blocks begin with the
    output, at 0, where this gains nothing, and along the first ``stamped`` axes.
    """
    starts, axes = [0] * stamped, [*spec.axes[:stamped]]
    for axis in spec.axes[stamped:]:
        start = axis.lo % axis.stride
        moved = dataclasses.replace(axis, lo=axis.lo - start)
        gains = len(shares(moved)) < len(shares(axis))
        starts.append(start if gains else 0)
        axes.append(moved if gains else axis)
    return starts, Spec(tuple(axes), spec.groups)


def pixels_met(axis: Axis) -> int:
    """How many times each pixel is met by a block along an axis that is aligned."""
    return sum(len(share.taps) for share in shares(axis))


def taps_of_shares(w: jax.Array, chosen: tuple[Share, ...], first: int = 0, last_first: bool = False) -> jax.Array:
    """``w`` with each axis, from ``first`` on, made one of taps and one of phases: those that these shares have.

    Taps are put in order one by one: XLA would make a reversal part of the convolution, and then compute it in loops.
    """
    for number, share in enumerate(chosen):
        axis = first + 2 * number
        taps = reversed(share.taps) if last_first else share.taps
        w = jnp.stack([lax.slice_in_dim(w, tap, tap + share.width, axis=axis) for tap in taps], axis)
    return w


def meeting(pixels: jax.Array, position: int, share: Share, number: Size) -> jax.Array:
    """``pixels`` with the axis at ``position`` made one of blocks, and one, before the channels, of what taps meet."""
    around, size = [(0, 0, 0)] * pixels.ndim, pixels.shape[position]
    each = []
    for tap in range(len(share.taps)):
        ahead = share.met(tap)
        around[position] = (-ahead, number - size + ahead, 0)
        each.append(lax.pad(pixels, jnp.zeros((), pixels.dtype), around))
    return jnp.stack(each, pixels.ndim - 1)


def of_all_shares(part: Callable[[tuple[Share, ...]], jax.Array], spec: Spec, stamped: int = 0) -> jax.Array:
    """All phases: ``part`` gives those of one share along each axis, but for the first ``stamped`` ones.

    ``spec`` is aligned, and parts are ``(groups, batch, blocks..., phases..., channels)``.
    """

    def phases(chosen: tuple[Share, ...]) -> jax.Array:
        axis = stamped + len(chosen)
        if axis == spec.rank:
            return part(chosen)
        each = [phases((*chosen, share)) for share in shares(spec.axes[axis])]
        return lax.concatenate(each, 2 + spec.rank + axis)

    return phases(())


MOST_PARTS = 256
"""The most convolutions or slices that one call is written out as: programs beyond take minutes to compile."""


def refuse(method: str, parts: str, spec: Spec) -> ArgumentError:
    """The error for a geometry that a method would write out as too many parts."""
    return ArgumentError(
        f"method {method!r} would write out too many {parts}",
        got=f"kernel {[a.kernel for a in spec.axes]}, stride {[a.stride for a in spec.axes]}",
        legal=f"at most {MOST_PARTS} {parts}",
        fix="leave method out for 'auto', or pass 'dilated' or 'vjp', which serve every geometry",
    )


def _count(axis: Axis, size: Size) -> Size:
    """How many blocks cover the output for ``size`` pixels: as many, and what the output has more, rounded up."""
    return size - (axis.stride - axis.extent + axis.lo + axis.hi) // axis.stride


def counts(spec: Spec, sizes: Sequence[Size]) -> list[Size]:
    """The number of blocks along each axis, for ``sizes`` pixels."""
    return [_count(axis, size) for axis, size in zip(spec.axes, sizes, strict=True)]


def by_group(a: jax.Array, spec: Spec, layout: Layout) -> jax.Array:
    """``(batch, spatial..., channels)`` in ``layout`` as ``(groups, batch, spatial..., channels / groups)``."""
    channel = layout.channel_axis
    a = a.reshape(*a.shape[:channel], spec.groups, a.shape[channel] // spec.groups, *a.shape[channel + 1 :])
    return jnp.moveaxis(a, (channel, channel + 1), (0, a.ndim - 1))


def together(a: jax.Array, layout: Layout) -> jax.Array:
    """The inverse of ``by_group``."""
    a = jnp.moveaxis(a, (0, a.ndim - 1), (layout.channel_axis, layout.channel_axis + 1))
    channel = layout.channel_axis
    return a.reshape(*a.shape[:channel], a.shape[channel] * a.shape[channel + 1], *a.shape[channel + 2 :])


def interleave(
    blocks: jax.Array, spec: Spec, layout: Layout, starts: Sequence[int], sizes: Sequence[Size]
) -> jax.Array:
    """``(groups, batch, blocks..., phases..., o / groups)`` as ``(batch, sizes..., o)`` in ``layout``.

    Along each axis the output begins at position ``start`` of the blocks.
    """
    rank, last = spec.rank, blocks.ndim - 1
    spatial = [axis for pair in zip(range(2, 2 + rank), range(2 + rank, last), strict=True) for axis in pair]
    order = (1, 0, last, *spatial) if layout.channels_first else (1, *spatial, 0, last)
    covered = [number * axis.stride for number, axis in zip(blocks.shape[2:], spec.axes, strict=False)]
    batch, channels = blocks.shape[1], blocks.shape[0] * blocks.shape[last]
    y = blocks.transpose(order).reshape(layout.shape(batch, covered, channels))
    ends = [start + size for start, size in zip(starts, sizes, strict=True)]
    return lax.slice(y, layout.shape(0, starts, 0), layout.shape(batch, ends, channels))


def split(z: jax.Array, spec: Spec, starts: Sequence[int], numbers: Sequence[Size], first: int) -> jax.Array:
    """``z`` with each axis from spatial axis ``first`` on made one of blocks, and one of phases before the channels.

    The inverse of ``interleave``, but for the groups: what the ``numbers`` of blocks have beyond the output is zero.
    """
    for position, (axis, start, number) in [*enumerate(zip(spec.axes, starts, numbers, strict=True), 2)][first:]:
        ends = [(0, 0, 0)] * z.ndim
        ends[position] = (start, number * axis.stride - start - z.shape[position], 0)
        z = lax.pad(z, jnp.zeros((), z.dtype), ends)
        z = z.reshape(*z.shape[:position], number, axis.stride, *z.shape[position + 1 :])
        z = jnp.moveaxis(z, position + 1, z.ndim - 2)
    return z
