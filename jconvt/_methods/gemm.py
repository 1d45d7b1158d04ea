"""Transposed convolution as a matrix product, with the stamps overlapped and added.

The channels of every pixel times the matrix of every tap are one product: all stamps of all pixels. They are shifted
into place and added up. In the gradients, the outputs under the taps of every pixel are gathered into patches. Patches
times the kernel are the forward convolution; patches times the pixels are the kernel gradient. The products are those
of ``_matmul``.

Where many taps overlap along several axes, all stamps together would be many times the output. So the last axes may be
gather axes, which sum inside the product: as many as copy the least. Where every group is one channel there are no
matrices to multiply, and the gradients are those of ``_depthwise``.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

from jax import Array

from .._geometry.arguments import Size, known
from .._geometry.layout import Layout
from .._geometry.maps import Map
from .._geometry.spec import Spec
from ..errors import ArgumentError
from . import _depthwise, _matmul
from ._method import Method, ProblemShape
from ._phases import MAX_PARTS, too_many_parts
from ._rates import GPU_BYTES, GPU_FLOPS, TPU_FLOPS, cpu_bytes, cpu_gathered_product, cpu_product_flops


def transposed_convolution(x: Array, w: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> Array:
    pixels = _num_pixels(x.shape[0], layout.spatial(x.shape))
    num_scatter = num_scatter_axes(spec, pixels, w.shape[-1], w.shape[spec.rank] * spec.groups)
    return _matmul.transposed_convolution(x, w, spec, layout, dtype, precision, num_scatter)


def forward_convolution(z: Array, w: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> Array:
    channels = w.shape[-1], w.shape[spec.rank] * spec.groups
    if _depthwise.supports(spec, *channels):
        return _depthwise.forward_convolution(z, w, spec, layout, dtype)
    pixels = _num_pixels(z.shape[0], spec.input_sizes(layout.spatial(z.shape)))
    num_scatter = num_scatter_axes(spec, pixels, *channels)
    return _matmul.forward_convolution(z, w, spec, layout, dtype, precision, num_scatter)


def kernel_gradient(x: Array, z: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> Array:
    channels = x.shape[layout.channel_axis], z.shape[layout.channel_axis]
    if _depthwise.supports(spec, *channels):
        return _depthwise.kernel_gradient(x, z, spec, layout, dtype)
    num_scatter = num_scatter_axes(spec, _num_pixels(x.shape[0], layout.spatial(x.shape)), *channels)
    return _matmul.kernel_gradient(x, z, spec, layout, dtype, precision, num_scatter)


def num_scatter_axes(spec: Spec, pixels: int, in_channels: Size, out_channels: Size) -> int:
    """The number of scatter axes, at least one, that copies the fewest pixels, outputs and kernel elements."""
    in_channels, out_channels = known(in_channels), known(out_channels)
    if _depthwise.supports(spec, in_channels, out_channels):
        return spec.rank
    kernel = math.prod(axis.kernel for axis in spec.axes) * in_channels * out_channels // spec.groups

    def cost(num_scatter: int) -> tuple[bool, int]:
        copied = pixels * _matmul.temporary_elements(spec, num_scatter, in_channels, out_channels)
        too_many = _matmul.num_slices(spec, num_scatter) > MAX_PARTS
        return too_many, copied + (2 * kernel if num_scatter < spec.rank else 0)

    return min(range(spec.rank, 0, -1), key=cost)


def _num_pixels(batch: Size, sizes: Sequence[Size]) -> int:
    return known(batch) * math.prod(map(known, sizes))


@functools.lru_cache(1024)
def _too_many_slices(spec: Spec) -> bool:
    return min(_matmul.num_slices(spec, axes) for axes in range(1, spec.rank + 1)) > MAX_PARTS


def _unsupported(map: Map, spec: Spec, dtype: Any) -> ArgumentError | None:
    del map, dtype
    return too_many_parts("gemm", "slices", spec) if _too_many_slices(spec) else None


def _num_scatter(problem: ProblemShape) -> int:
    pixels = _num_pixels(problem.batch, problem.pixels)
    return num_scatter_axes(problem.spec, pixels, problem.input_channels, problem.output_channels)


def _is_depthwise_gradient(map: Map, problem: ProblemShape) -> bool:
    channels = problem.input_channels, problem.output_channels
    return map is not Map.TRANSPOSE and _depthwise.supports(problem.spec, *channels)


def _temporary_bytes(map: Map, problem: ProblemShape) -> int:
    if _is_depthwise_gradient(map, problem):
        return 0
    channels = problem.input_channels, problem.output_channels
    elements = _matmul.temporary_elements(problem.spec, _num_scatter(problem), *channels)
    return _num_pixels(problem.batch, problem.pixels) * elements * max(problem.dtype.itemsize, 4)


def _cpu(map: Map, problem: ProblemShape) -> float:
    if _is_depthwise_gradient(map, problem):
        return problem.flops / (10e9 if map is Map.FORWARD else 4e9)
    temporaries = _temporary_bytes(map, problem)
    if map is not Map.TRANSPOSE:
        return cpu_gathered_product(map, problem, temporaries)
    # With few channels there is little to compute for each stamp that is moved.
    few_channels = problem.input_channels / (problem.input_channels + 15 * problem.spec.groups)
    rate = cpu_product_flops(map, problem) * few_channels
    return problem.flops / rate + (temporaries + problem.bytes("z")) / cpu_bytes(temporaries)


def _gpu(map: Map, problem: ProblemShape) -> float:
    moved = 2 * _temporary_bytes(map, problem) + problem.bytes("z")
    return problem.flops / GPU_FLOPS + moved / GPU_BYTES


def _tpu(map: Map, problem: ProblemShape) -> float:
    slowdown = 1.5
    if map is Map.TRANSPOSE and problem.spec.groups == 1 and problem.batch < 8:
        # The compiler pads other channels to 128, and copies what is gathered once more.
        padded = problem.output_channels % 128 and problem.dilation_overhead < 8
        scattered = _num_scatter(problem) == problem.spec.rank
        slowdown = 0.6 if problem.dilation_overhead >= 16 or (scattered and not padded) else 1.5
    return slowdown * problem.flops / TPU_FLOPS


METHOD = Method(
    name="gemm",
    summary="one matrix product of pixels and taps; the stamps are overlapped and added",
    transpose=transposed_convolution,
    forward=forward_convolution,
    kernel_gradient=kernel_gradient,
    how={
        Map.TRANSPOSE: "one product, whose stamps are added up",
        Map.FORWARD: "one product of patches; elementwise where every group is one channel",
        Map.KERNEL_GRADIENT: "one product of patches and pixels; elementwise where every group is one channel",
    },
    cost={"cpu": _cpu, "cuda": _gpu, "rocm": _gpu, "tpu": _tpu},
    unsupported=_unsupported,
    temporary_bytes=_temporary_bytes,
)
