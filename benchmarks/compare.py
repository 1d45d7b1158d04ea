"""``python -m benchmarks compare``: jconvt beside other libraries, as tables, JSON, a page and a plot."""

import argparse
import pathlib
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from jconvt._atomic_write import replacement

from . import baselines, comparison, machine, measurement, report, suite, tables

OUTPUT = pathlib.Path("build", "benchmarks")
_BASELINES = [name for names in baselines.NAMES.values() for name in names]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``compare``."""
    suite.add_arguments(parser)
    parser.add_argument(
        "--contender",
        dest="candidate",
        action="append",
        choices=(*measurement.methods(), *_BASELINES),
        help="measure only this method or library; may be repeated",
    )
    add_output(parser)


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the folder to write to."""
    parser.add_argument(
        "--output", metavar="DIR", type=pathlib.Path, default=OUTPUT, help=f"write to DIR instead of {OUTPUT}"
    )


def folder(path: pathlib.Path) -> pathlib.Path:
    """Make a folder for results, or end the program with status 2."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"benchmarks: cannot write to {path}: {error.strerror}; choose another --output", file=sys.stderr)
        raise SystemExit(2) from error
    return path


def command(arguments: argparse.Namespace, console: Console) -> int:
    """Measure auto, every method and every baseline; write and print the figures."""
    chosen = suite.problems(arguments)
    wanted = arguments.candidate or [*measurement.methods(), *_BASELINES]
    content = machine.describe()
    path = folder(arguments.output) / f"{machine.slug(content)}.json"
    with replacement(path) as file:
        others, absent = baselines.find(wanted)
        candidates = {name: each for name, each in measurement.methods().items() if name in wanted} | others
        for name, reason in absent.items():
            console.print(Text(f"Left out: {name}: {reason}"))
        dtypes, products = suite.dtypes(chosen), baselines.product()
        peaks = suite.peaks(dtypes, arguments.quick, products)
        measured, finished = suite.measure(chosen, candidates, console, arguments.quick)
        if finished and not arguments.quick:
            peaks = _larger(peaks, suite.peaks(dtypes, arguments.quick, products))
        content |= {
            "quick": arguments.quick,
            "finished": finished,
            "absent": absent,
            "peaks": peaks,
            "problems": suite.as_json(measured),
        }
        suite.write_json(content, file)
    suite.print_failures(measured, console)
    present(content, path, console)
    return suite.status(measured, finished)


def present(content: dict[str, Any], path: pathlib.Path, console: Console) -> None:
    """Print the tables, and write the page and the plot beside the JSON file."""
    compared = [comparison.compare(problem, content["peaks"]) for problem in content["problems"]]
    if not compared:
        console.print("Nothing was measured.")
        return
    title = f"{content['machine']['device']}, {content['date'][:10]}"
    picture = suite.write_plot(path, lambda plot: plot.svg(compared, title), console)
    with replacement(path.with_suffix(".md")) as file:
        file.write(report.page(content, compared, picture.name))
    wide = tables.wide(console)
    for table in report.tables(compared):
        wide.print(table)
        wide.print()
    console.print(Text(report.legend(), "dim"))
    for dtype, peaks in content["peaks"].items():
        each = ", ".join(f"{library} {value:,.0f}" for library, value in peaks.items())
        console.print(Text(f"Fastest matrix product in {dtype}, GFLOP/s: {each}", "dim"))
    console.print(Text(f"Written: {path}, and its page and plot beside it"))


def _larger(one: dict[str, dict[str, float]], other: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return the larger of two measurements: another program on the machine makes one smaller."""
    return {
        dtype: {name: max(value, other[dtype].get(name, 0.0)) for name, value in found.items()}
        for dtype, found in one.items()
    }
