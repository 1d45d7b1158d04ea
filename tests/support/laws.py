"""The laws that every method satisfies, each as a function that raises ``AssertionError`` where a method violates it.

The laws of one call share one compiled program: compiling takes most of the time of the tests.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

import jconvt
from jconvt._core.selection import default_platform
from jconvt._geometry.maps import Map
from jconvt._methods import METHODS, reference
from jconvt._testing import goldens
from tests.support.geometries import FORMATS, Call


def traced(rank: int = 2, dtype: str = "float64") -> list[str]:
    """The methods that JAX can trace, of those that compute this dtype along this number of spatial axes here."""
    spec = jconvt.Spec((jconvt.Axis(1, 1),) * rank)
    return [
        *(
            name
            for name, method in METHODS.items()
            if method.traceable
            and method.unsupported_on(default_platform(), dtype) is None
            and method.unsupported(Map.TRANSPOSE, spec, jax.numpy.dtype(dtype)) is None
        ),
        "auto",
    ]


TRACED = traced()
"""All methods except the NumPy loops, which they are compared with, and compiled code that is not in use."""
PLAIN = [name for name in TRACED if name in METHODS and METHODS[name].platforms is None]
"""Those that emit JAX's own operations, whatever the platform."""


def spec_of(call: Call) -> jconvt.Spec:
    return jconvt.Spec.from_tensorflow(call.input, call.filters, **call.arguments)


def channels_last(array: Any, call: Call) -> Any:
    """An array in the call's layout, with the channels last."""
    return np.moveaxis(np.asarray(array), 1, -1) if _is_channels_first(call) else np.asarray(array)


def in_layout(array: Any, call: Call) -> Any:
    """An array with the channels last, in the call's layout."""
    return np.moveaxis(array, -1, 1) if _is_channels_first(call) else array


def _is_channels_first(call: Call) -> bool:
    return call.arguments.get("data_format") in [first for _, first in FORMATS.values()]


def rounded(array: Any) -> Any:
    """Return integer-valued results, without the small errors of float32 transforms on accelerators.

    cuDNN may convolve by Winograd's or Fourier's transform, which round in between. A number that is 0.25 or more from
    an integer is an error there, too.
    """
    array = np.asarray(array)
    if jax.default_backend() == "cpu":
        return array
    exact = array.astype(np.complex128 if np.iscomplexobj(array) else np.float64)
    nearest = np.rint(exact)
    assert (np.abs(exact - nearest) < 0.25).all(), "not integers"
    return nearest.astype(array.dtype)


@functools.lru_cache(16)
def program(call: Call, method: str) -> Callable[..., tuple[Any, ...]]:
    """Return a function from ``x``, ``w`` and ``z`` to ``T(x, w)`` and the gradients ``F(z, w)`` and ``G(x, z)``.

    It is one compiled program. The NumPy loops have no gradients that JAX derives, and return ``T(x, w)`` only.
    """

    def transpose(x: Any, w: Any) -> Any:
        return jconvt.conv_transpose(x, w, method=method, precision="highest", **call.arguments)

    def all_maps(x: Any, w: Any, z: Any) -> tuple[Any, ...]:
        y, pull = jax.vjp(transpose, x, w)
        return y, *pull(z)

    return (lambda x, w, z: (transpose(x, w),)) if method == "reference" else jax.jit(all_maps)


def definition(call: Call, x: Any, w: Any) -> Any:
    """The NumPy loops' result, in the call's layout."""
    return in_layout(reference.transpose(channels_last(x, call), w, spec_of(call)), call)


def cotangent(call: Call) -> Any:
    """Small integers of the shape of the output, in the call's layout."""
    spec, x = spec_of(call), np.empty(call.input)
    batch, *sizes, _ = channels_last(x, call).shape
    shape = (batch, *spec.output_sizes(sizes), call.filters[-2] * spec.groups)
    return in_layout(np.random.default_rng(2).integers(-9, 10, shape).astype(np.float64), call)


