"""The resolved geometry: what every convention's arguments come down to."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from .axis import Axis
from .conventions import tensorflow
from .errors import ArgumentError, ArgumentTypeError
from .integers import Size, integer, sequence, size


@dataclasses.dataclass(frozen=True)
class Spec:
    """The geometry of a transposed convolution: one ``Axis`` for each spatial axis, and the number of groups.

    It holds integers alone, is hashable, and has no sizes in it: one ``Spec`` serves every input size.

    Raises:
      ArgumentTypeError: ``axes`` holds something else than ``Axis``, or ``groups`` is not an integer.
      ArgumentError: there is no axis, or ``groups`` is below 1.

    >>> spec = Spec.from_tensorflow((1, 2, 2, 1), (3, 3, 1, 1), strides=2, padding="VALID")
    >>> print(spec)
    transposed convolution, 2-D, groups 1
      axis  kernel  stride  dilation  crop    output size
      0     3       2       1         (0, 0)  2n + 1
      1     3       2       1         (0, 0)  2n + 1
    >>> spec.output_sizes((2, 2))
    (5, 5)
    """

    axes: tuple[Axis, ...]
    groups: int = 1

    def __post_init__(self):
        axes = tuple(sequence(self.axes, "axes", "one jconvt.Axis for each spatial axis"))
        if not all(isinstance(axis, Axis) for axis in axes):
            raise ArgumentTypeError(
                "axes must hold one Axis for each spatial axis",
                got=f"axes = {self.axes!r}",
                legal="a sequence of jconvt.Axis",
                fix="build each with jconvt.Axis(kernel, stride, dilation, lo, hi)",
            )
        if not axes:
            raise ArgumentError(
                "a transposed convolution has at least one spatial axis",
                got="axes = ()",
                legal="one Axis or more",
                fix="a product without spatial axes is jax.numpy.matmul",
            )
        object.__setattr__(self, "axes", axes)
        object.__setattr__(self, "groups", integer(self.groups, "groups", lowest=1))

    @classmethod
    def from_tensorflow(
        cls,
        input_shape: Sequence[Size],
        filters_shape: Sequence[int],
        output_shape: Sequence[Size] | None = None,
        strides: Any = 1,
        padding: Any = "SAME",
        data_format: str | None = None,
        dilations: Any = None,
        *,
        output_padding: Any = None,
        groups: int = 1,
    ) -> "Spec":
        """The geometry of ``jconvt.conv_transpose`` called with arrays of these shapes and these arguments.

        Args:
          input_shape: the input's shape, batch and channels included.
          filters_shape: ``(k..., out / groups, in)``.
          output_shape, strides, padding, data_format, dilations: as ``conv_transpose`` takes them.
          output_padding, groups: likewise.

        Raises:
          ArgumentError, ArgumentTypeError: as ``conv_transpose`` raises them.

        >>> Spec.from_tensorflow((1, 4, 1), (3, 1, 1), output_shape=[7], strides=2)
        Spec(axes=(Axis(kernel=3, stride=2, dilation=1, lo=1, hi=1),), groups=1)
        """
        axes, groups, _ = tensorflow.resolve(
            input_shape,
            filters_shape,
            output_shape,
            strides,
            padding,
            data_format,
            dilations,
            output_padding=output_padding,
            groups=groups,
        )
        return cls(axes, groups)

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return len(self.axes)

    def output_sizes(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        """The transposed convolution's spatial output sizes for these spatial input sizes."""
        return tuple(axis.output_size(size) for axis, size in zip(self.axes, self._one_each(sizes), strict=True))

    def input_sizes(self, output_sizes: Sequence[Size]) -> tuple[Size, ...]:
        """The forward convolution's spatial output sizes: the inverse of ``output_sizes``."""
        return tuple(axis.input_size(size) for axis, size in zip(self.axes, self._one_each(output_sizes), strict=True))

    def _one_each(self, sizes: Sequence[Size]) -> list[Size]:
        legal = f"{self.rank} sizes, one for each spatial axis"
        found = [size(value, f"sizes[{i}]") for i, value in enumerate(sequence(sizes, "sizes", legal))]
        if len(found) != self.rank:
            raise ArgumentError(
                "sizes has the wrong length", got=found, legal=legal, fix="leave batch and channels out"
            )
        return found

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("axis", "kernel", "stride", "dilation", "crop", "output size")]
        for number, axis in enumerate(self.axes):
            factor = "n" if axis.stride == 1 else f"{axis.stride}n"
            constant = axis.output_size(0)
            size = factor if constant == 0 else f"{factor} {'+' if constant > 0 else '-'} {abs(constant)}"
            row = (number, axis.kernel, axis.stride, axis.dilation, (axis.lo, axis.hi), size)
            rows.append(tuple(str(cell) for cell in row))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n  ".join([f"transposed convolution, {self.rank}-D, groups {self.groups}", *lines])
