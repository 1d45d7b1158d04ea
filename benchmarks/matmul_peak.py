"""The speed of the device's best matrix product, which other speeds are compared with."""

from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp

from jconvt._core import timing

_SIZES, _LARGE_SIZES = (512, 1024, 2048), (2048, 4096, 8192)
_ROUNDS = 20
_FAR_BEHIND = 0.2


def sizes() -> tuple[int, ...]:
    """Return the sides of the square matrices to multiply."""
    return _SIZES if jax.default_backend() == "cpu" else _LARGE_SIZES


def jax_product(size: int, dtype: str, precision: str | None) -> Callable[[], Any]:
    """Prepare one compiled product of two square matrices."""
    matrix = jax.random.normal(jax.random.key(0), (size, size), dtype)
    multiply = jax.jit(lambda a, b: jnp.matmul(a, b, precision=precision))
    return lambda: multiply(matrix, matrix).block_until_ready()


def measure(
    products: Mapping[tuple[str, int], Callable[[], Any]], *, budget: float = 3.0, seed: int = 0
) -> dict[str, float]:
    """Return the best GFLOP/s of each library over the sizes. A library far behind at one size skips the next.

    Args:
      products: calls that multiply square matrices and wait for the result, by library and size.
      budget, seed: of the timing at each size, as in ``timing.interleaved``.
    """
    best: dict[str, float] = {}
    for size in sorted({size for _, size in products}):
        far_behind = _FAR_BEHIND * max(best.values(), default=0.0)
        calls = {
            library: call
            for (library, side), call in products.items()
            if side == size and best.get(library, far_behind) >= far_behind
        }
        for call in calls.values():
            call()
        for library, times in timing.interleaved(calls, rounds=_ROUNDS, budget=budget, seed=seed).items():
            best[library] = max(best.get(library, 0.0), 2 * size**3 / median(times) / 1e9)
    return best
