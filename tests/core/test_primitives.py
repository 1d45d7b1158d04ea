"""The three primitives: what they keep, what they become, and that all three maps of every method are right."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import jconvt
from jconvt._geometry.layout import Layout
from jconvt._geometry.maps import Map
from jconvt._methods import METHODS, _depthwise, _matmul, _spmd_conv, _spmd_matmul, reference
from tests.support import laws
from tests.support.geometries import Call, calls

CALL = Call((2, 3, 2, 4), (3, 2, 2, 4), {"strides": (2, 3), "dilations": (1, 2), "groups": 2, "padding": "VALID"})
LOOPS = {
    "transposed_convolution": reference.transpose,
    "forward_convolution": reference.forward,
    "kernel_gradient": reference.kernel_gradient,
}


def function(call, method="auto"):
    return functools.partial(jconvt.conv_transpose, method=method, **call.arguments)


def primitives(jaxpr):
    """The names of all operations, those of inner programs included."""
    for equation in jaxpr.eqns:
        inner = [value.jaxpr for value in equation.params.values() if hasattr(value, "jaxpr")]
        if not inner:
            yield equation.primitive.name.removeprefix("jconvt_")
        for one in inner:
            yield from primitives(one)


def maps_of(f, *operands):
    return sorted(name for name in primitives(jax.make_jaxpr(f)(*operands).jaxpr) if name in LOOPS)


FULL = calls(empty=False)
"""The triad gives nothing empty to an algorithm."""


def is_the_definition(name, compute, call, first, *more):
    """A map of an algorithm gives what the NumPy loops give, of small integers with channels last or ``first``."""
    x, w = call.operands()
    spec, x = laws.spec_of(call), laws.channels_last(x, call)
    shape = (len(x), *spec.output_sizes(x.shape[1:-1]), w.shape[-2] * spec.groups)
    operands = {"x": x, "w": w, "z": np.random.default_rng(3).integers(-9, 10, shape).astype(float)}
    expected = LOOPS[name](*(operands[one] for one in name.inputs), spec)
    laid = {key: np.moveaxis(a, -1, 1) if first and key != "w" else a for key, a in operands.items()}
    options = spec, Layout(spec.rank, first), jnp.dtype(float), "highest", *more
    found = jax.jit(lambda a, b: compute(a, b, *options))(*(laid[one] for one in name.inputs))
    if first and name != "kernel_gradient":
        found = np.moveaxis(np.asarray(found), 1, -1)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("name", "method"), [(map, method.name) for method in METHODS.values() for map in method.how])
@settings(max_examples=20, deadline=None)
@given(call=FULL, first=st.booleans())
def test_every_map_of_every_method_is_the_definition(name, method, call, first):
    is_the_definition(name, METHODS[method].implementation(name), call, first)


@pytest.mark.parametrize("name", Map)
@settings(max_examples=40, deadline=None)
@given(call=FULL, stamped=st.integers(0, 3))
@example(Call((1, 2, 2, 3, 1), (1, 1, 3, 1, 1), {"strides": (1, 1, 3), "dilations": (1, 1, 2), "padding": "VALID"}), 3)
def test_products_with_any_number_of_axes_stamped(name, call, stamped):
    compute = functools.partial(getattr(_matmul, name), num_scatter=min(stamped, laws.spec_of(call).rank))
    is_the_definition(name, compute, call, False)


@pytest.mark.parametrize("algorithm", [_spmd_matmul, _spmd_conv], ids=["apart", "guarded"])
@pytest.mark.parametrize("name", Map)
@settings(max_examples=25, deadline=None)
@given(call=FULL, first=st.booleans())
@example(Call((2, 3, 4, 4), (3, 2, 2, 4), {"strides": 1, "groups": 2}), True)
def test_maps_that_a_compiler_can_split(name, algorithm, call, first):
    is_the_definition(name, getattr(algorithm, name), call, first)


@pytest.mark.parametrize("name", [Map.FORWARD, Map.KERNEL_GRADIENT])
@settings(max_examples=20, deadline=None)
@given(call=calls(ranks=(1, 2), empty=False))
def test_maps_that_jax_derives(name, call):
    method = dataclasses.replace(METHODS["polyphase"], forward=None, kernel_gradient=None)
    is_the_definition(name, method.implementation(name), call, False)


def as_depthwise(call, channels):
    """The same geometry with as many groups as channels."""
    first = call.arguments.get("data_format") in ("NCW", "NCHW", "NCDHW")
    sizes = call.input[2:] if first else call.input[1:-1]
    shape = (2, channels, *sizes) if first else (2, *sizes, channels)
    arguments = call.arguments | {"groups": channels, "output_shape": spatial(call, first)}
    return Call(shape, (*call.filters[:-2], 1, channels), arguments)


def spatial(call, first):
    sizes = call.arguments["output_shape"]
    return sizes if len(sizes) == len(call.input) - 2 else sizes[2:] if first else sizes[1:-1]


@pytest.mark.parametrize("method", ["auto", "gemm"])
@settings(max_examples=25, deadline=None)
@given(call=calls(), channels=st.integers(2, 3))
def test_depthwise(method, call, channels):
    call = as_depthwise(call, channels)
    laws.equals_definition(call, method)
    laws.gradients_are_the_definition(call, method)


def test_a_depthwise_gradient_multiplies_no_matrices_and_a_broken_one_is_seen(monkeypatch):
    call = Call((2, 4, 3, 5), (3, 2, 1, 5), {"strides": 2, "groups": 5, "padding": "SAME"})
    x, w = call.operands()
    f = function(call, "gemm")
    for gradient in (jax.grad(lambda x, w: f(x, w).sum(), one) for one in (0, 1)):
        text = jax.jit(gradient).lower(x, w).as_text()
        assert "dot_general" not in text
        assert "convolution" not in text.replace("_convolution", "")
    laws.gradients_are_the_definition(call, "gemm")
    read = _depthwise._read
    monkeypatch.setattr(_depthwise, "_read", lambda *arguments: jnp.roll(read(*arguments), 1, 2))
    jax.clear_caches()
    try:
        with pytest.raises(AssertionError):
            laws.gradients_are_the_definition(call, "gemm")
    finally:
        jax.clear_caches()


@pytest.mark.parametrize("method", ["auto", "polyphase", "gemm"])
def test_the_derivative_keeps_the_operands_and_nothing_else(method):
    x, w = map(jnp.asarray, CALL.operands())
    _, pull = jax.vjp(function(CALL, method), x, w)
    kept = jax.tree.leaves(pull)
    assert len(kept) == 2
    for operand in (x, w):
        assert any(one.shape == operand.shape and (one == operand).all() for one in kept)


@pytest.mark.parametrize("method", ["auto", "polyphase", "gemm"])
def test_derivatives_stay_in_the_triad(method):
    x, w = CALL.operands()
    f = function(CALL, method)

    def loss(x, w):
        return (f(x, w) ** 2).sum()

    assert maps_of(f, x, w) == ["transposed_convolution"]
    assert maps_of(jax.grad(loss), x, w) == ["forward_convolution", "transposed_convolution"]
    assert maps_of(jax.grad(loss, 1), x, w) == ["kernel_gradient", "transposed_convolution"]
    third = jax.jacfwd(jax.jacrev(jax.grad(lambda x, w: (f(x, w) ** 3).sum())))
    assert set(maps_of(third, x, w)) == {"forward_convolution", "transposed_convolution"}
    operations = set(primitives(jax.make_jaxpr(third)(x, w).jaxpr))
    assert not any("conv_general_dilated" in name or "dot_general" in name for name in operations)


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0), (1, 3)])
@pytest.mark.parametrize("of", ["value", "in_x", "in_w"])
def test_vmap_of_every_map_is_one_call_of_it(axes, of):
    x, w = CALL.operands()
    y = laws.definition(CALL, x, w)
    f = {
        "value": function(CALL),
        "in_x": lambda z, w: jax.linear_transpose(lambda x: function(CALL)(x, w), x)(z)[0],
        "in_w": lambda x, z: jax.linear_transpose(lambda w: function(CALL)(x, w), w)(z)[0],
    }[of]
    single = {"value": (x, w), "in_x": (y, w), "in_w": (x, y)}[of]
    many = [
        one if axis is None else np.stack([one, one + 1, -one], axis) for one, axis in zip(single, axes, strict=True)
    ]
    mapped = jax.vmap(f, axes)
    assert len(maps_of(mapped, *many)) == 1
    found = jax.jit(mapped)(*many)
    for i in range(3):
        each = [one if axis is None else np.take(one, i, axis) for one, axis in zip(many, axes, strict=True)]
        np.testing.assert_array_equal(found[i], f(*each))


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)])
def test_vmap_over_nothing(axes):
    x, w = CALL.operands()
    y = function(CALL)(x, w)
    none = [one if axis is None else np.zeros((0, *one.shape)) for one, axis in zip((x, w), axes, strict=True)]
    mapped = jax.vmap(function(CALL), axes)
    assert mapped(*none).shape == (0, *y.shape)
    in_x, in_w = jax.grad(lambda x, w: mapped(x, w).sum(), (0, 1))(*none)
    assert (in_x.shape, in_w.shape) == (none[0].shape, none[1].shape)
    assert (in_x == 0).all()
    assert (in_w == 0).all()


def test_without_jit_it_is_still_lowered_for_its_platform():
    x, w = CALL.operands()
    with jax.disable_jit():
        y, pull = jax.vjp(function(CALL), x, w)
        in_x, in_w = pull(y)
    spec = laws.spec_of(CALL)
    np.testing.assert_array_equal(y, laws.definition(CALL, x, w))
    np.testing.assert_array_equal(in_x, reference.forward(np.asarray(y), w, spec))
    np.testing.assert_array_equal(in_w, reference.kernel_gradient(x, np.asarray(y), spec))


def test_third_derivatives_are_exact():
    # T is bilinear: the third derivative of <T(x, w), T(x, w)> / 2, once in x along a and twice in w along b, is
    # 2 <T(a, b), T(x, b)>.
    x, w = CALL.operands()
    a, b = np.roll(x, 1), np.roll(w, 2)
    f = function(CALL)

    def along_a(w):
        return jax.jvp(lambda x: (f(x, w) ** 2).sum() / 2, (x,), (a,))[1]

    found = jax.jvp(lambda w: jax.jvp(along_a, (w,), (b,))[1], (w,), (b,))[1]
    assert found == 2 * (laws.definition(CALL, a, b) * laws.definition(CALL, x, b)).sum()


def flipped(compute, a, b, spec, *rest):
    return compute(a, b[(slice(None, None, -1),) * spec.rank], spec, *rest)


def shifted(compute, a, b, spec, *rest):
    first, *others = spec.axes
    moved = jconvt.Axis(first.kernel, first.stride, first.dilation, first.lo + 1, first.hi - 1)
    return compute(a, b, jconvt.Spec((moved, *others), spec.groups), *rest)


def rolled_channels(compute, a, b, *rest):
    return jnp.roll(compute(a, b, *rest), 1, -1)


@pytest.mark.parametrize(
    ("name", "sabotage"),
    [*itertools.product((Map.TRANSPOSE, Map.FORWARD), (flipped, shifted, rolled_channels)),
     *itertools.product((Map.KERNEL_GRADIENT,), (shifted, rolled_channels))],
)  # fmt: skip
@pytest.mark.parametrize("method", ["polyphase", "gemm"])
def test_a_broken_map_is_seen(monkeypatch, name, method, sabotage):
    compute = functools.partial(sabotage, METHODS[method].implementation(name))
    field = {Map.TRANSPOSE: "transpose", Map.FORWARD: "forward", Map.KERNEL_GRADIENT: "kernel_gradient"}[name]
    wrong = f"{method} with {sabotage.__name__} {name}"  # a name of its own: no compiled program is found for it
    monkeypatch.setitem(METHODS, wrong, dataclasses.replace(METHODS[method], **{"name": wrong, field: compute}))
    law = laws.equals_definition if name is Map.TRANSPOSE else laws.gradients_are_the_definition
    with pytest.raises(AssertionError):
        law(CALL, wrong)


@pytest.mark.parametrize("map", Map)
def test_a_rule_for_each_operand(map):
    # Each map takes the two others; so a transpose is never missing, and never one of its own operands again.
    assert {map.output, *map.inputs} == set("xwz")


@pytest.mark.parametrize("method", ["polyphase", "gemm"])
def test_what_a_method_cannot_serve_it_refuses_by_name_and_auto_computes(method):
    # More phases, or more rows of taps, than a program should be written out in.
    axis = jconvt.Axis(kernel=2049, stride=1, dilation=2) if method == "gemm" else jconvt.Axis(kernel=3, stride=2000)
    spec = jconvt.Spec((axis,))
    x, w = np.ones((1, 2, 1)), np.ones((axis.kernel, 1, 1))
    compute = functools.partial(
        jconvt.conv_transpose,
        output_shape=spec.output_sizes((2,)),
        strides=axis.stride,
        padding="VALID",
        dilations=axis.dilation,
    )
    with pytest.raises(jconvt.ArgumentError, match=f"method '{method}' would unroll into too many"):
        compute(x, w, method=method)
    y = compute(x, w)
    np.testing.assert_array_equal(y, reference.transpose(x, w, spec))
