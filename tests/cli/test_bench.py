"""Timing, exact answers and counts; that a wrong contender is seen; the command. Never how fast anything is."""

import json
import math
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import bench, bench_cli, oracle, workloads
from benchmarks.problem import PASSES, Problem, pairs
from jconvt import Axis, Spec
from jconvt.__main__ import main
from jconvt._core import timing
from jconvt._geometry.layout import Layout
from jconvt._methods import METHODS, reference, vjp

TINY = workloads.load()["tiny"]
SPECS = [
    (Spec((Axis(3, 2, 1, 1, 0), Axis(2, 3, 2, 0, -2)), groups=2), (3, 4)),
    (Spec((Axis(4, 2, 1, 1, 1),), groups=4), (5,)),
    (Spec((Axis(5, 2, 1, 1, 2), Axis(1, 3, 1, 0, -1))), (4, 1)),
    (Spec((Axis(2, 2), Axis(3, 1, 1, 1, 1), Axis(5, 3, 1, 2, 1))), (2, 3, 2)),
]


@pytest.mark.parametrize(("spec", "sizes"), SPECS)
def test_exact_answers_are_the_definitions(spec, sizes):
    rng = np.random.default_rng(0)
    kernel = [axis.kernel for axis in spec.axes]
    shapes = ((2, *sizes, 8), (*kernel, 3, 8), (2, *spec.output_sizes(sizes), 3 * spec.groups))
    x, w, z = (rng.integers(-9, 10, shape).astype(np.float32) for shape in shapes)
    y, in_x, in_w = oracle.maps(x, w, z, spec)
    np.testing.assert_array_equal(y, reference.transpose(x, w, spec))
    np.testing.assert_array_equal(in_x, reference.forward(z, w, spec))
    np.testing.assert_array_equal(in_w, reference.kernel_gradient(x, z, spec))


@pytest.mark.parametrize(("spec", "sizes"), SPECS)
def test_pairs_are_those_of_the_definition(spec, sizes):
    assert pairs(spec, sizes) == sum(1 for _ in reference.landings(spec, sizes, spec.output_sizes(sizes)))


def test_flops_and_bytes():
    # All nine taps of each of four pixels land on the five-by-five output.
    forward, gradient = (Problem(TINY, step, "float32") for step in PASSES)
    assert (forward.flops, gradient.flops) == (2 * 4 * 9, 3 * 2 * 4 * 9)
    assert forward.bytes == 4 * (4 + 9 + 25)
    assert Problem(TINY, "forward", "bfloat16").bytes == 2 * (4 + 9 + 25)


def test_race_calls_each_twice_a_round_in_a_shuffled_order():
    calls = []
    names = ["one", "two", "three", "four"]
    times = timing.race({name: lambda name=name: calls.append(name) for name in names}, rounds=10)
    assert {name: len(each) for name, each in times.items()} == dict.fromkeys(names, 10)
    pairs = list(zip(calls[::2], calls[1::2], strict=True))
    assert all(untimed == timed for untimed, timed in pairs)
    orders = [tuple(name for name, _ in pairs[start : start + 4]) for start in range(0, len(pairs), 4)]
    assert all(sorted(order) == sorted(names) for order in orders)
    assert len(set(orders)) > 5


def test_slow_call_leaves_the_race(monkeypatch):
    clock = [0.0]

    def call(seconds):
        clock[0] += seconds

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    calls = {"fast": lambda: call(1.0), "near": lambda: call(2.0), "slow": lambda: call(4.0)}
    assert timing.race(calls, rounds=5) == {"fast": [1.0] * 5, "near": [2.0] * 5, "slow": [4.0] * 2}
    assert timing.race(calls, rounds=5, budget=9.0) == {"fast": [1.0] * 4, "near": [2.0] * 4, "slow": [4.0] * 2}
    assert timing.race({}, rounds=3) == {}


def test_ratio_is_the_median_over_common_rounds():
    assert timing.ratio([2.0, 9.0], [1.0, 3.0, 100.0]) == 2.5


def contender(function):
    return lambda problem: bench.jax_program(problem, function)


def right(x, w):
    return vjp.transposed_convolution(x, w, TINY.spec, Layout(2), x.dtype, None)


def flipped(x, w):
    return right(x, w[::-1])


def rough(x, w):
    x, w = (jax.lax.reduce_precision(array, exponent_bits=8, mantissa_bits=7) for array in (x, w))
    return right(x, w)


def unserved(problem):
    raise bench.Unserved("no such layout")


def broken(x, w):
    raise ValueError("a defect\nand more")


@pytest.mark.parametrize("step", PASSES)
def test_only_right_answers_are_timed(step):
    functions = dict(right=right, flipped=flipped, rough=rough, broken=broken)
    contenders = {name: contender(function) for name, function in functions.items()} | {"unserved": unserved}
    seen = []
    standings = bench.measure(Problem(TINY, step, "float32"), contenders, rounds=4, progress=seen.append)
    assert seen == [*contenders, "race"]
    found = {each.contender: each for each in standings}
    assert {name: each.status for name, each in found.items()} == {
        "right": "timed",
        "flipped": "wrong",
        "rough": "wrong",
        "broken": "failed",
        "unserved": "unserved",
    }
    assert [name for name, each in found.items() if each.times] == ["right"]
    assert len(found["right"].times) == 4
    assert found["right"].error < 1e-6 < 1e-4 < found["rough"].worst_error < 0.1 < found["flipped"].worst_error
    assert found["unserved"].detail == "no such layout"
    assert found["broken"].detail == "ValueError: a defect"


