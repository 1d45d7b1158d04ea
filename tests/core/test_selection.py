"""Methods are chosen, printed and measured, and lowered programs contain the chosen one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconvt
from benchmarks import workloads
from jconvt._core import selection, timing
from jconvt._methods import METHODS, reference
from tests.support import laws

SHAPES = (8, 4, 4, 512), (5, 5, 128, 512)
SPEC = jconvt.Spec.from_tensorflow(*SHAPES, strides=2)
DECISIONS = ("transposed_convolution", "forward_convolution", "kernel_gradient")


@pytest.fixture(autouse=True)
def _nothing_measured(monkeypatch):
    """Other tests in this process may have measured methods."""
    monkeypatch.setattr(selection, "_MEASURED", selection._Measured())


def candidates(map, platform, dtype="float32"):
    """The methods that may compute a map on a platform, of those that are in use in this process."""
    return {
        name
        for name, method in METHODS.items()
        if map in method.how
        and (method.platforms is None or platform in method.platforms)
        and method.unsupported(map, SPEC, jnp.dtype(dtype)) is None
    }


def decisions(chosen):
    return [getattr(chosen, name) for name in DECISIONS]


@pytest.mark.parametrize("platform", ["cpu", "cuda", "rocm", "tpu"])
@pytest.mark.parametrize("workload", workloads.load().values(), ids=lambda workload: workload.name)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_choose__takes_the_cheapest_supported_method(platform, workload, dtype):
    chosen = jconvt.choose(workload.spec, workload.input_shape, workload.filters_shape, dtype=dtype, platform=platform)
    assert chosen.method == chosen.transposed_convolution.method
    for decision in decisions(chosen):
        assert decision.costs.keys() == candidates(decision.map, platform, dtype)
        assert 0 < decision.costs[decision.method] == min(decision.costs.values())
        assert not decision.measured
        assert f"{decision.map.replace('_', ' ')}: {decision.method}\n    {decision.reason}" in str(chosen)


def test_choice__is_deterministic_and_printable():
    chosen = jconvt.choose(SPEC, *SHAPES, platform="cpu")
    assert chosen == jconvt.choose(SPEC, *SHAPES, platform="cpu")
    lines = str(chosen).splitlines()
    assert lines[0] == "transposed convolution, 2-D, groups 1"
    assert "float32 (8, 4, 4, 512) by (5, 5, 128, 512), on cpu:" in lines
    assert sum("predicted times, relative: " in line for line in lines) == 3


@pytest.mark.parametrize("method", ["polyphase", "gemm"])
def test_choose__excludes_unsupported_methods(method):
    axis = jconvt.Axis(kernel=2049, stride=1, dilation=2) if method == "gemm" else jconvt.Axis(kernel=3, stride=2000)
    chosen = jconvt.choose(jconvt.Spec((axis,)), (1, 4, 1), (axis.kernel, 1, 1))
    assert all(method not in decision.costs for decision in decisions(chosen))


def test_choose__excludes_derived_gradients_of_integers():
    chosen = jconvt.choose(SPEC, *SHAPES, dtype="int8", platform="cpu")
    assert chosen.kernel_gradient.costs.keys() == {"gemm"}


@pytest.mark.parametrize("platform", ["cuda", "rocm"])
def test_choose__excludes_convolutions_of_integers_on_gpu(platform):
    for decision in decisions(jconvt.choose(SPEC, *SHAPES, dtype="int8", platform=platform)):
        assert decision.costs.keys() == {"gemm"}


def test_lowering__selects_a_method_for_each_platform():
    x, w = (jnp.ones(shape) for shape in SHAPES)
    f = functools.partial(jconvt.conv_transpose, strides=2)
    on = {platform: jconvt.choose(SPEC, *SHAPES, platform=platform).method for platform in ("cpu", "tpu")}
    assert on["cpu"] != on["tpu"]  # or the test says nothing
    exported = jax.export.export(jax.jit(f), platforms=("cpu", "tpu"))(x, w)
    assert "stablehlo.dot_general" in exported.mlir_module()
    assert "stablehlo.convolution" in exported.mlir_module()
    for platform in on:
        text = jax.jit(f).trace(x, w).lower(lowering_platforms=(platform,)).as_text()
        assert ("@jconvt_transpose" in text) == (on[platform] == "native")
        assert ("stablehlo.dot_general" in text) == (on[platform] == "gemm")
        assert ("stablehlo.convolution" in text) == (on[platform] not in ("native", "gemm"))


@pytest.mark.parametrize("winner", ["polyphase", "gemm"])
def test_choose__remembers_measurements(monkeypatch, winner):
    calls = []

    def interleaved(contenders, **_):
        calls.append(sorted(contenders))
        for contender in contenders.values():
            contender()
        return {name: [1.0 if name == winner else 2.0] for name in contenders}

    monkeypatch.setattr(timing, "interleaved", interleaved)
    monkeypatch.setattr(timing, "seconds", lambda call: call() is None or 1.0)  # none is hopeless
    spec = jconvt.Spec.from_tensorflow((3, 4, 4, 2), (3, 3, 2, 2), strides=2)
    before = jconvt.choose(spec, (3, 4, 4, 2), (3, 3, 2, 2))
    measured = jconvt.choose(spec, (3, 4, 4, 2), (3, 3, 2, 2), measure=True)
    assert calls == [sorted(candidates(map, selection.default_platform())) for map in DECISIONS]
    for decision in decisions(measured):
        assert winner not in decision.costs or decision.method == winner
    assert all(decision.measured for decision in decisions(measured))
    assert "measured times, relative" in str(measured)
    assert jconvt.choose(spec, (3, 4, 4, 2), (3, 3, 2, 2)) == measured
    assert not any(decision.measured for decision in decisions(before))
    # Programs that are lowered from now on are computed that way, and another size as before.
    x, w = np.ones((3, 4, 4, 2), np.float32), np.ones((3, 3, 2, 2), np.float32)
    text = jax.jit(functools.partial(jconvt.conv_transpose, strides=2)).lower(x, w).as_text()
    assert ("stablehlo.convolution" in text) == (winner == "polyphase")
    y = jconvt.conv_transpose(x, w, strides=2)
    np.testing.assert_array_equal(laws.rounded(y), reference.transpose(x, w, spec))
    assert not jconvt.choose(spec, (2, 4, 4, 2), (3, 3, 2, 2)).transposed_convolution.measured


def test_choose__measures_every_method():
    spec = jconvt.Spec.from_tensorflow((2, 3, 1), (3, 1, 1), strides=2)
    measured = jconvt.choose(spec, (2, 3, 1), (3, 1, 1), measure=True)
    for decision in decisions(measured):
        assert decision.costs.keys() == candidates(decision.map, selection.default_platform())
        assert all(cost > 0 for cost in decision.costs.values())


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "text"),
    [
        (("SAME", *SHAPES), {}, jconvt.ArgumentTypeError, "spec must be a Spec.*'SAME'"),
        ((SPEC, (8, 4, 4), SHAPES[1]), {}, jconvt.ArgumentError, "input_shape has the wrong length.*4 sizes"),
        ((SPEC, 4, SHAPES[1]), {}, jconvt.ArgumentTypeError, "input_shape"),
        ((SPEC, (8, 4, 4, 0), SHAPES[1]), {}, jconvt.ArgumentError, r"input_shape\[3\]"),
        ((SPEC, (8, 4, 4, 511), SHAPES[1]), {}, jconvt.ArgumentError, "shapes do not match the geometry.*511"),
        ((SPEC, SHAPES[0], (3, 5, 128, 512)), {}, jconvt.ArgumentError, r"do not match the geometry.*kernel \(5, 5\)"),
        (
            (SPEC, *SHAPES),
            {"dtype": "number"},
            jconvt.ArgumentTypeError,
            "is not numeric.*'number'",
        ),
        ((SPEC, *SHAPES), {"data_format": "NHCW"}, jconvt.ArgumentError, "unknown data_format.*'NHCW'"),
        ((SPEC, *SHAPES), {"platform": "abacus"}, jconvt.ArgumentError, "unknown platform.*'abacus'.*'cuda'"),
        ((SPEC, *SHAPES), {"platform": ["cpu"]}, jconvt.ArgumentError, "unknown platform"),
        ((SPEC, *SHAPES), {"dtype": bool}, jconvt.ArgumentTypeError, "integer, floating-point or complex"),
        ((SPEC, *SHAPES), {"measure": 1}, jconvt.ArgumentTypeError, "measure must be a boolean"),
        ((SPEC, *SHAPES), {"measure": True, "platform": "rocm"}, jconvt.ArgumentError, "on the default device.*'rocm'"),
        ((SPEC, *SHAPES), {"measure": True, "devices": 2}, jconvt.ArgumentError, "on the default device.*devices = 2"),
        ((SPEC, *SHAPES), {"devices": 0}, jconvt.ArgumentError, "devices is out of range"),
    ],
)
def test_choose__rejects_wrong_arguments(arguments, keywords, error, text):
    with pytest.raises(error, match=f"(?s){text}") as caught:
        jconvt.choose(*arguments, **keywords)
    assert all(f"{part}:" in str(caught.value) for part in ("got", "legal", "fix"))


def test_choose__says_that_sharding_overrides_the_method():
    for decision in decisions(jconvt.choose(SPEC, *SHAPES, platform="cpu", devices=8)):
        assert (decision.method, decision.costs) == ("spmd", {})
        assert "8 devices: method is ignored" in decision.reason
    assert jconvt.choose(SPEC, *SHAPES, platform="cpu", devices=1) == jconvt.choose(SPEC, *SHAPES, platform="cpu")


def test_choose__rejects_measuring_while_tracing():
    def traced(x):
        jconvt.choose(SPEC, *SHAPES, measure=True)
        return x

    with pytest.raises(jconvt.ArgumentError, match=r"(?s)cannot run while JAX traces.*before tracing"):
        jax.jit(traced)(1.0)
    assert jax.jit(lambda x: x * len(str(jconvt.choose(SPEC, *SHAPES))))(1.0) > 0  # a prediction needs no run
