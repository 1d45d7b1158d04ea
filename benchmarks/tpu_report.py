"""What TPU's compiler said, as JSON, in tables and as a page."""

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from . import workloads
from .problem import Problem
from .tpu_program import TOPOLOGIES, Figures

MAPS = {"T": "transposed_convolution", "F": "forward_convolution", "G": "kernel_gradient"}
"""The transposed convolution, and its gradients in input and filters: by their names here, and in ``jconvt.choose``."""
RIVAL, METHODS = "jax.lax", ("auto", "dilated", "vjp", "polyphase", "gemm")
DTYPES = ("float32", "bfloat16")

LEGEND = (
    "T is the transposed convolution, F its gradient in the input, G in the filters. Choice is "
    "what auto took. Cycles are in thousands for "
    f"{RIVAL}, and in multiples of {RIVAL}'s for the others: below 1 is faster. A star: the program has operations on "
    "which the compiler writes no cycles. FLOPs are in multiples of those that no method does without. MB are millions "
    "of bytes: read and written by all operations, and held in main memory besides operands and results."
)
_NAMES = ("workload", "map", "choice")
_FIGURES = "What the figures are and are not, `benchmarks/tpu_program.py` explains."


@dataclasses.dataclass(frozen=True)
class Row:
    """One program: a map of a workload by a method, on one chip.

    ``chosen`` is the method that ``auto`` took. ``refused`` is why there are no figures.
    """

    topology: str
    dtype: str
    workload: str
    map: str
    method: str
    chosen: str | None = None
    figures: Figures | None = None
    compile_seconds: float | None = None
    refused: str | None = None

    @property
    def key(self) -> tuple[str, ...]:
        return self.topology, self.dtype, self.workload, self.map, self.method

    @property
    def useful_flops(self) -> int:
        """What no method does without."""
        return Problem(workloads.load()[self.workload], "forward", self.dtype).flops

    def of(self, **changes: Any) -> "Row":
        return dataclasses.replace(self, **changes)


@dataclasses.dataclass(frozen=True)
class Figured:
    """A table, for the terminal and for a page. What is no name is a figure."""

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
    """The rows of a file of the same versions; none of another."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        rows = found["rows"] if found["versions"] == versions else []
        return [Row(**row | {"figures": row["figures"] and Figures(**row["figures"])}) for row in rows]
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # or of another form
        return []


def content(rows: Sequence[Row], versions: dict[str, str]) -> dict[str, Any]:
    """What the JSON file holds."""
    return {"versions": versions, "rows": [dataclasses.asdict(row) for row in rows]}


def page(rows: Sequence[Row], versions: dict[str, str]) -> str:
    """The figures as Markdown."""
    lines = ["# What the TPU compiler says", "", f"{', '.join(map(' '.join, versions.items()))}.", "", LEGEND, _FIGURES]
    return "\n".join(itertools.chain(lines, *(table.markdown() for table in tables(rows)))) + "\n"


def tables(rows: Sequence[Row]) -> Iterator[Figured]:
    """For each chip and dtype: the cycles of all methods, then what else ``auto`` takes."""
    cases: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in sorted(rows, key=_place):
        cases.setdefault(row.key[:-1], {})[row.method] = row
    for chip, group in itertools.groupby(cases.items(), key=lambda case: case[0][:2]):
        named = [(key[2:], found) for key, found in group]
        methods = list(dict.fromkeys(method for _, found in named for method in found if method != RIVAL))
        lines = [
            [*map(Text, names), _choice(found), *(_cycles(found, method) for method in (RIVAL, *methods))]
            for names, found in named
        ]
        yield Figured(f"TPU {' '.join(chip)}: cycles", ("workload", "map", "choice", RIVAL, *methods), lines)
        measured = [(names, found) for names, found in named if "auto" in found]
        if measured:
            yield Figured(f"TPU {' '.join(chip)}: FLOPs and bytes", _BESIDES, [_besides(*case) for case in measured])


_BESIDES = ("workload", "map", *(f"{what}\n{who}" for what in ("FLOPs", "MB", "MB held") for who in (RIVAL, "auto")))


def _place(row: Row) -> tuple[int, ...]:
    orders = [*TOPOLOGIES], [*DTYPES], [*workloads.load()], [*MAPS], [RIVAL, *METHODS]
    return tuple(order.index(name) for order, name in zip(orders, row.key, strict=True))


def _choice(found: dict[str, Row]) -> Text:
    return Text((found["auto"].chosen or "-") if "auto" in found else "-")


def _cycles(found: dict[str, Row], method: str) -> Text:
    row, rival = found.get(method), found[RIVAL]
    if row is None or row.figures is None or rival.figures is None:
        return Text("-")
    star = "*" if row.figures.unpriced else ""
    if method == RIVAL:
        return Text(f"{row.figures.cycles / 1000:,.1f}{star}")
    ratio = row.figures.cycles / rival.figures.cycles
    return Text(f"{ratio:.2f}{star}", _style(ratio, 1))


def _besides(names: tuple[str, ...], found: dict[str, Row]) -> list[Text]:
    cells = [Text(name) for name in names]
    rival, auto = found[RIVAL], found["auto"]
    if rival.figures is None or auto.figures is None:
        return cells + [Text("-")] * 6
    for name, unit, digits in (("flops", rival.useful_flops, 2), ("bytes", 1e6, 1), ("temporary", 1e6, 1)):
        values = getattr(rival.figures, name), getattr(auto.figures, name)
        shown = [f"{value / unit:,.{digits}f}" for value in values]
        cells += [Text(shown[0]), Text(shown[1], _style(values[1], values[0]))]
    return cells


def _style(value: float, rival: float) -> str:
    return "green" if value < rival else "red" if value > rival else ""
