"""The predicted time of XLA's own convolution on a CPU, of any kind that ``jax.lax`` has."""

from typing import Any

from .recognition import Convolution


def seconds(convolution: Convolution, dtype: Any) -> float:
    """The seconds of a convolution of operands of this dtype. Only ratios to the costs of methods matter."""
    return convolution.flops / 95e9


def transposition_seconds(count: int) -> float:
    """The seconds to change the order of the axes of images of so many bytes."""
    return 2 * count / 12e9
