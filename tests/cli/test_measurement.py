"""The benchmarks' timing, exact results and counts, and that a wrong candidate is found. Never how fast anything is."""

import math
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import comparison, measurement, oracle, suite, workloads
from benchmarks.problem import PASSES, Problem, pairs
from jconvt import Axis, Spec
from jconvt._core import timing
from jconvt._core.selection import methods_in_use
from jconvt._geometry.layout import Layout
from jconvt._methods import METHODS, reference, vjp
from tests.support import mutations

TINY = workloads.load()["tiny"]
SPECS = [
    (Spec((Axis(3, 2, 1, 1, 0), Axis(2, 3, 2, 0, -2)), groups=2), (3, 4)),
    (Spec((Axis(4, 2, 1, 1, 1),), groups=4), (5,)),
    (Spec((Axis(5, 2, 1, 1, 2), Axis(1, 3, 1, 0, -1))), (4, 1)),
    (Spec((Axis(2, 2), Axis(3, 1, 1, 1, 1), Axis(5, 3, 1, 2, 1))), (2, 3, 2)),
]


@pytest.fixture(autouse=True)
def _kept_caches(monkeypatch):
    """Later tests in this process must not compile again."""
    monkeypatch.setattr(jax, "clear_caches", lambda: None)


@pytest.mark.parametrize(("spec", "sizes"), SPECS)
def test_oracle__equals_the_definition(spec, sizes):
    rng = np.random.default_rng(0)
    kernel = [axis.kernel for axis in spec.axes]
    shapes = ((2, *sizes, 8), (*kernel, 3, 8), (2, *spec.output_sizes(sizes), 3 * spec.groups))
    x, w, z = (rng.integers(-9, 10, shape).astype(np.float32) for shape in shapes)
    y, in_x, in_w = oracle.maps(x, w, z, spec)
    np.testing.assert_array_equal(y, reference.transpose(x, w, spec))
    np.testing.assert_array_equal(in_x, reference.forward(z, w, spec))
    np.testing.assert_array_equal(in_w, reference.kernel_gradient(x, z, spec))


@pytest.mark.parametrize(("spec", "sizes"), SPECS)
def test_pairs__equal_the_definitions(spec, sizes):
    assert pairs(spec, sizes) == sum(1 for _ in reference.landings(spec, sizes, spec.output_sizes(sizes)))


def test_problem__flops_and_bytes():
    # All nine taps of each of four pixels land on the five-by-five output.
    forward, gradient = (Problem(TINY, step, "float32") for step in PASSES)
    assert (forward.flops, gradient.flops) == (2 * 4 * 9, 3 * 2 * 4 * 9)
    assert forward.bytes == 4 * (4 + 9 + 25)
    assert Problem(TINY, "forward", "bfloat16").bytes == 2 * (4 + 9 + 25)


def test_interleaved__calls_each_twice_a_round_in_a_shuffled_order(monkeypatch):
    calls = []
    names = ["one", "two", "three", "four"]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(len(calls)))  # each call takes one second
    times = timing.interleaved({name: lambda name=name: calls.append(name) for name in names}, rounds=10)
    assert {name: len(each) for name, each in times.items()} == dict.fromkeys(names, 10)
    pairs = list(zip(calls[::2], calls[1::2], strict=True))
    assert all(untimed == timed for untimed, timed in pairs)
    orders = [tuple(name for name, _ in pairs[start : start + 4]) for start in range(0, len(pairs), 4)]
    assert all(sorted(order) == sorted(names) for order in orders)
    assert len(set(orders)) > 5


def test_interleaved__repeats_a_short_call_until_other_threads_sleep(monkeypatch):
    calls = []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: 0.006 * len(calls))
    times = timing.interleaved({"short": lambda: calls.append(1)}, rounds=3)
    assert times["short"] == pytest.approx([0.006] * 3)
    assert len(calls) == 3 * (4 + 1)  # four take 24 ms


@pytest.mark.parametrize(("platform", "timed"), [("cpu", 1), ("gpu", 20)])
def test_interleaved__times_several_calls_that_an_accelerator_enqueues(monkeypatch, platform, timed):
    clock, calls, waits = [0.0], [], []

    def enqueue():
        clock[0] += 2e-5
        calls.append(len(calls))
        return calls[-1]

    def wait(result):
        clock[0] += 8e-5
        assert result == calls[-1]  # of the last call
        waits.append(len(calls))

    monkeypatch.setattr(timing, "_SETTLING", 0.0)
    monkeypatch.setattr(timing.jax, "default_backend", lambda: platform)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    times = timing.interleaved({"short": timing.Enqueued(enqueue, wait)}, rounds=1)["short"]
    assert times == pytest.approx([2e-5 + 8e-5 / timed])
    assert waits[-1] - waits[-2] == timed


