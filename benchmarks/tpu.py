"""What the TPU compiler expects each method to take, beside ``jax.lax.conv_transpose``, on a machine without a TPU.

    python -m benchmarks.tpu --topology v5e --workload unet-up --dtype bfloat16

libtpu compiles for a TPU that is not there. It plans each operation's tiles by a model of the chip, and writes what
the plan costs into the compiled program: ``estimated_cycles``. The figure here is the sum of these over the program's
operations, which a core runs one after the other; the table has it relative to the same sum for ``jax.lax``.

What it is: the compiler's own judgement, by which it chose the program. It knows tiles, how they are filled up, changes
of layout, and the zeros that a dilated convolution multiplies.

What it is not: a measurement. Transfers that run beside the computation are free in it. So are operations that the
compiler writes no cycles on, such as reversals and reshapes that move data: a star marks a program that has them, and
the report counts them. The estimate may be further off than two methods are apart.

The ``optimal_seconds`` of ``cost_analysis()`` are not used: they are a bound from peak rates, which counts no work on
zeros and no tiles, counts as traffic what a fusion keeps on the chip, and adds -1 second for a custom call.
"""

import argparse
import collections
import dataclasses
import functools
import importlib.metadata
import itertools
import json
import os
import pathlib
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import topologies
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

import jconvt
from jconvt import workloads
from jconvt.errors import ArgumentError
from jconvt.workloads import Workload

TOPOLOGIES = {"v4": "v4:2x2x1", "v5e": "v5e:2x2", "v5p": "v5p:2x2x1", "v6e": "v6e:2x2"}
METHODS = ("auto", "dilated", "vjp", "polyphase", "gemm")
DTYPES = ("float32", "bfloat16")
MAPS = ("T", "TFG")
RIVAL = "jax.lax"

_RESULTS = pathlib.Path(__file__).parent / "results"
_OPERATION = r"^  (?:ROOT )?%?[\w.-]+ = (?:\([^\n]*?\)|\S+) ([a-z][a-z-]*)\((.*)$"
# What takes no time, or runs beside the computation; the custom calls are there to name a part of an array.
_FREE = re.compile(r"parameter|constant|bitcast|tuple|get-tuple-element|custom-call|.*-(start|done)")


