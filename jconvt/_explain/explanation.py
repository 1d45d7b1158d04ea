"""An explanation as it is met: it prints itself, and knows what draws it, what writes it and what plays it."""

import dataclasses
import os
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from . import written
from .views import Index, Views


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Explanation(Views):
    """One input channel's part in one output channel of a transposed convolution, product by product.

    ``jconvt.explain`` makes it. It prints itself, ``figure`` draws it, ``save`` writes it as a picture, as an animation
    or as a page to play with, and a notebook shows that page. Indices are those of the spatial axes.
    """

    @property
    def notes(self) -> list[str]:
        """What has to be said before the numbers are read, if anything."""
        notes = []
        if len(self.pairs) > 1:
            added = self.filters.shape[-1] // self.spec.groups
            notes.append(
                f"Input channel {self.input_channel}, output channel {self.output_channel}; the call adds up {added} "
                f"{'such pairs' if added > 1 else 'such pair'} for each output channel."
            )
        if self.backwards:
            notes.append("This convention stamps its kernels backwards: the kernel here is the one given, flipped.")
        if self.wraps:
            notes.append(f"Some sums are too large for {self.answer.dtype}: in the call's own answer they wrap around.")
        elif self.overflows:
            notes.append(
                f"Some sums are too large for {self.answer.dtype}: in the call's own answer they are not finite."
            )
        elif self.rounds:
            notes.append(f"The call's own answer is rounded to {self.answer.dtype}; here, the sums are not.")
        return notes

    def sentence(self, cell: Any) -> str:
        """One output's sum, as a line.

        >>> from jconvt import explain
        >>> from jconvt._testing import example
        >>> explain(example.INPUT, example.FILTERS, **example.ARGUMENTS).sentence((0, 0))
        'out[0,0] = -67*-1 = 67'
        """
        return "".join(text for text, _ in self.spelled(cell))

    def spelled(self, cell: Any) -> Iterator[tuple[str, Index | None]]:
        """The parts of ``sentence``, each with the input pixel that it is about, if any."""
        cell = self.cell(cell)
        yield f"out{written.place(cell)} = ", None
        terms = self.products(cell)
        for number, (pixel, tap, _) in enumerate(terms):
            if number:
                yield " + ", None
            yield f"{written.factor(self.input[pixel])}*{written.factor(self.kernel[tap])}", pixel
        yield f"{' = ' if terms else ''}{written.number(self.output[cell])}", None
        if not terms:
            yield ", as no stamp reaches it", None

    def unflipped(self, cell: Any) -> str:
        """What one output would be if the kernel slid over the zero-filled input as it is: what it is *not*.

        >>> from jconvt import explain
        >>> from jconvt._testing import example
        >>> explain(example.INPUT, example.FILTERS, **example.ARGUMENTS).unflipped((0, 0))
        'Without the flip, out[0,0] would be -67*-9 = 603.'
        """
        cell = self.cell(cell)
        last = [axis.kernel - 1 for axis in self.spec.axes]
        mirrored = [
            (pixel, tuple(k - t for k, t in zip(last, tap, strict=True))) for pixel, tap, _ in self.products(cell)
        ]
        with np.errstate(all="ignore"):
            total = sum((self.input[pixel] * self.kernel[tap] for pixel, tap in mirrored), self.output.dtype.type(0))
        terms = (f"{written.factor(self.input[pixel])}*{written.factor(self.kernel[tap])}" for pixel, tap in mirrored)
        middle = f"{' + '.join(terms)} = " if mirrored else ""
        return f"Without the flip, out{written.place(cell)} would be {middle}{written.number(total)}."

    def __repr__(self) -> str:
        return f"<{self.call}: input {self.input.shape}, output {self.output.shape}, {self.sentence(self.busiest)}>"

    def __str__(self) -> str:
        lines = [self.call, *map(self.sentence, np.ndindex(self.output.shape))]
        return "\n".join(lines)

    def figure(self, view: str = "stamps", cell: Any = None) -> Any:
        """A matplotlib figure: "stamps", "dilated", "gradient" or "overlap".

        Args:
          view: what to draw.
          cell: the output whose sum is spelled out; left out, one with the most products.

        Raises:
          ArgumentError: there is no such view, or no such output.
          ModuleNotFoundError: matplotlib is not installed.
        """
        return _figures().draw(self, view, cell)

    def html(self, cell: Any = None) -> str:
        """A page of its own, to play with: hover, touch, or walk by keyboard. It needs nothing from the network.

        It begins with the sum of ``cell``; left out, of an output with the most products.
        """
        from . import page

        return page.html(self, cell)

    def svg(self, view: str = "stamps", cell: Any = None) -> str:
        """``figure`` as the text of an SVG file."""
        return _figures().svg(self, view, cell)

    def save(self, path: str | os.PathLike[str], view: str | None = None, cell: Any = None) -> None:
        """Writes a file, or leaves it as it was: a page (.html), a picture (.png, .svg, .pdf) or an animation (.gif).

        Args:
          path: its ending says what is written.
          view: as in ``figure``; a GIF walks through "dilated" where it is left out. A page has all views.
          cell: as in ``figure``; a GIF walks through all outputs.

        Raises:
          ArgumentError: the ending is none of these, or the file cannot be written.
          ModuleNotFoundError: for pictures, matplotlib is not installed.
        """
        from . import files

        files.save(self, path, view, cell)

    def _repr_html_(self) -> str:
        from . import page

        return page.frame(self)


def _figures() -> ModuleType:
    try:
        from . import figures
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise ModuleNotFoundError(
            "figures need the package matplotlib: pip install 'jconvt[plot]'", name=error.name
        ) from error
    return figures
