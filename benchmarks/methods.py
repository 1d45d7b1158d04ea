"""``python -m benchmarks methods``: jconvt's methods side by side, without other libraries."""

import argparse
import pathlib

import jax
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jconvt import __version__

from . import measurement, suite, tables
from .measurement import Result
from .problem import Problem


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    suite.add_arguments(parser)
    parser.add_argument(
        "--method",
        action="append",
        choices=tuple(measurement.methods()),
        help="measure only this method; may be repeated",
    )
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="also write every figure to FILE")


def command(arguments: argparse.Namespace, console: Console) -> int:
    """Measure the methods, and print a table for each pass and dtype."""
    chosen = suite.problems(arguments)
    wanted = arguments.method or measurement.methods()
    candidates = {name: each for name, each in measurement.methods().items() if name in wanted}
    with suite.json_file(arguments.json) as file:
        peaks = suite.peaks(suite.dtypes(chosen), arguments.quick)
        measured, finished = suite.measure(chosen, candidates, console, arguments.quick)
        if file is not None:
            content = {
                "jconvt": __version__,
                "jax": jax.__version__,
                "device": jax.devices()[0].device_kind,
                "finished": finished,
                "peaks": peaks,
                "problems": suite.as_json(measured),
            }
            suite.write_json(content, file)
    groups: dict[tuple[str, str], suite.Measured] = {}
    for problem, results in measured:
        groups.setdefault((problem.step, problem.dtype), []).append((problem, results))
    for (step, dtype), group in groups.items():
        tables.wide(console).print(_table(f"{step}, {dtype}: milliseconds", group, [*candidates], peaks[dtype]["jax"]))
    suite.print_failures(measured, console)
    console.print(Text(f"Ran on {jax.devices()[0].device_kind}, JAX {jax.__version__}", "dim"))
    return suite.status(measured, finished)


def _table(title: str, measured: suite.Measured, names: list[str], peak: float) -> Table:
    """Return the methods' times on each workload, with the fastest marked, and more figures of the first method."""
    table = tables.table(
        title,
        f"Of {names[0]}: share of the {peak:,.0f} GFLOP/s of a matrix product; temporary memory in multiples of input, "
        "kernel and output; seconds to trace and compile.",
    )
    table.add_column("workload", no_wrap=True)
    for name in (*names, "of\npeak", "memory", "compile"):
        table.add_column(name, justify="right", no_wrap=True)
    for problem, results in measured:
        fastest = min((result.seconds for result in results if result.times), default=0.0)
        cells = [_time(result, fastest) for result in results]
        table.add_row(Text(problem.workload.name, "bold"), *cells, *_figures(problem, results[0], peak))
    return table


def _time(result: Result, fastest: float) -> Text:
    if result.times:
        return Text(tables.milliseconds(result.seconds), "green" if result.seconds == fastest else "")
    return Text("-", "dim") if result.status == "unsupported" else Text(result.status, "bold red")


def _figures(problem: Problem, result: Result, peak: float) -> tuple[str, str, str]:
    if not result.times or result.trace_seconds is None or result.compile_seconds is None:
        return "-", "-", "-"
    memory = result.temporary_bytes
    return (
        f"{problem.flops / result.seconds / 1e9 / peak:.2f}",
        "-" if memory is None else f"{memory / problem.bytes:.2f}",
        f"{result.trace_seconds + result.compile_seconds:.2f}",
    )
