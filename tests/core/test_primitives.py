"""The three primitives: their derivatives, batching and lowering, and the maps that methods share."""

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
from jconvt._methods import METHODS, _spmd_conv, _spmd_matmul, gemm, reference
from tests.support import laws
from tests.support.geometries import Call, calls

CALL = Call((2, 3, 2, 4), (3, 2, 2, 4), {"strides": (2, 3), "dilations": (1, 2), "groups": 2, "padding": "VALID"})
LOOPS = {
    Map.TRANSPOSE: reference.transpose,
    Map.FORWARD: reference.forward,
    Map.KERNEL_GRADIENT: reference.kernel_gradient,
}


def function(call, method="auto"):
    return functools.partial(jconvt.conv_transpose, method=method, **call.arguments)


def primitives(jaxpr):
    """The names of all operations, including those of inner programs."""
    for equation in jaxpr.eqns:
        inner = [value.jaxpr for value in equation.params.values() if hasattr(value, "jaxpr")]
        if not inner:
            yield equation.primitive.name.removeprefix("jconvt_")
        for one in inner:
            yield from primitives(one)


def maps_of(f, *operands):
    return sorted(name for name in primitives(jax.make_jaxpr(f)(*operands).jaxpr) if name in LOOPS)


FULL = calls(empty=False)
"""The primitives handle empty arrays, so no method gets one."""


def are_the_definition(computes, call, first):
    """Assert that functions for some maps give what the NumPy loops give, with channels last or ``first``."""
    x, w = call.operands()
    spec = laws.spec_of(call)
    operands = {"x": laws.channels_last(x, call), "w": w, "z": laws.channels_last(laws.cotangent(call), call)}
    layout, dtype = Layout(spec.rank, first), jnp.dtype(float)

    @jax.jit
    def compute(**operands):
        moved = {key: jnp.moveaxis(a, -1, 1) if first and key != "w" else a for key, a in operands.items()}
        results = {
            map: compute(*(moved[one] for one in map.inputs), spec, layout, dtype, "highest")
            for map, compute in computes.items()
        }
        return {map: jnp.moveaxis(a, 1, -1) if first and map.output != "w" else a for map, a in results.items()}

    for map, result in compute(**operands).items():
        np.testing.assert_array_equal(result, LOOPS[map](*(operands[one] for one in map.inputs), spec), err_msg=map)


def maps_in(module):
    return {map: getattr(module, map) for map in Map}


@settings(max_examples=40, deadline=None)
@given(call=FULL)
@example(Call((1, 2, 2, 3, 1), (1, 1, 3, 1, 1), {"strides": (1, 1, 3), "dilations": (1, 1, 2), "padding": "VALID"}))
def test_gemm__maps_are_the_definition(call):
    are_the_definition(maps_in(gemm), call, False)


@pytest.mark.parametrize("module", [_spmd_matmul, _spmd_conv])
@settings(max_examples=25, deadline=None)
@given(call=FULL, first=st.booleans())
@example(Call((2, 3, 4, 4), (3, 2, 2, 4), {"strides": 1, "groups": 2}), True)
def test_spmd__maps_are_the_definition(module, call, first):
    are_the_definition(maps_in(module), call, first)


@settings(max_examples=20, deadline=None)
@given(call=calls(ranks=(1, 2), empty=False))
def test_method__maps_that_jax_derives_are_the_definition(call):
    method = dataclasses.replace(METHODS["polyphase"], forward=None, kernel_gradient=None)
    derived = {map: method.implementation(map) for map in (Map.FORWARD, Map.KERNEL_GRADIENT)}
    are_the_definition(derived, call, False)


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


@settings(max_examples=40, deadline=None)
@given(call=calls(), channels=st.integers(2, 3))
def test_gemm__depthwise_maps_are_the_definition(call, channels):
    call = as_depthwise(call, channels)
    laws.equals_definition(call, "gemm")
    laws.gradients_are_the_definition(call, "gemm")


@pytest.mark.parametrize("method", ["auto", "polyphase", "gemm"])
def test_gradient__saves_only_the_operands(method):
    x, w = map(jnp.asarray, CALL.operands())
    _, pull = jax.vjp(function(CALL, method), x, w)
    saved = jax.tree.leaves(pull)
    assert len(saved) == 2
    for operand in (x, w):
        assert any(one.shape == operand.shape and (one == operand).all() for one in saved)


@pytest.mark.parametrize("method", ["auto", "polyphase", "gemm"])
def test_gradient__is_made_of_the_three_maps(method):
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
def test_vmap__is_one_call_of_the_same_map(axes, of):
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
def test_vmap__over_an_empty_axis(axes):
    x, w = CALL.operands()
    y = function(CALL)(x, w)
    none = [one if axis is None else np.zeros((0, *one.shape)) for one, axis in zip((x, w), axes, strict=True)]
    mapped = jax.vmap(function(CALL), axes)
    assert mapped(*none).shape == (0, *y.shape)
    in_x, in_w = jax.grad(lambda x, w: mapped(x, w).sum(), (0, 1))(*none)
    assert (in_x.shape, in_w.shape) == (none[0].shape, none[1].shape)
    assert (in_x == 0).all()
    assert (in_w == 0).all()


