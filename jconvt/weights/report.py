"""What was converted, and what was not."""

import dataclasses

from .columns import columns


@dataclasses.dataclass(frozen=True)
class Row:
    """One layer that was converted: its paths, the shapes of its kernel or scale, and what turned one into the other.

    ``rule`` is what paired the two: "name" (a name map), "path" (equal paths), or "order".
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
    """What was converted, and what was not. It prints itself as a table.

    ``unused`` are layers and arrays of the source that went nowhere, ``missing`` parameters of the target that nothing
    was found for; ``notes`` say what may compute other numbers although it fits.
    """

    rows: tuple[Row, ...]
    unused: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def lists(self) -> list[str]:
        """What is said below the table."""
        return [
            *(f"not used: {name}" for name in self.unused),
            *(f"not filled: {name}" for name in self.missing),
            *(f"note: {note}" for note in self.notes),
        ]

    def __str__(self) -> str:
        headings = ("source", "target", "kind", "from", "to", "conversion", "paired by")
        rows = [
            (row.source, row.target, row.kind, str(row.source_shape), str(row.target_shape), row.conversion, row.rule)
            for row in self.rows
        ]
        return "\n".join([columns([headings, *rows]), *self.lists()])
