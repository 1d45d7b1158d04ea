"""The output as blocks of ``stride`` positions along each axis: what ``gemm`` and ``polyphase`` have in common.

Position ``q * stride + p`` is of block ``q`` and phase ``p``.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ..axis import Axis
from ..errors import ArgumentError
from ..integers import Size
from ..layout import Layout
from ..spec import Spec

MOST_PARTS = 1024
"""The most products or convolutions that one call is written out as: programs beyond take minutes to compile."""


def prepare(x: jax.Array, w: jax.Array, dtype: Any, method: str) -> tuple[jax.Array, jax.Array]:
    """The operands in the dtype of the sums: the result's, but float32 for half precision.

    Each operand is in many products, so its gradient is a sum of as many: it, too, is to be rounded only once.
    """
    if any(part is not None for part in jax.typeof(x).sharding.spec + jax.typeof(w).sharding.spec):
        raise ArgumentError(
            f"method {method!r} reshapes, which the explicit axes of a mesh do not allow",
            got=f"operands sharded as {jax.typeof(x)} and {jax.typeof(w)}",
            legal="'auto', 'dilated' or 'vjp', or a mesh with automatic axes",
            fix="pass another method, or make the mesh with axis_types=(jax.sharding.AxisType.Auto,)",
        )
    if not jnp.issubdtype(dtype, jnp.floating):
        return x, w
    wide = jnp.dtype(jnp.float32) if dtype.itemsize < 4 else dtype
    return x.astype(wide), w.astype(wide)


def refuse(method: str, parts: str, spec: Spec) -> ArgumentError:
    """The error for a geometry that a method would write out as too many parts."""
    return ArgumentError(
        f"method {method!r} would write out too many {parts}",
        got=f"kernel {[a.kernel for a in spec.axes]}, stride {[a.stride for a in spec.axes]}",
        legal=f"at most {MOST_PARTS} {parts}",
        fix="pass another method, or leave method out for 'auto'",
    )


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
