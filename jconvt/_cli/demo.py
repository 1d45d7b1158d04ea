"""``jconvt demo``: the five-by-five example by every method, compared, timed, and shown to be a gradient."""

import argparse
from collections.abc import Callable
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from rich.box import Box
from rich.columns import Columns
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .._core import timing
from .._core.selection import methods_in_use
from .._methods import METHODS
from .._testing import example, goldens
from .._testing.cases import PRECISION
from ..tensorflow import conv2d_transpose
from . import terminal

_BRACKETS = Box("┌  ┐\n│  │\n    \n│  │\n    \n    \n│  │\n└  ┘\n")
_X, _W = example.INPUT, example.FILTERS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no options: the example is fixed."""


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Compute and print the example. All its numbers are small integers, so the methods' outputs must be equal."""
    device = terminal.default_device()
    expected = next(golden for golden in goldens.load() if golden.name == "example").output[0, :, :, 0]
    calls = {method: _call(method) for method in ("auto", *methods_in_use())}
    outputs = {method: np.asarray(call())[0, :, :, 0] for method, call in calls.items()}
    times = timing.interleaved(calls, rounds=30)  # after all are compiled
    spread = np.ptp([*outputs.values()], axis=0).max()
    errors = {method: abs(output - expected).max() for method, output in outputs.items()}
    forward, transpose, gradient_error = _gradient()
    is_gradient = forward == transpose and gradient_error == 0

    named = {"input": _X[0, :, :, 0], "kernel": _W[:, :, 0, 0], "output, stride 2, padding VALID": expected}
    matrices = [_matrix(title, values) for title, values in named.items()]
    first, last, pixel = (int(value) for value in (_W.flat[0], _W.flat[-1], _X.flat[0]))
    text = (
        f"The corner is {expected[0, 0]:g} = {pixel} * {first}, not {pixel * last} = {pixel} * {last}: each input "
        "pixel stamps the whole kernel, scaled by the pixel and not flipped, so the first pixel multiplies the first "
        "tap in the corner. Sliding the kernel over the zero-filled input gives the same output only if the kernel is "
        "flipped."
    )
    table = terminal.table("method")
    table.add_column("how it computes")
    for name in ("corner", f"error vs\nTensorFlow\n{goldens.manifest()['tensorflow']}", "time\nmicro-\nseconds"):
        table.add_column(name, justify="right")
    summaries = {name: method.summary for name, method in METHODS.items()}
    for method, output in outputs.items():
        summary = summaries.get(method, "the method that jconvt predicts to be fastest").replace("`", "")
        error = Text(f"{errors[method]:g}", terminal.BAD if errors[method] else terminal.GOOD)
        time = f"{median(times[method]) * 1e6:,.0f}"
        table.add_row(Text(method, "bold"), Text(summary), f"{output[0, 0]:g}", error, time)
    difference = Text.assemble("Largest difference between any two methods: ", f"{spread:g}  ", _verdict(spread == 0))
    heading = Text.assemble(("Transposed convolution is a gradient", "bold"), "  ", _verdict(is_gradient))
    relation = Table.grid(padding=(0, 2))
    relation.add_row("<F(z), x>", f"= {forward:g}", "F: the forward convolution, 5x5 to 2x2; z fixed")
    relation.add_row("<z, T(x)>", f"= {transpose:g}", "T: the transposed convolution, 2x2 to 5x5")
    relation.add_row("d<F(z), x>/dz - T(x)", f"= {gradient_error:g}", "largest entry; the gradient by jax.grad")
    for part in (Columns(matrices, padding=(0, 2)), Text(text), table, difference, Group(heading, relation)):
        console.print(Padding(part, (1, 2, 0, 2)))
    console.print(Padding(terminal.ran_on(device), (1, 2)))
    return 0 if spread == 0 and is_gradient and not any(errors.values()) else 1


def _call(method: str) -> Callable[[], jax.Array]:
    def compute(x: jax.Array, w: jax.Array) -> jax.Array:
        return conv2d_transpose(x, w, **example.ARGUMENTS, method=method, precision=PRECISION)

    x, w = jnp.asarray(_X), jnp.asarray(_W)
    compiled = jax.jit(compute) if method not in METHODS or METHODS[method].traceable else compute
    return lambda: compiled(x, w).block_until_ready()


def _gradient() -> tuple[float, float, float]:
    """Return <F(z), x>, <z, T(x)>, and the largest difference between T(x) and the gradient of <F(z), x> in z."""
    x, w = jnp.asarray(_X), jnp.asarray(_W)
    z = jnp.asarray(np.arange(25) % 7 - 3, x.dtype).reshape(example.ARGUMENTS["output_shape"])

    def forward(z: jax.Array) -> jax.Array:
        order = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(z, w, (2, 2), "VALID", dimension_numbers=order, precision=PRECISION)

    y = conv2d_transpose(x, w, **example.ARGUMENTS, precision=PRECISION)
    error = jnp.abs(jax.grad(lambda z: jnp.sum(forward(z) * x))(z) - y).max()
    return float(np.vdot(forward(z), x)), float(np.vdot(z, y)), float(error)


def _matrix(title: str, values: NDArray[Any]) -> Group:
    """Return a matrix in brackets. Its first entry, a factor or the product in the corner, is marked."""
    table = Table(box=_BRACKETS, show_header=False)
    for column in values.T:
        table.add_column(justify="right", min_width=max(len(f"{value:g}") for value in column))
    for i, row in enumerate(values):
        table.add_row(*(Text(f"{value:g}", "bold cyan" if i == j == 0 else "") for j, value in enumerate(row)))
    return Group(Text(title, "bold"), table)


def _verdict(agrees: bool) -> Text:
    return Text("agrees", terminal.GOOD) if agrees else Text("DISAGREES", terminal.BAD)
