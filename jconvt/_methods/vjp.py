"""Transposed convolution as the vector-Jacobian product of a forward convolution.

The forward convolution F maps ``z``, of the transposed convolution's output shape, to the shape of its input. F is
linear in ``z``, so its Jacobian is F itself, and the vector-Jacobian product with ``x`` is F transposed. No kernel is
flipped here, and no zero is inserted: JAX does both when it transposes.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from .._geometry.layout import Layout
from .._geometry.maps import Map
from .._geometry.spec import Spec
from .._jax_compat import abstract_like
from ..errors import ArgumentTypeError
from ._method import Method, ProblemShape, acc_dtype, promote_pair
from ._rates import (
    TPU_FLOPS,
    cpu_convolution_flops,
    cpu_overlap,
    cpu_strided_kernel_gradient_flops,
    gpu_convolution_seconds,
)
from ._xla_workarounds import avoid_batch_groups, avoid_batch_like_axes, avoid_mixed_padding


@avoid_batch_like_axes
def transposed_convolution(x: Array, w: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> Array:
    x, w = x.astype(dtype), w.astype(dtype)
    channels = w.shape[spec.rank] * spec.groups
    z = abstract_like(x, layout.shape(x.shape[0], spec.output_sizes(layout.spatial(x.shape)), channels), dtype)
    (y,) = jax.linear_transpose(lambda z: forward_convolution(z, w, spec, layout, dtype, precision), z)(x)
    return y


@avoid_mixed_padding(Map.FORWARD)
def forward_convolution(
    z: Array,
    w: Array,
    spec: Spec,
    layout: Layout,
    dtype: Any,
    precision: Any,
    lhs_dilation: Sequence[int] | None = None,
) -> Array:
    """F: the convolution that ``spec`` transposes. ``w`` is ``(k..., o / groups, c)``, and F maps o to c channels.

    ``lhs_dilation`` dilates ``z`` first, as in ``jax.lax``.
    """
    acc = dtype if z.dtype == w.dtype else acc_dtype(dtype)  # do not round a wider cotangent before its product
    x = lax.conv_general_dilated(
        *promote_pair(z, w, acc),
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
        preferred_element_type=acc,
    )
    return x.astype(dtype)


@avoid_batch_groups
def kernel_gradient(
    x: Array,
    z: Array,
    spec: Spec,
    layout: Layout,
    dtype: Any,
    precision: Any,
    lhs_dilation: Sequence[int] | None = None,
) -> Array:
    """G: the vector-Jacobian product of the same convolution in its kernel, with ``x``."""
    acc = acc_dtype(dtype)
    x, z = x.astype(acc), z.astype(acc)
    channel, kernel = layout.channel_axis, [axis.kernel for axis in spec.axes]
    w = abstract_like(x, (*kernel, z.shape[channel] // spec.groups, x.shape[channel]), acc)
    (w,) = jax.linear_transpose(lambda w: forward_convolution(z, w, spec, layout, acc, precision, lhs_dilation), w)(x)
    return w.astype(dtype)


def _unsupported(map: Map, spec: Spec, dtype: Any) -> ArgumentTypeError | None:
    del spec
    if map is Map.FORWARD or jnp.issubdtype(dtype, jnp.inexact):
        return None
    return ArgumentTypeError(
        "method 'vjp' is a derivative, and JAX has no derivatives of integers",
        got=f"dtype {dtype}",
        legal="a floating-point or complex dtype",
        fix="leave method out for 'auto', or convert the operands",
    )


def _cpu(map: Map, problem: ProblemShape) -> float:
    if map is Map.KERNEL_GRADIENT:
        return problem.flops / cpu_strided_kernel_gradient_flops(problem)
    slowdown = 1 if problem.spec.groups > 1 else cpu_overlap(problem) * min(1, problem.input_channels / 64)
    return problem.flops / (cpu_convolution_flops(problem) * slowdown)


def _gpu(map: Map, problem: ProblemShape) -> float:
    return gpu_convolution_seconds(map, problem, problem.flops)


def _tpu(map: Map, problem: ProblemShape) -> float:
    return (3 if map is Map.KERNEL_GRADIENT else 1) * problem.flops / TPU_FLOPS


METHOD = Method(
    name="vjp",
    summary="the vector-Jacobian product of the forward convolution: the transpose is the gradient",
    transpose=transposed_convolution,
    forward=forward_convolution,
    kernel_gradient=kernel_gradient,
    how={
        Map.FORWARD: "one strided convolution",
        Map.KERNEL_GRADIENT: "one convolution with the output as the window",
    },
    cost={"cpu": _cpu, "cuda": _gpu, "rocm": _gpu, "tpu": _tpu},
    unsupported=_unsupported,
    convolves=True,
)
