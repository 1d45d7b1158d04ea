"""The command ``bench``: the methods side by side. Choosing and measuring problems is shared with ``benchmarks/``."""

import argparse
import contextlib
import dataclasses
import itertools
import json
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from jconvt import __version__
from jconvt._atomic_write import replacement

from . import bench, matmul_peak, workloads
from .bench import Contender, Standing
from .problem import DTYPES, PASSES, Problem, array_dtype, precision

_QUICK = {"rounds": 3, "budget": 0.5}

Measured = list[tuple[Problem, list[Standing]]]
Products = tuple[str, Callable[[int, str], Callable[[], Any]]]
"""A library's name, and its product of two matrices of a size and dtype, prepared."""


def add(commands: Any) -> None:
    """Adds ``bench`` to the commands."""
    text = "measure every method on published models' layers, on the device that JAX finds here"
    parser = commands.add_parser("bench", help=text, description=f"{text.capitalize()}.")
    parser.set_defaults(command=_bench)
    add_choices(parser)
    parser.add_argument(
        "--method", action="append", choices=tuple(bench.methods()), help="measure this method alone; may be repeated"
    )
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="write every figure to FILE, too")


def add_choices(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that say which problems to measure, and how long."""
    parser.add_argument("--quick", action="store_true", help="time each contender three times, not for four seconds")
    each = (
        ("--workload", "workload", tuple(workloads.load()), "workload"),
        ("--pass", "step", PASSES, "pass: the operation, or the operation and both gradients"),
        ("--dtype", "dtype", DTYPES, "dtype; tf32 is float32 with an accelerator's faster products"),
    )
    for option, name, choices, text in each:
        parser.add_argument(
            option, dest=name, action="append", choices=choices, help=f"measure this {text}; may be repeated"
        )
    parser.set_defaults(refuse=parser.error)


def problems(arguments: argparse.Namespace) -> list[Problem]:
    """What the arguments choose; what they leave open is everything that this device can do."""
    on_cpu = jax.default_backend() == "cpu"
    if on_cpu and "tf32" in (arguments.dtype or ()):
        arguments.refuse("argument --dtype: tf32 is what accelerators do, and JAX computes on a CPU: choose float32")
    able = arguments.dtype or [dtype for dtype in DTYPES if not (on_cpu and dtype == "tf32")]
    chosen = [workloads.load()[name] for name in arguments.workload or workloads.load()]
    return [Problem(*each) for each in itertools.product(chosen, arguments.step or PASSES, able)]


def dtypes(chosen: Sequence[Problem]) -> list[str]:
    """The dtypes of the problems, each once."""
    return list(dict.fromkeys(problem.dtype for problem in chosen))


def measure(
    chosen: Sequence[Problem], contenders: Mapping[str, Contender], console: Console, quick: bool
) -> tuple[Measured, bool]:
    """Measures each problem under a progress bar. The second result is false if an interrupt ended it early."""
    measured: Measured = []
    doings = itertools.count()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # A bar that moved by itself would take time from what is timed.
    bar = Progress(*columns, console=console, transient=True, auto_refresh=False, disable=not console.is_terminal)
    with bar as progress:
        task = progress.add_task("", total=len(chosen) * (len(contenders) + 1))
        try:
            for problem in chosen:

                def show(doing: str, problem: Problem = problem) -> None:
                    text = f"{problem.name}: {doing}"
                    progress.update(task, completed=next(doings), description=text, refresh=True)

                measured.append((problem, bench.measure(problem, contenders, progress=show, **_QUICK if quick else {})))
        except KeyboardInterrupt:
            return measured, False
    return measured, True


def report(measured: Measured) -> list[dict[str, Any]]:
    """What is written to a JSON file of each problem and of each contender's standing."""
    return [
        {
            "workload": problem.workload.name,
            "pass": problem.step,
            "dtype": problem.dtype,
            "flops": problem.flops,
            "bytes": problem.bytes,
            "standings": [
                {
                    name: value
                    for name, value in dataclasses.asdict(standing).items()
                    if value not in (None, "", (), math.inf)
                }
                for standing in standings
            ],
        }
        for problem, standings in measured
    ]


def peaks(dtypes: Sequence[str], quick: bool, others: Products | None = None) -> dict[str, dict[str, float]]:
    """The best matrix product in each dtype, in GFLOP/s, by JAX and by the library of ``others``."""
    found = {}
    for dtype in dtypes:
        products = {
            ("jax", size): matmul_peak.jax_product(size, array_dtype(dtype), precision(dtype))
            for size in matmul_peak.sizes()
        }
        if others is not None:
            library, product = others
            products |= {(library, size): product(size, dtype) for size in matmul_peak.sizes()}
        found[dtype] = matmul_peak.measure(products, budget=0.3 if quick else 3.0)
    return found


def _bench(arguments: argparse.Namespace, console: Console) -> int:
    chosen = problems(arguments)
    contenders = {name: c for name, c in bench.methods().items() if name in (arguments.method or bench.methods())}
    with contextlib.nullcontext() if arguments.json is None else replacement(arguments.json) as file:
        most = peaks(dtypes(chosen), arguments.quick)
        measured, finished = measure(chosen, contenders, console, arguments.quick)
        if file is not None:
            content = {
                "jconvt": __version__,
                "jax": jax.__version__,
                "device": jax.devices()[0].device_kind,
                "finished": finished,
                "peaks": most,
                "problems": report(measured),
            }
            json.dump(content, file, indent=1, allow_nan=False)
            file.write("\n")
    for (step, dtype), group in _grouped(measured).items():
        console.print(_table(step, dtype, group, [*contenders], most[dtype]["jax"]))
    for standing in troubles(measured):
        console.print(trouble(standing))
    console.print(Text(f"Ran on {jax.devices()[0].device_kind}, JAX {jax.__version__}", "dim"))
    return status(measured, finished)


def status(measured: Measured, finished: bool) -> int:
    """The exit status: 130 after an interrupt, 1 if a method of this package was wrong or failed."""
    if not finished:
        return 130
    return int(any(each.contender in bench.methods() for each in troubles(measured)))


def troubles(measured: Measured) -> list[Standing]:
    """Every contender that was wrong or failed."""
    return [each for _, standings in measured for each in standings if each.status in ("wrong", "failed")]


def trouble(standing: Standing) -> Text:
    where = f"{standing.contender} on {standing.workload}, {standing.step}, {standing.dtype}: {standing.detail}"
    return Text.assemble((f"{standing.status.capitalize()}: ", "bold red"), where)


def _grouped(measured: Measured) -> dict[tuple[str, str], Measured]:
    groups: dict[tuple[str, str], Measured] = {}
    for problem, standings in measured:
        groups.setdefault((problem.step, problem.dtype), []).append((problem, standings))
    return groups


def milliseconds(seconds: float) -> str:
    """Three figures, or all that are before the point."""
    value = seconds * 1e3
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}" if value >= 0.01 else f"{value:.3f}"


