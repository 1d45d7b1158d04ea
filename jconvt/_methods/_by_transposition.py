"""The forward convolution and the kernel gradient of a transposed convolution, which JAX transposes: it is linear."""

from collections.abc import Callable
from typing import Any

import jax

from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ._accumulation import sums_in
from ._vma import unknown

Transposed = Callable[[jax.Array, jax.Array, Spec, Layout, Any, Any], jax.Array]


def forward_convolution(
    compute: Transposed, z: jax.Array, w: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any
) -> jax.Array:
    wide = sums_in(dtype)
    z, w = z.astype(wide), w.astype(wide)
    x = unknown(z, layout.shape(z.shape[0], spec.input_sizes(layout.spatial(z.shape)), w.shape[-1]), wide)
    (x,) = jax.linear_transpose(lambda x: compute(x, w, spec, layout, wide, precision), x)(z)
    return x.astype(dtype)


def kernel_gradient(
    compute: Transposed, x: jax.Array, z: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any
) -> jax.Array:
    wide = sums_in(dtype)
    x, z = x.astype(wide), z.astype(wide)
    channel, kernel = layout.channel_axis, [axis.kernel for axis in spec.axes]
    w = unknown(x, (*kernel, z.shape[channel] // spec.groups, x.shape[channel]), wide)
    (w,) = jax.linear_transpose(lambda w: compute(x, w, spec, layout, wide, precision), w)(z)
    return w.astype(dtype)