def test_rough_answers_are_right_in_half_precision():
    (standing,) = bench.measure(Problem(TINY, "gradient", "bfloat16"), {"rough": contender(rough)}, rounds=1)
    assert standing.status == "timed"


def test_hopeless_contender_is_called_once_or_twice(monkeypatch):
    monkeypatch.setattr(bench, "_LONG", 0.05)
    monkeypatch.setattr(bench, "_ONCE", 0.3)
    problem = Problem(TINY, "forward", "float32")
    calls = dict.fromkeys(("fast", "loads", "slow", "endless"), 0)

    def sleeper(name, first, later):
        def prepare(problem):
            answer = problem.answer

            def run():
                calls[name] += 1
                time.sleep(first if calls[name] == 1 else later)
                return answer

            return bench.Program(run)

        return prepare

    contenders = {
        "fast": sleeper("fast", 0, 0),
        "loads": sleeper("loads", 0.1, 0),
        "slow": sleeper("slow", 0.1, 0.1),
        "endless": sleeper("endless", 0.4, 0.4),
    }
    standings = bench.measure(problem, contenders, rounds=2)
    assert [len(each.times) for each in standings] == [2, 2, 1, 1]
    assert (calls["loads"], calls["slow"], calls["endless"]) == (6, 2, 1)
    assert all(each.status == "timed" for each in standings)


def test_answer_of_another_shape_is_a_failure():
    problem = Problem(TINY, "forward", "float32")
    (standing,) = bench.measure(problem, {"short": contender(lambda x, w: right(x, w)[:, 1:])})
    assert standing.status == "failed"
    assert "[(1, 4, 5, 1)] instead of [(1, 5, 5, 1)]" in standing.detail


def test_not_a_number_is_wrong():
    (standing,) = bench.measure(
        Problem(TINY, "forward", "float32"), {"nan": contender(lambda x, w: right(x, w) * jnp.nan)}
    )
    assert (standing.status, standing.worst_error) == ("wrong", math.inf)
    assert "worst_error" not in bench_cli.report([(Problem(TINY, "forward", "float32"), [standing])])[0]["standings"][0]


@pytest.fixture
def few_products(monkeypatch):
    """Matrix products that are over soon."""
    monkeypatch.setattr(bench_cli.matmul_peak, "sizes", lambda: (64,))


@pytest.mark.usefixtures("few_products")
def test_command(capsys, tmp_path):
    path = tmp_path / "figures.json"
    assert main(["bench", "--workload", "tiny", "--quick", "--json", str(path)]) == 0
    shown, errors = capsys.readouterr()
    assert errors == ""
    names = ["auto", *(name for name in METHODS if name != "reference")]
    for text in ("forward, float32", "gradient, bfloat16", "tiny", *names):
        assert text in shown
    content = json.loads(path.read_text())
    assert content["finished"]
    assert {dtype: set(each) for dtype, each in content["peaks"].items()} == {"float32": {"jax"}, "bfloat16": {"jax"}}
    assert len(content["problems"]) == 4
    for problem in content["problems"]:
        assert problem["workload"] == "tiny"
        assert [each["contender"] for each in problem["standings"]] == names
        for each in problem["standings"]:
            assert each["status"] == "timed"
            assert len(each["times"]) in (2, 3)  # who is slow leaves after two rounds
            assert each["compile_seconds"] > 0
            assert each["temporary_bytes"] >= 0


@pytest.mark.usefixtures("few_products")
def test_wrong_method_is_reported(monkeypatch, capsys):
    monkeypatch.setitem(METHODS, "vjp", lambda x, w, *rest: vjp.transposed_convolution(x, jnp.flip(w, 0), *rest))
    jax.clear_caches()
    assert main(["bench", "--workload", "tiny", "--quick", "--pass", "forward", "--dtype", "float32"]) == 1
    jax.clear_caches()
    assert "Wrong: vjp on tiny, forward, float32: off by" in capsys.readouterr().out


@pytest.mark.usefixtures("few_products")
def test_interrupt_keeps_what_was_measured(monkeypatch, capsys, tmp_path):
    measure = bench.measure

    def interrupted(problem, *arguments, **options):
        if problem.step == "gradient":
            raise KeyboardInterrupt
        return measure(problem, *arguments, **options)

    monkeypatch.setattr(bench, "measure", interrupted)
    path = tmp_path / "figures.json"
    arguments = ["bench", "--workload", "tiny", "--quick", "--dtype", "float32", "--json", str(path)]
    assert main([*arguments, "--method", "auto"]) == 130
    content = json.loads(path.read_text())
    assert (content["finished"], [problem["pass"] for problem in content["problems"]]) == (False, ["forward"])
    assert "forward, float32" in capsys.readouterr().out


def test_bad_arguments_are_refused_before_any_work(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(bench_cli, "peaks", lambda *arguments: pytest.fail("work was done"))
    for arguments, text in (
        (["--dtype", "tf32"], "JAX computes on a CPU: choose float32"),
        (["--workload", "nonsense"], "nonsense"),
        (["--method", "reference"], "invalid choice: 'reference'"),
        (["--json", str(tmp_path / "missing" / "figures.json")], "cannot write"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(["bench", *arguments])
        assert stopped.value.code == 2
        assert text in capsys.readouterr().err
