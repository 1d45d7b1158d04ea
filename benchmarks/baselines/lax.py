"""``jax.lax.conv_transpose``; with groups, which it does not support, the convolution that it would call."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from ..measurement import Candidate, Program, jax_program
from ..problem import Problem
from ..workloads import Workload


def candidates() -> dict[str, Candidate]:
    return {"lax": _prepare}


def padding(workload: Workload) -> list[tuple[int, int]]:
    """Return the padding of the dilated input that crops the canvas by ``lo`` and ``hi``."""
    return [(axis.extent - 1 - axis.lo, axis.extent - 1 - axis.hi) for axis in workload.spec.axes]


def function(workload: Workload, precision: Any = None) -> Callable[[Any, Any], Any]:
    """Return a workload as a function of input and filters."""
    return _grouped(workload, precision) if workload.groups > 1 else _plain(workload, precision)


def _prepare(problem: Problem) -> Program:
    return jax_program(problem, function(problem.workload, problem.precision))


def _plain(workload: Workload, precision: Any) -> Callable[[Any, Any], Any]:
    def call(x: Any, w: Any) -> Any:
        strides = (workload.stride,) * workload.rank
        return lax.conv_transpose(x, w, strides, padding(workload), transpose_kernel=True, precision=precision)

    return call


def _grouped(workload: Workload, precision: Any) -> Callable[[Any, Any], Any]:
    space = "DHW"[-workload.rank :]

    def call(x: Any, w: Any) -> Any:
        kernel = jnp.flip(w, range(workload.rank)).reshape(*w.shape[:-1], workload.groups, -1)
        kernel = jnp.moveaxis(kernel, -1, workload.rank)  # (k..., c / groups, o / groups, groups)
        kernel = kernel.swapaxes(-1, -2).reshape(*kernel.shape[: workload.rank + 1], workload.output_channels)
        return lax.conv_general_dilated(
            x,
            kernel,
            window_strides=(1,) * workload.rank,
            padding=padding(workload),
            lhs_dilation=(workload.stride,) * workload.rank,
            dimension_numbers=(f"N{space}C", f"{space}IO", f"N{space}C"),
            feature_group_count=workload.groups,
            precision=precision,
        )

    return call
