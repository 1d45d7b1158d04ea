"""The figures of ``method="auto"``: against the best baseline, ``jax.lax``, and the machine."""

import dataclasses
import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from . import baselines, measurement

_BASELINES = {name for names in baselines.NAMES.values() for name in names}
_METHODS = set(measurement.methods()) - {"auto"}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One problem's figures. A figure is None if a candidate that it needs is missing."""

    workload: str
    step: str
    dtype: str
    seconds: float | None
    """The time of ``auto``."""
    baseline: str | None
    """The fastest baseline."""
    ratio: float | None
    """That baseline's time divided by ``auto``'s. As for all ratios of times, ``auto`` is faster above 1."""
    lax_ratio: float | None
    method: str | None
    """The fastest method besides ``auto``."""
    method_ratio: float | None
    share: float | None
    """The share of the best matrix product's FLOP/s."""
    memory: float | None
    """Temporary memory, in multiples of input, kernel and output."""
    compile_ratio: float | None
    """Time to trace and compile, in multiples of ``jax.lax``'s."""
    error_ratio: float | None
    """The error against float64, in multiples of the most exact baseline's."""


def compare(problem: dict[str, Any], peaks: dict[str, dict[str, float]]) -> Comparison:
    """Return the figures of a problem, which is as the JSON file has it."""
    timed = {each["contender"]: each for each in problem["standings"] if each["status"] == "timed"}
    auto, lax = timed.get("auto"), timed.get("lax")
    baseline = _fastest(timed, _BASELINES)
    method = _fastest(timed, _METHODS)
    exact = min((timed[name]["error"] for name in _BASELINES & timed.keys()), default=None)
    peak = max(peaks.get(problem["dtype"], {}).values(), default=None)
    seconds = None if auto is None else _seconds(auto)
    return Comparison(
        problem["workload"],
        problem["pass"],
        problem["dtype"],
        seconds=seconds,
        baseline=baseline,
        ratio=_ratio(timed.get(baseline), auto),
        lax_ratio=_ratio(lax, auto),
        method=method,
        method_ratio=_ratio(timed.get(method), auto),
        share=None if seconds is None or peak is None else problem["flops"] / seconds / 1e9 / peak,
        memory=None
        if auto is None or auto.get("temporary_bytes") is None
        else auto["temporary_bytes"] / problem["bytes"],
        compile_ratio=_compile_ratio(auto, lax),
        error_ratio=None if auto is None or not exact else auto["error"] / exact,
    )


def mean(values: Sequence[float | None]) -> float | None:
    """Return the geometric mean of the values that are not None."""
    logs = [math.log(value) for value in values if value]
    return math.exp(sum(logs) / len(logs)) if logs else None


def grouped(comparisons: Sequence[Comparison]) -> dict[tuple[str, str], list[Comparison]]:
    """Return the comparisons by pass and dtype."""
    groups: dict[tuple[str, str], list[Comparison]] = {}
    for each in comparisons:
        groups.setdefault((each.step, each.dtype), []).append(each)
    return groups


def _fastest(timed: dict[str, Any], names: set[str]) -> str | None:
    return min((name for name in timed if name in names), key=lambda name: _seconds(timed[name]), default=None)


def _seconds(result: dict[str, Any]) -> float:
    return median(result["times"])


def ratio(times: Sequence[float], base: Sequence[float]) -> float:
    """Return the median of ``times / base`` over the rounds that both took part in."""
    return median(time / other for time, other in zip(times, base, strict=False))


def _ratio(result: dict[str, Any] | None, base: dict[str, Any] | None) -> float | None:
    return None if result is None or base is None else ratio(result["times"], base["times"])


def _compile_ratio(result: dict[str, Any] | None, base: dict[str, Any] | None) -> float | None:
    if result is None or base is None or not {"trace_seconds", "compile_seconds"} <= result.keys() & base.keys():
        return None
    one, other = (each["trace_seconds"] + each["compile_seconds"] for each in (result, base))
    return one / other
