"""A canvas for figures: words, lines, and grids of coloured numbers. Positions and sizes are in pixels."""

import textwrap
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch, Rectangle
from numpy.typing import ArrayLike, NDArray

from .formatting import Index, format_number, pixel_tint, typeset

INK, FAINT, EMPTY, WINDOW = "#1d2129", "#5b6270", "#eef0f3", "#cfd4dc"
_DPI, _MARGIN = 100, 64
_LEGIBLE = 7.5  # smaller numbers are left out
_DIGIT = 0.7  # the width of a digit or a sign, relative to its height


class Canvas:
    """A white card that grows with what is drawn on it. The origin is its upper left corner."""

    def __init__(self):
        self._figure = Figure(dpi=_DPI, facecolor="none")
        FigureCanvasAgg(self._figure)
        self._axes: Axes = self._figure.add_axes((0, 0, 1, 1))
        self._axes.axis("off")
        self._right = self._bottom = 0.0

    def figure(self) -> Figure:
        """Return the figure, which has the size of its contents and a margin."""
        width, height = self._right + 2 * _MARGIN, self._bottom + 2 * _MARGIN
        self._figure.set_size_inches(width / _DPI, height / _DPI)
        self._axes.set(xlim=(-_MARGIN, width - _MARGIN), ylim=(height - _MARGIN, -_MARGIN))
        card = FancyBboxPatch((-_MARGIN + 34, -_MARGIN + 34), width - 68, height - 68, boxstyle="round,pad=30")
        card.set(facecolor="white", edgecolor="#d5d9e0", linewidth=2, zorder=0)
        self._add(card)
        return self._figure

    def _add(self, shape: Patch) -> None:
        # `add_patch` would also update the axes' limits, which `figure` sets anyway, and take twice as long.
        self._axes.add_artist(shape)

    def grow(self, right: float, bottom: float) -> None:
        self._right, self._bottom = max(self._right, right), max(self._bottom, bottom)

    def text(self, x: float, y: float, words: str, size: float, colour: str = INK, **options) -> float:
        """Draw words ``size`` high, whose left end is at ``x`` by default. Return their width."""
        options = {"va": "center_baseline", **options}
        drawn = self._axes.text(x, y, words, fontsize=size * 72 / _DPI, color=colour, parse_math=False, **options)
        width = drawn.get_window_extent().width
        left = {"left": 0.0, "center": 0.5, "right": 1.0}[drawn.get_horizontalalignment()]
        self.grow(x + width * (1 - left), y + size)
        return width

    def paragraph(self, x: float, y: float, words: str, size: float, characters: int) -> float:
        """Draw faint words in lines of at most so many characters. Return where they end."""
        for line in textwrap.wrap(words, characters):
            self.text(x, y, line, size, FAINT)
            y += 1.5 * size
        return y

    def coloured_words(self, x: float, y: float, size: float, parts: Sequence[tuple[str, str]], width: float) -> float:
        """Draw words, each part in its colour, in lines of at most ``width``. Return where they end."""
        start = x
        for words, colour in parts:
            trial = self._axes.text(0, 0, words, fontsize=size * 72 / _DPI, weight="bold", parse_math=False)
            length = trial.get_window_extent().width
            trial.remove()
            if x > start and x + length > start + width:
                x, y, words = start, y + 1.6 * size, words.lstrip()
            x += self.text(x, y, words, size, colour, weight="bold")
        return y + 1.6 * size

    def outline(self, left: float, top: float, width: float, height: float, colour: str = INK, line: float = 3.5):
        self._add(Rectangle((left, top), width, height, facecolor="none", edgecolor=colour, linewidth=line, zorder=3))

    def _fill(self, left: float, top: float, width: float, height: float, colour: str) -> None:
        self._add(Rectangle((left, top), width, height, facecolor=colour, linewidth=0, zorder=1))

    def _cell(self, left: float, top: float, width: float, height: float, pixels: Sequence[Index], ground: str) -> None:
        """Draw a rectangle that the colours of its pixels share, arranged as the pixels are in the input."""
        self._fill(left, top, width, height, ground)
        rows, columns = (sorted({row_and_column(pixel)[axis] for pixel in pixels}) for axis in (0, 1))
        for pixel in pixels:
            row, column = row_and_column(pixel)
            part, share = width / len(columns), height / len(rows)
            corner = left + columns.index(column) * part, top + rows.index(row) * share
            self._fill(*corner, part, share, pixel_tint(pixel))
        if height > 8:
            self.outline(left, top, width, height, "white", 1.5)

    def grid(
        self,
        values: NDArray,
        left: float,
        top: float,
        side: float,
        pixels: Callable[[Index], Sequence[Index]] = lambda at: [],
        shown: ArrayLike = True,
        ground: ArrayLike = EMPTY,
        width: float | None = None,
        longest: int = 1,
    ) -> tuple[float, float]:
        """Draw numbers in cells that have the colours of ``pixels(index)``, or else of ``ground``.

        Only the numbers that are ``shown`` are drawn. All are of one size, that of ``longest`` characters at most; none
        is drawn if that is too small. Cells are ``side`` high, and as wide unless there is a ``width``. Returns the
        lower right corner.
        """
        rows, columns = rows_and_columns(values.shape)
        width = width or side
        right, bottom = left + columns * width, top + rows * side
        self.grow(right, bottom)
        shown, ground = np.broadcast_to(shown, values.shape), np.broadcast_to(ground, values.shape)
        words = {at: typeset(format_number(values[at])) for at in np.ndindex(values.shape)}
        longest = max(longest, *(len(word) for at, word in words.items() if shown[at]), 1)
        size = min(0.36 * max(side, width / 2), 0.7 * side, 0.9 * width / (_DIGIT * longest), 26)
        for at, word in words.items():
            row, column = row_and_column(at)
            x, y = left + column * width, top + row * side
            self._cell(x, y, width, side, pixels(at), str(ground[at]))
            if size >= _LEGIBLE and shown[at]:
                self.text(x + width / 2, y + side / 2, word, size, ha="center", zorder=4)
        return right, bottom

    def arrow(self, x: float, y: float, word: str) -> None:
        """Draw an arrow to the right with a word over it."""
        self._add(FancyArrowPatch((x - 32, y), (x + 32, y), arrowstyle="-|>", mutation_scale=24, lw=3, color=FAINT))
        self.text(x, y - 34, word, 21, FAINT, ha="center")

    def vertical(self, x: float, top: float, bottom: float) -> None:
        """Draw a vertical line."""
        self._axes.plot((x, x), (top, bottom), color=INK, linewidth=2.5, zorder=4)


def row_and_column(index: Index) -> tuple[int, int]:
    """Return an index in two dimensions: an array of one dimension is one row."""
    return (0, *index)[-2], index[-1]


def rows_and_columns(shape: Index) -> tuple[int, int]:
    """Return a shape in two dimensions: an array of one dimension is one row."""
    return (1, *shape)[-2], shape[-1]