def _table(step: str, dtype: str, measured: Measured, names: list[str], most: float) -> Table:
    """The methods' times on each workload, the fastest marked, and the figures of the first."""
    first = names[0]
    table = Table(
        box=SIMPLE_HEAD,
        show_edge=False,
        collapse_padding=True,
        title=f"{step}, {dtype}: milliseconds",
        title_justify="left",
        title_style="bold",
        caption=f"Of {first}: share of the {most:,.0f} GFLOP/s of a matrix product; temporary memory in sizes of "
        "input, kernel and output; seconds to trace and compile.\n",
        caption_style="dim",
        caption_justify="left",
    )
    table.add_column("workload", no_wrap=True)
    for name in (*names, "of\npeak", "memory", "compile"):
        table.add_column(name, justify="right", no_wrap=True)
    for problem, standings in measured:
        fastest = min((each.seconds for each in standings if each.times), default=0.0)
        cells = [
            Text(milliseconds(each.seconds), "green" if each.seconds == fastest else "")
            if each.times
            else Text(
                "-" if each.status == "unserved" else each.status, "dim" if each.status == "unserved" else "bold red"
            )
            for each in standings
        ]
        table.add_row(Text(problem.workload.name, "bold"), *cells, *_figures(problem, standings[0], most))
    return table


def _time(standing: Standing, fastest: float) -> Text:
    if standing.times:
        return Text(milliseconds(standing.seconds), "green" if standing.seconds == fastest else "")
    return Text("-", "dim") if standing.status == "unserved" else Text(standing.status, "bold red")


def _figures(problem: Problem, standing: Standing, most: float) -> tuple[str, str, str]:
    if not standing.times or standing.trace_seconds is None or standing.compile_seconds is None:
        return "-", "-", "-"
    memory = standing.temporary_bytes
    return (
        f"{problem.flops / standing.seconds / 1e9 / most:.2f}",
        "-" if memory is None else f"{memory / problem.bytes:.2f}",
        f"{standing.trace_seconds + standing.compile_seconds:.2f}",
    )
