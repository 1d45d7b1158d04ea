"""Transposed convolution as one dense convolution for each output phase.

Only some taps reach an output phase, each from another pixel (see ``_phases``). So each phase is a convolution of
stride 1 with its share of the taps. Neighboring phases that read the same pixels with neighboring taps are the output
channels of one convolution. No zero is multiplied.

The gradients are the products of ``gemm``.
"""

import itertools
import math
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from .._geometry.layout import Layout
from .._geometry.maps import Map
from .._geometry.spec import Spec
from ..errors import ArgumentError
from . import gemm
from ._method import Method, ProblemShape, acc_dtype, promote_pair
from ._phases import (
    MAX_PARTS,
    PhaseGroup,
    aligned,
    concatenate_phases,
    group_taps,
    interleave,
    num_blocks,
    phase_groups,
    too_many_parts,
)
from ._rates import GPU_BYTES, TPU_FLOPS, cpu_convolution_flops, gpu_convolution_seconds
from ._xla_workarounds import avoid_mixed_padding


@avoid_mixed_padding(Map.TRANSPOSE)
def transposed_convolution(x: Array, w: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> Array:
    acc = acc_dtype(dtype)
    x, w = promote_pair(x, w, acc)
    rank, groups, out = spec.rank, spec.groups, w.shape[spec.rank]
    sizes = layout.spatial(x.shape)
    starts, blocks_spec = aligned(spec)
    blocks = num_blocks(blocks_spec, sizes)

    parts = []
    for chosen in itertools.product(*map(phase_groups, blocks_spec.axes)):
        widths = [group.width for group in chosen]
        if not all(group.taps for group in chosen):
            parts.append(jnp.zeros((groups, x.shape[0], *blocks, *widths, out), acc))
            continue
        kernel = _taps(w, chosen, groups)
        y = lax.conv_general_dilated(
            x,
            lax.optimization_barrier(kernel.reshape(*kernel.shape[: rank + 1], groups * math.prod(widths) * out)),
            window_strides=(1,) * rank,
            padding=[
                (group.span - group.ahead, number - size + group.ahead)
                for group, number, size in zip(chosen, blocks, sizes, strict=True)
            ],
            rhs_dilation=[group.spacing for group in chosen],
            dimension_numbers=lax.ConvDimensionNumbers(
                lhs_spec=(0, layout.channel_axis, *layout.spatial_axes),
                rhs_spec=(rank + 1, rank, *range(rank)),
                out_spec=(0, rank + 1, *range(1, rank + 1)),
            ),
            feature_group_count=groups,
            precision=precision,
            preferred_element_type=acc,
        )
        parts.append(jnp.moveaxis(y.reshape(*y.shape[:-1], groups, *widths, out), rank + 1, 0))
    y = concatenate_phases(parts, blocks_spec)
    return interleave(y, blocks_spec, layout, starts, spec.output_sizes(sizes)).astype(dtype)


def _taps(w: Array, chosen: tuple[PhaseGroup, ...], groups: int) -> Array:
    """``(taps..., c / groups, groups, phases..., o / groups)``, the last tap first."""
    rank = len(chosen)
    w = group_taps(w, chosen)
    w = w.reshape(*w.shape[:-1], groups, w.shape[-1] // groups)
    return w.transpose(*range(0, 2 * rank, 2), 2 * rank + 2, 2 * rank + 1, *range(1, 2 * rank, 2), 2 * rank)


def _unsupported(map: Map, spec: Spec, dtype: Any) -> ArgumentError | None:
    del map, dtype
    many = max(axis.stride for axis in spec.axes) > MAX_PARTS  # do not enumerate that many phases
    if many or math.prod(len(phase_groups(axis)) for axis in aligned(spec)[1].axes) > MAX_PARTS:
        return too_many_parts("polyphase", "convolutions", spec)
    return too_many_parts("polyphase", "slices", spec) if gemm.num_slices(spec) > MAX_PARTS else None


def _cpu(map: Map, problem: ProblemShape) -> float:
    del map
    rate = cpu_convolution_flops(problem) * min(1, problem.output_channels / 4)
    return 2e-6 + problem.flops / rate + (3 * problem.bytes("z") + 2 * problem.bytes("w")) / 20e9


def _gpu(map: Map, problem: ProblemShape) -> float:
    return gpu_convolution_seconds(map, problem, problem.flops) + 3 * problem.bytes("z") / GPU_BYTES


def _tpu(map: Map, problem: ProblemShape) -> float:
    del map
    many_phases = problem.dilation_overhead >= 64 and problem.output_channels % 128
    fast = many_phases and problem.spec.groups == 1 and problem.batch < 8
    return (0.4 if fast else 3) * problem.flops / TPU_FLOPS


METHOD = Method(
    name="polyphase",
    summary="one dense convolution for each output phase, with the taps that reach it: no zero is multiplied",
    transpose=transposed_convolution,
    forward=gemm.forward_convolution,
    kernel_gradient=gemm.kernel_gradient,
    how={Map.TRANSPOSE: "one dense convolution for each phase"},
    cost={"cpu": _cpu, "cuda": _gpu, "rocm": _gpu, "tpu": _tpu},
    unsupported=_unsupported,
    convolves=True,
)
