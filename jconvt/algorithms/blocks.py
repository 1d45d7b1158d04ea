"""The output as blocks of ``stride`` positions along each axis: what ``gemm`` and ``polyphase`` have in common.

Position ``q * stride + p`` is of block ``q`` and phase ``p``.
"""

from collections.abc import Sequence

import jax
from jax import lax

from ..axis import Axis
from ..errors import ArgumentError
from ..integers import Size
from ..layout import Layout
from ..spec import Spec

MOST_PARTS = 1024
"""The most products or convolutions that one call is written out as: programs beyond take minutes to compile."""


def refuse(method: str, parts: str, spec: Spec) -> ArgumentError:
    """The error for a geometry that a method would write out as too many parts."""
    return ArgumentError(
        f"method {method!r} would write out too many {parts}",
        got=f"kernel {[a.kernel for a in spec.axes]}, stride {[a.stride for a in spec.axes]}",
        legal=f"at most {MOST_PARTS} {parts}",
        fix="pass another method, or leave method out for 'auto'",
    )


def _count(axis: Axis, size: Size) -> Size:
    """How many blocks cover the output for ``size`` pixels: as many, and what the output has more, rounded up."""
    return size - (axis.stride - axis.extent + axis.lo + axis.hi) // axis.stride


def counts(spec: Spec, sizes: Sequence[Size]) -> list[Size]:
    """The number of blocks along each axis, for ``sizes`` pixels."""
    return [_count(axis, size) for axis, size in zip(spec.axes, sizes, strict=True)]


def interleave(blocks: jax.Array, spec: Spec, layout: Layout, sizes: Sequence[Size]) -> jax.Array:
    """``(groups, batch, blocks..., phases..., o / groups)`` as ``(batch, sizes..., o)`` in ``layout``."""
    rank, last = spec.rank, blocks.ndim - 1
    spatial = [axis for pair in zip(range(2, 2 + rank), range(2 + rank, last), strict=True) for axis in pair]
    order = (1, 0, last, *spatial) if layout.channels_first else (1, *spatial, 0, last)
    covered = [number * axis.stride for number, axis in zip(blocks.shape[2:], spec.axes, strict=False)]
    batch, channels = blocks.shape[1], blocks.shape[0] * blocks.shape[last]
    y = blocks.transpose(order).reshape(layout.shape(batch, covered, channels))
    return lax.slice(y, (0,) * y.ndim, layout.shape(batch, sizes, channels))
