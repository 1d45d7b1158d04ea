"""The five-by-five example by every method, compared, timed, and shown to be a gradient."""

import dataclasses
from collections.abc import Callable
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from .._conventions import tensorflow as convention
from .._core import timing
from .._methods import METHODS
from .._methods.vjp import forward_convolution
from .._testing import example, goldens
from .._testing.cases import PRECISION
from ..tensorflow import conv2d_transpose

_TIMED_RUNS = 30


@dataclasses.dataclass(frozen=True)
class Device:
    """What JAX computes on, by default."""

    platform: str
    kind: str
    jax: str

    def __str__(self) -> str:
        return f"platform {self.platform}, device {self.kind}, JAX {self.jax}"


@dataclasses.dataclass(frozen=True)
class Result:
    """What one method answers to the example. ``error`` is its largest difference from TensorFlow's stored answer."""

    method: str
    how: str
    output: NDArray[Any]
    error: float
    microseconds: float


@dataclasses.dataclass(frozen=True)
class Gradient:
    """Transposed convolution T(x) as a gradient, in numbers: F is the forward convolution, ``z`` fixed."""

    z: NDArray[Any]
    forward_product: float
    """<F(z), x>"""
    transpose_product: float
    """<z, T(x)>"""
    gradient_error: float
    """The largest difference of the gradient of <F(z), x> in z, as ``jax.grad`` computes it, from T(x)."""

    @property
    def agrees(self) -> bool:
        return self.forward_product == self.transpose_product and self.gradient_error == 0


@dataclasses.dataclass(frozen=True)
class Demo:
    """The example, each method's answer, and the gradient. All numbers are small integers, so equality is exact."""

    input: NDArray[Any]
    filters: NDArray[Any]
    output: NDArray[Any]
    tensorflow: str
    results: list[Result]
    gradient: Gradient

    @property
    def spread(self) -> float:
        """The largest difference between any two methods."""
        return float(np.ptp([result.output for result in self.results], axis=0).max())

    @property
    def agrees(self) -> bool:
        return self.spread == 0 and all(result.error == 0 for result in self.results) and self.gradient.agrees


def device() -> Device:
    """The device that JAX computes on by default."""
    first = jax.devices()[0]
    return Device(first.platform, first.device_kind, jax.__version__)


def run() -> Demo:
    """Computes the example by every method.

    >>> shown = run()
    >>> shown.agrees, shown.output[0].tolist()
    (True, [67.0, -134.0, 278.0, -154.0, 231.0])
    """
    golden = next(golden for golden in goldens.load() if golden.name == "example")
    output = golden.output[0, :, :, 0]
    return Demo(
        input=golden.input[0, :, :, 0],
        filters=golden.filters[:, :, 0, 0],
        output=output,
        tensorflow=goldens.manifest()["tensorflow"],
        results=_results(output),
        gradient=_gradient(),
    )


def _results(expected: NDArray[Any]) -> list[Result]:
    """What each method answers. All are timed once all have answered, side by side."""
    x, w = jnp.asarray(example.INPUT), jnp.asarray(example.FILTERS)
    outputs, calls = {}, {}
    for method in ("auto", *METHODS):
        compute = _compute(method)
        outputs[method] = np.asarray(compute(x, w))[0, :, :, 0]
        calls[method] = lambda compute=compute: compute(x, w).block_until_ready()
    return [
        Result(method, _how(method), outputs[method], float(abs(outputs[method] - expected).max()), median(each) * 1e6)
        for method, each in timing.race(calls, rounds=_TIMED_RUNS).items()
    ]


def _compute(method: str) -> Callable[[Any, Any], jax.Array]:
    def call(x: Any, w: Any) -> jax.Array:
        return conv2d_transpose(x, w, **example.ARGUMENTS, method=method, precision=PRECISION)

    # NumPy loops cannot be traced: they are timed as they are.
    return call if method == "reference" else jax.jit(call)


def _how(method: str) -> str:
    """How a method computes: the first line of its file."""
    if method == "auto":
        return "the method that jconvt chooses"
    return METHODS[method].summary


def _gradient() -> Gradient:
    x, w = jnp.asarray(example.INPUT), jnp.asarray(example.FILTERS)
    spec, layout = convention.resolve(x.shape, w.shape, **example.ARGUMENTS)
    z = jnp.asarray(np.arange(25) % 7 - 3, x.dtype).reshape(example.ARGUMENTS["output_shape"])

    def forward(z: jax.Array) -> jax.Array:
        return forward_convolution(z, w, spec, layout, z.dtype, PRECISION)

    y = np.asarray(conv2d_transpose(x, w, **example.ARGUMENTS, precision=PRECISION))
    return Gradient(
        z=np.asarray(z)[0, :, :, 0],
        forward_product=float(np.vdot(forward(z), x)),
        transpose_product=float(np.vdot(z, y)),
        gradient_error=float(np.abs(jax.grad(lambda z: jnp.sum(forward(z) * x))(z) - y).max()),
    )