def test_primitives__work_with_jit_disabled():
    x, w = CALL.operands()
    with jax.disable_jit():
        y, pull = jax.vjp(function(CALL), x, w)
        in_x, in_w = pull(y)
    spec = laws.spec_of(CALL)
    np.testing.assert_array_equal(y, laws.definition(CALL, x, w))
    np.testing.assert_array_equal(in_x, reference.forward(np.asarray(y), w, spec))
    np.testing.assert_array_equal(in_w, reference.kernel_gradient(x, np.asarray(y), spec))


def test_gradient__third_derivatives_are_exact():
    # T is bilinear: the third derivative of <T(x, w), T(x, w)> / 2, once in x along a and twice in w along b, is
    # 2 <T(a, b), T(x, b)>.
    x, w = CALL.operands()
    a, b = np.roll(x, 1), np.roll(w, 2)
    f = function(CALL)

    def along_a(w):
        return jax.jvp(lambda x: (f(x, w) ** 2).sum() / 2, (x,), (a,))[1]

    found = jax.jvp(lambda w: jax.jvp(along_a, (w,), (b,))[1], (w,), (b,))[1]
    assert found == 2 * (laws.definition(CALL, a, b) * laws.definition(CALL, x, b)).sum()


def flipped_kernel(compute, a, b, spec, *rest):
    return compute(a, b[(slice(None, None, -1),) * spec.rank], spec, *rest)


def shifted(compute, a, b, spec, *rest):
    first, *others = spec.axes
    moved = jconvt.Axis(first.kernel, first.stride, first.dilation, first.lo + 1, first.hi - 1)
    return compute(a, b, jconvt.Spec((moved, *others), spec.groups), *rest)


def rolled_channels(compute, a, b, *rest):
    return jnp.roll(compute(a, b, *rest), 1, -1)


FIELDS = {Map.TRANSPOSE: "transpose", Map.FORWARD: "forward", Map.KERNEL_GRADIENT: "kernel_gradient"}


@pytest.mark.parametrize("map", Map)
@pytest.mark.parametrize("mutation", [flipped_kernel, shifted, rolled_channels])
def test_laws__reject_one_broken_map(monkeypatch, map, mutation):
    if mutation is flipped_kernel and map is Map.KERNEL_GRADIENT:
        pytest.skip("it takes no kernel")
    compute = functools.partial(mutation, METHODS["polyphase"].implementation(map))
    name = f"polyphase with {mutation.__name__} in {map.symbol}"  # a new name: no compiled program is reused
    method = dataclasses.replace(METHODS["polyphase"], **{"name": name, FIELDS[map]: compute})
    monkeypatch.setitem(METHODS, name, method)
    law = laws.equals_definition if map is Map.TRANSPOSE else laws.gradients_are_the_definition
    with pytest.raises(AssertionError):
        law(CALL, name)


@pytest.mark.parametrize("method", ["polyphase", "gemm"])
def test_method__raises_for_too_many_parts_and_auto_computes(method):
    # More phases, or more rows of taps, than a program is unrolled into.
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


METHODS_OF_MAPS = [(name, map) for name in laws.TRACED if name != "auto" for map in Map]
# In float32, XLA's CPU library computes. It is wrong where a padding crops the start and extends the end.
WIDE_CROPS = [
    *[(3, 1, 1, 4, 0, 7), (3, 1, 1, 6, -2, 7), (3, 1, 1, 5, 1, 7), (2, 1, 3, 7, 1, 9), (3, 2, 1, -3, 2, 5)],
    *[(2, 1, 1, -1, 1, 6), (2, 3, 1, 5, 0, 4), (3, 1, 1, -3, 5, 1), (3, 1, 1, 6, -4, 1), (1, 1, 1, 2, -1, 3)],
]
"""Kernel, stride, dilation and crop of an axis, and its size."""


@pytest.mark.parametrize(("method", "map"), METHODS_OF_MAPS)
def test_method__crops_beyond_a_stamp_in_float32(method, map):
    random = np.random.default_rng(0)
    for rank, (*numbers, size) in itertools.product((1, 2), WIDE_CROPS):
        spec = jconvt.Spec((jconvt.Axis(*numbers),) * rank)
        if METHODS[method].unsupported(map, spec, jnp.dtype("float32")) is not None:
            continue
        sizes = (size,) * rank
        shapes = {"x": (2, *sizes, 3), "w": (*numbers[:1] * rank, 4, 3), "z": (2, *spec.output_sizes(sizes), 4)}
        operands = [random.integers(-9, 10, shapes[name]).astype("float32") for name in map.inputs]
        options = spec, Layout(rank), jnp.dtype("float32"), "highest"
        compute = METHODS[method].implementation(map)
        y = jax.jit(lambda a, b, compute=compute, options=options: compute(a, b, *options))(*operands)
        np.testing.assert_array_equal(laws.rounded(y), LOOPS[map](*operands, spec), err_msg=f"{spec}")
