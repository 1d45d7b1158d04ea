"""The switch to plain JAX operations, and the transposed convolution in the form that exporters translate correctly.

Exporters know ``jax.lax``'s operations and not jconvt's primitives. Of a convolution over a dilated input they
translate only some forms, and TensorFlow Lite's converter returns wrong numbers for others: for crops that differ at
both ends, and for a dilated kernel with a stride. So here the convolution computes the whole canvas, without a crop;
the kernel has zeros between its taps in place of a dilation, and the channels in ``jax.lax``'s usual order; and a
negative padding crops the canvas.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from .._conventions.lax import kernel_layout
from .._geometry.layout import Layout
from .._geometry.maps import Map
from .._geometry.spec import Spec
from .._methods._method import Method

_SWITCH = jax.make_user_context(False)
"""A value for each thread. JAX compares it when it looks for a traced or compiled function."""


@contextlib.contextmanager
def plain_jax() -> Iterator[None]:
    """Make every call of jconvt emit plain JAX operations, and none of jconvt's primitives.

    Use it to export a model: exporters such as jax2onnx only know JAX's own operations. It acts on all functions and
    layers, in this thread, and also on functions that ``jax.jit`` has compiled before: JAX traces them anew. ``method``
    then has no effect, and JAX differentiates the operations.

    The results are the same up to rounding, but with a stride and a dilation or groups, a NaN also spreads to outputs
    between the taps of its stamp. Programs are slower than with ``method="auto"``. Do not run one that is sharded over
    several devices: XLA partitions some plain convolutions incorrectly, which jconvt otherwise avoids.

    >>> import jax, jax.numpy as jnp, jconvt
    >>> x, w = jnp.ones((1, 4, 1)), jnp.ones((3, 1, 1))
    >>> def operations():
    ...     program = jax.make_jaxpr(lambda x, w: jconvt.conv1d_transpose(x, w, strides=2))(x, w)
    ...     return [str(equation.primitive) for equation in program.eqns]
    >>> operations()
    ['jconvt_transposed_convolution']
    >>> with jconvt.plain_jax():
    ...     operations()
    ['rev', 'transpose', 'conv_general_dilated', 'slice']
    """
    with _SWITCH(True):
        yield


def is_active() -> bool:
    """Return whether the thread is inside of ``plain_jax``."""
    return _SWITCH.value


def compute(
    map: Map, a: Array, b: Array, *, spec: Spec, layout: Layout, dtype: Any, precision: Any, method: str
) -> Array:
    """Compute a map of its two operands."""
    del method
    return _METHOD.implementation(map)(a, b, spec, layout, dtype, precision)


def _transposed_convolution(x: Array, w: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> Array:
    if jnp.issubdtype(dtype, jnp.integer) and dtype.itemsize < 4:  # cuDNN saturates 8-bit sums, jconvt's wrap around
        y = _transposed_convolution(
            x.astype(jnp.int32), w.astype(jnp.int32), spec, layout, jnp.dtype("int32"), precision
        )
        return y.astype(dtype)
    rank, dilations = spec.rank, [axis.dilation for axis in spec.axes]
    if any(axis.stride > 1 for axis in spec.axes):
        w, dilations = _zero_filled(w, spec), [1] * rank
    extents = [(taps - 1) * dilation + 1 for taps, dilation in zip(w.shape[:rank], dilations, strict=True)]
    image = (0, layout.channel_axis, *layout.spatial_axes)
    canvas = lax.conv_general_dilated(
        x,
        kernel_layout(rank, groups=spec.groups).kernel(w),
        window_strides=(1,) * rank,
        padding=[(extent - 1, extent - 1) for extent in extents],
        lhs_dilation=[axis.stride for axis in spec.axes],
        rhs_dilation=dilations,
        dimension_numbers=lax.ConvDimensionNumbers(image, (rank + 1, rank, *range(rank)), image),
        feature_group_count=spec.groups,
        precision=precision,
        preferred_element_type=dtype,
    )
    ends = [(-axis.lo, axis.extent - extent - axis.hi) for axis, extent in zip(spec.axes, extents, strict=True)]
    return _pad(canvas, layout.spatial_axes, ends)


def _zero_filled(w: Array, spec: Spec) -> Array:
    """Put zeros between the taps of ``w``. Exporters know padding only at the ends of an axis."""
    for i, axis in enumerate(spec.axes):
        if axis.dilation > 1:
            w = _pad(jnp.expand_dims(w, i + 1), (i + 1,), [(0, axis.dilation - 1)])
            w = w.reshape(*w.shape[:i], axis.kernel * axis.dilation, *w.shape[i + 2 :])
        # If one axis of a grouped convolution is dilated by the size of its kernel, TensorFlow Lite's converter takes
        # it for a bilinear resize, whatever the taps are. One more zero prevents that.
        extra_zero = spec.groups > 1 and axis.extent == axis.stride
        w = _pad(w, (i,), [(0, axis.extent + extra_zero - w.shape[i])])
    return w


def _pad(a: Array, axes: Sequence[int], ends: Sequence[tuple[int, int]]) -> Array:
    """Put zeros at the ends of these axes, or crop where their number is negative."""
    zeros, starts, stops = [(0, 0, 0)] * a.ndim, [0] * a.ndim, [*a.shape]
    for axis, (before, after) in zip(axes, ends, strict=True):
        zeros[axis] = (max(before, 0), max(after, 0), 0)
        starts[axis] = max(-before, 0)
        stops[axis] += min(after, 0)
    a = lax.slice(a, starts, stops) if (any(starts) or stops != [*a.shape]) else a
    return lax.pad(a, jnp.zeros((), a.dtype), zeros) if any(map(any, zeros)) else a


_METHOD = Method("plain", "one convolution over the dilated input, for exporters", _transposed_convolution)
