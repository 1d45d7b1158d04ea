"""The output as blocks of ``stride`` positions along each axis: what ``gemm`` and ``polyphase`` have in common.

Position ``q * stride + p`` is of block ``q`` and phase ``p``.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from ..axis import Axis
from ..errors import ArgumentError
from ..integers import Size
from ..layout import Layout
from ..spec import Spec

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
