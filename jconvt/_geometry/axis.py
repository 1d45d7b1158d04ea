"""The geometry of a transposed convolution along one axis, in integers.

Input pixel ``i`` stamps the kernel on a canvas with tap ``t`` at position ``i * stride + t * dilation``. The canvas is
then cropped by ``lo`` at its start and ``hi`` at its end:

    extent = (kernel - 1) * dilation + 1                    the size of one stamp
    full   = (size - 1) * stride + extent                   the size of the canvas
    output = full - lo - hi                                 the size of the cropped canvas

A negative ``hi`` adds positions past the last stamp, which are zero. Sizes may be Python integers or symbolic
expressions with integer arithmetic, as in ``jax.export``. The five numbers are always integers.
"""

import dataclasses

from .arguments import LARGEST, Size, integer


@dataclasses.dataclass(frozen=True)
class Axis:
    """One spatial axis: ``kernel`` taps, ``stride``, ``dilation``, and the crop ``lo``, ``hi`` of the canvas.

    Raises:
      ArgumentTypeError: a number is not an integer.
      ArgumentError: ``kernel``, ``stride`` or ``dilation`` is below 1, or a number is too large to index.

    >>> Axis(kernel=3, stride=2).output_size(2)
    5
    >>> Axis(kernel=3, stride=2).input_size(5)
    2
    """

    kernel: int
    stride: int = 1
    dilation: int = 1
    lo: int = 0
    hi: int = 0

    def __post_init__(self):
        for field in dataclasses.fields(self):
            lowest = -LARGEST if field.name in ("lo", "hi") else 1
            object.__setattr__(self, field.name, integer(getattr(self, field.name), field.name, lowest))

    def with_crop(self, lo: int, hi: int) -> "Axis":
        """This axis with another crop. The numbers are trusted: they are not checked again."""
        axis = object.__new__(Axis)
        axis.__dict__.update(self.__dict__, lo=lo, hi=hi)
        return axis

    @property
    def extent(self) -> int:
        """The size of one stamp, from its first to its last tap."""
        return (self.kernel - 1) * self.dilation + 1

    def full_size(self, size: Size) -> Size:
        """The size of the canvas of ``size`` input pixels."""
        return (size - 1) * self.stride + self.extent

    def output_size(self, size: Size) -> Size:
        """The output size of the transposed convolution for ``size`` input pixels."""
        return self.full_size(size) - self.lo - self.hi

    def input_size(self, output_size: Size) -> Size:
        """The output size of the forward convolution of ``output_size`` pixels: the inverse of ``output_size``."""
        return (output_size + self.lo + self.hi - self.extent) // self.stride + 1
