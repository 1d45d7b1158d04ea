"""The output as blocks of ``stride`` positions along each axis: what ``gemm`` and ``polyphase`` have in common.

Position ``q * stride + p`` is of block ``q`` and phase ``p``.
"""

import jax
from jax import lax

from ..axis import Axis
from ..integers import Size
from ..layout import Layout
from ..spec import Spec


def count(axis: Axis, size: Size) -> Size:
    """How many blocks cover the output for ``size`` pixels: as many, and what the output has more, rounded up."""
    return size - (axis.stride - axis.extent + axis.lo + axis.hi) // axis.stride


def interleave(blocks: jax.Array, spec: Spec, layout: Layout, sizes: tuple[Size, ...]) -> jax.Array:
    """``(groups, batch, blocks..., phases..., o / groups)`` as ``(batch, sizes..., o)`` in ``layout``."""
    rank, last = spec.rank, blocks.ndim - 1
    spatial = [axis for pair in zip(range(2, 2 + rank), range(2 + rank, last), strict=True) for axis in pair]
    order = (1, 0, last, *spatial) if layout.channels_first else (1, *spatial, 0, last)
    covered = [number * axis.stride for number, axis in zip(blocks.shape[2:], spec.axes, strict=False)]
    batch, channels = blocks.shape[1], blocks.shape[0] * blocks.shape[last]
    y = blocks.transpose(order).reshape(layout.shape(batch, covered, channels))
    return lax.slice(y, (0,) * y.ndim, layout.shape(batch, sizes, channels))
