"""The dtypes of sums of products."""

from typing import Any

import jax
import jax.numpy as jnp


def sums_in(dtype: Any) -> Any:
    """The dtype that sums are held in for a result of ``dtype``: float32 for half precision, so it is rounded once."""
    return jnp.dtype(jnp.float32) if jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize < 4 else dtype


def alike(a: jax.Array, b: jax.Array, dtype: Any) -> tuple[jax.Array, jax.Array]:
    """Two operands in one dtype, which has a product with sums in ``dtype``."""
    if a.dtype == b.dtype and jnp.issubdtype(a.dtype, jnp.floating) == jnp.issubdtype(dtype, jnp.floating):
        return a, b
    return a.astype(dtype), b.astype(dtype)
