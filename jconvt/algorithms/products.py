"""Products of matrices, one for each group of channels."""

import math
from typing import Any

import jax
from jax import lax


def matrix_product(a: jax.Array, b: jax.Array, contracted: tuple[int, int], precision: Any, dtype: Any) -> jax.Array:
    """``(groups, rows, columns)``: the product of two such, summed over one axis of each, 1 or 2."""
    (one, other), options = contracted, {"precision": precision, "preferred_element_type": dtype}
    if a.shape[0] > 1:
        return lax.dot_general(a, b, (((one,), (other,)), ((0,), (0,))), **options)
    # An operand of more than two axes would be copied by XLA.
    return lax.dot_general(a[0], b[0], (((one - 1,), (other - 1,)), ((), ())), **options)[None]


def as_matrices(a: jax.Array, rows: int) -> jax.Array:
    """``a`` with its first axis, of groups, kept, the next ``rows`` made one, and the others made one."""
    return a.reshape(a.shape[0], math.prod(a.shape[1 : 1 + rows]), math.prod(a.shape[1 + rows :]))
