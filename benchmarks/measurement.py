"""Speed, memory and accuracy of several candidates on one problem. Each output is checked before it is timed.

A candidate is a method of jconvt or another library's call: a function that prepares a ``Problem`` in its own layout
and returns a ``Program``.
"""

import concurrent.futures
import contextlib
import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jconvt._core import timing
from jconvt._core.selection import methods_in_use
from jconvt._methods import METHODS
from jconvt.errors import ArgumentError
from jconvt.tensorflow import conv_transpose

from .problem import Problem

TOLERANCES = {"float32": 1e-4, "tf32": 0.02, "bfloat16": 0.5, "float16": 0.05}
"""The largest difference from the exact result, in its root mean square. A misplaced tap gives several; those of half
precision are loose for libraries that accumulate in it."""

SLOW_FACTOR, SLOW_SECONDS = 5, 0.5
"""A candidate is not timed again if its second call takes this many times the fastest first call, and these seconds."""
ONE_CALL_SECONDS = 4.0
"""A candidate is not called again if its first call takes longer."""


@dataclasses.dataclass(frozen=True)
class Program:
    """A prepared computation. ``run`` waits for its results; ``arrays`` converts them to the problem's layout."""

    run: Callable[[], Any]
    arrays: Callable[[Any], tuple[Any, ...]] = tuple
    trace_seconds: float | None = None
    compile_seconds: float | None = None
    temporary_bytes: int | None = None
    counted_flops: float | None = None
    """The compiler's count, products with zeros included."""
    counted_bytes: float | None = None


class Unsupported(Exception):  # noqa: N818
    """Raised by a candidate that cannot compute a problem. The message says why."""


Candidate = Callable[[Problem], Program]


def jax_program(problem: Problem, function: Callable[[Any, Any], Any]) -> Program:
    """Compile ``function(x, w)``, and its gradients if the problem has them."""

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
    compiled = traced.lower().compile()  # JAX caches it: the call below does not compile again
    end = time.perf_counter()
    memory, cost = None, {}
    with contextlib.suppress(Exception):  # some platforms have no analysis, and newer ones may have another
        memory, cost = compiled.memory_analysis(), compiled.cost_analysis() or {}

    return Program(
        timing.Enqueued(lambda: jitted(*operands), jax.block_until_ready),
        trace_seconds=middle - start,
        compile_seconds=end - middle,
        temporary_bytes=getattr(memory, "temp_size_in_bytes", None),
        counted_flops=cost.get("flops"),
        counted_bytes=cost.get("bytes accessed"),
    )


def _method(name: str) -> Candidate:
    def prepare(problem: Problem) -> Program:
        def function(x: Any, w: Any) -> Any:
            arguments = problem.workload.arguments
            return conv_transpose(x, w, **arguments, method=name, precision=problem.precision)

        try:
            return jax_program(problem, function)
        except ArgumentError as error:
            raise Unsupported(str(error).partition("\n")[0]) from error

    return prepare


def methods() -> dict[str, Candidate]:
    """Return jconvt's methods that can be compiled, ``auto`` first."""
    return {
        name: _method(name) for name in ("auto", *methods_in_use()) if name not in METHODS or METHODS[name].traceable
    }


