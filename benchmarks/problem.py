"""A problem to measure: a workload forward or with its gradients, its operands, exact results, and size."""

import dataclasses
import functools
import math
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jconvt._geometry.spec import Spec

from . import oracle
from .workloads import Workload

PASSES = ("forward", "gradient")
DTYPES = ("float32", "tf32", "bfloat16", "float16")
"""``tf32`` is float32 in memory, multiplied at the accelerator's default precision; ``float32`` at full precision."""


def array_dtype(dtype: str) -> str:
    """Return the dtype of the arrays of one of ``DTYPES``."""
    return "float32" if dtype == "tf32" else dtype


def precision(dtype: str) -> str | None:
    """Return JAX's ``precision``: by default, accelerators multiply float32 with fewer bits, CPUs do not."""
    return "highest" if dtype == "float32" and jax.default_backend() != "cpu" else None


@dataclasses.dataclass(frozen=True)
class Problem:
    """A workload, forward or with both gradients, in one dtype. Its operands are random, and the same each time."""

    workload: Workload
    step: str
    dtype: str

    @property
    def name(self) -> str:
        return f"{self.workload.name}, {self.step}, {self.dtype}"

    @property
    def array_dtype(self) -> str:
        """The dtype of operands and results."""
        return array_dtype(self.dtype)

    @property
    def precision(self) -> str | None:
        """JAX's ``precision``."""
        return precision(self.dtype)

    @property
    def operands(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Input x, filters w, and z: the gradients are those of <z, y>."""
        return _operands(self.workload, self.array_dtype)

    @property
    def answer(self) -> tuple[NDArray[Any], ...]:
        """The exact results: y, or y and the gradients in x and w."""
        results = _answer(self.workload, self.array_dtype)
        return results if self.step == "gradient" else results[:1]

    @property
    def flops(self) -> int:
        """Two for each multiplication and addition that every method needs. Each gradient needs as many."""
        size = self.workload.batch * self.workload.input_channels * self.workload.output_channels
        products = size // self.workload.groups * pairs(self.workload.spec, self.workload.input_sizes)
        return 2 * products * (3 if self.step == "gradient" else 1)

    @property
    def bytes(self) -> int:
        """The bytes of input, filters and output."""
        shapes = (self.workload.input_shape, self.workload.filters_shape, self.workload.output_shape)
        return sum(map(math.prod, shapes)) * jnp.dtype(self.array_dtype).itemsize


def pairs(spec: Spec, sizes: tuple[int, ...]) -> int:
    """Return the number of (input pixel, kernel tap) pairs that land on the output.

    >>> pairs(Spec.from_tensorflow((1, 2, 1), (3, 1, 1), strides=2), (2,))  # three taps of one pixel, two of the other
    5
    """

    def along(axis: Any, size: int) -> int:
        output = axis.output_size(size)
        starts = [i * axis.stride - axis.lo for i in range(size)]
        return sum(0 <= start + t * axis.dilation < output for start in starts for t in range(axis.kernel))

    return math.prod(along(axis, size) for axis, size in zip(spec.axes, sizes, strict=True))


@functools.lru_cache(maxsize=2)
def _operands(workload: Workload, dtype: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(zlib.crc32(workload.name.encode()))
    shapes = (workload.input_shape, workload.filters_shape, workload.output_shape)
    x, w, z = (rng.standard_normal(shape, np.float32).astype(jnp.dtype(dtype)) for shape in shapes)
    return x, w, z


@functools.lru_cache(maxsize=2)
def _answer(workload: Workload, dtype: str) -> tuple[NDArray[Any], ...]:
    return oracle.maps(*_operands(workload, dtype), workload.spec)
