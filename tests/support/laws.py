"""The laws that every method keeps, each as a function that raises ``AssertionError`` where one does not."""

from typing import Any

import jax
import numpy as np

import jconvt
import jconvt._testing.goldens
from jconvt._methods import METHODS, reference
from tests.support.geometries import FORMATS, Call

TRACED = [method for method in METHODS if method != "reference"] + ["auto"]
"""The methods that JAX traces: all but the NumPy loops, which everything is compared with."""


def spec_of(call: Call) -> jconvt.Spec:
    return jconvt.Spec.from_tensorflow(call.input, call.filters, **call.arguments)


def channels_last(array: Any, call: Call) -> Any:
    first = call.arguments.get("data_format") in [pair[1] for pair in FORMATS.values()]
    return np.moveaxis(np.asarray(array), 1, -1) if first else np.asarray(array)


def as_in_call(array: Any, call: Call) -> Any:
    first = call.arguments.get("data_format") in [pair[1] for pair in FORMATS.values()]
    return np.moveaxis(array, -1, 1) if first else array


def whole(array: Any) -> Any:
    """What is to be whole numbers, as it is; but where there are transforms of float32, without the traces they leave.

    cuDNN may convolve by Winograd's or Fourier's, which round between. What is off by a quarter is wrong there, too.
    """
    array = np.asarray(array)
    if jax.default_backend() == "cpu":
        return array
    wide = array.astype(np.complex128 if np.iscomplexobj(array) else np.float64)
    nearest = np.rint(wide)
    assert (np.abs(wide - nearest) < 0.25).all(), "no whole numbers"
    return nearest.astype(array.dtype)


def computed(call: Call, x: Any, w: Any, method: str) -> jax.Array:
    """The call, compiled if it can be."""

    def compute(x: Any, w: Any) -> jax.Array:
        return jconvt.conv_transpose(x, w, method=method, precision="highest", **call.arguments)

    return compute(x, w) if method == "reference" else jax.jit(compute)(x, w)


def definition(call: Call, x: Any, w: Any) -> Any:
    """The NumPy loop's result, in the call's layout."""
    return as_in_call(reference.transpose(channels_last(x, call), w, spec_of(call)), call)


def equals_definition(call: Call, method: str, dtype: Any = np.float64) -> None:
    """A method's result is the NumPy loop's, to the last digit where operands are small integers."""
    x, w = call.operands(dtype)
    y = computed(call, x, w, method)
    assert y.dtype == dtype
    np.testing.assert_array_equal(whole(y), definition(call, x, w))


def is_adjoint(call: Call, method: str) -> None:
    """<F(z, w), x> == <z, T(x, w)>, and the kernel gradient likewise, exactly."""
    x, w = call.operands()
    y = computed(call, x, w, method)
    z = np.random.default_rng(1).integers(-9, 10, y.shape).astype(np.float64)
    spec, last_x, last_z = spec_of(call), channels_last(x, call), channels_last(z, call)
    right = np.vdot(z, np.asarray(y))
    assert np.vdot(reference.forward(last_z, w, spec), last_x) == right
    assert np.vdot(reference.kernel_gradient(last_x, last_z, spec), w) == right


def gradients_are_the_definition(call: Call, method: str) -> None:
    """The gradients in both operands are the forward convolution and the kernel gradient of the NumPy loops."""
    x, w = call.operands()
    spec, last_x = spec_of(call), channels_last(x, call)
    shape = (last_x.shape[0], *spec.output_sizes(last_x.shape[1:-1]), w.shape[-2] * spec.groups)
    last_z = np.random.default_rng(2).integers(-9, 10, shape).astype(np.float64)

    @jax.jit
    def gradients(x: Any, w: Any, z: Any) -> Any:
        return jax.vjp(lambda x, w: computed(call, x, w, method), x, w)[1](z)

    in_x, in_w = gradients(x, w, as_in_call(last_z, call))
    np.testing.assert_array_equal(channels_last(in_x, call), reference.forward(last_z, w, spec))
    np.testing.assert_array_equal(in_w, reference.kernel_gradient(last_x, last_z, spec))


def spreads_nan_under_the_stamp_alone(call: Call, method: str, pixel: int) -> None:
    """One input pixel that is not a number makes the outputs under its stamp so, and no other."""
    x, w = call.operands()
    last = np.array(channels_last(x, call))
    pixels = last.reshape(-1, last.shape[-1])
    if len(pixels) == 0:
        return
    pixels[pixel % len(pixels)] = np.nan
    y = np.isnan(channels_last(computed(call, as_in_call(last, call), w, method), call))
    # A one at that pixel alone, stamped with a kernel of ones, is not zero where the stamp lies.
    mark = np.zeros_like(last)
    mark.reshape(pixels.shape)[pixel % len(pixels)] = 1
    np.testing.assert_array_equal(y, reference.transpose(mark, np.ones_like(w), spec_of(call)) != 0)


def equals_tensorflow(golden: jconvt._testing.goldens.Golden, method: str) -> None:
    """A method gives TensorFlow's stored digits; its own where operands are no integers, to rounding."""
    y = np.asarray(golden.compute(method=method, precision="highest"))
    assert y.dtype == golden.output.dtype
    assert y.shape == golden.output.shape
    if golden.exact:
        np.testing.assert_array_equal(whole(y), golden.output)
    else:
        products = np.abs(golden.input).max() * np.abs(golden.filters).max() * golden.filters[..., 0, :].size
        np.testing.assert_allclose(y, golden.output, rtol=0, atol=4 * np.finfo(y.dtype).eps * products)
