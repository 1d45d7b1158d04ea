"""The TPU compiler's figures as JSON, in tables and as a page."""

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from jconvt._geometry.maps import Map

from . import workloads
from .problem import Problem
from .tpu_program import TOPOLOGIES, Figures

MAPS = {map.symbol: map.value for map in Map}
"""The symbol of each map, and its name in ``jconvt.choose``."""
BASELINE, METHODS = "jax.lax", ("auto", "dilated", "vjp", "polyphase", "gemm")
DTYPES = ("float32", "bfloat16")

LEGEND = (
    "T is the transposed convolution, F its gradient in the input, G in the filters. Choice is the method that auto "
    f"picked. Cycles are in thousands for {BASELINE}, and in multiples of {BASELINE}'s for the others: below 1 is "
    "faster. A star: the compiler gives no cycles for some of the program's operations. FLOPs are in multiples of "
    "those that every method needs. MB are millions of bytes: read and written by all operations, and held in main "
    "memory besides operands and results."
)
_NAMES = ("workload", "map", "choice")
_FIGURES = "`benchmarks/tpu_program.py` explains what the figures mean."


@dataclasses.dataclass(frozen=True)
class Row:
    """One program: a map of a workload by a method, on one chip.

    ``chosen`` is the method that ``auto`` picked. ``unsupported`` says why there are no figures.
    """

    topology: str
    dtype: str
    workload: str
    map: str
    method: str
    chosen: str | None = None
    figures: Figures | None = None
    compile_seconds: float | None = None
    unsupported: str | None = None

    @property
    def key(self) -> tuple[str, ...]:
        return self.topology, self.dtype, self.workload, self.map, self.method

    @property
    def useful_flops(self) -> int:
        """The FLOPs that every method needs."""
        return Problem(workloads.load()[self.workload], "forward", self.dtype).flops

    def of(self, **changes: Any) -> "Row":
        return dataclasses.replace(self, **changes)


@dataclasses.dataclass(frozen=True)
class TableData:
    """A table, for the terminal and for a page. Columns are numbers unless they are in ``_NAMES``."""

    title: str
    headings: tuple[str, ...]
    lines: list[list[Text]]

    def shown(self) -> Table:
        table = Table(box=SIMPLE_HEAD, show_edge=False, title=self.title)
        for heading in self.headings:
            table.add_column(heading, justify="left" if heading in _NAMES else "right", no_wrap=True)
        for line in self.lines:
            table.add_row(*line)
        return table

    def markdown(self) -> list[str]:
        rows = [[heading.replace("\n", " ") for heading in self.headings]]
        rows += [["---" if heading in _NAMES else "---:" for heading in self.headings]]
        rows += [[str(cell) for cell in line] for line in self.lines]
        return ["", f"## {self.title}", "", *(f"| {' | '.join(row)} |" for row in rows)]


def read(path: pathlib.Path, versions: dict[str, str]) -> list[Row]:
    """Return the rows of a file of the same versions, or no rows."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        rows = found["rows"] if found["versions"] == versions else []
        return [Row(**row | {"figures": row["figures"] and Figures(**row["figures"])}) for row in rows]
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # the last three: a file of another form
        return []


def content(rows: Sequence[Row], versions: dict[str, str]) -> dict[str, Any]:
    """Return the content of the JSON file."""
    return {"versions": versions, "rows": [dataclasses.asdict(row) for row in rows]}


def page(rows: Sequence[Row], versions: dict[str, str]) -> str:
    """Return the figures as Markdown."""
    lines = ["# What the TPU compiler says", "", f"{', '.join(map(' '.join, versions.items()))}.", "", LEGEND, _FIGURES]
    return "\n".join(itertools.chain(lines, *(table.markdown() for table in tables(rows)))) + "\n"


def tables(rows: Sequence[Row]) -> Iterator[TableData]:
    """Yield two tables for each chip and dtype: the cycles of all methods; FLOPs and bytes of ``auto``."""
    cases: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in sorted(rows, key=_place):
        cases.setdefault(row.key[:-1], {})[row.method] = row
    for chip, group in itertools.groupby(cases.items(), key=lambda case: case[0][:2]):
        named = [(key[2:], found) for key, found in group]
        methods = list(dict.fromkeys(method for _, found in named for method in found if method != BASELINE))
        lines = [
            [*map(Text, names), _choice(found), *(_cycles(found, method) for method in (BASELINE, *methods))]
            for names, found in named
        ]
        yield TableData(f"TPU {' '.join(chip)}: cycles", ("workload", "map", "choice", BASELINE, *methods), lines)
        measured = [(names, found) for names, found in named if "auto" in found]
        if measured:
            yield TableData(f"TPU {' '.join(chip)}: FLOPs and bytes", _BESIDES, [_besides(*case) for case in measured])


_BESIDES = ("workload", "map", *(f"{what}\n{who}" for what in ("FLOPs", "MB", "MB held") for who in (BASELINE, "auto")))


def _place(row: Row) -> tuple[int, ...]:
    orders = [*TOPOLOGIES], [*DTYPES], [*workloads.load()], [*MAPS], [BASELINE, *METHODS]
    return tuple(order.index(name) for order, name in zip(orders, row.key, strict=True))


def _choice(found: dict[str, Row]) -> Text:
    return Text((found["auto"].chosen or "-") if "auto" in found else "-")


def _cycles(found: dict[str, Row], method: str) -> Text:
    row, baseline = found.get(method), found[BASELINE]
    if row is None or row.figures is None or baseline.figures is None:
        return Text("-")
    star = "*" if row.figures.unpriced else ""
    if method == BASELINE:
        return Text(f"{row.figures.cycles / 1000:,.1f}{star}")
    ratio = row.figures.cycles / baseline.figures.cycles
    return Text(f"{ratio:.2f}{star}", _style(ratio, 1))


def _besides(names: tuple[str, ...], found: dict[str, Row]) -> list[Text]:
    cells = [Text(name) for name in names]
    baseline, auto = found[BASELINE], found["auto"]
    if baseline.figures is None or auto.figures is None:
        return cells + [Text("-")] * 6
    for name, unit, digits in (("flops", baseline.useful_flops, 2), ("bytes", 1e6, 1), ("temporary", 1e6, 1)):
        values = getattr(baseline.figures, name), getattr(auto.figures, name)
        shown = [f"{value / unit:,.{digits}f}" for value in values]
        cells += [Text(shown[0]), Text(shown[1], _style(values[1], values[0]))]
    return cells


def _style(value: float, baseline: float) -> str:
    return "green" if value < baseline else "red" if value > baseline else ""
