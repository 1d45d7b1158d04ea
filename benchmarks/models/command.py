"""``python -m benchmarks models``: networks of other libraries, with jconvt.accelerate, without it, and in PyTorch."""

import argparse
import concurrent.futures
import multiprocessing
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from jconvt._atomic_write import replacement

from .. import compare, machine, suite, tables
from . import NETWORKS, convolutions, measuring, report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    text = f"one of {', '.join(NETWORKS)}; without one, all"
    parser.add_argument("networks", metavar="NETWORK", nargs="*", type=_network, help=text)
    parser.add_argument(
        "--quick", action="store_true", help="small networks and few rounds: a check, not a measurement"
    )
    parser.add_argument(
        "--convolutions",
        action="store_true",
        help="compare the predictions for each convolution of the networks with measurements",
    )
    compare.add_output(parser)


def _network(name: str) -> str:
    if name not in NETWORKS:
        raise argparse.ArgumentTypeError(f"no network is called {name!r}; choose from {', '.join(NETWORKS)}")
    return name


def command(arguments: argparse.Namespace, console: Console) -> int:
    """Measure the networks, or their convolutions; write and print the figures."""
    names = arguments.networks or [*NETWORKS]
    folder = compare.folder(arguments.output)
    return (_convolutions if arguments.convolutions else _networks)(names, arguments.quick, folder, console)


def _networks(names: Sequence[str], quick: bool, folder: pathlib.Path, console: Console) -> int:
    content = machine.describe()
    path = folder / f"models-{machine.slug(content)}.json"
    absent: dict[str, str] = {}
    with replacement(path) as file:
        content |= {
            "quick": quick,
            "absent": absent,
            "networks": dict(_each(names, measuring.measure, quick, absent, console)),
        }
        suite.write_json(content, file)
    present(content, path, console)
    return _status(report.failures(content))


def present(content: dict[str, Any], path: pathlib.Path, console: Console) -> None:
    """Print the tables, and write the page and the plot beside the JSON file."""
    found = report.rows(content)
    wide = tables.wide(console)
    for line in report.failures(content):
        wide.print(Text(line))
    if not found:
        wide.print("Nothing was measured.")
        return
    title = f"{content['machine']['device']}, {content['date'][:10]}"
    picture = suite.write_plot(path, lambda plot: _plot(plot, found, title), console)
    with replacement(path.with_suffix(".md")) as file:
        file.write(report.page(content, found, picture.name))
    for table in report.tables(found):
        wide.print(table)
        wide.print()
    wide.print(Text(report.LEGEND, "dim"))
    wide.print(Text(f"Written: {path}, and its page and plot beside it"))


def _plot(plot: Any, found: Sequence[report.Row], title: str) -> str:
    dots = [
        plot.Dot(row.program, row.network, kind, ratio)
        for row in found
        for kind, ratio in (("JAX", row.plain_ratio), ("PyTorch", row.torch_ratio))
    ]
    label = "time / the time under jconvt.accelerate; right of the line, jconvt is faster"
    return plot.of_dots(dots, title, label)


def _convolutions(names: Sequence[str], quick: bool, folder: pathlib.Path, console: Console) -> int:
    absent: dict[str, str] = {}
    seen = dict(_each(names, measuring.convolutions, quick, absent, console))
    content = machine.describe() | {"quick": quick, "absent": absent}
    path = folder / f"convolutions-{machine.slug(content)}.json"
    with replacement(path) as file:
        distinct = convolutions.distinct(seen)
        with _progress(console) as progress:
            measured = [convolutions.measure(each, quick) for each in progress.track(distinct, description="Measuring")]
        content["convolutions"] = measured
        suite.write_json(content, file)
    with replacement(path.with_suffix(".md")) as file:
        file.write(convolutions.page(content))
    wide = tables.wide(console)
    for name, reason in absent.items():
        wide.print(Text(f"Left out: {name}: {reason}"))
    if measured:
        wide.print(convolutions.table(measured))
        wide.print(Text(convolutions.summary(measured), "bold"))
    wide.print(Text(f"Written: {path}, and its page beside it"))
    return 0


def _each(
    names: Sequence[str], function: Callable[[str, bool], Any], quick: bool, absent: dict[str, str], console: Console
) -> Iterator[tuple[str, Any]]:
    """Yield ``function(name, quick)`` for each network, each in a process of its own; put reasons in ``absent``.

    Keras chooses its backend when it is imported, and ``accelerate`` reports what a process has lowered.
    """
    os.environ["KERAS_BACKEND"] = "jax"
    spawned = multiprocessing.get_context("spawn")
    with _progress(console) as progress:
        for name in progress.track(names, description="Networks"):
            with concurrent.futures.ProcessPoolExecutor(1, spawned) as pool:
                try:
                    yield name, pool.submit(function, name, quick).result()
                except Exception as error:
                    absent[name] = f"{type(error).__name__}: {error}".partition("\n")[0]


def _progress(console: Console) -> Progress:
    return Progress(console=console, transient=True, auto_refresh=False, disable=not console.is_terminal)


def _status(failures: Iterator[str]) -> int:
    return int(any(line.startswith("Wrong") for line in failures))
