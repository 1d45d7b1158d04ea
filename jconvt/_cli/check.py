"""``jconvt check``: every method against TensorFlow's stored outputs, the definition, adjoints and gradients."""

import argparse
import collections
import contextlib
import itertools
import json
import math
import pathlib
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from .. import __version__
from .._atomic_write import replacement
from .._methods import METHODS
from .._native import native_status
from .._testing import check
from . import terminal

_KINDS = {"golden": "TensorFlow", "result": "the definition", "adjoint": "adjointness", "gradient": "its gradients"}
_LISTED = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option("--quick", action="store_true", help="make a tenth of the checks")
    option("--json", metavar="FILE", type=pathlib.Path, help="also write the summary to FILE")
    option("--method", action="append", choices=("auto", *METHODS), help="check only this method; may be repeated")


def run(arguments: argparse.Namespace, console: Console) -> int:
    device = terminal.default_device()
    with contextlib.nullcontext() if arguments.json is None else replacement(arguments.json) as file:
        checks = check.plan(arguments.method, arguments.quick)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            outcomes = [check.perform(each) for each in progress.track(checks, description="Checking")]
        rows = check.summarize(outcomes)
        passed, failed = (sum(row[status] for row in rows) for status in ("passed", "failed"))
        if file is not None:
            content = {"jconvt": __version__, "device": device, "passed": passed, "failed": failed}
            # An infinite error is null: JSON has no infinity.
            content["rows"] = [row | {"worst": None if row["worst"] == math.inf else row["worst"]} for row in rows]
            content["exceptions"] = [
                {"status": each.status, "detail": each.detail, "call": each.check.call, "reproduce": str(each.check)}
                for each in outcomes
                if each.status != "passed"
            ]
            json.dump(content, file, indent=1, allow_nan=False)
            file.write("\n")
    console.print(_summary(rows))
    # One line for each reason: most checks of a dtype share it.
    reasons = collections.Counter(
        (each.check.method, each.check.dtype, each.detail) for each in outcomes if each.status == "unsupported"
    )
    for (method, dtype, detail), count in reasons.items():
        console.print(Text(f"Unsupported here: {method}, {dtype}, {count} of the checks: {detail}"))
    failures = [each for each in outcomes if each.status == "failed"]
    for each in failures[:_LISTED]:
        console.print(Text.assemble((f"Failed: {_KINDS[each.check.kind]}: ", terminal.BAD), each.detail))
        console.print(Text(f"  {each.check.call}\n  {each.check}"), soft_wrap=True)
    if failures[_LISTED:]:
        console.print(f"and {len(failures) - _LISTED} more, which --json lists")
    if device["platform"] == "cpu":
        console.print(Text(str(native_status()), terminal.QUIET))
    console.print(terminal.ran_on(device))
    console.print(Text(f"{passed} checks passed, {failed} failed", terminal.BAD if failed else terminal.GOOD))
    return 1 if failed else 0


def _summary(rows: list[dict[str, Any]]) -> Table:
    caption = (
        "An error is in units of its tolerance: above 1 it fails. Whole numbers must be equal. Other sums of "
        "m products may differ by m eps times the sum of absolute products, and by one rounding.\n"
    )
    table = terminal.table("checked against", caption=caption)
    for name in ("method", "dtype"):
        table.add_column(name, no_wrap=True)
    for name in ("run", "passed", "worst\nerror", "un-\nsupported"):
        table.add_column(name, justify="right", min_width=max(map(len, name.split("\n"))))
    for kind, group in itertools.groupby(rows, key=lambda row: row["kind"]):
        table.add_section()
        for number, row in enumerate(group):
            ran = row["passed"] + row["failed"]
            names = ("" if number else _KINDS[kind], Text(row["method"], "bold"), row["dtype"])
            passed = Text(str(row["passed"]), terminal.BAD if row["failed"] else terminal.GOOD)
            worst = f"{row['worst']:.2g}" if ran else "-"
            unsupported = str(row["unsupported"] or "-")
            table.add_row(*names, str(ran), passed, worst, unsupported, style="" if ran else terminal.QUIET)
    return table
