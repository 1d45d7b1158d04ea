"""The object that ``jconvt.explain`` returns: the products, and methods that print, draw and save them."""

import dataclasses
import os
from typing import Any

import numpy as np

from . import export, page
from .products import ProductTable


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Explanation(ProductTable):
    """The products of one input channel with one output channel of a transposed convolution.

    ``jconvt.explain`` makes it. ``print`` shows all sums, ``figure`` draws them, and ``save`` writes a picture, an
    animation or an interactive page. A notebook shows that page. Indices are those of the spatial axes.
    """

    def __repr__(self) -> str:
        return f"<{self.call}: input {self.input.shape}, output {self.output.shape}, {self.sentence(self.busiest)}>"

    def __str__(self) -> str:
        return "\n".join([self.call, *map(self.sentence, np.ndindex(self.output.shape))])

    def figure(self, view: str = "stamps", cell: Any = None) -> Any:
        """Return a matplotlib figure.

        Args:
          view: "stamps", "dilated", "gradient" or "overlap"; "all" draws the first three.
          cell: the output whose sum the figure spells out; by default, one with the most products.

        Raises:
          ArgumentError: there is no such view, or no such output.
          ModuleNotFoundError: matplotlib is not installed.
        """
        from . import figures  # imports matplotlib

        return figures.draw(self, view, cell)

    def svg(self, view: str = "stamps", cell: Any = None) -> str:
        """Return ``figure`` as the text of an SVG file."""
        from . import figures

        return figures.svg(self, view, cell)

    def html(self, cell: Any = None, language: str = "en") -> str:
        """Return an interactive page: hover, touch, or walk by keyboard. It needs nothing from the network.

        It begins with the sum of ``cell``; by default, of an output with the most products. ``language`` is "en" or
        "zh", Chinese.
        """
        return page.html(self, cell, language)

    def save(
        self, path: str | os.PathLike[str], view: str | None = None, cell: Any = None, language: str = "en"
    ) -> None:
        """Write a page (.html), a picture (.png, .svg, .pdf) or an animation (.gif). On errors the old file stays.

        Args:
          path: the file; its ending selects the format.
          view: as in ``figure``; a GIF shows "dilated" by default. A page has all views.
          cell: as in ``figure``; a GIF walks through all outputs.
          language: as in ``html``; pictures are in English.

        Raises:
          ArgumentError: the ending is none of these, or the file cannot be written.
          ModuleNotFoundError: for pictures, matplotlib is not installed.
        """
        export.save(self, path, view, cell, language)

    def _repr_html_(self) -> str:
        return page.frame(self)
