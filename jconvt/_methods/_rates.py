"""Rates of each platform that the methods' cost functions share, in operations and bytes a second.

CPU rates were measured. TPU rates are its compiler's estimates. GPU rates are rough: they follow from 13 layers that
were measured once, on an NVIDIA H200. Only their ratios matter. The benchmarks publish how often the predictions pick
the fastest method.
"""

import math

import jax.numpy as jnp

from .._geometry.maps import Map
from ._method import ProblemShape, acc_dtype

GPU_FLOPS, GPU_BYTES = 40e12, 3e12
GPU_CHANNEL_FLOPS = 0.5e12
"""The rate of a grouped convolution for each channel of a group, up to ``GPU_FLOPS``."""
TPU_FLOPS = 100e12


def cpu_bytes(temporary_bytes: int) -> float:
    """The bytes a second that a CPU moves. Large temporaries get fresh pages from the operating system at each call."""
    return 12e9 if temporary_bytes < 32e6 else 1.5e9


def cpu_transposition_seconds(moved: int) -> float:
    """The seconds in which XLA changes the order of the axes of arrays of so many bytes."""
    return 2 * moved / cpu_bytes(moved)


def cpu_product_flops(map: Map, problem: ProblemShape) -> float:
    """The rate of matrix products. bfloat16 is fast unless the product sums over pixels; float16 becomes float32."""
    if problem.dtype.itemsize > 2:
        return 190e9
    if map is Map.KERNEL_GRADIENT:
        return 110e9
    return 250e9 if problem.dtype == jnp.bfloat16 else 120e9


def cpu_convolution_flops(problem: ProblemShape) -> float:
    """The rate of dense convolutions, which XLA's library computes. Grouped ones are loops."""
    groups = problem.spec.groups
    return max(0.4e9, 20e9 / groups) if groups > 1 else 95e9


def cpu_strided_kernel_gradient_flops(problem: ProblemShape) -> float:
    """The rate of a convolution whose window is the output."""
    if problem.spec.groups > 1:
        return 0.2e9
    return 10e9 if problem.spec.rank > 2 else 75e9 * cpu_overlap(problem)


def cpu_overlap(problem: ProblemShape) -> float:
    """The relative speed of a strided convolution: lower where the stamps do not overlap."""
    return 1 if any(axis.kernel > axis.stride for axis in problem.spec.axes) else 0.9


def gpu_convolution_seconds(map: Map, problem: ProblemShape, flops: float) -> float:
    """The seconds of a convolution with ``flops``."""
    rate, groups = GPU_FLOPS, problem.spec.groups
    if groups > 1:
        rate = min(rate, GPU_CHANNEL_FLOPS * min(problem.input_channels, problem.output_channels) / groups)
    if map is Map.KERNEL_GRADIENT and acc_dtype(problem.dtype) != problem.dtype:
        rate /= 2  # its operands become float32
    return flops / rate


def is_plain(problem: ProblemShape) -> bool:
    """Whether XLA finds cuDNN's backward convolution, which skips zeros: no dilated kernel."""
    return math.prod(axis.dilation for axis in problem.spec.axes) == 1
