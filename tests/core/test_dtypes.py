"""Dtypes, the precision of sums, and promotion."""

import functools
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jconvt
from jconvt._geometry.layout import Layout
from jconvt._methods import METHODS, reference
from tests.support import laws
from tests.support.geometries import Call

CALL = Call((2, 3, 4, 4), (3, 2, 3, 4), {"strides": 2, "groups": 2, "padding": "SAME"})
DTYPES = ("float32", "float64", "bfloat16", "float16", "int32", "complex64")


@pytest.mark.parametrize("method", [*laws.TRACED, "reference"])
@pytest.mark.parametrize("dtype", [*DTYPES, "int8", "uint8", "int64", "complex128"])
def test_dtypes__each_is_kept_and_exact_on_small_integers(method, dtype):
    x, w = CALL.operands(np.complex128 if dtype.startswith("complex") else np.float64)
    if method not in ("reference", *laws.traced(dtype=dtype)):
        with pytest.raises(jconvt.ArgumentTypeError, match="leave method out for 'auto'"):
            jconvt.conv_transpose(x.astype(dtype), w.astype(dtype), method=method, **CALL.arguments)
        return
    if dtype in ("bfloat16", "int8", "uint8"):
        x, w = abs(x) % 3, abs(w) % 2  # the result must fit, too
    x, w = jnp.asarray(x).astype(dtype), jnp.asarray(w).astype(dtype)
    try:
        y = jconvt.conv_transpose(x, w, method=method, **CALL.arguments)
    except jax.errors.JaxRuntimeError as error:
        if jax.default_backend() == "cpu" or dtype in ("float32", "bfloat16", "float16"):
            raise
        pytest.skip(f"no {dtype} by {method} on {jax.default_backend()}: {error}".partition("\n")[0])
    assert y.dtype == dtype
    exact = np.complex128 if dtype.startswith("complex") else np.float64
    np.testing.assert_array_equal(
        laws.rounded(y).astype(exact), laws.definition(CALL, np.asarray(x, exact), np.asarray(w, exact))
    )


