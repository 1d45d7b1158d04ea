"""Transposed convolution as what it transposes: the vector-Jacobian product of a forward convolution.

The forward convolution F takes ``z``, of the transposed convolution's output shape, to the shape of its input. F is
linear in ``z``, so its Jacobian is F itself, and the vector-Jacobian product with ``x`` is F transposed: no kernel is
flipped here, and no zero is inserted. JAX does both, when it transposes.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ..errors import ArgumentTypeError
from ._accumulation import alike, sums_in
from ._vma import unknown
from ._xla_workarounds import avoiding_mistaken_axes


@avoiding_mistaken_axes
def transposed_convolution(
    x: jax.Array, w: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any
) -> jax.Array:
    x, w = x.astype(dtype), w.astype(dtype)
    channels = w.shape[spec.rank] * spec.groups
    z = unknown(x, layout.shape(x.shape[0], spec.output_sizes(layout.spatial(x.shape)), channels), dtype)
    (y,) = jax.linear_transpose(lambda z: forward_convolution(z, w, spec, layout, dtype, precision), z)(x)
    return y


def forward_convolution(
    z: jax.Array,
    w: jax.Array,
    spec: Spec,
    layout: Layout,
    dtype: Any,
    precision: Any,
    lhs_dilation: Sequence[int] | None = None,
) -> jax.Array:
    """F: the convolution that ``spec`` transposes. ``w`` is ``(k..., o / groups, c)``, and F takes o to c channels.

    ``lhs_dilation`` puts zeros between the pixels of ``z`` first, as ``jax.lax`` does.
    """
    wide = dtype if z.dtype == w.dtype else sums_in(dtype)  # a wider cotangent is not to be narrowed before its product
    x = lax.conv_general_dilated(
        *alike(z, w, wide),
        window_strides=[axis.stride for axis in spec.axes],
        padding=[(axis.lo, axis.hi) for axis in spec.axes],
        lhs_dilation=lhs_dilation,
        rhs_dilation=[axis.dilation for axis in spec.axes],
        dimension_numbers=lax.ConvDimensionNumbers(
            lhs_spec=(0, layout.channel_axis, *layout.spatial_axes),
            rhs_spec=(spec.rank + 1, spec.rank, *range(spec.rank)),
            out_spec=(0, layout.channel_axis, *layout.spatial_axes),
        ),
        feature_group_count=spec.groups,
        precision=precision,
        preferred_element_type=wide,
    )
    return x.astype(dtype)


def kernel_gradient(
    x: jax.Array,
    z: jax.Array,
    spec: Spec,
    layout: Layout,
    dtype: Any,
    precision: Any,
    lhs_dilation: Sequence[int] | None = None,
) -> jax.Array:
    """G: the vector-Jacobian product with ``x`` of the same convolution, in its kernel."""
    wide = sums_in(dtype)
    x, z = x.astype(wide), z.astype(wide)
    channel, kernel = layout.channel_axis, [axis.kernel for axis in spec.axes]
    w = unknown(x, (*kernel, z.shape[channel] // spec.groups, x.shape[channel]), wide)
    (w,) = jax.linear_transpose(lambda w: forward_convolution(z, w, spec, layout, wide, precision, lhs_dilation), w)(x)
    return w.astype(dtype)


def check_dtype(dtype: Any) -> None:
    """Refuses integers: the transposed convolution is a derivative here."""
    if not jnp.issubdtype(dtype, jnp.inexact):
        raise ArgumentTypeError(
            "method 'vjp' is a derivative, and JAX has none for integers",
            got=f"dtype {dtype}",
            legal="a floating or complex dtype",
            fix="leave method out for 'auto', or convert the operands",
        )
