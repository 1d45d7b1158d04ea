"""Every JAX transformation, for every method that JAX can trace."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import jconvt
from jconvt._methods import reference
from tests.support import laws
from tests.support.geometries import Call

methods = pytest.mark.parametrize("method", laws.TRACED)
GROUPED = Call((2, 3, 2, 4), (3, 2, 2, 4), {"strides": (2, 3), "dilations": (1, 2), "groups": 2, "padding": "VALID"})
RAGGED = Call((1, 3, 2), (4, 1, 2), {"strides": 3, "output_shape": (8,)})


def function(call, method):
    return functools.partial(jconvt.conv_transpose, method=method, **call.arguments)


@methods
@pytest.mark.parametrize("call", [GROUPED, RAGGED])
def test_jit__changes_nothing(method, call):
    x, w = call.operands()
    f = function(call, method)
    np.testing.assert_array_equal(jax.jit(f)(x, w), f(x, w))


@methods
@pytest.mark.parametrize(
    "call",
    [
        Call((1, 2, 1), (3, 1, 1), {"strides": 2}),
        Call((1, 1, 2, 2), (2, 2, 1, 2), {"strides": (1, 2), "groups": 2}),
        Call((1, 2, 1), (2, 1, 1), {"strides": 3, "dilations": 2, "padding": "VALID"}),
    ],
)
def test_derivatives__of_first_and_second_order(method, call):
    # Few outputs: check_grads widens its tolerance with their number.
    x, w = (operand / 10 for operand in call.operands())
    f = function(call, method)
    assert f(x, w).size <= 10
    check_grads(f, (x, w), order=2, modes=("fwd", "rev"), atol=1e-6, rtol=1e-6)


@methods
def test_derivatives__second_ones_are_exact(method):
    # T is bilinear, so the mixed derivative of <z, T(x, w)> in x and w, applied to (a, b), is <z, T(a, b)>.
    x, w = GROUPED.operands()
    f = function(GROUPED, method)
    z = np.random.default_rng(0).integers(-9, 10, f(x, w).shape).astype(np.float64)
    a, b = np.ones_like(x), np.roll(w, 1)
    in_x = jax.grad(lambda x, w: (f(x, w) * z).sum())
    mixed = jax.jvp(lambda w: (in_x(x, w) * a).sum(), (w,), (b,))[1]
    assert mixed == (laws.definition(GROUPED, a, b) * z).sum()
    assert (jax.jacfwd(in_x)(x, w) == 0).all()


@methods
def test_jvp__is_the_product_rule(method):
    x, w = GROUPED.operands()
    dx, dw = np.roll(x, 1), np.roll(w, 2)
    value, tangent = jax.jvp(jax.jit(function(GROUPED, method)), (x, w), (dx, dw))
    np.testing.assert_array_equal(value, laws.definition(GROUPED, x, w))
    np.testing.assert_array_equal(tangent, laws.definition(GROUPED, dx, w) + laws.definition(GROUPED, x, dw))


AXES = [(0, None), (None, 0), (0, 0), (1, None), (None, 2), (2, 1), (-1, -1)]


@methods
def test_vmap__over_either_operand_or_both(method):
    operands = GROUPED.operands()
    many = [
        [a if axis is None else np.stack([a, a + 1, -a], axis) for a, axis in zip(operands, axes, strict=True)]
        for axes in AXES
    ]

    @jax.jit  # one program compiles sooner than seven
    def mapped(many):
        return [jax.vmap(function(GROUPED, method), axes)(*each) for axes, each in zip(AXES, many, strict=True)]

    for axes, each, y in zip(AXES, many, mapped(many), strict=True):
        for i in range(3):
            one = [a if axis is None else np.take(a, i, axis) for a, axis in zip(each, axes, strict=True)]
            np.testing.assert_array_equal(y[i], laws.definition(GROUPED, *one), err_msg=str(axes))


@methods
def test_vmap__of_vmap_with_output_axes(method):
    x, w = RAGGED.operands()
    xs, ws = np.stack([x, x + 1]), np.stack([w, w - 1, 2 * w])
    y = jax.vmap(jax.vmap(function(RAGGED, method), (None, 0), 1), (0, None), 2)(xs, ws)
    for i in range(2):
        for j in range(3):
            np.testing.assert_array_equal(y[:, j, i], laws.definition(RAGGED, xs[i], ws[j]))


@methods
def test_vmap__of_grad_of_jit(method):
    x, w = GROUPED.operands()
    f = jax.jit(function(GROUPED, method))
    grad = jax.grad(lambda x, w: (f(x, w) ** 2).sum() / 2, (0, 1))
    xs, ws = np.stack([x, x + 1]), np.stack([w, w - 1])
    with jax.checking_leaks():
        in_x, in_w = jax.jit(jax.vmap(grad))(xs, ws)
    spec = laws.spec_of(GROUPED)
    for i in range(2):
        z = laws.definition(GROUPED, xs[i], ws[i])
        np.testing.assert_array_equal(in_x[i], reference.forward(z, ws[i], spec))
        np.testing.assert_array_equal(in_w[i], reference.kernel_gradient(xs[i], z, spec))


@methods
def test_scan__with_checkpoint(method):
    call = Call((1, 4, 4, 2), (3, 3, 2, 2), {"strides": 1})
    x, w = call.operands()
    layers = np.stack([w, w - 1, w + 1]) / 100

    def network(x, layers, step):
        return jax.lax.scan(lambda x, w: (step(x, w), None), x, layers)[0]

    def loss(step):
        return lambda x, layers: (network(x, layers, step) ** 2).sum()

    f = function(call, method)
    plain = x
    for w in layers:
        plain = f(plain, w)
    np.testing.assert_allclose(network(x, layers, f), plain, rtol=1e-12)
    expected = jax.grad(loss(f), (0, 1))(x, layers)
    again = jax.jit(jax.grad(loss(jax.checkpoint(f)), (0, 1)))(x, layers)
    for one, other in zip(again, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@methods
@pytest.mark.parametrize("padding", ["SAME", "VALID", [(1, 0), (0, 1)]])
def test_export__with_symbolic_sizes_for_every_platform(method, padding):
    batch, height, width = jax.export.symbolic_shape("b, h, w")
    spec = jconvt.Spec.from_tensorflow((1, 5, 6, 3), (3, 4, 2, 3), strides=(2, 3), padding=padding)

    def f(x, w, sizes=None):
        return jconvt.conv2d_transpose(x, w, sizes, (2, 3), padding, method=method)

    def value_and_gradients(x, w):  # the value with an explicit output_shape, the gradients with the default one
        return f(x, w, spec.output_sizes(x.shape[1:3])), jax.grad(lambda x, w: (f(x, w) ** 2).sum(), (0, 1))(x, w)

    shapes = (
        jax.ShapeDtypeStruct((batch, height, width, 3), jnp.float32),
        jax.ShapeDtypeStruct((3, 4, 2, 3), jnp.float32),
    )
    exported = jax.export.export(jax.jit(value_and_gradients), platforms=("cpu", "cuda", "tpu"))(*shapes)
    assert exported.platforms == ("cpu", "cuda", "tpu")
    restored = jax.export.deserialize(exported.serialize())
    for sizes in ((1, 1, 2), (2, 5, 3)):
        call = Call((*sizes, 3), (3, 4, 2, 3), {"strides": (2, 3), "padding": padding})
        x, w = call.operands(np.float32)
        y, (in_x, in_w) = restored.call(x, w)
        y, in_x, in_w = map(laws.rounded, (y, in_x, in_w))
        np.testing.assert_array_equal(y, laws.definition(call, x, w))
        np.testing.assert_array_equal(in_x, 2 * reference.forward(y, w, laws.spec_of(call)))
        np.testing.assert_array_equal(in_w, 2 * reference.kernel_gradient(x, y, laws.spec_of(call)))


@pytest.mark.parametrize("method", [*laws.PLAIN, "auto"])
@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_lowering__for_a_platform_without_a_device(method, platform):
    x, w = GROUPED.operands(np.float32)
    lowered = jax.jit(function(GROUPED, method)).trace(x, w).lower(lowering_platforms=(platform,))
    assert re.search(r"stablehlo\.(convolution|dot_general)|@jconvt_transpose", lowered.as_text())


@methods
def test_name__reaches_the_compiled_program(method):
    x, w = RAGGED.operands(np.float32)
    f = functools.partial(function(RAGGED, method), name="decoder_up_3")
    assert "decoder_up_3" in jax.jit(f).lower(x, w).as_text(debug_info=True)


def test_grad__of_an_input_without_pixels():
    x = jnp.zeros((2, 0, 3))
    w = jnp.ones((4, 5, 3))
    f = functools.partial(jconvt.conv1d_transpose, output_shape=(3,), strides=2, padding="VALID")
    assert (f(x, w) == jnp.zeros((2, 3, 5))).all()
    in_w = jax.grad(lambda w: f(x, w).sum())(w)
    assert (in_w == jnp.zeros_like(w)).all()
    assert jax.vmap(f, (None, 0))(x, jnp.stack([w, w])).shape == (2, 2, 3, 5)