@pytest.mark.parametrize("method", [*laws.TRACED, "reference"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision__is_summed_in_float32_and_rounded_once(method, dtype):
    rng = np.random.default_rng(0)
    x, w = (jnp.asarray(rng.standard_normal(shape), dtype) for shape in ((1, 5, 5, 512), (5, 5, 4, 512)))
    y = np.asarray(jconvt.conv2d_transpose(x, w, strides=2, method=method), np.float64)
    call = Call(x.shape, w.shape, {"strides": 2})
    exact = laws.definition(call, np.asarray(x, np.float64), np.asarray(w, np.float64))
    # Half a unit in the last place for the rounding, and a trace for the sums in float32.
    assert (np.abs(y - exact) <= 0.51 * float(jnp.finfo(dtype).eps) * np.abs(exact) + 1e-3).all()


@pytest.mark.parametrize("method", laws.TRACED)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision__gradients_are_summed_in_float32_and_rounded_once(method, dtype):
    rng = np.random.default_rng(1)
    call = Call((2, 5, 5, 32), (5, 5, 16, 32), {"strides": 2})
    x, w = (jnp.asarray(rng.standard_normal(shape), dtype) for shape in (call.input, call.filters))
    y, pull = jax.vjp(lambda x, w: jconvt.conv2d_transpose(x, w, strides=2, method=method), x, w)
    z = jnp.asarray(rng.standard_normal(y.shape), dtype)
    spec = laws.spec_of(call)
    x64, w64, z64 = (np.asarray(array, np.float64) for array in (x, w, z))
    exact = reference.forward(z64, w64, spec), reference.kernel_gradient(x64, z64, spec)
    for found, wanted in zip(pull(z), exact, strict=True):
        error = np.abs(np.asarray(found, np.float64) - wanted)
        assert (error <= 0.51 * float(jnp.finfo(dtype).eps) * np.abs(wanted) + 1e-3).all()


@pytest.mark.parametrize("method", [*laws.TRACED, "reference"])
@pytest.mark.parametrize(
    ("dtype", "preferred"), [("float16", "float32"), ("bfloat16", "float32"), ("float32", "float64")]
)
def test_preferred_element_type__is_that_of_sums_and_result(method, dtype, preferred):
    x, w = (jnp.asarray(operand / 7).astype(dtype) for operand in CALL.operands())
    y = jconvt.conv_transpose(
        x, w, method=method, precision="highest", preferred_element_type=preferred, **CALL.arguments
    )
    assert y.dtype == preferred
    exact = laws.definition(CALL, np.asarray(x, np.float64), np.asarray(w, np.float64))
    np.testing.assert_allclose(np.asarray(y, np.float64), exact, rtol=0, atol=40 * jnp.finfo(preferred).eps)


@pytest.mark.parametrize("method", laws.TRACED)
def test_preferred_element_type__gradients_keep_the_dtypes_of_the_operands(method):
    x, w = (jnp.asarray(operand).astype(jnp.bfloat16) for operand in CALL.operands())

    def loss(x, w):
        return jconvt.conv_transpose(x, w, method=method, preferred_element_type=jnp.float32, **CALL.arguments).sum()

    in_x, in_w = jax.grad(loss, (0, 1))(x, w)
    assert (in_x.dtype, in_w.dtype) == (jnp.bfloat16, jnp.bfloat16)
    assert in_x.shape == x.shape


def test_preferred_element_type__of_integers():
    x = jnp.full((1, 3, 1), 100, jnp.int8)
    w = jnp.full((3, 1, 1), 100, jnp.int8)
    y = jconvt.conv1d_transpose(x, w, preferred_element_type=jnp.int32)
    assert y.dtype == jnp.int32
    assert y.ravel().tolist() == [20000, 30000, 20000]


@pytest.mark.parametrize(
    ("dtype", "preferred"),
    [
        *itertools.product(
            ("int8", "uint8", "int32", "float16", "float32", "complex64"), (*DTYPES, "int8", "uint32", "bool")
        )
    ],
)
def test_preferred_element_type__accepts_what_lax_accepts(dtype, preferred):
    x, w = jnp.ones((1, 3, 1), dtype), jnp.ones((2, 1, 1), dtype)
    convolve = functools.partial(
        lax.conv_general_dilated,
        window_strides=(1,),
        padding="SAME",
        dimension_numbers=("NWC", "WIO", "NWC"),
        preferred_element_type=preferred,
    )
    try:
        expected = jax.eval_shape(convolve, x, w).dtype
    except (TypeError, ValueError, NotImplementedError):
        with pytest.raises(jconvt.ArgumentTypeError, match="preferred_element_type"):
            jconvt.conv1d_transpose(x, w, preferred_element_type=preferred)
    else:
        assert jconvt.conv1d_transpose(x, w, preferred_element_type=preferred).dtype == expected


@pytest.mark.parametrize(
    "precision",
    [None, "default", "high", "highest", lax.Precision.HIGHEST, ("high", "highest"), ["highest", "highest"]],
)
def test_precision__reaches_the_program(precision):
    x, w = CALL.operands(np.float32)
    each = precision if isinstance(precision, tuple | list) else (precision, precision)
    names = [str(one.name if isinstance(one, lax.Precision) else one or "default").upper() for one in each]
    for method in [*laws.PLAIN, "auto"]:

        def call(x, w, method=method):
            return jconvt.conv_transpose(x, w, precision=precision, method=method, **CALL.arguments)

        with jax.default_matmul_precision(None):
            text = jax.jit(call).trace(x, w).lower(lowering_platforms=("tpu",)).as_text()
        found = re.findall(r"(?:precision_config|precision) = \[(.*?)\]", text)
        assert found
        for config in found:
            assert re.findall(r"(DEFAULT|HIGHEST|HIGH)", config) == names


def test_promotion__of_two_dtypes_raises_if_strict():
    x, w = jnp.ones((1, 3, 1), jnp.float32), jnp.ones((2, 1, 1), jnp.int32)
    with jax.numpy_dtype_promotion("standard"):
        assert jconvt.conv1d_transpose(x, w).dtype == jnp.float32
        assert jconvt.conv1d_transpose(x.astype(jnp.bfloat16), x.reshape(3, 1, 1)).dtype == jnp.float32
    with pytest.raises(jconvt.ArgumentTypeError, match="input float32, filters int32"):
        jconvt.conv1d_transpose(x, w)


def test_operands__may_be_nested_lists_and_numpy_arrays():
    y = jconvt.conv1d_transpose([[[1.0], [2.0]]], np.array([[[1.0]], [[10.0]]]), strides=2)
    assert y.ravel().tolist() == [1, 10, 2, 20]


def either(lhs, rhs, module=jconvt.lax, **options):
    """Some stride and padding of ``module``'s function."""
    return module.conv_transpose(lhs, rhs, (2,), "SAME", **options)


@pytest.mark.parametrize("method", [*laws.TRACED, "reference"])
def test_booleans__are_multiplied_by_and_and_added_by_or(method):
    lhs, rhs = ((jnp.arange(n) > least).reshape(1, n, 1) for n, least in ((4, 1), (3, 0)))
    y = either(lhs, rhs.reshape(3, 1, 1), method=method)
    assert y.dtype == bool
    assert y.ravel().tolist() == [False] * 4 + [True] * 4
    rng = np.random.default_rng(0)
    lhs, rhs = (jnp.asarray(rng.integers(0, 5, shape) == 0) for shape in ((2, 5, 3), (4, 3, 2)))
    y, expected = (either(lhs, rhs, **call) for call in ({"method": method}, {"module": lax}))
    assert y.dtype == expected.dtype == bool
    assert 0 < y.sum() < y.size
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("preferred", [None, "bool", "int8", "uint32", "float16", "float32", "complex64"])
def test_booleans__become_numbers_of_the_preferred_element_type(preferred):
    lhs, rhs = jnp.ones((1, 4, 2), bool), jnp.ones((5, 2, 1), bool)
    y = either(lhs, rhs, jconvt.lax, preferred_element_type=preferred)
    with jax.default_device(jax.devices("cpu")[0]):  # a GPU convolves no integers
        expected = either(np.asarray(lhs), np.asarray(rhs), lax, preferred_element_type=preferred)
    assert y.dtype == expected.dtype
    np.testing.assert_array_equal(y, expected)


def test_booleans__in_keras_and_under_transformations():
    lhs, rhs = (jnp.asarray(np.arange(n) % 3 == 0).reshape(shape) for n, shape in ((5, (1, 5, 1)), (2, (2, 1, 1))))
    np.testing.assert_array_equal(
        jconvt.keras.conv_transpose(lhs, rhs, 2, "same"),
        lax.conv_transpose(lhs, rhs, (2,), "SAME", transpose_kernel=True),
    )
    np.testing.assert_array_equal(jax.jit(either)(lhs, rhs), either(lhs, rhs))
    many = jax.vmap(either)(jnp.stack([lhs, ~lhs]), jnp.stack([rhs, rhs]))
    np.testing.assert_array_equal(many, jnp.stack([either(lhs, rhs), either(~lhs, rhs)]))
    y, pull = jax.vjp(either, lhs, rhs)
    nothing = np.zeros(y.shape, jax.dtypes.float0)
    assert [(z.shape, z.dtype) for z in pull(nothing)] == [(a.shape, jax.dtypes.float0) for a in (lhs, rhs)]
    for convolve in (jconvt.conv1d_transpose, jconvt.tensorflow.conv_transpose):  # as in TensorFlow
        with pytest.raises(jconvt.ArgumentTypeError, match="boolean and PRNG-key"):
            convolve(lhs, rhs)


@pytest.mark.parametrize("method", laws.traced(dtype="int32"))
def test_integers__have_no_cotangents(method):
    x, w = jnp.arange(4).reshape(1, 4, 1), jnp.arange(3).reshape(3, 1, 1)

    def ours(x, w):
        return either(x, w, method=method)

    @jax.eval_shape  # JAX 0.10.0 has integers here
    def zeros():
        return jax.linear_transpose(lambda x: either(x, w, lax), x)(either(x, w, lax))[0]

    for function, operand in (
        (lambda x: ours(x, w), x),
        (lambda w: ours(x, w), w),
        (jax.jit(lambda x: ours(x, w)), x),
        (lambda x: jax.vmap(ours)(x, w[None]), x[None]),
        (lambda x: jconvt.conv1d_transpose(x, w, strides=2, method=method), x),
    ):
        (nothing,) = jax.linear_transpose(function, operand)(function(operand))
        assert (nothing.shape, nothing.dtype) == (operand.shape, zeros.dtype)
        nothing = jax.grad(lambda operand, function=function: function(operand).sum().astype(float), allow_int=True)(
            operand
        )
        assert (nothing.shape, nothing.dtype) == (operand.shape, jax.dtypes.float0)


@pytest.mark.parametrize(
    ("method", "platform"), [*itertools.product(laws.PLAIN, ["cpu", "cuda", "tpu"]), ("auto", "cuda"), ("auto", "tpu")]
)
def test_precision__default_at_the_call_is_used_for_every_platform(method, platform):
    x, w = CALL.operands(np.float32)

    def f(x, w):
        with jax.default_matmul_precision("highest"):
            return jconvt.conv_transpose(x, w, method=method, **CALL.arguments)

    text = jax.jit(f).trace(x, w).lower(lowering_platforms=(platform,)).as_text()
    assert "HIGHEST" in text
    assert "DEFAULT" not in text


@pytest.mark.parametrize("method", ["vjp", "polyphase", "gemm"])
def test_half_precision__float32_cotangent_is_not_rounded_before_its_product(method):
    z, w = jnp.full((1, 2, 1), 1e6, jnp.float32), jnp.full((2, 1, 1), 1e-4, jnp.float16)
    spec = jconvt.Spec((jconvt.Axis(2, 2),))
    x = METHODS[method].forward(z, w, spec, Layout(1), jnp.dtype(jnp.float16), None)
    np.testing.assert_allclose(np.asarray(x, float), 200, rtol=1e-2)
