"""What a geometry is in a framework's own words: one call, and what has to go around it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from .._geometry.axis import Axis
from .._geometry.kernel_layout import KernelLayout
from .._geometry.layout import Layout


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of a framework's function that computes a geometry.

    ``arguments`` are those beside the input and the kernel, as literals. ``layout`` is the input's and the output's;
    ``kernel`` is how the function wants the kernel. ``crop`` is what remains to be removed from the result, before and
    after along each spatial axis: a negative number adds zeros, and these are added first.
    """

    function: str
    arguments: Mapping[str, Any]
    layout: Layout
    kernel: KernelLayout
    crop: tuple[tuple[int, int], ...]

    @property
    def exact(self) -> bool:
        """Whether the call alone gives the result."""
        return not any(map(any, self.crop))


def remainder(wanted: Sequence[Axis], computed: Sequence[Axis]) -> tuple[tuple[int, int], ...]:
    """What is left to crop where a function computes other ends of the canvas than those that are wanted."""
    return tuple((a.lo - b.lo, a.hi - b.hi) for a, b in zip(wanted, computed, strict=True))
