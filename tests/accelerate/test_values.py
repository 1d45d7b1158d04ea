"""Results and gradients under ``jconvt.accelerate`` are those of JAX: all convolutions, transformations and dtypes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import jconvt
from jconvt._geometry.maps import Map
from tests.support.convolutions import convolutions, operands

pytestmark = pytest.mark.usefixtures("all_replaced")

NUMBERS = ("NHWC", "HWIO", "NHWC")


def integers(*shape, dtype=np.float32, largest=9):
    """Integers, so that sums in any order are equal."""
    return np.random.default_rng(len(shape)).integers(-largest, largest + 1, shape).astype(dtype)


def layer(lhs, rhs, strides=(2, 2), padding="SAME", **options):
    return jax.lax.conv_general_dilated(lhs, rhs, strides, padding, dimension_numbers=NUMBERS, **options)


IMAGES, KERNEL = integers(2, 7, 6, 4), integers(3, 2, 4, 6)


def both(function, *arguments):
    """The results of JAX, and those under ``jconvt.accelerate``."""
    expected = jax.jit(function)(*arguments)
    with jconvt.accelerate():
        found = jax.jit(function)(*arguments)
    return jax.tree.leaves(found), jax.tree.leaves(expected)


def assert_equal(function, *arguments):
    for found, expected in zip(*both(function, *arguments), strict=True):
        assert (found.dtype, found.weak_type) == (expected.dtype, expected.weak_type)
        np.testing.assert_array_equal(found, expected)


def maps_of(found):
    return [each.map for each in found if each.method]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(convolutions(), st.sampled_from(["float32", "float64", "bfloat16", "float16"]))
def test_sweep__value_and_gradients(seen, convolution, dtype):
    def value_and_gradients(lhs, rhs):
        y, pull = jax.vjp(lambda lhs, rhs: jax.lax.conv_general_dilated(lhs, rhs, **convolution.arguments()), lhs, rhs)
        return y, pull((y % 3).astype(y.dtype))

    narrow = operands(convolution, dtype, largest=2)
    with jconvt.accelerate():
        found = jax.jit(value_and_gradients)(*narrow)
    # In narrower dtypes, XLA's CPU library is wrong where a padding crops the start and extends the end.
    with jax.enable_x64(True):
        expected = jax.jit(value_and_gradients)(*(each.astype("float64") for each in narrow))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == jnp.dtype(dtype)
        np.testing.assert_array_equal(a, np.asarray(b).astype(a.dtype))
    unreadable = ("neither the convolution nor its transpose", "an operand or the output is empty")
    assert all(each.method or each.reason.startswith(unreadable) for each in seen())


def test_layer__all_three_maps(seen):
    assert_equal(jax.grad(lambda *operands: (layer(*operands) ** 2).sum() / 2, (0, 1)), IMAGES, KERNEL)
    maps = maps_of(seen())
    assert (len(maps), {Map.TRANSPOSE, Map.KERNEL_GRADIENT} <= {*maps}) == (3, True)


def test_second_derivatives(seen):
    def loss(lhs, rhs):
        return (layer(lhs, rhs) ** 2).sum()

    small = IMAGES[:1, :4, :4, :2], KERNEL[..., :2, :2]
    assert_equal(jax.hessian(loss, (0, 1)), *small)
    assert_equal(jax.jacfwd(jax.grad(loss)), *small)
    assert len(maps_of(seen())) > 4


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0), (3, 1)])
def test_vmap(seen, axes):
    lhs = IMAGES if axes[0] is None else np.moveaxis(integers(5, *IMAGES.shape), 0, axes[0])
    rhs = KERNEL if axes[1] is None else np.moveaxis(integers(5, *KERNEL.shape), 0, axes[1])
    assert_equal(jax.vmap(jax.grad(lambda *operands: (layer(*operands) ** 2).sum(), (0, 1)), axes), lhs, rhs)
    assert len(maps_of(seen())) >= 3


def with_scan(lhs, rhs):
    return jax.lax.scan(lambda y, _: (layer(y, rhs, (1, 1)) % 7, None), lhs, length=3)[0]


def with_while(lhs, rhs):
    return jax.lax.while_loop(lambda y: y.sum() < 0, lambda y: abs(layer(y, rhs, (1, 1))), -abs(lhs))


def with_cond(lhs, rhs):
    return jax.lax.cond(lhs.sum() > 0, lambda: layer(lhs, rhs, (1, 1)), lambda: layer(lhs, -rhs, (1, 1)))


def with_remat(lhs, rhs):
    return jax.checkpoint(lambda lhs: layer(layer(lhs, rhs, (1, 1)), rhs, (1, 1)))(lhs)


@jax.custom_vjp
def clipped(lhs, rhs):
    return layer(lhs, rhs, (1, 1))


clipped.defvjp(
    lambda lhs, rhs: (layer(lhs, rhs, (1, 1)), (lhs, rhs)),
    lambda kept, y: tuple(
        jnp.clip(each, -9, 9) for each in jax.vjp(functools.partial(layer, strides=(1, 1)), *kept)[1](y)
    ),
)


@jax.custom_jvp
def doubled(lhs, rhs):
    return layer(lhs, rhs, (1, 1))


doubled.defjvps(lambda t, y, lhs, rhs: 2 * layer(t, rhs, (1, 1)), lambda t, y, lhs, rhs: 2 * layer(lhs, t, (1, 1)))


@pytest.mark.parametrize("function", [with_scan, with_while, with_cond, with_remat, clipped, doubled])
def test_control_flow_and_custom_derivatives(seen, function):
    lhs, rhs = IMAGES, integers(3, 2, 4, 4, largest=1)
    assert_equal(function, lhs, rhs)
    maps = maps_of(seen())
    assert maps
    if function is not with_while:  # which has no reverse mode
        assert_equal(jax.grad(lambda *operands: (function(*operands) * 1.0).sum(), (0, 1)), lhs, rhs)
        assert maps_of(seen())


def test_eager_and_without_jit(seen):
    expected = layer(IMAGES, KERNEL)
    with jconvt.accelerate():
        np.testing.assert_array_equal(layer(IMAGES, KERNEL), expected)
        assert len(maps_of(seen())) == 1
        with jax.disable_jit():
            np.testing.assert_array_equal(jax.jit(layer)(IMAGES[:1], KERNEL), expected[:1])
            np.testing.assert_array_equal(jax.jit(layer)(IMAGES, KERNEL[..., :1]), expected[..., :1])
            assert len(maps_of(seen())) == 2


def test_preferred_element_type(seen):
    lhs, rhs = (each.astype(jnp.bfloat16) for each in (IMAGES, KERNEL))
    assert_equal(functools.partial(layer, preferred_element_type=np.float32), lhs, rhs)
    assert_equal(functools.partial(layer, preferred_element_type=np.float64), IMAGES, KERNEL)
    assert len(maps_of(seen())) == 2


@pytest.mark.parametrize("precision", ["highest", "default", ("highest", "default")])
def test_precision(seen, precision):
    assert_equal(functools.partial(layer, precision=precision), IMAGES, KERNEL)
    assert len(maps_of(seen())) == 1


@pytest.mark.parametrize("dtype", ["int32", "int8", "uint8", "complex64", "float8_e4m3fn"])
def test_other_dtypes_are_left(seen, dtype):
    assert_equal(layer, *(abs(each % 2).astype(jnp.dtype(dtype)) for each in (IMAGES, KERNEL)))
    (found,) = seen()
    assert not found.method
    assert "only floating-point" in found.reason


def test_empty_operands_are_left(seen):
    assert_equal(layer, IMAGES[:0], KERNEL)
    assert_equal(functools.partial(layer, padding="VALID"), IMAGES[:, :2], KERNEL)
    assert [each.method or each.reason for each in seen()] == ["an operand or the output is empty"] * 2


def test_no_spatial_axis_is_left(seen):
    numbers = jax.lax.ConvDimensionNumbers((0, 1), (0, 1), (0, 1))
    assert_equal(
        lambda a, b: jax.lax.conv_general_dilated(a, b, (), [], (), (), numbers), integers(3, 4), integers(2, 4)
    )
    assert "matrix product" in seen()[0].reason
