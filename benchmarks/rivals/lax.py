"""``jax.lax.conv_transpose``; where there are groups, which it has not, the convolution that it stands for."""

from typing import Any

import jax.numpy as jnp
from jax import lax

from jconvt.bench import Contender, Program, jax_program
from jconvt.problem import Problem


def padding(problem: Problem) -> list[tuple[int, int]]:
    """What ``jax.lax`` pads the dilated input with, to crop the canvas by ``lo`` and ``hi``."""
    return [(axis.extent - 1 - axis.lo, axis.extent - 1 - axis.hi) for axis in problem.workload.spec.axes]


def contenders() -> dict[str, Contender]:
    return {"lax": _prepare}


def _prepare(problem: Problem) -> Program:
    return jax_program(problem, _grouped(problem) if problem.workload.groups > 1 else _plain(problem))


def _plain(problem: Problem) -> Any:
    def function(x: Any, w: Any) -> Any:
        return lax.conv_transpose(
            x,
            w,
            (problem.workload.stride,) * problem.workload.rank,
            padding(problem),
            transpose_kernel=True,
            precision=problem.precision,
        )

    return function


def _grouped(problem: Problem) -> Any:
    workload = problem.workload
    space = "DHW"[-workload.rank :]

    def function(x: Any, w: Any) -> Any:
        kernel = jnp.flip(w, range(workload.rank)).reshape(*w.shape[:-1], workload.groups, -1)
        kernel = jnp.moveaxis(kernel, -1, workload.rank)  # (k..., c / groups, o / groups, groups)
        kernel = kernel.swapaxes(-1, -2).reshape(*kernel.shape[: workload.rank + 1], workload.output_channels)
        return lax.conv_general_dilated(
            x,
            kernel,
            window_strides=(1,) * workload.rank,
            padding=padding(problem),
            lhs_dilation=(workload.stride,) * workload.rank,
            dimension_numbers=(f"N{space}C", f"{space}IO", f"N{space}C"),
            feature_group_count=workload.groups,
            precision=problem.precision,
        )

    return function
