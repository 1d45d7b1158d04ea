"""The dimension numbers of ``jax.lax``'s convolutions: the roles of the axes of each array."""

from typing import Any, NamedTuple

from .._geometry.arguments import integer, sequence
from .._geometry.layout import Layout
from ..errors import ArgumentError, ArgumentTypeError


class Dimensions(NamedTuple):
    """The axes of the input and of the output: batch, channels, spatial ones.

    Those of the kernel, ``rhs``: output channels, input channels, spatial ones. The spatial axes are in one order, the
    kernel's.
    """

    lhs: tuple[int, ...]
    rhs: tuple[int, ...]
    out: tuple[int, ...]

    @property
    def layout(self) -> Layout:
        """The layout to compute in, which is channels first if the input is in that order, else channels last."""
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
    """Return the axes that ``dimension_numbers`` name for ``rank`` spatial axes.

    ``None`` is channels last, up to three spatial axes; else they are three strings, a
    ``jax.lax.ConvDimensionNumbers``, or ``Dimensions``, which are returned unchanged.
    """
    if isinstance(dimension_numbers, Dimensions):
        return dimension_numbers
    if dimension_numbers is None:
        if rank > 3:
            problem = f"there are no default dimension_numbers for {rank} spatial axes"
            legal, fix = "None for up to 3 spatial axes", f"pass {strings(rank)}"
            raise ArgumentError(problem, got="dimension_numbers = None", legal=legal, fix=fix)
        dimension_numbers = strings(rank)
    if hasattr(dimension_numbers, "lhs_spec"):  # a ConvDimensionNumbers
        return Dimensions(*(_axes(dimension_numbers, name, rank) for name in ("lhs_spec", "rhs_spec", "out_spec")))
    legal = "None, three strings like ('NHWC', 'HWIO', 'NHWC'), or a jax.lax.ConvDimensionNumbers"
    entries = sequence(dimension_numbers, "dimension_numbers", legal)
    if len(entries) != 3 or not all(isinstance(entry, str) for entry in entries):
        fix = "name the axes of the input, of the kernel, and of the output, with one letter for each axis"
        got = f"dimension_numbers = {dimension_numbers!r}"
        raise ArgumentTypeError("dimension_numbers must be three strings", got=got, legal=legal, fix=fix)
    space, found = [letter for letter in entries[1] if letter not in "OI"], []
    for number, (entry, outer) in enumerate(zip(entries, ("NC", "OI", "NC"), strict=True)):
        if sorted(entry) != sorted([*outer, *space]) or len(set(entry)) != len(entry) or len(space) != rank:
            problem = f"dimension_numbers[{number}] does not name each axis once"
            got = f"dimension_numbers = {tuple(entries)}, for {rank} spatial axes"
            legal = f"{outer[0]}, {outer[1]} and the same {rank} other letters in all three, in any order"
            fix = "write one letter for each axis: N and C in the first and last, O and I in the kernel's"
            raise ArgumentError(problem, got=got, legal=legal, fix=fix)
        found.append(tuple(entry.index(letter) for letter in (*outer, *space)))
    return Dimensions(*found)


def strings(rank: int, channels_first: bool = False) -> tuple[str, str, str]:
    """Return dimension numbers of ``rank`` spatial axes as letters, with a kernel of ``(k..., in, out)``."""
    space = "DHW"[3 - rank :] if rank <= 3 else "".join(chr(ord("a") + i) for i in range(rank))
    images = f"NC{space}" if channels_first else f"N{space}C"
    return images, f"{space}IO", images


def _axes(numbers: Any, name: str, rank: int) -> tuple[int, ...]:
    """Return one of the three permutations of a ``ConvDimensionNumbers``."""
    legal, label = f"each of 0 to {rank + 1} once", f"dimension_numbers.{name}"
    entries = tuple(integer(axis, label, 0) for axis in sequence(getattr(numbers, name), label, legal))
    if sorted(entries) != list(range(rank + 2)):
        problem, got = f"{label} is not a permutation of {rank + 2} axes", f"{label} = {entries}"
        fix = "list the axis of the batch (the output channels), that of the channels, and the spatial ones"
        raise ArgumentError(problem, got=got, legal=legal, fix=fix)
    return entries
