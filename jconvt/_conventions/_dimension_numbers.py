"""The dimension numbers of ``jax.lax``'s convolutions: which axis of each array is which."""

from typing import Any, NamedTuple

from .._geometry.arguments import integer, sequence
from .._geometry.layout import Layout
from ..errors import ArgumentError, ArgumentTypeError


class Dimensions(NamedTuple):
    """The axes of the input, ``lhs``, and of the output: batch, channels, spatial ones.

    Those of the kernel, ``rhs``: output channels, input channels, spatial ones. The spatial axes are in one order, the
    kernel's.
    """

    lhs: tuple[int, ...]
    rhs: tuple[int, ...]
    out: tuple[int, ...]

    @property
    def layout(self) -> Layout:
        """The layout to compute in: channels first if the input is in that order, channels last otherwise."""
        return Layout(len(self.lhs) - 2, channels_first=self.lhs == tuple(range(len(self.lhs))))

    @property
    def input_order(self) -> tuple[int, ...]:
        """The axes of the input in the order of ``layout``."""
        batch, channels, *spatial = self.lhs
        return self.lhs if self.layout.channels_first else (batch, *spatial, channels)

    @property
    def output_order(self) -> tuple[int, ...]:
        """The axes of a result in ``layout`` in the order of the output."""
        layout = self.layout
        found = dict(zip(self.out, (0, layout.channel_axis, *layout.spatial_axes), strict=True))
        return tuple(found[axis] for axis in range(len(self.out)))


def dimensions(dimension_numbers: Any, rank: int) -> Dimensions:
    """What ``dimension_numbers`` say for ``rank`` spatial axes.

    ``None`` is channels last, up to three spatial axes; else they are three strings, or a
    ``jax.lax.ConvDimensionNumbers``.
    """
    if dimension_numbers is None:
        if rank > 3:
            raise ArgumentError(
                f"there are no default dimension_numbers for {rank} spatial axes",
                got="dimension_numbers = None",
                legal="None for up to 3 spatial axes",
                fix=f"pass {strings(rank)}",
            )
        last = (0, rank + 1, *range(1, rank + 1))
        return Dimensions(last, (rank + 1, rank, *range(rank)), last)
    if hasattr(dimension_numbers, "lhs_spec"):  # a ConvDimensionNumbers
        lhs, rhs, out = (_axes(dimension_numbers, name, rank) for name in ("lhs_spec", "rhs_spec", "out_spec"))
        return Dimensions(lhs, rhs, out)
    legal = "None, three strings like ('NHWC', 'HWIO', 'NHWC'), or a jax.lax.ConvDimensionNumbers"
    entries = sequence(dimension_numbers, "dimension_numbers", legal)
    if len(entries) != 3 or not all(isinstance(entry, str) for entry in entries):
        raise ArgumentTypeError(
            "dimension_numbers must be three strings",
            got=f"dimension_numbers = {dimension_numbers!r}",
            legal=legal,
            fix="name the axes of the input, of the kernel, and of the output, one letter an axis",
        )
    space = [letter for letter in entries[1] if letter not in "OI"]
    for number, (entry, outer) in enumerate(zip(entries, ("NC", "OI", "NC"), strict=True)):
        if sorted(entry) != sorted([*outer, *space]) or len(set(entry)) != len(entry) or len(space) != rank:
            raise ArgumentError(
                f"dimension_numbers[{number}] does not name each axis once",
                got=f"dimension_numbers = {tuple(entries)}, for {rank} spatial axes",
                legal=f"{outer[0]}, {outer[1]} and the same {rank} other letters in all three, in any order",
                fix="write one letter an axis: N and C in the first and last, O and I in the kernel's",
            )
    lhs, rhs, out = (
        tuple(entry.index(letter) for letter in (*outer, *space))
        for entry, outer in zip(entries, ("NC", "OI", "NC"), strict=True)
    )
    return Dimensions(lhs, rhs, out)


def strings(rank: int, channels_first: bool = False) -> tuple[str, str, str]:
    """Dimension numbers of ``rank`` spatial axes, in letters: output like input, the kernel ``(k..., in, out)``."""
    space = "DHW"[-rank:] if rank <= 3 else "".join(chr(ord("a") + i) for i in range(rank))
    images = f"NC{space}" if channels_first else f"N{space}C"
    return images, f"{space}IO", images


def _axes(numbers: Any, name: str, rank: int) -> tuple[int, ...]:
    """One of the three permutations of a ``ConvDimensionNumbers``."""
    legal, label = f"each of 0 to {rank + 1} once", f"dimension_numbers.{name}"
    entries = [integer(axis, label, 0) for axis in sequence(getattr(numbers, name), label, legal)]
    if sorted(entries) != list(range(rank + 2)):
        raise ArgumentError(
            f"{label} is no order of {rank + 2} axes",
            got=f"{label} = {tuple(entries)}",
            legal=legal,
            fix="list the axis of the batch (the output channels), that of the channels, and the spatial ones",
        )
    return tuple(entries)