def test_interleaved__drops_a_slow_call_after_two_rounds(monkeypatch):
    clock = [0.0]

    def call(seconds):
        clock[0] += seconds

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    calls = {"fast": lambda: call(1.0), "near": lambda: call(2.0), "slow": lambda: call(4.0)}
    assert timing.interleaved(calls, rounds=5) == {"fast": [1.0] * 5, "near": [2.0] * 5, "slow": [4.0] * 2}
    assert timing.interleaved(calls, rounds=5, budget=9.0) == {"fast": [1.0] * 4, "near": [2.0] * 4, "slow": [4.0] * 2}
    assert timing.interleaved({}, rounds=3) == {}


def test_ratio__is_the_median_over_common_rounds():
    assert comparison.ratio([2.0, 9.0], [1.0, 3.0, 100.0]) == 2.5


def candidate(function):
    return lambda problem: measurement.jax_program(problem, function)


def right(x, w):
    return vjp.METHOD.transpose(x, w, TINY.spec, Layout(2), x.dtype, None)


def mutated(mutation):
    def function(x, w):
        return mutation(vjp.METHOD.transpose, x, w, TINY.spec, Layout(2), x.dtype, None)

    return candidate(function)


def unsupported(problem):
    raise measurement.Unsupported("no such layout")


def broken(x, w):
    raise ValueError("a defect\nand more")


@pytest.mark.parametrize("step", PASSES)
def test_measure__times_only_right_candidates(step):
    candidates = {
        "right": candidate(right),
        "flipped": mutated(mutations.flipped),
        "rounded": mutated(mutations.rounded),
        "broken": candidate(broken),
        "unsupported": unsupported,
    }
    seen = []
    results = measurement.measure(Problem(TINY, step, "float32"), candidates, rounds=4, progress=seen.append)
    assert seen == [*candidates, "timing"]
    found = {each.candidate: each for each in results}
    assert {name: each.status for name, each in found.items()} == {
        "right": "timed",
        "flipped": "wrong",
        "rounded": "wrong",
        "broken": "failed",
        "unsupported": "unsupported",
    }
    assert [name for name, each in found.items() if each.times] == ["right"]
    assert len(found["right"].times) == 4
    assert found["right"].error < 1e-6 < 1e-4 < found["rounded"].worst_error < 0.1 < found["flipped"].worst_error
    assert found["unsupported"].detail == "no such layout"
    assert found["broken"].detail == "ValueError: a defect"


def test_measure__bfloat16_operands_are_right_in_bfloat16():
    candidates = {"rounded": mutated(mutations.rounded)}
    (result,) = measurement.measure(Problem(TINY, "gradient", "bfloat16"), candidates, rounds=1)
    assert result.status == "timed"


def test_measure__slow_candidate_is_called_once_or_twice(monkeypatch):
    monkeypatch.setattr(measurement, "SLOW_SECONDS", 0.05)
    monkeypatch.setattr(measurement, "ONE_CALL_SECONDS", 0.3)
    monkeypatch.setattr(timing, "_SETTLING", 0.0)  # one untimed call in each round
    problem = Problem(TINY, "forward", "float32")
    calls = dict.fromkeys(("fast", "loads", "slow", "endless"), 0)

    def sleeper(name, first, later):
        def prepare(problem):
            answer = problem.answer

            def run():
                calls[name] += 1
                time.sleep(first if calls[name] == 1 else later)
                return answer

            return measurement.Program(run)

        return prepare

    candidates = {
        "fast": sleeper("fast", 0, 0),
        "loads": sleeper("loads", 0.1, 0),
        "slow": sleeper("slow", 0.1, 0.1),
        "endless": sleeper("endless", 0.4, 0.4),
    }
    results = measurement.measure(problem, candidates, rounds=2)
    assert [len(each.times) for each in results] == [2, 2, 1, 1]
    assert (calls["loads"], calls["slow"], calls["endless"]) == (6, 2, 1)
    assert all(each.status == "timed" for each in results)


def test_measure__output_of_another_shape_fails():
    problem = Problem(TINY, "forward", "float32")
    (result,) = measurement.measure(problem, {"short": candidate(lambda x, w: right(x, w)[:, 1:])})
    assert result.status == "failed"
    assert "[(1, 4, 5, 1)] instead of [(1, 5, 5, 1)]" in result.detail


def test_measure__not_a_number_is_wrong_and_not_written():
    problem = Problem(TINY, "forward", "float32")
    (result,) = measurement.measure(problem, {"nan": candidate(lambda x, w: right(x, w) * jnp.nan)})
    assert (result.status, result.worst_error) == ("wrong", math.inf)
    assert "worst_error" not in suite.as_json([(problem, [result])])[0]["standings"][0]


def test_methods__are_all_that_compile():
    assert [*measurement.methods()] == ["auto", *(name for name in methods_in_use() if METHODS[name].traceable)]
