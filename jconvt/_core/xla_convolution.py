"""The predicted time of XLA's own convolutions on a CPU, of every kind that ``jax.lax`` has.

XLA calls Eigen for a dense convolution, which skips the zeros of a dilated ``lhs``. If ``rhs`` has more pixels than
``lhs``, as in the kernel gradient of a transposed convolution, XLA swaps them, and then computes the reversed window
by plain loops. Groups are loops, too. The rates were measured relative to those of the methods.
"""

import math
from typing import Any

import jax.numpy as jnp

from .._methods import cpu_transposition_seconds
from .recognition import Convolution


def seconds(convolution: Convolution, dtype: Any) -> float:
    """The seconds of a convolution of operands of this dtype."""
    size = jnp.dtype(dtype).itemsize
    computing = convolution.flops / _flops_per_second(convolution) * max(1.0, size / 4)
    return computing + cpu_transposition_seconds(size * _transposed_numbers(convolution))


def _transposed_numbers(convolution: Convolution) -> int:
    """The numbers that XLA transposes: its loops have the channels of images, and the outputs of kernels, last."""
    numbers = convolution.dimension_numbers
    rank = len(convolution.window_strides)
    images, kernels = (0, rank + 1, *range(1, rank + 1)), (rank + 1, rank, *range(rank))
    sizes = convolution.lhs_sizes, convolution.rhs_sizes, convolution.output_sizes
    return sum(
        math.prod(size)
        for size, axes, expected in zip(sizes, numbers, (images, kernels, images), strict=True)
        if axes != expected
    )


def _flops_per_second(convolution: Convolution) -> float:
    """The rate, which counts the multiplications by the zeros of a dilated ``lhs``."""
    outputs, _, *taps = convolution.rhs_sizes
    if convolution.batch_group_count > 1:
        return 0.4e9
    if convolution.feature_group_count > 1:
        return min(12e9, 0.3e9 * outputs / convolution.feature_group_count)
    if math.prod(taps) > math.prod(convolution.lhs_sizes[2:]):
        return 11e9
    zeros = math.prod(convolution.lhs_dilation)
    lanes = 0.4 if outputs < 8 else 1  # few output channels leave some lanes empty
    if math.prod(taps) == 1:
        return lanes * (140e9 if zeros == 1 else zeros * 90e9)
    is_window = math.prod(taps) > math.prod(convolution.output_sizes[2:])
    return lanes * zeros * (50e9 if is_window else 120e9)
