"""The stage of the speed: every method beside ``jax.lax`` and PyTorch, forward and with both gradients."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from .. import baselines, comparison, measurement, report, suite, workloads
from ..problem import PASSES, Problem
from ..tables import milliseconds
from .stage import Results, Stage, median, table

_RIVALS = ("lax", "torch", "torch-last")
_FIRST = ("dcgan-3", "unet-up", "pix2pix-up", "same-stride-1", "hifigan-up1", "bilinear-x2", "fcn8s-score", "vnet-k4")
_PEAK = "matrix product, "
_ROUNDS, _BUDGET = 20, 0.5
_FAR_BEHIND = 1 / 1.1
"""A ratio to the best rival below this one is more than a tenth behind."""


def _plan(quick: bool) -> Mapping[str, Callable[[], Any]]:
    dtypes = ["float32", *(["tf32"] if jax.default_backend() == "gpu" else []), "bfloat16"]
    names = ["tiny"] if quick else [*dict.fromkeys([*_FIRST, *workloads.load()])]
    found, absent = baselines.find(_RIVALS)
    items: dict[str, Callable[[], Any]] = {"rivals": lambda: {"absent": absent}}
    items |= {_PEAK + dtype: functools.partial(_peak, dtype, quick) for dtype in dtypes}
    # One layer after the other, so that float32 and tf32 share operands and exact results.
    chosen = [Problem(workloads.load()[name], step, dtype) for name in names for dtype in dtypes for step in PASSES]
    candidates = measurement.methods() | found
    return items | {problem.name: functools.partial(_time, problem, candidates, quick) for problem in chosen}


def _peak(dtype: str, quick: bool) -> dict[str, Any]:
    return {"peaks": {} if quick else suite.peaks([dtype], True, baselines.product())[dtype]}


def _time(problem: Problem, candidates: Mapping[str, measurement.Candidate], quick: bool) -> dict[str, Any]:
    of_jax = [name for name in candidates if name not in baselines.NAMES["torch"]]
    options = {"rounds": 2 if quick else _ROUNDS, "budget": _BUDGET, "at_once": of_jax}
    return suite.as_json([(problem, measurement.measure(problem, candidates, **options))])[0]


def _section(results: Results) -> Sequence[str]:
    peaks = {item.removeprefix(_PEAK): each["peaks"] for item, each in results.items() if "peaks" in each}
    problems = [each for each in results.values() if "standings" in each]
    compared = [comparison.compare(problem, peaks) for problem in problems]
    groups = comparison.grouped(compared)
    behind = [each for each in compared if each.ratio is not None and each.ratio < _FAR_BEHIND]
    lines = [_summary(groups, len(behind), len(compared)), ""]
    lines += [f"- Left out: {name}: {reason}" for name, reason in results.get("rivals", {}).get("absent", {}).items()]
    for dtype, each in peaks.items():
        speeds = ", ".join(f"{name} {value:,.0f}" for name, value in each.items())
        lines += [f"- Fastest matrix product in {dtype}, GFLOP/s: {speeds}"] if each else []
    lines += [
        f"- {each['status'].capitalize()}: {each['contender']} on {each['workload']}, {each['step']}, {each['dtype']}: "
        f"{each.get('detail', '')}"
        for problem in problems
        for each in problem["standings"]
        if each["status"] in ("wrong", "failed")
    ]
    lines += [f"- {item}: {each['detail']}" for item, each in results.items() if "detail" in each]
    lines += [
        f"- More than a tenth behind: {each.workload}, {each.step}, {each.dtype}: {each.ratio:.2f} of {each.baseline}"
        for each in behind
    ]
    lines += ["", report.legend()]
    for (step, dtype), group in groups.items():
        lines += ["", f"### {step}, {dtype}", "", *report.rows(group)]
    lines += _by_candidate("Milliseconds", problems, lambda each: milliseconds(median(each)))
    return lines + _by_candidate("Temporary memory, MB", problems, _megabytes)


def _summary(groups: Mapping[tuple[str, str], Sequence[comparison.Comparison]], behind: int, total: int) -> str:
    means = {key: comparison.mean([each.ratio for each in group]) for key, group in groups.items()}
    each = ", ".join(f"{step} {dtype} {value:.2f}" for (step, dtype), value in means.items() if value)
    return f"The best rival's time / auto's, geometric means: {each}. {behind} of {total} are more than a tenth behind."


def _megabytes(result: dict[str, Any]) -> str:
    return f"{result['temporary_bytes'] / 1e6:,.2f}" if "temporary_bytes" in result else ""


def _by_candidate(title: str, problems: Sequence[dict[str, Any]], cell: Callable[[dict[str, Any]], str]) -> list[str]:
    names = list(dict.fromkeys(each["contender"] for problem in problems for each in problem["standings"]))
    rows = []
    for problem in problems:
        found = dict.fromkeys(names, "") | {
            each["contender"]: cell(each) if each.get("times") else each["status"] for each in problem["standings"]
        }
        rows.append([problem["workload"], problem["pass"], problem["dtype"], *found.values()])
    return ["", f"### {title}", *table(["workload", "pass", "dtype", *names], rows, left=3)]


STAGE = Stage("timing", "Speed: methods, `jax.lax` and PyTorch", 5, _section, _plan)
