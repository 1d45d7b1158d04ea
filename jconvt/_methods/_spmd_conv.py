"""The three maps as one convolution each, in a form that XLA's SPMD partitioner handles correctly.

If pixels are sharded over one mesh axis, and another mesh axis shards the filters or nothing, XLA may compute partial
convolutions and add them over all devices, although several devices hold the same part: the sum is a multiple of the
right one (seen with JAX 0.10.2, for CPU and for TPU). This does not happen if the input is dilated. So here it always
is: by a stride, or else along one more spatial axis of size 1, where dilation changes nothing.
"""

from typing import Any

import jax.numpy as jnp
from jax import Array

from .._geometry.axis import Axis
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from . import dilated, vjp


def transposed_convolution(x: Array, w: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> Array:
    if any(axis.stride > 1 for axis in spec.axes):
        return dilated.transposed_convolution(x, w, spec, layout, dtype, precision)
    x, w, spec, deeper = _add_axis(x, layout), jnp.expand_dims(w, spec.rank), _deeper_spec(spec, 2), _deeper(layout)
    return _drop_axis(dilated.transposed_convolution(x, w, spec, deeper, dtype, precision), layout)


def forward_convolution(z: Array, w: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> Array:
    lhs_dilation = (1,) * spec.rank + (2,)
    z, w, spec, deeper = _add_axis(z, layout), jnp.expand_dims(w, spec.rank), _deeper_spec(spec), _deeper(layout)
    return _drop_axis(vjp.forward_convolution(z, w, spec, deeper, dtype, precision, lhs_dilation), layout)


def kernel_gradient(x: Array, z: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> Array:
    if any(axis.stride > 1 for axis in spec.axes):
        return dilated.kernel_gradient(x, z, spec, layout, dtype, precision)
    lhs_dilation, rank = (1,) * spec.rank + (2,), spec.rank
    x, z, spec, deeper = _add_axis(x, layout), _add_axis(z, layout), _deeper_spec(spec), _deeper(layout)
    return jnp.squeeze(vjp.kernel_gradient(x, z, spec, deeper, dtype, precision, lhs_dilation), rank)


def _deeper_spec(spec: Spec, stride: int = 1) -> Spec:
    return Spec((*spec.axes, Axis(1, stride)), spec.groups)


def _deeper(layout: Layout) -> Layout:
    return Layout(layout.rank + 1, layout.channels_first)


def _add_axis(a: Array, layout: Layout) -> Array:
    """Add one more axis after the spatial axes."""
    return jnp.expand_dims(a, layout.spatial_axes[-1] + 1)


def _drop_axis(a: Array, layout: Layout) -> Array:
    """The inverse of ``_add_axis``."""
    return jnp.squeeze(a, layout.spatial_axes[-1] + 1)
