"""The command line: arguments in, tables out. What is shown is computed in ``demo``, ``check`` and ``bench``."""

import argparse
import collections
import contextlib
import dataclasses
import importlib.util
import itertools
import json
import logging
import math
import os
import pathlib
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD, Box
from rich.columns import Columns
from rich.console import Console, Group
from rich.padding import Padding
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from .. import __version__
from .._atomic_write import replacement
from .._methods import METHODS
from .._testing import check
from . import convert, demo, explain, translate

_BRACKETS = Box("┌  ┐\n│  │\n    \n│  │\n    \n    \n│  │\n└  ┘\n")
_KINDS = {
    "golden": "TensorFlow's answers",
    "result": "the definition",
    "adjoint": "<F(z), x> = <z, T(x)>",
    "gradient": "the definition's gradients",
}
_LISTED = 10
_GOOD, _BAD, _MARKED, _QUIET = "green", "bold red", "bold cyan", "dim"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line on ``argv``, and returns its exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return 0
    logging.getLogger("jax").setLevel(logging.ERROR)
    console = Console(highlight=False)
    try:
        demo.device()
    except RuntimeError as error:
        print(f"jconvt: JAX finds no device: {error}", file=sys.stderr)
        return 2
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            status = arguments.command(arguments, console)
            if sys.stdout is not None:  # it is where the program was started without one
                sys.stdout.flush()
            return status
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.filename is not None or sys.stdout is None:
            raise
        print(f"jconvt: cannot write the output: {error.strerror or error}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left of it cannot be written at exit
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("jconvt", description="Transposed convolution for JAX, as TensorFlow computes it.")
    parser.add_argument("--version", action="version", version=f"jconvt {__version__}")
    commands = parser.add_subparsers(title="commands")
    parser.set_defaults(command=None)
    text = "show the five-by-five example by every method"
    commands.add_parser("demo", help=text, description=f"{text.capitalize()}.").set_defaults(command=_demo)
    text = "verify every method on the device that JAX finds here"
    checking = commands.add_parser("check", help=text, description=f"{text.capitalize()}.")
    checking.set_defaults(command=_check)
    checking.add_argument("--quick", action="store_true", help="make a tenth of the checks")
    checking.add_argument("--json", metavar="FILE", type=pathlib.Path, help="write the summary to FILE, too")
    checking.add_argument(
        "--method", action="append", choices=("auto", *METHODS), help="check this method alone; may be repeated"
    )
    if importlib.util.find_spec("benchmarks") is not None:  # in a checkout
        from benchmarks import bench_cli

        bench_cli.add(commands)
    explain.add(commands)
    translate.add(commands)
    convert.add(commands)
    return parser


def _demo(arguments: argparse.Namespace, console: Console) -> int:
    shown = demo.run()
    corner, pixel = int(shown.output[0, 0]), int(shown.input[0, 0])
    first, last = int(shown.filters[0, 0]), int(shown.filters[-1, -1])
    matrices = Columns(
        [
            _matrix("input", shown.input),
            _matrix("kernel", shown.filters),
            _matrix("output, stride 2, padding VALID", shown.output),
        ],
        padding=(0, 2),
    )
    console.print(Padding(matrices, (1, 2)))
    console.print(
        Padding(
            f"The corner is {corner} = {pixel} * {first}, not {pixel * last} = {pixel} * {last}: each input pixel "
            "stamps the whole kernel, scaled by the pixel and the right way round, on the output, so the first pixel "
            "meets the first tap in the corner. Sliding the kernel over the zero-filled input gives the same only "
            "with the kernel flipped.",
            (0, 0, 1, 2),
        )
    )

    table = Table(box=SIMPLE_HEAD, show_edge=False)
    table.add_column("method", no_wrap=True)
    table.add_column("how it computes")
    table.add_column("corner", justify="right")
    table.add_column(f"off TensorFlow\n{shown.tensorflow}", justify="right")
    table.add_column("time\nmicroseconds", justify="right")
    for result in shown.results:
        verdict = Text(f"{result.error:g}", _GOOD if result.error == 0 else _BAD)
        time = f"{result.microseconds:,.0f}"
        table.add_row(Text(result.method, "bold"), Text(result.how), f"{result.output[0, 0]:g}", verdict, time)
    console.print(Padding(table, (0, 1)))
    fine = _verdict(shown.spread == 0)
    spread = Text.assemble("Largest difference between any two methods: ", f"{shown.spread:g}  ", fine)
    console.print(Padding(spread, (1, 2, 0, 2)))

    gradient = shown.gradient
    relation = Table.grid(padding=(0, 2))
    relation.add_row("<F(z), x>", f"= {gradient.forward_product:g}", "F the forward convolution, 5x5 to 2x2; z fixed")
    relation.add_row("<z, T(x)>", f"= {gradient.transpose_product:g}", "T the transposed convolution, 2x2 to 5x5")
    relation.add_row(
        "d<F(z), x>/dz - T(x)", f"= {gradient.gradient_error:g}", "largest entry, the gradient by jax.grad"
    )
    heading = Text.assemble(("Transposed convolution is a gradient", "bold"), "  ", _verdict(gradient.agrees))
    console.print(Padding(Group(heading, relation), (1, 2)))
    console.print(Padding(Text(f"Ran on {demo.device()}", _QUIET), (0, 2)))
    return 0 if shown.agrees else 1


def _matrix(title: str, values: Any) -> Group:
    """A matrix in brackets, with what makes the corner marked: the first entry."""
    table = Table(box=_BRACKETS, show_header=False)
    for column in values.T:
        table.add_column(justify="right", min_width=max(len(f"{value:g}") for value in column))
    for i, row in enumerate(values):
        table.add_row(*(Text(f"{value:g}", _MARKED if i == j == 0 else "") for j, value in enumerate(row)))
    return Group(Text(title, "bold"), table)


def _verdict(fine: bool) -> Text:
    return Text("agrees", _GOOD) if fine else Text("DISAGREES", _BAD)


def _check(arguments: argparse.Namespace, console: Console) -> int:
    with contextlib.nullcontext() if arguments.json is None else replacement(arguments.json) as file:
        checks = check.plan(arguments.method, arguments.quick)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            outcomes = [check.perform(each) for each in progress.track(checks, description="Checking")]
        rows = check.summarize(outcomes)
        passed, failed = sum(row.passed for row in rows), sum(row.failed for row in rows)
        if file is not None:
            json.dump(_report(rows, outcomes, passed, failed), file, indent=1, allow_nan=False)
            file.write("\n")
    console.print(_summary(rows))
    _list_unsupported(console, [each for each in outcomes if each.status == "unsupported"])
    _list_failed(console, [each for each in outcomes if each.status == "failed"])
    console.print(Text(f"Ran on {demo.device()}", _QUIET))
    console.print(Text(f"{passed} checks passed, {failed} failed", _GOOD if failed == 0 else _BAD))
    return 0 if failed == 0 else 1


def _report(rows: list[check.Row], outcomes: list[check.Outcome], passed: int, failed: int) -> dict[str, Any]:
    """What ``--json`` writes. An error that is no number is null, as JSON has no infinity."""

    def finite(fields: dict[str, Any]) -> dict[str, Any]:
        return {name: None if value == math.inf else value for name, value in fields.items()}

    return {
        "jconvt": __version__,
        "device": dataclasses.asdict(demo.device()),
        "passed": passed,
        "failed": failed,
        "rows": [finite(dataclasses.asdict(row)) for row in rows],
        "exceptions": [
            {
                "status": outcome.status,
                "detail": outcome.detail,
                "call": outcome.check.call,
                "reproduce": str(outcome.check),
            }
            for outcome in outcomes
            if outcome.status != "passed"
        ],
    }


def _summary(rows: list[check.Row]) -> Table:
    table = Table(
        box=SIMPLE_HEAD,
        caption="Errors are in tolerances; more than 1 fails. Whole numbers must be equal. Other sums of m products "
        "may differ by m eps times the sum of absolute products, and by one rounding.\n",
        caption_style=_QUIET,
        caption_justify="left",
    )
    table.add_column("checked against")
    for name in ("method", "dtype"):
        table.add_column(name, no_wrap=True)
    for name in ("run", "passed", "worst\nerror", "un-\nsupported"):
        table.add_column(name, justify="right", min_width=max(map(len, name.split("\n"))))
    for kind, group in itertools.groupby(rows, key=lambda row: row.kind):
        table.add_section()
        for number, row in enumerate(group):
            run = row.passed + row.failed
            table.add_row(
                _KINDS[kind] if number == 0 else "",
                Text(row.method, "bold"),
                row.dtype,
                str(run),
                Text(str(row.passed), _GOOD if row.failed == 0 else _BAD),
                f"{row.worst:.2g}" if run else "-",
                str(row.unsupported or "-"),
                style="" if run else _QUIET,
            )
    return table


def _list_unsupported(console: Console, outcomes: list[check.Outcome]) -> None:
    """One line for each reason, as most checks of a dtype share it."""
    reasons = collections.Counter((each.check.method, each.check.dtype, each.detail) for each in outcomes)
    for (method, dtype, detail), count in reasons.items():
        console.print(Text(f"Not supported here: {method}, {dtype}, {count} of the checks: {detail}"))
    if reasons:
        console.print()


def _list_failed(console: Console, outcomes: list[check.Outcome]) -> None:
    for outcome in outcomes[:_LISTED]:
        console.print(Text.assemble((f"Failed: {_KINDS[outcome.check.kind]}: ", _BAD), outcome.detail))
        console.print(Text(f"  {outcome.check.call}\n  {outcome.check}"), soft_wrap=True)
    if outcomes[_LISTED:]:
        console.print(f"and {len(outcomes) - _LISTED} more, which --json lists")
    if outcomes:
        console.print()
