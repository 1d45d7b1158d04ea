"""``python -m benchmarks scaling``: how time grows with the pixels of an image, and with the images of a batch."""

import argparse
import dataclasses
import math
import pathlib
from collections.abc import Iterator, Sequence

import jax
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from jconvt._geometry.spec import Spec

from . import machine, measurement, suite, tables, workloads
from .problem import PASSES, Problem
from .tables import milliseconds
from .workloads import Workload

_SIDES = {1: 16, 2: 8, 3: 4}
"""The smallest image's side, by rank."""
_STEPS = 12
"""Steps from the smallest image to one of 64 times the pixels; a batch doubles instead."""
_MOST = 64
_MOST_TIME = 70
"""The time that 64 times the size may take: a tenth more than in proportion."""


@dataclasses.dataclass(frozen=True)
class Growth:
    """The times of one layer as it grows along one ``series``, "pixels" or "batch"."""

    workload: str
    step: str
    series: str
    factors: tuple[float, ...]
    """Sizes, in multiples of the smallest."""
    seconds: tuple[float, ...]

    @property
    def total(self) -> float:
        """The time of the largest size divided by the time of the smallest."""
        return self.seconds[-1] / self.seconds[0]

    @property
    def jump(self) -> tuple[float, float]:
        """The largest factor by which time grows more than size in one step, and the size after that step."""
        pairs = zip(self.factors, self.factors[1:], self.seconds, self.seconds[1:], strict=False)
        return max(((t / s) / (b / a), b) for a, b, s, t in pairs)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--workload", action="append", choices=tuple(workloads.load()), help="measure this layer; may be repeated"
    )
    parser.add_argument("--pass", dest="step", action="append", choices=PASSES, help="measure only this pass")
    parser.add_argument("--method", choices=tuple(measurement.methods()), default="auto", help="instead of auto")
    parser.add_argument("--quick", action="store_true", help="time each size three times")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="also write the times to FILE")


def sizes(workload: Workload, series: str) -> Iterator[tuple[float, Workload]]:
    """Yield the layer from small to large, each with its size in multiples of the smallest."""
    side = _SIDES[workload.rank]
    if series == "batch":
        for doublings in range(int(math.log2(_MOST)) + 1):
            yield 2.0**doublings, _resized(workload, 2**doublings, (side,) * workload.rank)
        return
    for number in range(_STEPS + 1):
        grown = round(side * _MOST ** (number / _STEPS / workload.rank))
        yield (grown / side) ** workload.rank, _resized(workload, 1, (grown,) * workload.rank)


def _resized(workload: Workload, batch: int, input_sizes: tuple[int, ...]) -> Workload:
    """Return the layer on other images, with TensorFlow's default output size."""
    spec = Spec.from_tensorflow(
        (batch, *input_sizes, workload.input_channels),
        workload.filters_shape,
        strides=workload.stride,
        padding=workload.padding,
        groups=workload.groups,
    )
    output_sizes = tuple(int(size) for size in spec.output_sizes(input_sizes))
    return dataclasses.replace(workload, batch=batch, input_sizes=input_sizes, output_sizes=output_sizes)


def command(arguments: argparse.Namespace, console: Console) -> int:
    """Measure how times grow, and print a table."""
    chosen = [
        (name, step, series)
        for name in arguments.workload or workloads.load()
        for step in arguments.step or PASSES
        for series in ("pixels", "batch")
    ]
    with suite.json_file(arguments.json) as file:
        growths = []
        with Progress(console=console, transient=True, auto_refresh=False, disable=not console.is_terminal) as progress:
            for each in progress.track(chosen, description="Measuring"):
                growths.append(_grow(*each, arguments.method, arguments.quick))
        if file is not None:
            content = machine.describe() | {"growths": [dataclasses.asdict(growth) for growth in growths]}
            suite.write_json(content, file)
    tables.wide(console).print(_table(arguments.method, growths))
    console.print(Text(f"Ran on {machine.device()}, JAX {jax.__version__}", "dim"))
    return 0


def _grow(name: str, step: str, series: str, method: str, quick: bool) -> Growth:
    """Measure each size separately: the sizes differ too much to interleave them."""
    factors, seconds = [], []
    for factor, workload in sizes(workloads.load()[name], series):
        rounds, budget = (3, 0.2) if quick else (50, 1.0)
        problem = Problem(workload, step, "float32")
        (result,) = measurement.measure(problem, {method: measurement.methods()[method]}, rounds=rounds, budget=budget)
        if result.status != "timed":
            raise SystemExit(f"benchmarks: {method} on {name}, {step}, {series} times {factor:g}: {result.detail}")
        factors.append(factor)
        seconds.append(result.seconds)
    return Growth(name, step, series, tuple(factors), tuple(seconds))


def _table(method: str, growths: Sequence[Growth]) -> Table:
    table = tables.table(
        f"{method}: the time of 64 times the size",
        "Jump: the largest factor by which time grows more than size from one size to the next.",
    )
    for name in ("workload", "pass", "grows"):
        table.add_column(name, no_wrap=True)
    for name in ("smallest\nms", "largest\nms", "times\nthe size", "times\nthe time", "jump", "at\ntimes"):
        table.add_column(name, justify="right", no_wrap=True)
    for growth in growths:
        jump, at = growth.jump
        table.add_row(
            Text(growth.workload, "bold"),
            growth.step,
            growth.series,
            milliseconds(growth.seconds[0]),
            milliseconds(growth.seconds[-1]),
            f"{growth.factors[-1]:g}",
            Text(f"{growth.total:.1f}", "red" if growth.total > _MOST_TIME else ""),
            f"{jump:.2f}",
            f"{at:.3g}",
        )
    return table
