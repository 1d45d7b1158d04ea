"""Flax's layer ``flax.linen.ConvTranspose``, with the kernel as TensorFlow has it and without a bias."""

from typing import Any

import jax.numpy as jnp
from flax import linen

from ..measurement import Candidate, Program, Unsupported, jax_program
from ..problem import Problem
from .lax import padding


def candidates() -> dict[str, Candidate]:
    return {"flax": _prepare}


def _prepare(problem: Problem) -> Program:
    workload = problem.workload
    if workload.groups > 1:
        raise Unsupported("flax.linen.ConvTranspose has no groups")
    dtype = jnp.dtype(problem.array_dtype)
    layer = linen.ConvTranspose(
        workload.output_channels,
        (workload.kernel,) * workload.rank,
        (workload.stride,) * workload.rank,
        padding(problem.workload),
        use_bias=False,
        transpose_kernel=True,
        dtype=dtype,
        param_dtype=dtype,
        precision=problem.precision,
    )

    def function(x: Any, w: Any) -> Any:
        return layer.apply({"params": {"kernel": w}}, x)

    return jax_program(problem, function)
