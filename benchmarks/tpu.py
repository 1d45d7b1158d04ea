"""``python -m benchmarks --tpu-compile``: the TPU compiler's estimates for each method and for ``jax.lax``.

No TPU is needed: see ``tpu_program``, which also says what the figures do and do not mean.
"""

import argparse
import json
import pathlib
import time
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

import jconvt
from jconvt._atomic_write import replacement
from jconvt.errors import ArgumentError

from . import tables, tpu_program, tpu_report, workloads
from .baselines import lax
from .tpu_program import TOPOLOGIES, Figures
from .tpu_report import BASELINE, DTYPES, MAPS, METHODS, Row
from .workloads import Workload


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    options = {
        "topology": (TOPOLOGIES, "v5e"),
        "dtype": (DTYPES, "all"),
        "workload": (workloads.load(), "all"),
        "map": (MAPS, "all"),
        "method": (METHODS, "all"),
    }
    for name, (values, default) in options.items():
        text = f"one of {', '.join(values)}; may be repeated; default: {default}"
        parser.add_argument(f"--{name}", action="append", choices=[*values], metavar=name.upper(), help=text)


def command(arguments: argparse.Namespace, console: Console) -> int:
    """Compile, and write and print the tables. The results of earlier runs of the same versions are kept."""
    tpu_program.use_only_compiler()
    path, versions = arguments.output / "tpu.json", tpu_program.versions()
    rows = {row.key: row for row in tpu_report.read(path, versions)}
    cases = [
        (topology, dtype, workloads.load()[workload], name, method)
        for topology in arguments.topology or ["v5e"]
        for dtype in arguments.dtype or DTYPES
        for workload in arguments.workload or workloads.load()
        for name in arguments.map or MAPS
        for method in (BASELINE, *(arguments.method or METHODS))
    ]
    known: dict[tuple[str, str], tuple[Figures, float]] = {}
    compiled: list[Row] = []
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        for topology, dtype, workload, name, method in progress.track(cases, description="Compiling"):
            key = topology, dtype, workload.name, name, method
            if method != BASELINE or key not in rows:  # the baseline's depend only on the versions
                rows[key] = measure(topology, dtype, workload, name, method, known)
            compiled.append(rows[key])
            _write(path, rows.values(), versions)  # after each: all of them take an hour
    for table in tpu_report.tables(compiled):
        tables.wide(console).print(table.shown())
        console.print()
    console.print(Text(tpu_report.LEGEND, "dim"))
    console.print(Text(f"{', '.join(map(' '.join, versions.items()))}; written: {path}, and its page beside it", "dim"))
    return 0


def measure(
    topology: str,
    dtype: str,
    workload: Workload,
    name: str,
    method: str,
    known: dict[tuple[str, str], tuple[Figures, float]] | None = None,
) -> Row:
    """Return the figures of one map. A ``known`` program is not compiled again: some methods share programs."""
    known = {} if known is None else known
    row = Row(topology, dtype, workload.name, name, method, choice(dtype, workload, name) if method == "auto" else None)
    try:
        lowered = lower(topology, dtype, workload, name, function(workload, method))
        key = topology, lowered.as_text()
        if key not in known:
            start = time.perf_counter()
            compiled = lowered.compile()
            known[key] = tpu_program.figures(compiled), time.perf_counter() - start
    except (ArgumentError, jax.errors.JaxRuntimeError) as error:
        return row.of(unsupported=str(error).partition("\n")[0])
    figures, seconds = known[key]
    return row.of(figures=figures, compile_seconds=round(seconds, 3))


def choice(dtype: str, workload: Workload, name: str) -> str:
    """Return the method that ``auto`` picks for one map."""
    arguments = workload.spec, workload.input_shape, workload.filters_shape
    return getattr(jconvt.choose(*arguments, dtype=dtype, platform="tpu"), MAPS[name]).method


def function(workload: Workload, method: str) -> Callable[[Any, Any], Any]:
    """Return a workload by a method, or by ``jax.lax``, as a function of input and filters."""
    if method == BASELINE:
        return lax.function(workload)
    return lambda x, w: jconvt.conv_transpose(x, w, **workload.arguments, method=method)


def lower(topology: str, dtype: str, workload: Workload, name: str, call: Callable[[Any, Any], Any]) -> Any:
    """Lower one of ``MAPS`` of a function of input and filters, for one chip."""

    def program(x: Any, w: Any, z: Any) -> Any:
        return call(x, w) if name == "T" else jax.vjp(call, x, w)[1](z)["FG".index(name)]

    chip = jax.sharding.SingleDeviceSharding(tpu_program.devices(TOPOLOGIES[topology])[0])
    shapes = workload.input_shape, workload.filters_shape, workload.output_shape
    operands = [jax.ShapeDtypeStruct(shape, jnp.dtype(dtype), sharding=chip) for shape in shapes]
    return jax.jit(program).lower(*operands)


def _write(path: pathlib.Path, rows: Iterable[Row], versions: dict[str, str]) -> None:
    rows = [*rows]
    with replacement(path) as file:
        json.dump(tpu_report.content(rows, versions), file, indent=1)
        file.write("\n")
    with replacement(path.with_suffix(".md")) as file:
        file.write(tpu_report.page(rows, versions))
