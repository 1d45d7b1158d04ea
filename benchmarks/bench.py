"""How fast, how small and how exact: contenders side by side on one workload, each answer checked before it is timed.

A contender is a function that prepares a ``Problem`` in its own layout and returns a ``Program``. The methods of this
package are contenders here; other libraries' calls can be, too.
"""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jconvt._core import timing
from jconvt._methods import METHODS
from jconvt.errors import ArgumentError
from jconvt.tensorflow import conv_transpose

from .problem import Problem

TOLERANCES = {"float32": 1e-4, "tf32": 0.02, "bfloat16": 0.5}
"""How far an answer may be from the exact one, in root mean squares of that. A tap in the wrong place moves results by
several; the widest room is for libraries that hold the sums of bfloat16 in bfloat16."""

_ONCE = 4.0
"""Seconds after which a first call is the only one."""
_HOPELESS, _LONG = 5, 0.5
"""A second call of this many times the fastest first one's time, and at least these seconds, is the last one."""


@dataclasses.dataclass(frozen=True)
class Program:
    """A prepared computation. ``run`` waits for its results; ``arrays`` brings them to the problem's layout."""

    run: Callable[[], Any]
    arrays: Callable[[Any], tuple[Any, ...]] = tuple
    trace_seconds: float | None = None
    compile_seconds: float | None = None
    temporary_bytes: int | None = None
    counted_flops: float | None = None
    """What the compiler says that it computes, zeros and all."""
    counted_bytes: float | None = None


class Unserved(Exception):  # noqa: N818
    """Raised by a contender that has no way to compute a problem. The message says why."""


Contender = Callable[[Problem], Program]


def jax_program(problem: Problem, function: Callable[[Any, Any], Any]) -> Program:
    """``function(x, w)``, and its gradients where they are asked for, compiled."""

    def gradient(x: Any, w: Any, z: Any) -> tuple[Any, ...]:
        y, pull = jax.vjp(function, x, w)
        return y, *pull(z)

    def forward(x: Any, w: Any) -> tuple[Any, ...]:
        return (function(x, w),)

    step = gradient if problem.step == "gradient" else forward
    operands = jax.block_until_ready([*map(jnp.asarray, problem.operands[: 3 if step is gradient else 2])])
    jitted = jax.jit(step)
    start = time.perf_counter()
    traced = jitted.trace(*operands)
    middle = time.perf_counter()
    compiled = traced.lower().compile()  # and kept: the call below compiles nothing
    end = time.perf_counter()
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis() or {}

    def run() -> tuple[Any, ...]:
        results = jitted(*operands)
        for array in results:
            array.block_until_ready()
        return results

    return Program(
        run,
        trace_seconds=middle - start,
        compile_seconds=end - middle,
        temporary_bytes=getattr(memory, "temp_size_in_bytes", None),
        counted_flops=cost.get("flops"),
        counted_bytes=cost.get("bytes accessed"),
    )


def _method(name: str) -> Contender:
    def prepare(problem: Problem) -> Program:
        def function(x: Any, w: Any) -> Any:
            arguments = problem.workload.arguments
            return conv_transpose(x, w, **arguments, method=name, precision=problem.precision)

        try:
            return jax_program(problem, function)
        except ArgumentError as error:
            raise Unserved(str(error).partition("\n")[0]) from error

    return prepare


def methods() -> dict[str, Contender]:
    """This package's methods that can be compiled, ``auto`` first."""
    return {name: _method(name) for name in ("auto", *METHODS) if name != "reference"}


@dataclasses.dataclass(frozen=True)
class Standing:
    """How one contender did on one problem. Times are in seconds, one for each round."""

    workload: str
    step: str
    dtype: str
    contender: str
    status: Literal["timed", "wrong", "unserved", "failed"]
    detail: str = ""
    times: tuple[float, ...] = ()
    error: float | None = None
    """The root mean square of the difference from the exact answer, in that of the answer; of the worst result."""
    worst_error: float | None = None
    """The largest difference, in the same unit: see ``TOLERANCES``."""
    trace_seconds: float | None = None
    compile_seconds: float | None = None
    temporary_bytes: int | None = None
    counted_flops: float | None = None
    counted_bytes: float | None = None

    @property
    def seconds(self) -> float:
        return statistics.median(self.times)