@dataclasses.dataclass(frozen=True)
class Row:
    """One program for one chip. ``unpriced`` counts the operations without cycles.

    ``maps`` is T for the transposed convolution alone, and TFG for it and its gradients in both operands.
    """

    topology: str
    dtype: str
    workload: str
    maps: str
    method: str
    cycles: int | None = None
    ratio: float | None = None
    unpriced: dict[str, int] = dataclasses.field(default_factory=dict)
    compile_seconds: float | None = None
    refused: str | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line on ``argv``, and returns its exit status."""
    arguments = _parser().parse_args(argv)
    try:
        versions = _versions()
    except ArgumentError as error:
        print(f"benchmarks.tpu: {error}", file=sys.stderr)
        return 2
    # Or libtpu would ask a cloud's metadata server about the TPU, and JAX would look for a device to run on.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    jax.config.update("jax_platforms", "cpu")
    console, methods = Console(highlight=False), arguments.method or METHODS
    chosen = [workloads.load()[name] for name in arguments.workload or workloads.load()]
    cases = itertools.product(arguments.topology or ["v5e", "v6e"], arguments.dtype or DTYPES, chosen, MAPS)
    rows: list[Row] = []
    arguments.output.mkdir(parents=True, exist_ok=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        for case in progress.track([*cases], description="Compiling"):
            rows += measure(*case, methods)
            _write(arguments.output, rows, versions, methods)  # after each: all of them take an hour or more
    for title, lines in _tables(rows):
        console.print(_table(title, lines, methods))
    console.print(Text(f"{', '.join(map(' '.join, versions.items()))}; written to {arguments.output}", "dim"))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.tpu", description="Compare estimates of the TPU compiler. No TPU is needed."
    )
    options = {
        "topology": (TOPOLOGIES, "v5e and v6e"),
        "workload": (workloads.load(), "all"),
        "dtype": (DTYPES, "all"),
        "method": (METHODS, "all"),
    }
    for name, (values, default) in options.items():
        text = f"one of {', '.join(values)}; may be repeated; default: {default}"
        parser.add_argument(f"--{name}", action="append", choices=values, metavar=name.upper(), help=text)
    parser.add_argument("--output", type=pathlib.Path, default=_RESULTS, metavar="DIR", help="default: %(default)s")
    return parser


def _versions() -> dict[str, str]:
    try:
        libtpu = importlib.metadata.version("libtpu")
    except importlib.metadata.PackageNotFoundError:
        raise ArgumentError(
            "the TPU compiler is not installed",
            got=f"JAX {jax.__version__} without libtpu",
            legal="the libtpu that this JAX is released with: it runs on x86-64 Linux, and needs no TPU",
            fix=f"pip install 'jax[tpu]=={jax.__version__}'",
        ) from None
    return {"jconvt": jconvt.__version__, "jax": jax.__version__, "libtpu": libtpu}


def measure(
    topology: str, dtype: str, workload: Workload, maps: str, methods: Sequence[str] = METHODS
) -> Iterator[Row]:
    """The row of ``jax.lax``, then one for each method."""
    spec, base = workload.spec, None

    def rival(x: jax.Array, w: jax.Array) -> jax.Array:
        padding = [(axis.extent - 1 - axis.lo, axis.extent - 1 - axis.hi) for axis in spec.axes]
        return lax.conv_transpose(x, w, [axis.stride for axis in spec.axes], padding, transpose_kernel=True)

    def rival_of_groups(x: jax.Array, w: jax.Array) -> jax.Array:
        x, w = (array.reshape(*array.shape[:-1], spec.groups, -1) for array in (x, w))
        y = jax.vmap(rival, (-2, -2), -2)(x, w)
        return y.reshape(*y.shape[:-2], workload.output_channels)

    for method in (RIVAL, *methods):
        call: Any = functools.partial(jconvt.conv_transpose, **workload.arguments, method=method)
        if method == RIVAL:
            call = rival if spec.groups == 1 else rival_of_groups
        row = Row(topology, dtype, workload.name, maps, method)
        try:
            cycles, unpriced, seconds = _estimate(topology, dtype, workload, maps, call)
        except (ArgumentError, jax.errors.JaxRuntimeError) as error:
            yield dataclasses.replace(row, refused=str(error).partition("\n")[0])
            continue
        base = cycles if method == RIVAL else base
        ratio = cycles / base if base else None
        yield dataclasses.replace(row, cycles=cycles, ratio=ratio, unpriced=unpriced, compile_seconds=seconds)


_known: dict[tuple[str, str], tuple[int, dict[str, int], float]] = {}


def _estimate(
    topology: str, dtype: str, workload: Workload, maps: str, call: Callable[..., jax.Array]
) -> tuple[int, dict[str, int], float]:
    """Cycles, operations without, and the seconds of compiling: once for all calls that lower to the same program."""

    def program(x: jax.Array, w: jax.Array, z: jax.Array) -> Any:
        if maps == "T":
            return call(x, w)
        y, pull_back = jax.vjp(call, x, w)
        return y, *pull_back(z)

    shapes = workload.input_shape, workload.filters_shape, workload.output_shape
    operands = [jax.ShapeDtypeStruct(shape, jnp.dtype(dtype), sharding=_chip(topology)) for shape in shapes]
    lowered = jax.jit(program).lower(*operands)
    key = topology, lowered.as_text()
    if key not in _known:
        start = time.perf_counter()
        text = lowered.compile().as_text()
        seconds = time.perf_counter() - start
        _known[key] = *price(text or ""), seconds
    return _known[key]


@functools.cache
def _chip(topology: str) -> jax.sharding.Sharding:
    described = topologies.get_topology_desc(platform="tpu", topology_name=TOPOLOGIES[topology])
    return jax.sharding.SingleDeviceSharding(described.devices[0])


def price(text: str) -> tuple[int, dict[str, int]]:
    """The cycles of a compiled program, and how many operations it has without, by their names.

    >>> price('''
    ... ENTRY %main (a: f32[9]) -> f32[9] {
    ...   %a = f32[9]{0:T(128)} parameter(0)
    ...   %b = f32[9]{0:T(128)} reverse(%a), dimensions={0}
    ...   ROOT %c = f32[9]{0:T(128)} copy(%b), backend_config={"window_config":{"estimated_cycles":"70"}}
    ... }''')
    (70, {'reverse': 1})
    """
    entry = re.search(r"^ENTRY [^\n]*\{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    assert entry is not None  # every program has one
    cycles, unpriced = 0, collections.Counter[str]()
    for operation, rest in re.findall(_OPERATION, entry[1], re.MULTILINE):
        priced = re.search(r'"estimated_cycles":"(\d+)"', rest)
        if priced:
            cycles += int(priced[1])
        elif not _FREE.fullmatch(operation):
            unpriced[operation] += 1
    return cycles, dict(unpriced)


_HEADINGS = ("workload", "maps", f"{RIVAL}\nkilocycles")
_KEY = (
    f"Cycles over those of {RIVAL}: below 1 is faster. T is the transposed convolution alone, TFG with both gradients. "
    "A star: the program has operations on which the compiler writes no cycles."
)


def _tables(rows: list[Row]) -> Iterator[tuple[str, list[list[Text]]]]:
    """A title for each chip and dtype, and the cells under ``_HEADINGS``."""
    for (topology, dtype), group in itertools.groupby(rows, key=lambda row: (row.topology, row.dtype)):
        lines = []
        for labels, same in itertools.groupby(group, key=lambda row: (row.workload, row.maps)):
            rival, *others = same
            cycles = "-" if rival.cycles is None else f"{rival.cycles / 1000:,.1f}{'*' if rival.unpriced else ''}"
            lines.append([*map(Text, (*labels, cycles)), *map(_cell, others)])
        yield f"TPU {topology}, {dtype}", lines


def _cell(row: Row) -> Text:
    if row.ratio is None:
        return Text("-")
    style = "" if row.ratio == 1 else "green" if row.ratio < 1 else "red"
    return Text(f"{row.ratio:.2f}{'*' if row.unpriced else ''}", style)


def _table(title: str, lines: list[list[Text]], methods: Sequence[str]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, title=title, caption=_KEY, caption_justify="left")
    for number, heading in enumerate((*_HEADINGS, *methods)):
        table.add_column(heading, justify="left" if number < 2 else "right", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    return table


def _write(output: pathlib.Path, rows: list[Row], versions: dict[str, str], methods: Sequence[str]) -> None:
    """``tpu.json`` and ``tpu.md``."""
    report = {"versions": versions, "rows": [dataclasses.asdict(row) for row in rows]}
    (output / "tpu.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    lines = ["# The TPU compiler's estimates", "", ", ".join(map(" ".join, versions.items())), "", _KEY]
    lines += ["What an estimate is and is not, `benchmarks/tpu.py` explains."]
    headings = (*_HEADINGS, *methods)
    heading = " | ".join(headings).replace("\n", ", ")
    for title, cells in _tables(rows):
        lines += ["", f"## {title}", "", f"| {heading} |", "|" + " --- |" * 2 + " ---: |" * (len(headings) - 2)]
        lines += [f"| {' | '.join(map(str, line))} |" for line in cells]
    (output / "tpu.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