def equals_definition(call: Call, method: str) -> None:
    """The result equals the NumPy loops', to the last digit where the operands are small integers."""
    x, w = call.operands()
    y = program(call, method)(x, w, cotangent(call))[0]
    assert y.dtype == np.float64
    np.testing.assert_array_equal(rounded(y), definition(call, x, w))


def is_adjoint(call: Call, method: str) -> None:
    """``<F(z, w), x> == <z, T(x, w)> == <G(x, z), w>`` exactly, with F and G of the NumPy loops."""
    x, w = call.operands()
    z = cotangent(call)
    y = program(call, method)(x, w, z)[0]
    spec, last_x, last_z = spec_of(call), channels_last(x, call), channels_last(z, call)
    product = np.vdot(z, np.asarray(y))
    assert np.vdot(reference.forward(last_z, w, spec), last_x) == product
    assert np.vdot(reference.kernel_gradient(last_x, last_z, spec), w) == product


def gradients_are_the_definition(call: Call, method: str) -> None:
    """The gradients in both operands are the forward convolution and the kernel gradient of the NumPy loops."""
    x, w = call.operands()
    z = cotangent(call)
    spec, last_x, last_z = spec_of(call), channels_last(x, call), channels_last(z, call)
    _, in_x, in_w = program(call, method)(x, w, z)
    np.testing.assert_array_equal(channels_last(in_x, call), reference.forward(last_z, w, spec))
    np.testing.assert_array_equal(in_w, reference.kernel_gradient(last_x, last_z, spec))


def nan_reaches_its_stamp_only(call: Call, method: str, pixel: int = 0) -> None:
    """An input pixel that is NaN makes the outputs under its stamp NaN, and no others.

    Accelerators may make others NaN, too: cuDNN's convolutions multiply the zeros of a padding or a dilation.
    """
    x, w = call.operands()
    last = np.array(channels_last(x, call))
    pixels = last.reshape(-1, last.shape[-1])
    if len(pixels) == 0:
        return
    pixels[pixel % len(pixels)] = np.nan
    y = program(call, method)(in_layout(last, call), w, cotangent(call))[0]
    # Ones at that pixel, stamped with a kernel of ones, are nonzero exactly under its stamp.
    mark = np.zeros_like(last)
    mark.reshape(pixels.shape)[pixel % len(pixels)] = 1
    stamp = reference.transpose(mark, np.ones_like(w), spec_of(call)) != 0
    found = np.isnan(channels_last(y, call))
    np.testing.assert_array_equal(found if jax.default_backend() == "cpu" else found & stamp, stamp)


ARITHMETIC = (equals_definition, is_adjoint, gradients_are_the_definition)
"""The laws that every error in a method's arithmetic violates."""


def stored_results(stored: Sequence[goldens.Golden], method: str) -> list[Any]:
    """A method's results for stored calls of TensorFlow, computed by one compiled program where JAX can trace it."""

    def compute(operands: Any) -> list[Any]:
        return [
            dataclasses.replace(golden, input=x, filters=w).compute(method=method, precision="highest")
            for golden, (x, w) in zip(stored, operands, strict=True)
        ]

    operands = [(golden.input, golden.filters) for golden in stored]
    return [*map(np.asarray, (compute if method == "reference" else jax.jit(compute))(operands))]


def equals_tensorflow(golden: goldens.Golden, y: Any) -> None:
    """The result has TensorFlow's stored digits, or, where the operands are not integers, agrees up to rounding."""
    assert y.dtype == golden.output.dtype
    assert y.shape == golden.output.shape
    if golden.exact:
        np.testing.assert_array_equal(rounded(y), golden.output, err_msg=golden.name)
    else:
        products = np.abs(golden.input).max() * np.abs(golden.filters).max() * golden.filters[..., 0, :].size
        atol = 4 * np.finfo(y.dtype).eps * products
        np.testing.assert_allclose(y, golden.output, rtol=0, atol=atol, err_msg=golden.name)
