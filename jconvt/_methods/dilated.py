"""Transposed convolution as a convolution over a dilated input with a flipped kernel.

Output position p sums x[i] w[t] over the pairs with i * stride + t * dilation - lo = p. Put ``stride - 1`` zeros
between the input's pixels, so that pixel i sits at i * stride: then p looks *back* by t * dilation from p + lo. A
convolution of a deep-learning library looks forward from its window's start, so its kernel must run the other way:
that is the flip. The window that ends at p + lo starts ``extent - 1`` earlier, which is the padding.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .._geometry.layout import Layout
from .._geometry.spec import Spec
from . import _by_transposition
from ._xla_workarounds import avoiding_mistaken_axes


@avoiding_mistaken_axes
def transposed_convolution(
    x: jax.Array, w: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any
) -> jax.Array:
    flipped = jnp.flip(w, range(spec.rank))
    return lax.conv_general_dilated(
        x,
        _outputs_of_all_groups(flipped, spec),
        window_strides=(1,) * spec.rank,
        padding=[(axis.extent - 1 - axis.lo, axis.extent - 1 - axis.hi) for axis in spec.axes],
        lhs_dilation=[axis.stride for axis in spec.axes],
        rhs_dilation=[axis.dilation for axis in spec.axes],
        dimension_numbers=lax.ConvDimensionNumbers(
            lhs_spec=(0, layout.channel_axis, *layout.spatial_axes),
            rhs_spec=(spec.rank, spec.rank + 1, *range(spec.rank)),
            out_spec=(0, layout.channel_axis, *layout.spatial_axes),
        ),
        feature_group_count=spec.groups,
        precision=precision,
        preferred_element_type=dtype,
    )


def kernel_gradient(x: jax.Array, z: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> jax.Array:
    """The same convolution, transposed in its kernel by JAX."""
    return _by_transposition.kernel_gradient(transposed_convolution, x, z, spec, layout, dtype, precision)


def _outputs_of_all_groups(w: jax.Array, spec: Spec) -> jax.Array:
    """(k..., o / groups, c) as (k..., o, c / groups): the groups move from the input's to the output's channels."""
    if spec.groups == 1:
        return w
    *kernel, out, taken = w.shape
    w = w.reshape(*kernel, out, spec.groups, taken // spec.groups)
    return jnp.swapaxes(w, -3, -2).reshape(*kernel, spec.groups * out, taken // spec.groups)