_FIGURES = ("trace_seconds", "compile_seconds", "temporary_bytes", "counted_flops", "counted_bytes")


def measure(
    problem: Problem,
    contenders: Mapping[str, Contender],
    *,
    rounds: int = 100,
    budget: float = 4.0,
    seed: int = 0,
    progress: Callable[[str], None] = lambda doing: None,
) -> list[Standing]:
    """Prepares each contender, checks its answer, and times those that are right: see ``timing.race``.

    Args:
      problem: what to compute.
      contenders: who computes it, by name.
      rounds, budget, seed: of the race.
      progress: called with the name of each contender as its turn to be prepared comes, and with "race".
    """
    jax.clear_caches()  # or who is traced after another would find the other's work done
    standings, running, first = {}, {}, {}
    for name, prepare in contenders.items():
        progress(name)
        standings[name], program, seconds = _prepared(problem, name, prepare)
        if program is not None:
            running[name], first[name] = program, seconds
    fastest = min(first.values(), default=0)
    for name, seconds in first.items():
        limit = max(_LONG, _HOPELESS * fastest)
        if limit < seconds <= _ONCE:
            seconds = timing.seconds(running[name].run)  # a first call also loads and traces
        if seconds > min(limit, _ONCE):
            del running[name]
            standings[name] = dataclasses.replace(standings[name], times=(seconds,))
    progress("race")
    times = timing.race(
        {name: program.run for name, program in running.items()}, rounds=rounds, budget=budget, seed=seed
    )
    for name, each in times.items():
        standings[name] = dataclasses.replace(standings[name], times=tuple(each))
    return [*standings.values()]


def _prepared(problem: Problem, name: str, prepare: Contender) -> tuple[Standing, Program | None, float]:
    """How the contender stands after its first call; if it was right, its program and what that call took."""
    standing = Standing(problem.workload.name, problem.step, problem.dtype, name, "failed")
    try:
        program = prepare(problem)
        start = time.perf_counter()
        results = program.run()
        seconds = time.perf_counter() - start
        error, worst = _errors(program.arrays(results), problem.answer)
    except Unserved as reason:
        return dataclasses.replace(standing, status="unserved", detail=str(reason)), None, 0.0
    except Exception as raised:
        detail = f"{type(raised).__name__}: {raised}".partition("\n")[0]
        return dataclasses.replace(standing, detail=detail), None, 0.0
    figures = {name: getattr(program, name) for name in _FIGURES}
    standing = dataclasses.replace(standing, error=error, worst_error=worst, **figures)
    if worst <= TOLERANCES[problem.dtype]:
        return dataclasses.replace(standing, status="timed"), program, seconds
    return dataclasses.replace(standing, status="wrong", detail=f"off by {worst:.2g} root mean squares"), None, 0.0


def _errors(found: tuple[Any, ...], wanted: tuple[NDArray[Any], ...]) -> tuple[float, float]:
    """The largest relative root mean square error, and the largest single error, over the results."""
    each = [np.asarray(array).astype(np.float64) for array in found]
    shapes = [array.shape for array in each]
    if shapes != [array.shape for array in wanted]:
        raise ValueError(f"results of shapes {shapes} instead of {[array.shape for array in wanted]}")
    rms, worst = [], []
    for array, right in zip(each, wanted, strict=True):
        unit = math.sqrt(np.mean(right**2)) or 1.0
        difference = abs(array - right)
        rms.append(math.sqrt(np.mean(difference**2)) / unit)
        worst.append(float(difference.max()) / unit)
    return float(np.nan_to_num(np.max(rms), nan=np.inf)), float(np.nan_to_num(np.max(worst), nan=np.inf))
