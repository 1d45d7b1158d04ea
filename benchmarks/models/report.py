"""The figures of the networks as tables, as a page, and as a plot."""

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text

from .. import machine
from .. import tables as shared
from ..comparison import mean, ratio
from ..tables import milliseconds

Content = dict[str, Any]

_COLUMNS = (
    "network",
    "JAX, ms",
    "jconvt, ms",
    "JAX / jconvt",
    "PyTorch, ms",
    "PyTorch / jconvt",
    "replaced",
    "JAX, s",
    "jconvt, s",
    "error",
    "rounding",
)
LEGEND = (
    "jconvt: the program of JAX under jconvt.accelerate. PyTorch: the faster of its two layouts. Ratios of times are "
    "above 1 where jconvt is faster. Replaced: the convolutions that jconvt computes. "
    "Seconds (s): to trace and compile. Error: the largest difference of an array of JAX's and "
    "jconvt's outputs or gradients, in the array's norm. Rounding: the same for JAX if the batch changes by 1e-6."
)


class Row(NamedTuple):
    """One program of one network, if it was timed. Times are in seconds."""

    network: str
    program: str
    plain: float
    accelerated: float
    plain_ratio: float
    torch: float | None
    torch_ratio: float | None
    replaced: str
    plain_compilation: float
    compilation: float
    difference: float
    rounding: float


def rows(content: Content) -> list[Row]:
    """Return the programs that were timed."""
    return [
        _row(name, program, each)
        for name, programs in content["networks"].items()
        for program, each in programs.items()
        if each["status"] == "timed"
    ]


def failures(content: Content) -> Iterator[str]:
    """Yield what is wrong or missing, one line each."""
    yield from (f"Left out: {name}: {reason}" for name, reason in content["absent"].items())
    for name, programs in content["networks"].items():
        for program, each in programs.items():
            if each["status"] == "wrong":
                yield f"Wrong: {name}, {program}: {each['detail']}"
        reasons = {each["without_torch"] for each in programs.values()} - {""}
        yield from (f"Left out: PyTorch's {name}: {reason}" for reason in reasons)


def _row(name: str, program: str, result: dict[str, Any]) -> Row:
    contenders = result["contenders"]
    times = {each: found["times"] for each, found in contenders.items()}
    torch = min(
        (each for each in times if each.startswith("torch")), key=lambda each: median(times[each]), default=None
    )
    compilation = {
        each: contenders[each]["trace_seconds"] + contenders[each]["compile_seconds"]
        for each in ("plain", "accelerated")
    }
    return Row(
        name,
        program,
        median(times["plain"]),
        median(times["accelerated"]),
        ratio(times["plain"], times["accelerated"]),
        torch and median(times[torch]),
        torch and ratio(times[torch], times["accelerated"]),
        f"{result['replaced']}/{result['convolutions']}",
        compilation["plain"],
        compilation["accelerated"],
        result["difference"],
        result["rounding"],
    )


def tables(found: Sequence[Row]) -> Iterator[Table]:
    """Yield a table for each program."""
    for program, group in _grouped(found).items():
        table = shared.table(program)
        for name in _COLUMNS:
            heading = name.replace(" / ", "\n/ ").replace(", ", "\n")
            table.add_column(heading, justify="left" if name == "network" else "right", no_wrap=True)
        for row in group:
            cells = [Text(cell) for cell in _cells(row)]
            for column, slower in ((3, row.plain_ratio < 0.97), (5, (row.torch_ratio or 1) < 1)):
                if slower:
                    cells[column].stylize("red")
            table.add_row(*cells)
        table.add_section()
        table.add_row(*(Text(cell, "bold") for cell in _summary(group)))
        yield table


def page(content: Content, found: Sequence[Row], plot: str) -> str:
    """Return the figures as Markdown. ``plot`` is the picture's file name."""
    lines = [
        *machine.heading(content),
        "float32, random weights, synthetic batches.",
        "",
        *(f"- {line}." for line in failures(content)),
        "",
        f"![The times of JAX and of PyTorch in multiples of jconvt's]({plot})",
        "",
        LEGEND,
        "",
    ]
    for program, group in _grouped(found).items():
        marks = [":--" if name == "network" else "--:" for name in _COLUMNS]
        cells = [_COLUMNS, marks, *map(_cells, group), _summary(group)]
        lines += [f"## {program}", "", *(f"| {' | '.join(row)} |" for row in cells), ""]
    return "\n".join(lines)


def _grouped(found: Sequence[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in found:
        groups.setdefault(row.program, []).append(row)
    return groups


def _cells(row: Row) -> list[str]:
    return [
        row.network,
        milliseconds(row.plain),
        milliseconds(row.accelerated),
        f"{row.plain_ratio:.2f}",
        "-" if row.torch is None else milliseconds(row.torch),
        "-" if row.torch_ratio is None else f"{row.torch_ratio:.2f}",
        row.replaced,
        f"{row.plain_compilation:.1f}",
        f"{row.compilation:.1f}",
        f"{row.difference:.0e}",
        f"{row.rounding:.0e}",
    ]


def _summary(group: Sequence[Row]) -> list[str]:
    plain, torch = mean([row.plain_ratio for row in group]), mean([row.torch_ratio for row in group])
    compilation = [sum(row.plain_compilation for row in group), sum(row.compilation for row in group)]
    return [
        "mean, or sum",
        *("", ""),
        f"{plain:.2f}",
        "",
        "-" if torch is None else f"{torch:.2f}",
        "",
        *(f"{seconds:.1f}" for seconds in compilation),
        *("", ""),
    ]
