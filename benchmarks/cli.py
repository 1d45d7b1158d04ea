"""``python -m benchmarks``: arguments in; a table, a JSON file, a page and a plot out."""

import argparse
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from jconvt._atomic_write import replacement
from jconvt.errors import ArgumentError

from . import bench, bench_cli, choices, comparison, machine, report, rivals, scaling, tpu

_OUTPUT = pathlib.Path("build", "benchmarks")
_TPU = "--tpu-compile"
_RIVALS = [name for names in rivals.NAMES.values() for name in names]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark on ``argv``, and returns its exit status. Without a command, it compares."""
    argv = list(sys.argv[1:] if argv is None else argv)
    console = Console(highlight=False)
    try:
        if _TPU in argv:
            return _compile_for_tpu([each for each in argv if each != _TPU], console)
        arguments = _parse(argv)
        return arguments.command(arguments, console)
    except KeyboardInterrupt:
        return 130


def _parse(argv: list[str]) -> argparse.Namespace:
    if not argv or (argv[0].startswith("-") and argv[0] not in ("-h", "--help")):
        argv = ["compare", *argv]
    return _parser().parse_args(argv)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks",
        description="Transposed convolution in JAX beside other libraries.",
        epilog=f"python -m benchmarks {_TPU} --help: what a TPU's compiler says, without a TPU",
    )
    commands = parser.add_subparsers(title="commands; without one, compare", required=True)
    text = "measure auto, every method and every rival, and write what was measured"
    comparing = commands.add_parser("compare", help=text, description=f"{text.capitalize()}.")
    comparing.set_defaults(command=_compare)
    bench_cli.add_choices(comparing)
    comparing.add_argument(
        "--contender",
        action="append",
        choices=(*bench.methods(), *_RIVALS),
        help="measure this contender alone; may be repeated",
    )
    comparing.add_argument(
        "--output", metavar="DIR", type=pathlib.Path, default=_OUTPUT, help=f"write there instead of in {_OUTPUT}"
    )
    text = "measure how auto's time grows with the pixels and with the batch"
    growing = commands.add_parser("scaling", help=text, description=f"{text.capitalize()}.")
    growing.set_defaults(command=scaling.command)
    scaling.add_arguments(growing)
    text = "compare the predictions of jconvt.choose with what it measures"
    choosing = commands.add_parser("choices", help=text, description=f"{text.capitalize()}.")
    choosing.set_defaults(command=choices.command)
    choices.add_arguments(choosing)
    text = "show the tables of a JSON file, and write its page and plot anew"
    showing = commands.add_parser("show", help=text, description=f"{text.capitalize()}.")
    showing.add_argument("file", metavar="FILE", type=pathlib.Path)
    showing.set_defaults(command=_show)
    return parser


def _compile_for_tpu(argv: list[str], console: Console) -> int:
    text = "Compile each method and jax.lax for a TPU that is not there, and write what the compiler says of them."
    parser = argparse.ArgumentParser(f"python -m benchmarks {_TPU}", description=text)
    tpu.add_arguments(parser)
    parser.add_argument(
        "--output", metavar="DIR", type=pathlib.Path, default=_OUTPUT, help=f"write there instead of in {_OUTPUT}"
    )
    arguments = parser.parse_args(argv)
    _directory(arguments.output)
    try:
        return tpu.command(arguments, console)
    except ArgumentError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2


def _compare(arguments: argparse.Namespace, console: Console) -> int:
    chosen = bench_cli.problems(arguments)
    wanted = arguments.contender or [*bench.methods(), *_RIVALS]
    content = machine.describe()
    path = _directory(arguments.output) / f"{machine.slug(content)}.json"
    with replacement(path) as file:
        others, absent = rivals.find(wanted)
        contenders = {name: each for name, each in bench.methods().items() if name in wanted} | others
        for name, reason in absent.items():
            console.print(Text(f"Left out: {name}: {reason}"))
        dtypes, products = bench_cli.dtypes(chosen), _products()
        before = bench_cli.peaks(dtypes, arguments.quick, products)
        measured, finished = bench_cli.measure(chosen, contenders, console, arguments.quick)
        again = finished and not arguments.quick
        content |= {
            "quick": arguments.quick,
            "finished": finished,
            "absent": absent,
            "peaks": _larger(before, bench_cli.peaks(dtypes, arguments.quick, products)) if again else before,
            "problems": bench_cli.report(measured),
        }
        json.dump(content, file, indent=1, allow_nan=False)
        file.write("\n")
    for standing in bench_cli.troubles(measured):
        console.print(bench_cli.trouble(standing))
    _present(content, path, console)
    return bench_cli.status(measured, finished)


def _show(arguments: argparse.Namespace, console: Console) -> int:
    try:
        content = json.loads(arguments.file.read_text())
        _present(content, arguments.file, console)
    except (OSError, ValueError, KeyError) as error:
        print(f"benchmarks: {arguments.file} is no file of results: {error!r}; pass one of results/", file=sys.stderr)
        return 2
    return 0


def _present(content: dict[str, Any], path: pathlib.Path, console: Console) -> None:
    """Shows the tables, and writes the page and the plot beside the JSON file."""
    compared = [comparison.compare(problem, content["peaks"]) for problem in content["problems"]]
    if not compared:
        console.print("Nothing was measured.")
        return
    picture = path.with_suffix(".svg")
    try:
        from . import plot
    except ModuleNotFoundError:
        console.print(Text("No plot: matplotlib is not installed here. Where it is, the command show makes the plot."))
    else:
        with replacement(picture) as file:
            file.write(plot.svg(compared, f"{content['machine']['device']}, {content['date'][:10]}"))
    with replacement(path.with_suffix(".md")) as file:
        file.write(report.page(content, compared, picture.name))
    wide = report.wide(console)
    for table in report.tables(compared):
        wide.print(table)
        wide.print()
    console.print(report.legend())
    for dtype, peaks in content["peaks"].items():
        each = ", ".join(f"{library} {value:,.0f}" for library, value in peaks.items())
        console.print(Text(f"Fastest matrix product in {dtype}, GFLOP/s: {each}", "dim"))
    console.print(Text(f"Written: {path}, and its page and plot beside it"))


def _directory(path: pathlib.Path) -> pathlib.Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"benchmarks: cannot write to {path}: {error.strerror}; choose another --output", file=sys.stderr)
        raise SystemExit(2) from error
    return path


def _products() -> bench_cli.Products | None:
    """PyTorch's matrix products, where it is here."""
    try:
        from .rivals import torch

        torch.contenders()
    except ImportError:
        return None
    return "torch", torch.product


def _larger(one: dict[str, dict[str, float]], other: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """The larger of two measurements, as another program on the machine makes them smaller."""
    return {
        dtype: {name: max(value, other[dtype].get(name, 0.0)) for name, value in found.items()}
        for dtype, found in one.items()
    }
