"""Transposed convolution as a convolution over a dilated input with a flipped kernel.

Output position p sums x[i] w[t] over the pairs with i * stride + t * dilation - lo = p. Put ``stride - 1`` zeros
between the input's pixels, so that pixel i sits at i * stride: then p looks *back* by t * dilation from p + lo. A
convolution of a deep-learning library looks forward from the start of its window, so its kernel must run the other way:
that is the flip. The window that ends at p + lo starts ``extent - 1`` earlier, which is the padding.
"""

from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from .._geometry.layout import Layout
from .._geometry.maps import Map
from .._geometry.spec import Spec
from ..errors import ArgumentTypeError
from ._method import Method, ProblemShape, kernel_gradient_by_transposition
from ._rates import (
    TPU_FLOPS,
    cpu_convolution_flops,
    cpu_strided_kernel_gradient_flops,
    gpu_convolution_seconds,
    is_plain,
)
from ._xla_workarounds import avoid_batch_groups, avoid_batch_like_axes, avoid_mixed_padding


@avoid_batch_like_axes
@avoid_mixed_padding(Map.TRANSPOSE)
def transposed_convolution(x: Array, w: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> Array:
    flipped = jnp.flip(w, range(spec.rank))
    return lax.conv_general_dilated(
        x,
        _groups_to_outputs(flipped, spec),
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


@avoid_batch_groups
def kernel_gradient(x: Array, z: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> Array:
    """The same convolution, transposed in its kernel by JAX."""
    return kernel_gradient_by_transposition(transposed_convolution, x, z, spec, layout, dtype, precision)


def _groups_to_outputs(w: Array, spec: Spec) -> Array:
    """(k..., o / groups, c) as (k..., o, c / groups): the groups move from the input to the output channels."""
    if spec.groups == 1:
        return w
    *kernel, out, channels = w.shape
    w = w.reshape(*kernel, out, spec.groups, channels // spec.groups)
    return jnp.swapaxes(w, -3, -2).reshape(*kernel, spec.groups * out, channels // spec.groups)


def _unsupported(map: Map, spec: Spec, dtype: Any) -> ArgumentTypeError | None:
    del spec
    if map is Map.KERNEL_GRADIENT and not jnp.issubdtype(dtype, jnp.inexact):
        return ArgumentTypeError(
            "the kernel gradient of method 'dilated' is a derivative, and JAX has no derivatives of integers",
            got=f"dtype {dtype}",
            legal="a floating-point or complex dtype",
            fix="leave method out for 'auto'",
        )
    return None


def _cpu(map: Map, problem: ProblemShape) -> float:
    flops = problem.flops * problem.dilation_overhead
    if map is Map.KERNEL_GRADIENT:
        return flops / cpu_strided_kernel_gradient_flops(problem)
    if problem.dilation_overhead == 1:
        return flops / cpu_convolution_flops(problem)
    return flops / (0.25e9 if problem.spec.groups > 1 else 4e9)


def _gpu(map: Map, problem: ProblemShape) -> float:
    skips_zeros = map is Map.TRANSPOSE and is_plain(problem)
    return gpu_convolution_seconds(map, problem, problem.flops * (1 if skips_zeros else problem.dilation_overhead))


def _tpu(map: Map, problem: ProblemShape) -> float:
    del map
    return problem.flops / TPU_FLOPS


METHOD = Method(
    name="dilated",
    summary="`jax.lax.conv_general_dilated` over the input with zeros between its pixels, with the kernel flipped",
    transpose=transposed_convolution,
    kernel_gradient=kernel_gradient,
    how={
        Map.TRANSPOSE: "one convolution over the dilated input",
        Map.KERNEL_GRADIENT: "one convolution with the dilated input, transposed",
    },
    cost={"cpu": _cpu, "cuda": _gpu, "rocm": _gpu, "tpu": _tpu},
    unsupported=_unsupported,
    convolves=True,
)
