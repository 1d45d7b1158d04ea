"""The definition: NumPy loops over input pixels and kernel taps.

The three maps read one sum over the pairs of an input pixel ``i`` and a kernel tap ``t`` that land on the output, at
position ``i * stride + t * dilation - lo`` along each axis:

    <z, T(x, w)>  =  sum of  x[n, i, c] * w[t, o, c] * z[n, i * stride + t * dilation - lo, o]

    T(x, w) -> z   transposed convolution: each input pixel stamps a scaled kernel, and the stamps add up
    F(z, w) -> x   forward convolution: T transposed in x
    G(x, z) -> w   kernel gradient: T transposed in w

Sums use the widest dtype of their kind and are rounded once at the end.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from numpy.typing import NDArray

from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ..errors import ArgumentTypeError
from ._method import Method


def landings(spec: Spec, sizes: Sequence[int], output_sizes: Sequence[int]) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Yield every (input pixel, kernel tap, output position) of the sum, each a tuple with one index for each axis."""
    for pixel in itertools.product(*map(range, sizes)):
        for tap in itertools.product(*(range(axis.kernel) for axis in spec.axes)):
            position = tuple(
                i * a.stride + t * a.dilation - a.lo for i, t, a in zip(pixel, tap, spec.axes, strict=True)
            )
            if all(0 <= p < size for p, size in zip(position, output_sizes, strict=True)):
                yield pixel, tap, position


def transpose(x: NDArray[Any], w: NDArray[Any], spec: Spec) -> NDArray[Any]:
    """T: ``x`` is ``(batch, spatial..., c)``, ``w`` is ``(k..., o / groups, c)``."""
    sizes = x.shape[1:-1]
    output_sizes = spec.output_sizes(sizes)
    z = np.zeros((x.shape[0], *output_sizes, spec.groups, w.shape[-2]), accumulator(x))
    x, w = _grouped_x(x, spec).astype(z.dtype), _grouped_w(w, spec).astype(z.dtype)
    for i, t, j in landings(spec, sizes, output_sizes):
        z[:, *j] += np.einsum("ngc,ogc->ngo", x[:, *i], w[t])
    return _ungrouped(z)


def forward(z: NDArray[Any], w: NDArray[Any], spec: Spec) -> NDArray[Any]:
    """F: ``z`` is ``(batch, spatial..., o)``, ``w`` is ``(k..., o / groups, c)``."""
    output_sizes = z.shape[1:-1]
    sizes = spec.input_sizes(output_sizes)
    x = np.zeros((z.shape[0], *sizes, spec.groups, w.shape[-1] // spec.groups), accumulator(z))
    z, w = _grouped_x(z, spec).astype(x.dtype), _grouped_w(w, spec).astype(x.dtype)
    for i, t, j in landings(spec, sizes, output_sizes):
        x[:, *i] += np.einsum("ngo,ogc->ngc", z[:, *j], w[t])
    return _ungrouped(x)


def kernel_gradient(x: NDArray[Any], z: NDArray[Any], spec: Spec) -> NDArray[Any]:
    """G: ``x`` is ``(batch, spatial..., c)``, ``z`` is ``(batch, spatial..., o)``."""
    sizes, output_sizes = x.shape[1:-1], z.shape[1:-1]
    x, z = _grouped_x(x, spec), _grouped_x(z, spec)
    kernel = [axis.kernel for axis in spec.axes]
    w = np.zeros((*kernel, z.shape[-1], spec.groups, x.shape[-1]), accumulator(x))
    for i, t, j in landings(spec, sizes, output_sizes):
        w[t] += np.einsum("ngc,ngo->ogc", x[:, *i].astype(w.dtype), z[:, *j].astype(w.dtype))
    return _ungrouped(w)


def transposed_convolution(x: Array, w: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> Array:
    """T of concrete arrays: traced arrays have no values to loop over."""
    del precision  # sums use the widest dtype
    if isinstance(x, Tracer) or isinstance(w, Tracer):
        raise ArgumentTypeError(
            "method 'reference' is a NumPy loop and cannot be traced",
            got="traced operands: the call is inside jit, grad, vmap or another transformation",
            legal="concrete arrays",
            fix="call it outside the transformation, or leave method out for 'auto'",
        )
    first, last = layout.channel_axis, layout.rank + 1
    y = transpose(np.moveaxis(np.asarray(x), first, last), np.asarray(w), spec)
    return jnp.asarray(np.moveaxis(y, last, first).astype(dtype))


def accumulator(x: Any) -> Any:
    """The dtype of sums: the widest of the kind of the array ``x``."""
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        return np.complex128
    if jnp.issubdtype(x.dtype, jnp.floating):
        return np.float64
    return np.uint64 if jnp.issubdtype(x.dtype, jnp.unsignedinteger) else np.int64


def _grouped_x(x: NDArray[Any], spec: Spec) -> NDArray[Any]:
    """(..., channels) as (..., groups, channels / groups)."""
    return x.reshape(*x.shape[:-1], spec.groups, x.shape[-1] // spec.groups)


def _grouped_w(w: NDArray[Any], spec: Spec) -> NDArray[Any]:
    """(k..., o / groups, c) as (k..., o / groups, groups, c / groups)."""
    return w.reshape(*w.shape[:-1], spec.groups, w.shape[-1] // spec.groups)


def _ungrouped(array: NDArray[Any]) -> NDArray[Any]:
    """(..., groups, channels / groups) as (..., channels)."""
    return array.reshape(*array.shape[:-2], array.shape[-2] * array.shape[-1])


METHOD = Method(
    name="reference",
    summary="NumPy loops over input pixels and kernel taps: the definition",
    transpose=transposed_convolution,
    traceable=False,
)
