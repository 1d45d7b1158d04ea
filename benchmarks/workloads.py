"""Transposed convolutions of published models, to measure speed on."""

import dataclasses
import functools
import json
import pathlib
from typing import Any

from jconvt._geometry.spec import Spec


@dataclasses.dataclass(frozen=True)
class Workload:
    """One layer: its geometry in TensorFlow's vocabulary, channels last, and the model that it comes from."""

    name: str
    source: str
    batch: int
    input_sizes: tuple[int, ...]
    output_sizes: tuple[int, ...]
    input_channels: int
    output_channels: int
    kernel: int
    stride: int
    padding: str
    groups: int = 1

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return len(self.input_sizes)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """``(batch, spatial..., c)``."""
        return (self.batch, *self.input_sizes, self.input_channels)

    @property
    def filters_shape(self) -> tuple[int, ...]:
        """``(k..., o / groups, c)``."""
        return (*(self.kernel,) * self.rank, self.output_channels // self.groups, self.input_channels)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """``(batch, spatial..., o)``."""
        return (self.batch, *self.output_sizes, self.output_channels)

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of ``jconvt.conv_transpose`` besides the operands."""
        return {
            "output_shape": self.output_shape,
            "strides": self.stride,
            "padding": self.padding,
            "groups": self.groups,
        }

    @property
    def spec(self) -> Spec:
        return Spec.from_tensorflow(self.input_shape, self.filters_shape, **self.arguments)


@functools.cache
def load() -> dict[str, Workload]:
    """Return every workload by its name.

    >>> print(load()["tiny"].spec)
    transposed convolution, 2-D, groups 1
      axis  kernel  stride  dilation  crop    output size
      0     3       2       1         (0, 0)  2n + 1
      1     3       2       1         (0, 0)  2n + 1
    """
    text = pathlib.Path(__file__).with_name("workloads.json").read_text()
    found = [
        Workload(**row | {field: tuple(row[field]) for field in ("input_sizes", "output_sizes")})
        for row in json.loads(text)
    ]
    return {workload.name: workload for workload in found}
