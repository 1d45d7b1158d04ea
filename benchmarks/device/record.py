"""The record of a stage: one line of JSON for each event.

Lines are only appended. A process that is killed can leave a torn last line, which the next event completes as a line
of its own, and which ``read`` skips.
"""

import dataclasses
import json
import math
import os
import pathlib
from typing import Any


@dataclasses.dataclass(frozen=True)
class Record:
    """The events of a stage so far."""

    total: int | None
    """The number of items; None if no process got that far."""
    results: dict[str, Any]
    trying: str | None
    """The item that was started last, if it has no result."""
    broken: str | None
    """Why the stage cannot run here."""

    @property
    def finished(self) -> bool:
        return self.broken is not None or (self.total is not None and len(self.results) >= self.total)


def append(path: pathlib.Path, **event: Any) -> None:
    """Append an event: ``total=``, ``trying=``, ``item=`` with ``result=``, or ``broken=``."""
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            torn = file.read() != b"\n"
        else:
            torn = False
        file.write(b"\n" * torn + json.dumps(_finite(event), allow_nan=False).encode() + b"\n")


def read(path: pathlib.Path) -> Record:
    """Return what the file says; an empty record without a file."""
    total, results, trying, broken = None, {}, None, None
    for line in path.read_text("utf-8", errors="replace").splitlines() if path.exists() else ():
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            continue
        total, broken = event.get("total", total), event.get("broken", broken)
        trying = event.get("trying", trying)
        if "item" in event:
            results[event["item"]] = event["result"]
            trying = None
    return Record(total, results, trying, broken)


def _finite(value: Any) -> Any:
    """Return the value with None for infinities and NaN, which JSON lacks."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
