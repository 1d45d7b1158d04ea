"""The figures as tables: in the terminal, and as a Markdown page."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from . import machine
from . import tables as shared
from .comparison import Comparison, grouped, mean
from .tables import milliseconds

_COLUMNS = (
    "workload",
    "auto, ms",
    "best baseline",
    "baseline / auto",
    "lax / auto",
    "best method",
    "method / auto",
    "of peak",
    "memory",
    "compile",
    "error",
)
_LEFT = ("workload", "best baseline", "best method")
_LEAST = 0.995  # 1.00 after rounding
_LEGEND = (
    "Ratios of times are above 1 where auto is faster: than the best baseline, than jax.lax, and than the fastest "
    "method besides auto. The other figures are auto's: its share of the fastest matrix product, its temporary memory "
    "in multiples of input, kernel and output, its time to trace and compile in multiples of jax.lax's, and its error "
    "against float64 in multiples of the most exact baseline's."
)


def tables(comparisons: Sequence[Comparison]) -> list[Table]:
    """Return a table for each pass and dtype."""
    return [_table(*key, group) for key, group in grouped(comparisons).items()]


def legend() -> str:
    """Return the explanation of the columns."""
    return _LEGEND


def page(content: dict[str, Any], comparisons: Sequence[Comparison], plot: str) -> str:
    """Return the figures as Markdown. ``plot`` is the picture's file name."""
    lines = machine.heading(content)
    if not content["finished"]:
        lines += ["**Interrupted: some workloads are missing.**", ""]
    for dtype, peaks in content["peaks"].items():
        each = ", ".join(f"{library} {value:,.0f}" for library, value in peaks.items())
        lines.append(f"- Fastest matrix product in {dtype}, GFLOP/s: {each}.")
    lines += [f"- Left out: {name}: {reason}." for name, reason in content["absent"].items()]
    lines += [
        f"- {each['status'].capitalize()}: {each['contender']} on {each['workload']}, {each['step']}, {each['dtype']}: "
        f"{each.get('detail', '')}."
        for problem in content["problems"]
        for each in problem["standings"]
        if each["status"] in ("wrong", "failed")
    ]
    lines += ["", f"![The best baseline's time in multiples of auto's]({plot})", "", _LEGEND, ""]
    for (step, dtype), group in grouped(comparisons).items():
        lines += [f"## {step}, {dtype}", "", *rows(group), ""]
    return "\n".join(lines)


def rows(group: Sequence[Comparison]) -> list[str]:
    """Return the table of a pass and dtype as lines of Markdown."""
    marks = [":--" if each in _LEFT else "--:" for each in _COLUMNS]
    return [_row(_COLUMNS), _row(marks), *(_row(_cells(each)) for each in group), _row(_summary(group))]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _table(step: str, dtype: str, group: Sequence[Comparison]) -> Table:
    table = shared.table(f"{step}, {dtype}")
    for name in _COLUMNS:
        heading = name.replace(" / ", "\n/ ").replace(", ", "\n").replace("of ", "of\n").replace("best ", "best\n")
        table.add_column(heading, justify="left" if name in _LEFT else "right", no_wrap=True)
    for each in group:
        table.add_row(*_coloured(each))
    table.add_section()
    table.add_row(*(Text(cell, "bold") for cell in _summary(group)))
    return table


def _coloured(each: Comparison) -> list[Text]:
    """Return the cells; those that miss a goal are red: slower than another, or more memory, compilation or error."""
    cells = [Text(cell) for cell in _cells(each)]
    missed = {
        "baseline / auto": each.ratio is not None and each.ratio < _LEAST,
        "lax / auto": each.lax_ratio is not None and each.lax_ratio < _LEAST,
        "memory": each.memory is not None and each.memory > 1,
        "compile": each.compile_ratio is not None and each.compile_ratio > 1.5,
        "error": each.dtype != "float32" and each.error_ratio is not None and each.error_ratio > 1,
    }
    for column, bad in missed.items():
        if bad:
            cells[_COLUMNS.index(column)].stylize("red")
    return cells


def _cells(each: Comparison) -> list[str]:
    return [
        each.workload,
        "-" if each.seconds is None else milliseconds(each.seconds),
        each.baseline or "-",
        _number(each.ratio),
        _number(each.lax_ratio),
        each.method or "-",
        _number(each.method_ratio),
        _number(each.share),
        _number(each.memory),
        _number(each.compile_ratio),
        _number(each.error_ratio),
    ]


def _summary(group: Sequence[Comparison]) -> list[str]:
    return [
        "geometric mean",
        *("", ""),
        _number(mean([each.ratio for each in group])),
        _number(mean([each.lax_ratio for each in group])),
        "",
        _number(mean([each.method_ratio for each in group])),
        *("", ""),
        _number(mean([each.compile_ratio for each in group])),
        _number(mean([each.error_ratio for each in group])),
    ]


def _number(value: float | None) -> str:
    return (
        "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
    )
