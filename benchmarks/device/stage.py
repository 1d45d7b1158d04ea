"""A stage of the run on a device."""

import dataclasses
import pathlib
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Results = Mapping[str, Any]


def _worker(name: str, path: pathlib.Path, seconds: float, quick: bool) -> list[str]:
    options = ["--quick"] if quick else []
    return [sys.executable, "-m", "benchmarks.device", name, str(path), str(seconds), *options]


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
      name: the name of its record.
      title: its heading on the page.
      share: its part of the time, relative to the other stages.
      section: returns its lines of the page from the results so far.
      plan: returns the items, the most telling first: for each the function that returns its result. With ``quick``,
        a few small ones. None if another program than the worker knows the items.
      process: returns the command of its process, from the name, the record's path, the seconds and ``quick``.
      statuses: the exit statuses of a process that did not crash.
      environment: more variables of its environment.
    """

    name: str
    title: str
    share: float
    section: Callable[[Results], Sequence[str]]
    plan: Callable[[bool], Mapping[str, Callable[[], Any]]] | None = None
    process: Callable[[str, pathlib.Path, float, bool], list[str]] = _worker
    statuses: tuple[int, ...] = (0,)
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)


def median(result: Mapping[str, Any]) -> float:
    """Return the median of a result's times."""
    return statistics.median(result["times"])


def row(cells: Sequence[Any]) -> str:
    """Return a row of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], left: int = 1) -> list[str]:
    """Return a Markdown table, with its first columns aligned left, between empty lines."""
    marks = [":--" if number < left else "--:" for number in range(len(header))]
    return ["", row(header), row(marks), *map(row, rows), ""]
