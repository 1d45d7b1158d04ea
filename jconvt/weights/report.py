"""Reports of which layers were converted, how, and what was left out."""

import dataclasses

from .._text_table import table


@dataclasses.dataclass(frozen=True)
class Row:
    """One converted layer: its paths, the shapes of its kernel (or scale), and the conversion between them.

    ``rule`` is the rule that paired the two: "name" (a name map), "path" (equal paths), "shape" (no other pair fits),
    or "order" (a guess, made on request).
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
    ``difference`` is the largest difference from the reference output that was passed as ``check``, relative to the
    largest number in it.
    """

    rows: tuple[Row, ...]
    unused: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    difference: float | None = None

    @property
    def guesses(self) -> tuple[Row, ...]:
        """The rows that were paired by order."""
        return tuple(row for row in self.rows if row.rule == "order")

    def lists(self) -> list[str]:
        """Return the lines below the table."""
        is_checked = self.difference is not None
        checked = [f"the outputs differ by {self.difference:.1e} of the largest number"] if is_checked else []
        guesses = [] if is_checked else [f"{row.source} -> {row.target}, by order" for row in self.guesses]
        labelled = {"not used": self.unused, "not filled": self.missing, "note": self.notes}
        labelled |= {"guess": guesses, "checked": checked}
        return [f"{label}: {text}" for label, texts in labelled.items() for text in texts]

    def __str__(self) -> str:
        headings = ("source", "target", "kind", "from", "to", "conversion", "paired by")
        rows = [tuple(map(str, dataclasses.astuple(row))) for row in self.rows]
        return "\n".join([table([headings, *rows]), *self.lists()])
