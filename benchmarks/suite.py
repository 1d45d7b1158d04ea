"""The problems that a command's options choose, measured one after another, and written as JSON."""

import argparse
import contextlib
import dataclasses
import itertools
import json
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any

import jax
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from jconvt._atomic_write import replacement

from . import matmul_peak, measurement, workloads
from .measurement import Candidate, Result
from .problem import DTYPES, PASSES, Problem, array_dtype, precision

_QUICK = {"rounds": 3, "budget": 0.5}

Measured = list[tuple[Problem, list[Result]]]
Products = tuple[str, Callable[[int, str], Callable[[], Any]]]
"""A library's name, and a function that prepares its product of two matrices of a size and dtype."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose problems."""
    parser.add_argument("--quick", action="store_true", help="time each candidate three times, not for four seconds")
    options = (
        ("--workload", "workload", tuple(workloads.load()), "workload"),
        ("--pass", "step", PASSES, "pass: the operation, or the operation and both gradients"),
        ("--dtype", "dtype", DTYPES, "dtype; tf32 is float32 with an accelerator's faster products"),
    )
    for option, name, choices, text in options:
        parser.add_argument(
            option, dest=name, action="append", choices=choices, help=f"measure this {text}; may be repeated"
        )
    parser.set_defaults(error=parser.error)


def problems(arguments: argparse.Namespace) -> list[Problem]:
    """Return the problems that the options choose: by default, all that this device can compute."""
    on_cpu = jax.default_backend() == "cpu"
    if on_cpu and "tf32" in (arguments.dtype or ()):
        arguments.error("argument --dtype: a CPU has no tf32, and JAX computes on one: choose float32")
    dtypes = arguments.dtype or [dtype for dtype in DTYPES if not (on_cpu and dtype == "tf32")]
    chosen = [workloads.load()[name] for name in arguments.workload or workloads.load()]
    return [Problem(*each) for each in itertools.product(chosen, arguments.step or PASSES, dtypes)]


def dtypes(chosen: Sequence[Problem]) -> list[str]:
    """Return the dtypes of the problems, each once."""
    return list(dict.fromkeys(problem.dtype for problem in chosen))


def measure(
    chosen: Sequence[Problem], candidates: Mapping[str, Candidate], console: Console, quick: bool
) -> tuple[Measured, bool]:
    """Measure each problem under a progress bar. The second result is false if an interrupt ended it early."""
    measured: Measured = []
    steps = itertools.count()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # A bar that refreshes in a thread would take time from the candidates.
    bar = Progress(*columns, console=console, transient=True, auto_refresh=False, disable=not console.is_terminal)
    with bar as progress:
        task = progress.add_task("", total=len(chosen) * (len(candidates) + 1))
        try:
            for problem in chosen:

                def show(doing: str, problem: Problem = problem) -> None:
                    text = f"{problem.name}: {doing}"
                    progress.update(task, completed=next(steps), description=text, refresh=True)

                options = _QUICK if quick else {}
                measured.append((problem, measurement.measure(problem, candidates, progress=show, **options)))
        except KeyboardInterrupt:
            return measured, False
    return measured, True


def peaks(dtypes: Sequence[str], quick: bool, others: Products | None = None) -> dict[str, dict[str, float]]:
    """Return the best matrix product in each dtype, in GFLOP/s, by JAX and by the library of ``others``."""
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


@contextlib.contextmanager
def json_file(path: pathlib.Path | None) -> Iterator[IO[str] | None]:
    """Open a file that replaces ``path`` once it is written. Without a path there is no file."""
    with contextlib.nullcontext() if path is None else replacement(path) as file:
        yield file


def write_json(content: Mapping[str, Any], file: IO[str]) -> None:
    """Write JSON as all result files have it."""
    json.dump(content, file, indent=1, allow_nan=False)
    file.write("\n")


def write_plot(path: pathlib.Path, draw: Callable[[Any], str], console: Console) -> pathlib.Path:
    """Write what ``draw`` returns, called with the module ``plot``, beside a JSON file, and return the file's path."""
    picture = path.with_suffix(".svg")
    try:
        from . import plot
    except ModuleNotFoundError:
        console.print(Text("No plot: matplotlib is not installed. Install it, and run the command show."))
    else:
        with replacement(picture) as file:
            file.write(draw(plot))
    return picture


def as_json(measured: Measured) -> list[dict[str, Any]]:
    """Return the problems and their results as a JSON file has them, without what is empty or infinite."""
    return [
        {
            "workload": problem.workload.name,
            "pass": problem.step,
            "dtype": problem.dtype,
            "flops": problem.flops,
            "bytes": problem.bytes,
            "standings": [
                {
                    "contender" if name == "candidate" else name: value
                    for name, value in dataclasses.asdict(result).items()
                    if value not in (None, "", (), math.inf)
                }
                for result in results
            ],
        }
        for problem, results in measured
    ]


def failures(measured: Measured) -> list[Result]:
    """Return the results of all candidates that were wrong or failed."""
    return [result for _, results in measured for result in results if result.status in ("wrong", "failed")]


def print_failures(measured: Measured, console: Console) -> None:
    """Print one line for each candidate that was wrong or failed."""
    for each in failures(measured):
        text = f"{each.candidate} on {each.workload}, {each.step}, {each.dtype}: {each.detail}"
        console.print(Text.assemble((f"{each.status.capitalize()}: ", "bold red"), text))


def status(measured: Measured, finished: bool) -> int:
    """Return the exit status: 130 after an interrupt, 1 if a method of jconvt was wrong or failed."""
    if not finished:
        return 130
    return int(any(result.candidate in measurement.methods() for result in failures(measured)))
