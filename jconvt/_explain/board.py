"""What the figures are drawn with: cells, tables, words and sentences, at places and in sizes counted in pixels."""

import itertools
import textwrap
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch, Rectangle
from numpy.typing import NDArray

from . import palette, written
from .views import Index

INK, FAINT, EMPTY, WINDOW = "#1d2129", "#5b6270", "#eef0f3", "#cfd4dc"
_DPI = 100
_MARGIN = 64
_LEGIBLE = 7.5  # pixels: smaller numbers are left out
_DIGIT = 0.7  # the width of a digit or a sign, in times its height

Pixels = Callable[[Index], Sequence[Index]]


class Board:
    """A white card that grows with what is drawn on it. The origin is its upper left corner."""

    def __init__(self):
        self._figure = Figure(dpi=_DPI, facecolor="none")
        FigureCanvasAgg(self._figure)
        self._axes: Axes = self._figure.add_axes((0, 0, 1, 1))
        self._axes.axis("off")
        self._right = self._bottom = 0.0

    def figure(self) -> Figure:
        """The figure, as large as what is on it, with a margin."""
        width, height = self._right + 2 * _MARGIN, self._bottom + 2 * _MARGIN
        self._figure.set_size_inches(width / _DPI, height / _DPI)
        self._axes.set(xlim=(-_MARGIN, width - _MARGIN), ylim=(height - _MARGIN, -_MARGIN))
        card = FancyBboxPatch((-_MARGIN + 34, -_MARGIN + 34), width - 68, height - 68, boxstyle="round,pad=30")
        card.set(facecolor="white", edgecolor="#d5d9e0", linewidth=2, zorder=0)
        self._put(card)
        return self._figure

    def _put(self, shape: Patch) -> None:
        # An artist like any other: as a patch it would first widen the axes' limits, which are set at the end anyway,
        # and that takes as long as all the rest.
        self._axes.add_artist(shape)

    def reach(self, right: float, bottom: float) -> None:
        """Makes the board as large as this."""
        self._right, self._bottom = max(self._right, right), max(self._bottom, bottom)

    def text(self, x: float, y: float, words: str, size: float, colour: str = INK, **options) -> float:
        """Words ``size`` pixels high, whose left end is at ``x`` unless told otherwise. Returns their width."""
        options = {"va": "center_baseline", **options}
        drawn = self._axes.text(x, y, words, fontsize=size * 72 / _DPI, color=colour, parse_math=False, **options)
        width = drawn.get_window_extent().width
        left = {"left": 0.0, "center": 0.5, "right": 1.0}[drawn.get_horizontalalignment()]
        self.reach(x + width * (1 - left), y + size)
        return width

    def paragraph(self, x: float, y: float, words: str, size: float, characters: int, **options) -> float:
        """Words in lines of at most so many characters. Returns where they end."""
        for line in textwrap.wrap(words, characters):
            self.text(x, y, line, size, **options)
            y += 1.5 * size
        return y

    def sentence(self, x: float, y: float, size: float, parts: Sequence[tuple[str, str]], width: float) -> float:
        """Words, each part in a colour of its own, in lines no wider than ``width``. Returns where they end."""
        start = x
        for words, colour in parts:
            drawn = self._axes.text(0, 0, words, fontsize=size * 72 / _DPI, weight="bold", parse_math=False)
            taken = drawn.get_window_extent().width
            drawn.remove()
            if x > start and x + taken > start + width:
                x, y, words = start, y + 1.6 * size, words.lstrip()
            x += self.text(x, y, words, size, colour, weight="bold")
        return y + 1.6 * size

    def outline(self, left: float, top: float, width: float, height: float, colour: str, line: float) -> None:
        """A rectangle of lines."""
        self._put(Rectangle((left, top), width, height, facecolor="none", edgecolor=colour, linewidth=line, zorder=3))

    def cell(
        self, left: float, top: float, width: float, height: float, pixels: Sequence[Index], ground: str = EMPTY
    ) -> None:
        """A rectangle that the colours of its pixels share, lying in it as the pixels lie in the input."""
        self._fill(left, top, width, height, ground)
        places = [(0, *pixel)[-2:] for pixel in pixels]
        rows, columns = (sorted(set(numbers)) for numbers in zip(*places, strict=True)) if places else ((), ())
        for pixel, (row, column) in zip(pixels, places, strict=True):
            part, share = width / len(columns), height / len(rows)
            corner = left + columns.index(column) * part, top + rows.index(row) * share
            self._fill(*corner, part, share, palette.tint(palette.COLOURS[palette.colour(pixel)]))
        if height > 8:
            self.outline(left, top, width, height, "white", 1.5)

    def _fill(self, left: float, top: float, width: float, height: float, colour: str) -> None:
        self._put(Rectangle((left, top), width, height, facecolor=colour, linewidth=0, zorder=1))

    def table(
        self,
        values: NDArray,
        left: float,
        top: float,
        side: float,
        pixels: Pixels,
        shown: Callable[[Index], bool] = lambda at: True,
        ground: Callable[[Index], str] = lambda at: EMPTY,
        width: float | None = None,
        longest: int = 1,
    ) -> None:
        """Numbers in cells of the colours of ``pixels(index)``; those that are not ``shown`` are left blank.

        All numbers are of one size, that of ``longest`` characters at most, and are left out where it would be too
        small. Cells are ``side`` high, and as wide unless a ``width`` is given.
        """
        rows, columns = (1, *values.shape)[-2:]
        width = width or side
        self.reach(left + columns * width, top + rows * side)
        words = {at: written.typeset(written.number(values[at])) for at in np.ndindex(values.shape)}
        size = _fitting(width, side, max(longest, *(len(number) for at, number in words.items() if shown(at)), 1))
        for at, number in words.items():
            row, column = (0, *at)[-2:]
            x, y = left + column * width, top + row * side
            self.cell(x, y, width, side, pixels(at), ground(at))
            if size and shown(at):
                self.text(x + width / 2, y + side / 2, number, size, ha="center", zorder=4)

    def arrow(self, x: float, y: float, words: str) -> None:
        """An arrow to the right, with a word over it."""
        self._put(FancyArrowPatch((x - 32, y), (x + 32, y), arrowstyle="-|>", mutation_scale=24, lw=3, color=FAINT))
        self.text(x, y - 34, words, 21, FAINT, ha="center")

    def line(self, points: Sequence[tuple[float, float]], colour: str = INK) -> None:
        """Straight lines from point to point."""
        for start, end in itertools.pairwise(points):
            self._axes.plot(*zip(start, end, strict=True), color=colour, linewidth=2.5, zorder=4)


def _fitting(width: float, height: float, longest: int) -> float:
    """How high numbers can be in cells of these sizes; 0 where nobody could read them."""
    size = min(0.36 * max(height, width / 2), 0.7 * height, 0.9 * width / (_DIGIT * longest), 26)
    return size if size >= _LEGIBLE else 0
