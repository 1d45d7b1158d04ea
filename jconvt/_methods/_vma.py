"""Under ``shard_map``: which arrays vary over the devices of a mesh, and which are the same on all of them."""

from typing import Any

import jax
from jax import lax


def vary_alike(*operands: jax.Array) -> list[jax.Array]:
    """The operands, all varying as one of them does. The gradient of what was the same everywhere becomes a sum."""
    axes = [jax.typeof(operand).manual_axis_type.varying for operand in operands]
    missing = [tuple(frozenset.union(*axes) - own) for own in axes]
    return [
        lax.pcast(operand, names, to="varying") if names else operand
        for operand, names in zip(operands, missing, strict=True)
    ]


def unknown(a: jax.Array, shape: tuple[Any, ...], dtype: Any) -> jax.ShapeDtypeStruct:
    """What ``jax.linear_transpose`` is to transpose in: an array that varies over the devices of a mesh as ``a`` does.

    Were it said to be the same on all of them, JAX would sum its cotangent over them.
    """
    varying = jax.typeof(a).manual_axis_type
    if varying.empty:
        return jax.ShapeDtypeStruct(shape, dtype)
    whole = jax.sharding.PartitionSpec(*[None] * len(shape))
    sharding = jax.typeof(a).sharding.update(spec=whole)
    return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding, manual_axis_type=varying)
