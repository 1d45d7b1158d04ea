"""The process of one stage: it computes the items that the record lacks, until its time is over."""

import pathlib
import time
import traceback

from . import record
from .stages import STAGES


def work(name: str, path: pathlib.Path, seconds: float, quick: bool) -> None:
    """Compute the items of a stage. An item that raises an exception has the status "failed"."""
    deadline = time.monotonic() + seconds
    plan = STAGES[name].plan
    if plan is None:
        raise ValueError(f"stage {name!r} has a program of its own")
    items, done = plan(quick), record.read(path).results
    record.append(path, total=len(items))
    for item, compute in items.items():
        if item in done:
            continue
        if time.monotonic() > deadline:
            break
        record.append(path, trying=item)
        try:
            result = compute()
        except Exception as error:
            traceback.print_exc()
            result = {"status": "failed", "detail": f"{type(error).__name__}: {error}".partition("\n")[0]}
        record.append(path, item=item, result=result)
