"""The stage of the compiled programs: the calls to libraries, such as cuDNN, that ``dilated`` became."""

import collections
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

import jconvt

from .. import workloads
from ..problem import array_dtype, precision
from ..workloads import Workload
from .stage import Results, Stage, table

_DTYPES = ("float32", "bfloat16")
_CALL = re.compile(r'custom_call_target="([^"]+)"')
_FUSION = re.compile(r'"kind":"(__\w+)"')
_CONVOLUTION = re.compile(r" convolution\(")
_LINE = 1000


def _plan(quick: bool) -> Mapping[str, Callable[[], Any]]:
    chosen = ["tiny"] if quick else list(workloads.load())
    return {
        f"{name}, {dtype}": functools.partial(_compile, workloads.load()[name], dtype)
        for dtype in _DTYPES
        for name in chosen
    }


def _compile(workload: Workload, dtype: str) -> dict[str, Any]:
    def forward(x: jax.Array, w: jax.Array) -> jax.Array:
        return jconvt.conv_transpose(x, w, **workload.arguments, method="dilated", precision=precision(dtype))

    shapes = (workload.input_shape, workload.filters_shape, workload.output_shape)
    x, w, z = (jax.ShapeDtypeStruct(shape, array_dtype(dtype)) for shape in shapes)
    programs = {
        "forward": (forward, (x, w)),
        "input gradient": (lambda x, w, z: jax.vjp(lambda x: forward(x, w), x)[1](z), (x, w, z)),
        "kernel gradient": (lambda x, w, z: jax.vjp(lambda w: forward(x, w), w)[1](z), (x, w, z)),
    }
    compiled = {name: jax.jit(program).lower(*operands).compile() for name, (program, operands) in programs.items()}
    return {name: _read(program.as_text() or "") for name, program in compiled.items()}


def _read(text: str) -> dict[str, Any]:
    """Return how often a program calls each library function, and the lines of these calls, which name algorithms."""
    calls = collections.Counter([*_CALL.findall(text), *_FUSION.findall(text)])
    if left := len(_CONVOLUTION.findall(text)):
        calls["convolution"] = left
    lines = [line.strip()[:_LINE] for line in text.splitlines() if _CALL.search(line) or _CONVOLUTION.search(line)]
    return {"calls": dict(calls), "lines": lines}


def _section(results: Results) -> Sequence[str]:
    names = ("forward", "input gradient", "kernel gradient")
    rows = []
    counts = {name: collections.Counter() for name in names}
    for item, each in results.items():
        cells = [_calls(each[name]["calls"]) for name in names] if names[0] in each else [each["detail"]] * 3
        rows.append([*item.split(", "), *cells])
        for name, cell in zip(names, cells, strict=True):
            counts[name][cell] += 1
    most = "; ".join(f"{name}: {counts[name].most_common(1)[0][0]}" for name in names if counts[name])
    note = "A plain `convolution` is XLA's own. device.json has the whole lines, with the algorithms."
    return [f"Most often, {most}.", "", note, *table(["workload", "dtype", *names], rows, left=5)]


def _calls(calls: Mapping[str, int]) -> str:
    counted = (f"`{name}`" + (f" x {count}" if count > 1 else "") for name, count in calls.items())
    return ", ".join(counted) or "only fusions"


STAGE = Stage("lowering", "The library calls of `dilated`", 1, _section, _plan)
