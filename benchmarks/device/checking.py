"""The stage of ``jconvt check``: every method against stored outputs, the definition, adjoints and gradients."""

import collections
import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jconvt._testing import check

from .stage import Results, Stage, table


def _plan(quick: bool) -> Mapping[str, Callable[[], Any]]:
    sample = check.plan(quick=True)
    chosen = sample[::6] if quick else dict.fromkeys([*sample, *check.plan()])
    return {", ".join(dataclasses.astuple(each)): functools.partial(_perform, each) for each in chosen}


def _perform(each: check.Check) -> dict[str, Any]:
    outcome = check.perform(each)
    return dataclasses.asdict(outcome)


def _outcome(result: dict[str, Any], item: str) -> check.Outcome:
    """Return the outcome that a result states; one that ended its process failed."""
    if "check" not in result:
        return check.Outcome(check.Check(*item.split(", ")), "failed", math.inf, result["detail"])
    error = math.inf if result["error"] is None else result["error"]
    return check.Outcome(check.Check(**result["check"]), result["status"], error, result["detail"])


def _section(results: Results) -> Sequence[str]:
    outcomes = [_outcome(result, item) for item, result in results.items()]
    counts = collections.Counter(outcome.status for outcome in outcomes)
    lines = [f"{counts['passed']} passed, {counts['failed']} failed, {counts['unsupported']} unsupported here."]
    cells: dict[tuple[str, str], list[check.Outcome]] = {}
    for outcome in outcomes:
        cells.setdefault((outcome.check.dtype, outcome.check.method), []).append(outcome)
    dtypes, methods = (list(dict.fromkeys(key[side] for key in cells)) for side in (0, 1))
    rows = [[dtype, *(_cell(cells.get((dtype, method), [])) for method in methods)] for dtype in dtypes]
    lines += table(["passed, worst error in tolerances", *methods], rows)
    for status in ("failed", "unsupported"):
        reasons = collections.Counter(
            (outcome.check.method, outcome.check.dtype, outcome.detail)
            for outcome in outcomes
            if outcome.status == status
        )
        lines += [
            f"- {status.capitalize()} ({count}): {method}, {dtype}: {detail}"
            for (method, dtype, detail), count in reasons.items()
        ]
    return lines


def _cell(outcomes: Sequence[check.Outcome]) -> str:
    if not outcomes:
        return "-"
    passed = [outcome for outcome in outcomes if outcome.status == "passed"]
    worst = max((outcome.error for outcome in passed), default=0.0)
    return f"{len(passed)} of {len(outcomes)}, {worst:.2g}"


STAGE = Stage("check", "Right numbers: `jconvt check`", 2, _section, _plan)
