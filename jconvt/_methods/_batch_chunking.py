"""Compute a map in chunks of the batch, so that its temporaries stay in the cache.

Allocating tens of megabytes costs a CPU more, in pages that the operating system must provide, than the sums that fill
them.
"""

from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from .._geometry.layout import Layout
from .._geometry.maps import Map
from .._geometry.spec import Spec
from .._jax_compat import match_vma
from ._method import Compute, ProblemShape, acc_dtype

_CACHE_BYTES = 8 << 20
"""The target size of the temporaries. Larger ones fall out of the cache."""
_FRESH_PAGES_BYTES = 30 << 20
"""Above this size, every call gets fresh memory, and the operating system faults it in page by page."""


def cpu_chunk_size(temporary_bytes: int, problem: ProblemShape) -> int:
    """The number of images that a CPU should compute at a time: a divisor of the batch."""
    if temporary_bytes <= min(_FRESH_PAGES_BYTES, problem.bytes("x", "w", "z")):
        return problem.batch  # the loop has a cost, too
    each = temporary_bytes // problem.batch
    divisors = (count for count in range(problem.batch, 1, -1) if problem.batch % count == 0)
    return next((count for count in divisors if count * each <= _CACHE_BYTES), 1)


def in_chunks(
    map: Map,
    compute: Compute,
    chunk_size: int,
    shape: tuple[int, ...],
    a: Array,
    b: Array,
    spec: Spec,
    layout: Layout,
    dtype: Any,
    precision: Any,
) -> Array:
    """Return ``compute(a, b, ...)``, of ``shape``, computed ``chunk_size`` images at a time: a divisor of the batch."""

    def chunk(array: Array, index: Any) -> Array:
        return lax.dynamic_slice_in_dim(array, index * chunk_size, chunk_size)

    def write(index: Any, result: Array) -> Array:
        part = compute(chunk(a, index), b, spec, layout, dtype, precision)
        return lax.dynamic_update_slice_in_dim(result, part, index * chunk_size, 0)

    def add(index: Any, result: Array) -> Array:
        return result + compute(chunk(a, index), chunk(b, index), spec, layout, result.dtype, precision)

    # Both operands of the kernel gradient have a batch axis, and the result sums over it.
    step, acc = (add, acc_dtype(dtype)) if map is Map.KERNEL_GRADIENT else (write, dtype)
    return lax.fori_loop(0, a.shape[0] // chunk_size, step, match_vma(jnp.zeros(shape, acc), a)[0]).astype(dtype)