@dataclasses.dataclass(frozen=True)
class Result:
    """The figures of one candidate on one problem. Times are in seconds, one for each round."""

    workload: str
    step: str
    dtype: str
    candidate: str
    status: Literal["timed", "wrong", "unsupported", "failed"]
    detail: str = ""
    times: tuple[float, ...] = ()
    error: float | None = None
    """The root mean square of the difference from the exact result, relative to the result's; of the worst array."""
    worst_error: float | None = None
    """The largest difference, in the unit of ``TOLERANCES``."""
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
    candidates: Mapping[str, Candidate],
    *,
    rounds: int = 100,
    budget: float = 4.0,
    seed: int = 0,
    at_once: Collection[str] = (),
    progress: Callable[[str], None] = lambda doing: None,
) -> list[Result]:
    """Prepare each candidate, check its output, and time those that are right: see ``timing.interleaved``.

    Args:
      problem: what to compute.
      candidates: the candidates by name.
      rounds, budget, seed: of the timing.
      at_once: the candidates that are prepared at the same time, before the others: JAX's, since a library that times
        its algorithms on the device needs it for itself. Their times to trace and to compile are left out.
      progress: called with the name of each candidate before it is prepared, and with "timing".
    """
    jax.clear_caches()  # or a candidate could reuse what an earlier one traced
    if at_once:
        together = {name: prepare for name, prepare in candidates.items() if name in at_once}
        candidates = {**candidates, **_prepared_at_once(problem, together)}
    results, running, first_calls = {}, {}, {}
    for name, prepare in candidates.items():
        progress(name)
        results[name], program, seconds = _prepared(problem, name, prepare)
        if program is not None:
            running[name], first_calls[name] = program, seconds
    limit = max(SLOW_SECONDS, SLOW_FACTOR * min(first_calls.values(), default=0))
    for name, seconds in first_calls.items():
        if limit < seconds <= ONE_CALL_SECONDS:
            seconds = timing.seconds(running[name].run)  # a first call also loads and traces
        if seconds > min(limit, ONE_CALL_SECONDS):
            del running[name]
            results[name] = dataclasses.replace(results[name], times=(seconds,))
    progress("timing")
    calls = {name: program.run for name, program in running.items()}
    for name, times in timing.interleaved(calls, rounds=rounds, budget=budget, seed=seed).items():
        results[name] = dataclasses.replace(results[name], times=tuple(times))
    return [*results.values()]


def _prepared_at_once(problem: Problem, candidates: Mapping[str, Candidate]) -> dict[str, Candidate]:
    """Prepare all candidates, and return candidates that have their program."""
    pool = concurrent.futures.ThreadPoolExecutor()
    futures = {name: pool.submit(prepare, problem) for name, prepare in candidates.items()}
    pool.shutdown(wait=False)

    def waiting(future: concurrent.futures.Future[Program]) -> Candidate:
        return lambda problem: dataclasses.replace(future.result(), trace_seconds=None, compile_seconds=None)

    concurrent.futures.wait(futures.values())  # or the first call of one candidate competes with another's compilation
    return {name: waiting(future) for name, future in futures.items()}


def _prepared(problem: Problem, name: str, prepare: Candidate) -> tuple[Result, Program | None, float]:
    """Return the candidate's result after its first call; if it is right, also its program and that call's seconds."""
    result = Result(problem.workload.name, problem.step, problem.dtype, name, "failed")
    try:
        program = prepare(problem)
        start = time.perf_counter()
        arrays = program.run()
        seconds = time.perf_counter() - start
        error, worst = _errors(program.arrays(arrays), problem.answer)
    except Unsupported as reason:
        return dataclasses.replace(result, status="unsupported", detail=str(reason)), None, 0.0
    except Exception as raised:
        detail = f"{type(raised).__name__}: {raised}".partition("\n")[0]
        return dataclasses.replace(result, detail=detail), None, 0.0
    figures = {name: getattr(program, name) for name in _FIGURES}
    result = dataclasses.replace(result, error=error, worst_error=worst, **figures)
    if worst <= TOLERANCES[problem.dtype]:
        return dataclasses.replace(result, status="timed"), program, seconds
    return dataclasses.replace(result, status="wrong", detail=f"off by {worst:.2g} root mean squares"), None, 0.0


def _errors(found: tuple[Any, ...], expected: tuple[NDArray[Any], ...]) -> tuple[float, float]:
    """Return the largest relative root mean square error, and the largest single error, over the arrays."""
    arrays = [np.asarray(array).astype(np.float64) for array in found]
    shapes, expected_shapes = [array.shape for array in arrays], [array.shape for array in expected]
    if shapes != expected_shapes:
        raise ValueError(f"results of shapes {shapes} instead of {expected_shapes}")
    rms, worst = [], []
    for array, right in zip(arrays, expected, strict=True):
        unit = math.sqrt(np.mean(right**2)) or 1.0
        difference = abs(array - right)
        rms.append(math.sqrt(np.mean(difference**2)) / unit)
        worst.append(float(difference.max()) / unit)
    return float(np.nan_to_num(np.max(rms), nan=np.inf)), float(np.nan_to_num(np.max(worst), nan=np.inf))
