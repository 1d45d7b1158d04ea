"""What the standings say of ``method="auto"``: against the best rival, ``jax.lax``, and the machine."""

import dataclasses
import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from jconvt._core import timing

from . import bench, rivals

_RIVALS = {name for names in rivals.NAMES.values() for name in names}
_METHODS = set(bench.methods()) - {"auto"}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One problem's figures. A figure that could not be had, for want of a contender, is None."""

    workload: str
    step: str
    dtype: str
    seconds: float | None
    """What ``auto`` takes."""
    rival: str | None
    """The fastest rival."""
    ratio: float | None
    """That rival's time in times of ``auto``'s, like the other ratios of times: above 1, ``auto`` is faster."""
    lax_ratio: float | None
    method: str | None
    """The fastest method that is named."""
    method_ratio: float | None
    share: float | None
    """Of the best matrix product."""
    memory: float | None
    """Temporary memory, in sizes of input, kernel and output."""
    compile_ratio: float | None
    """Tracing and compiling, in times of ``jax.lax``'s."""
    error_ratio: float | None
    """The error against float64, in times of the most exact rival's."""


def compare(problem: dict[str, Any], peaks: dict[str, dict[str, float]]) -> Comparison:
    """The figures of a problem as the JSON file has it."""
    timed = {each["contender"]: each for each in problem["standings"] if each["status"] == "timed"}
    auto, lax = timed.get("auto"), timed.get("lax")
    rival = _fastest(timed, _RIVALS)
    method = _fastest(timed, _METHODS)
    exact = min((timed[name]["error"] for name in _RIVALS & timed.keys()), default=None)
    peak = max(peaks.get(problem["dtype"], {}).values(), default=None)
    seconds = None if auto is None else _seconds(auto)
    return Comparison(
        problem["workload"],
        problem["pass"],
        problem["dtype"],
        seconds=seconds,
        rival=rival,
        ratio=_ratio(timed.get(rival), auto),
        lax_ratio=_ratio(lax, auto),
        method=method,
        method_ratio=_ratio(timed.get(method), auto),
        share=None if seconds is None or peak is None else problem["flops"] / seconds / 1e9 / peak,
        memory=None
        if auto is None or auto.get("temporary_bytes") is None
        else auto["temporary_bytes"] / problem["bytes"],
        compile_ratio=None if auto is None or lax is None else _compiling(auto) / _compiling(lax),
        error_ratio=None if auto is None or not exact else auto["error"] / exact,
    )


def mean(values: Sequence[float | None]) -> float | None:
    """The geometric mean of those that are there."""
    logs = [math.log(value) for value in values if value]
    return math.exp(sum(logs) / len(logs)) if logs else None


def grouped(comparisons: Sequence[Comparison]) -> dict[tuple[str, str], list[Comparison]]:
    """The comparisons by pass and dtype."""
    groups: dict[tuple[str, str], list[Comparison]] = {}
    for each in comparisons:
        groups.setdefault((each.step, each.dtype), []).append(each)
    return groups


def _fastest(timed: dict[str, Any], names: set[str]) -> str | None:
    return min((name for name in timed if name in names), key=lambda name: _seconds(timed[name]), default=None)


def _seconds(standing: dict[str, Any]) -> float:
    return median(standing["times"])


def _ratio(standing: dict[str, Any] | None, base: dict[str, Any] | None) -> float | None:
    return None if standing is None or base is None else timing.ratio(standing["times"], base["times"])


def _compiling(standing: dict[str, Any]) -> float:
    return standing["trace_seconds"] + standing["compile_seconds"]
