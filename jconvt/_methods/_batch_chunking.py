"""A map computed a few images at a time, so that what lies between its operands and its result stays in the cache.

A fresh array of tens of megabytes costs a CPU more, in pages that the operating system must provide, than the sums that
fill it.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ._accumulation import sums_in
from ._vma import vary_alike


def in_turns(
    compute: Callable[..., jax.Array],
    images: int,
    shape: tuple[int, ...],
    summed: bool,
    a: jax.Array,
    b: jax.Array,
    spec: Spec,
    layout: Layout,
    dtype: Any,
    precision: Any,
) -> jax.Array:
    """What ``compute`` gives, of ``shape``, from ``images`` at a time: a divisor of the batch.

    ``summed`` is for the kernel gradient: both operands have a batch, and the result is a sum over it.
    """
    batch = a.shape[0]
    if images == batch:
        return compute(a, b, spec, layout, dtype, precision)

    def taken(array: jax.Array, turn: Any) -> jax.Array:
        return lax.dynamic_slice_in_dim(array, turn * images, images)

    def placed(turn: Any, result: jax.Array) -> jax.Array:
        part = compute(taken(a, turn), b, spec, layout, dtype, precision)
        return lax.dynamic_update_slice_in_dim(result, part, turn * images, 0)

    def added(turn: Any, result: jax.Array) -> jax.Array:
        return result + compute(taken(a, turn), taken(b, turn), spec, layout, result.dtype, precision)

    if not summed:
        return lax.fori_loop(0, batch // images, placed, vary_alike(jnp.zeros(shape, dtype), a)[0])
    total = lax.fori_loop(0, batch // images, added, vary_alike(jnp.zeros(shape, sums_in(dtype)), a)[0])
    return total.astype(dtype)
