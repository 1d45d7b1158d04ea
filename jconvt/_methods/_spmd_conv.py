"""The three maps as one convolution each, which XLA splits over any mesh without a mistake.

Where pixels are split over one axis of a mesh, and another axis splits the filters or nothing, XLA may compute parts of
a convolution and add them up over all devices, of which several have the same part: the sum is then a multiple of what
it should be (seen with JAX 0.10.2, for CPU and for TPU). It does not where the input is dilated. Here it always is: by
a stride, or else along one more axis, of size 1, which dilation leaves as it is.
"""

from typing import Any

import jax
import jax.numpy as jnp

from .._geometry.axis import Axis
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from . import dilated, vjp


def transposed_convolution(
    x: jax.Array, w: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any
) -> jax.Array:
    if any(axis.stride > 1 for axis in spec.axes):
        return dilated.transposed_convolution(x, w, spec, layout, dtype, precision)
    x, w, deeper, spec = _longer(x, layout), jnp.expand_dims(w, spec.rank), _deeper(layout), _with_axis(spec, 2)
    return _shorter(dilated.transposed_convolution(x, w, spec, deeper, dtype, precision), layout)


def forward_convolution(
    z: jax.Array, w: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any
) -> jax.Array:
    guard = (1,) * spec.rank + (2,)
    z, w, deeper, spec = _longer(z, layout), jnp.expand_dims(w, spec.rank), _deeper(layout), _with_axis(spec)
    return _shorter(vjp.forward_convolution(z, w, spec, deeper, dtype, precision, guard), layout)


def kernel_gradient(x: jax.Array, z: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> jax.Array:
    if any(axis.stride > 1 for axis in spec.axes):
        return dilated.kernel_gradient(x, z, spec, layout, dtype, precision)
    guard, rank = (1,) * spec.rank + (2,), spec.rank
    x, z, deeper, spec = _longer(x, layout), _longer(z, layout), _deeper(layout), _with_axis(spec)
    return jnp.squeeze(vjp.kernel_gradient(x, z, spec, deeper, dtype, precision, guard), rank)


def _with_axis(spec: Spec, stride: int = 1) -> Spec:
    return Spec((*spec.axes, Axis(1, stride)), spec.groups)


def _deeper(layout: Layout) -> Layout:
    return Layout(layout.rank + 1, layout.channels_first)


def _longer(a: jax.Array, layout: Layout) -> jax.Array:
    """``a`` with one more axis, after the spatial ones."""
    return jnp.expand_dims(a, layout.spatial_axes[-1] + 1)


def _shorter(a: jax.Array, layout: Layout) -> jax.Array:
    """The inverse of ``_longer``."""
    return jnp.squeeze(a, layout.spatial_axes[-1] + 1)
