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
    items, before = plan(quick), record.read(path)
    record.append(path, total=len(items))
    # An item that was stopped comes last, or it would be the only one again.
    for item in sorted(items, key=before.tried.__contains__):
        if item in before.results:
            continue
        if time.monotonic() > deadline:
            break
        record.append(path, trying=item)
        try:
            result = items[item]()
        except Exception as error:
            traceback.print_exc()
            result = {"status": "failed", "detail": f"{type(error).__name__}: {error}".partition("\n")[0]}
        record.append(path, item=item, result=result)
