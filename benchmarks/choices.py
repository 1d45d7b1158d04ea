"""``python -m benchmarks choices``: how often ``jconvt.choose`` predicts the fastest method, and the cost if not."""

import argparse
import math
import pathlib
import statistics
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

import jconvt
from jconvt._atomic_write import replacement
from jconvt._geometry.maps import Map

from . import machine, tables, workloads
from .workloads import Workload

_DTYPES = ("float32", "bfloat16")


class Row(NamedTuple):
    """One map of one layer: the method that is predicted to be the fastest, and the fastest one."""

    workload: str
    dtype: str
    map: str
    predicted: str
    fastest: str
    cost: float
    """The predicted method's measured time in multiples of the fastest one's."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--workload", action="append", choices=tuple(workloads.load()), help="choose for this layer; may be repeated"
    )
    parser.add_argument("--dtype", action="append", choices=_DTYPES, help="choose for this dtype; may be repeated")
    parser.add_argument("--page", metavar="FILE", type=pathlib.Path, help="also write the table to FILE as Markdown")


def command(arguments: argparse.Namespace, console: Console) -> int:
    """Predict, measure, and print both."""
    chosen = [
        (workloads.load()[name], dtype)
        for name in arguments.workload or workloads.load()
        for dtype in arguments.dtype or _DTYPES
    ]
    rows: list[Row] = []
    with Progress(console=console, transient=True, auto_refresh=False, disable=not console.is_terminal) as progress:
        for workload, dtype in progress.track(chosen, description="Choosing"):
            rows += compare(workload, dtype)
    tables.wide(console).print(_table(rows))
    console.print(Text(summary(rows), "bold"))
    if arguments.page is not None:
        with replacement(arguments.page) as file:
            file.write(page(rows, machine.describe()))
    return 0


def compare(workload: Workload, dtype: str) -> Iterator[Row]:
    """Yield the prediction and the measurement for each map of a layer."""
    arguments = workload.spec, workload.input_shape, workload.filters_shape
    predicted = jconvt.choose(*arguments, dtype=dtype)
    measured = jconvt.choose(*arguments, dtype=dtype, measure=True)
    for name in Map:
        method, found = getattr(predicted, name).method, getattr(measured, name)
        yield Row(workload.name, dtype, name, method, found.method, found.costs[method] / found.costs[found.method])


def summary(rows: Sequence[Row]) -> str:
    """Return how good the predictions are, in two sentences."""
    right = sum(row.predicted == row.fastest for row in rows)
    near = sum(row.cost <= 1.1 for row in rows)
    worst = max(rows, key=lambda row: row.cost)
    mean = math.exp(statistics.fmean(math.log(row.cost) for row in rows))
    wrong = f"{worst.map.replace('_', ' ')} of {worst.workload}, {worst.dtype}"
    return (
        f"{right} of {len(rows)} predictions name the fastest method, {near} one within a tenth of its time. A "
        f"predicted method takes {mean:.2f} times the fastest one's time in the geometric mean, {worst.cost:.2f} "
        f"at worst ({wrong})."
    )


def page(rows: Sequence[Row], described: dict[str, Any]) -> str:
    """Return the table as Markdown."""
    return "\n".join([*machine.heading(described, "Predictions on "), *section(rows)]) + "\n"


def section(rows: Sequence[Row]) -> list[str]:
    """Return the summary and the table as lines of Markdown."""
    return [
        summary(rows),
        "",
        "Cost is the predicted method's measured time divided by the fastest one's.",
        "",
        "| workload | dtype | map | predicted | fastest | cost |",
        "| --- | --- | --- | --- | --- | ---: |",
        *(
            f"| {row.workload} | {row.dtype} | {row.map.replace('_', ' ')} | {row.predicted} | {row.fastest} "
            f"| {row.cost:.2f} |"
            for row in rows
        ),
    ]


def _table(rows: Sequence[Row]) -> Table:
    table = tables.table("The predicted method, and the fastest")
    for name in ("workload", "dtype", "map", "predicted", "fastest"):
        table.add_column(name, no_wrap=True)
    table.add_column("cost", justify="right")
    for row in rows:
        cost = Text(f"{row.cost:.2f}", "red" if row.cost > 1.1 else "")
        table.add_row(
            Text(row.workload, "bold"), row.dtype, row.map.replace("_", " "), row.predicted, row.fastest, cost
        )
    return table
