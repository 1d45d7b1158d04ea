"""Reports of which layers were converted, how, and what was left out."""

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Row:
    """One converted layer: its paths, the shapes of its kernel (or scale), and the conversion between them.

    ``rule`` is the rule that paired the two: "name" (a name map), "path" (equal paths), or "order".
    """

    source: str
    target: str
    kind: str
    source_shape: tuple[int, ...]
    target_shape: tuple[int, ...]
    conversion: str
    rule: str


@dataclasses.dataclass(frozen=True)
class Report:
    """The converted layers, and what was left out. ``str`` of it is a table.

    ``unused`` lists layers and arrays of the source that were not converted, ``missing`` parameters of the target that
    the source does not have. ``notes`` are warnings: the arrays fit, but the models may compute different numbers.
    """

    rows: tuple[Row, ...]
    unused: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def lists(self) -> list[str]:
        """Return the lines below the table."""
        labelled = {"not used": self.unused, "not filled": self.missing, "note": self.notes}
        return [f"{label}: {text}" for label, texts in labelled.items() for text in texts]

    def __str__(self) -> str:
        headings = ("source", "target", "kind", "from", "to", "conversion", "paired by")
        rows = [tuple(map(str, dataclasses.astuple(row))) for row in self.rows]
        return "\n".join([table([headings, *rows]), *self.lists()])


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return the rows as text, in aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
