"""The parts of figures: headings, operands, stamps, the sliding window, the matrix, and sums in their colours."""

import numpy as np
from numpy.typing import NDArray

from .canvas import EMPTY, FAINT, INK, WINDOW, Canvas, row_and_column, rows_and_columns
from .formatting import COLOURS, WORDS_ON_LIGHT, Index, colour_number, format_factor, typeset
from .products import ProductTable, pixels_at, ravel, window_mask

_TITLE, _CALL, _LABEL, _SUM = 33, 21, 25, 24  # heights of words, in pixels
_PIXEL, _TAP, _BETWEEN = 86.0, 72.0, 100.0  # the largest cells of input and kernel, and the gap between the two
_OPERANDS = 240.0  # the room for each operand
_HEAD = 118  # from a title to its view
_LONGEST = 100  # characters of a call


class Drawing(Canvas):
    """A canvas for one product table, on which one output is marked."""

    def __init__(self, table: ProductTable, cell: Index):
        super().__init__()
        self.table, self.cell = table, cell

    def heading(self, title: str) -> float:
        """Draw a title, the call and the notes. Return where the view begins."""
        call = self.table.call
        call = call if len(call) <= _LONGEST else call[: _LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"
        self.text(0, 16, title, _TITLE, weight="bold")
        self.text(0, 62, call, _CALL, FAINT, family="monospace")
        for number, note in enumerate(self.table.notes, 1):
            self.text(0, 62 + 30 * number, note, _CALL, FAINT)
        return _HEAD + 30 * len(self.table.notes)

    def label(self, x: float, y: float, words: str, **options) -> None:
        self.text(x, y, words, _LABEL, weight="bold", **options)

    def sign(self, x: float, y: float, sign: str, size: float = 30) -> None:
        self.text(x, y, sign, size, FAINT, ha="center")

    def sum(self, x: float, y: float, cell: Index, width: float) -> float:
        """Draw one output's sum in the colours of its pixels. Return where it ends."""
        parts = [(typeset(text), pixel_ink(pixel) if pixel else INK) for text, pixel in self.table.spelled(cell)]
        return self.coloured_words(x, y, _SUM, parts, width)

    def unflipped(self, x: float, y: float, characters: int) -> float:
        """Draw what the first output would be without the flip. Return where it ends."""
        return self.paragraph(x, y, typeset(self.table.unflipped(self.table.first)), _CALL, characters)

    def operands_size(self) -> tuple[float, float]:
        """Return the width and the height of both operands."""
        (height, width), (other_height, other_width) = (
            np.multiply(rows_and_columns(values.shape), fitting(values.shape, largest, _OPERANDS)).tolist()
            for values, largest in ((self.table.input, _PIXEL), (self.table.kernel, _TAP))
        )
        return max(width, other_width, _OPERANDS), height + other_height + _BETWEEN + 40

    def operands(self, middle: float) -> None:
        """Draw the input over the kernel, centred on a height."""
        width, height = self.operands_size()
        top = middle - height / 2
        for name, values, largest in (("input", self.table.input, _PIXEL), ("kernel", self.table.kernel, _TAP)):
            rows, columns = rows_and_columns(values.shape)
            side = fitting(values.shape, largest, _OPERANDS)
            self.label(width / 2, top + 14, name, ha="center")
            pixels = (lambda at: [at]) if name == "input" else (lambda at: [])
            self.grid(values, (width - columns * side) / 2, top + 40, side, pixels)
            top += rows * side + _BETWEEN

    def stamp(self, pixel: Index, left: float, top: float, side: float, longest: int) -> None:
        """Draw one input pixel's stamp under its factor, and mark two outputs if it reaches them."""
        table, row = self.table, ravel(pixel, self.table.input.shape)
        stamp, reached = table.stamps[pixel], table.taps[row].reshape(table.output.shape) >= 0
        width = rows_and_columns(stamp.shape)[1] * side
        value = typeset(format_factor(table.input[pixel]))
        words = f"{value} \N{MULTIPLICATION SIGN} kernel" if width > 150 else value
        size = min(23.0, 1.5 * width / len(words))
        self.text(left + width / 2, top - 20, words, size, pixel_ink(pixel), ha="center", weight="bold")
        pixels = pixels_at(table, np.where(reached, row, -1))
        self.grid(stamp, left, top, side, pixels, reached, longest=longest)
        self.stamp_outline(pixel, left, top, side, 3 if side > 20 else 1.5)
        for marked in {table.first, self.cell}:
            if reached[marked]:
                self.mark(marked, left, top, side, 2.5)

    def stamp_outline(self, pixel: Index, left: float, top: float, side: float, line: float) -> None:
        """Draw the edge of a stamp, up to the crop."""
        edges = [(0, 1)]
        for i, axis, size in zip(pixel, self.table.spec.axes, self.table.output.shape, strict=True):
            start = i * axis.stride - axis.lo
            edges.append((max(start, 0), min(start + axis.extent, size)))
        (up, down), (west, east) = edges[-2:]
        if up < down and west < east:
            colour = COLOURS[colour_number(pixel)]
            self.outline(left + west * side, top + up * side, (east - west) * side, (down - up) * side, colour, line)

    def mark(self, cell: Index, left: float, top: float, side: float, line: float = 3.5) -> None:
        """Draw a frame around one output."""
        row, column = row_and_column(cell)
        self.outline(left + column * side, top + row * side, side, side, line=line if side > 20 else 1.5)

    def zero_filled(self, cell: Index, left: float, top: float, side: float) -> tuple[float, float]:
        """Draw the zero-filled input and the window of an output, with zeros only there. Return the last corner."""
        table, places, inside = self.table, self.table.zero_filled_pixels, window_mask(self.table, cell)
        ground = np.where(inside, WINDOW, EMPTY)
        end = self.grid(table.zero_filled, left, top, side, pixels_at(table, places), (places >= 0) | inside, ground)
        (rows, columns), (row, column) = rows_and_columns(table.window), row_and_column(cell)
        self.outline(left + column * side, top + row * side, columns * side, rows * side)
        return end

    def flipped_kernel(self, left: float, top: float, side: float) -> tuple[float, float]:
        """Draw the window's contents, with blanks between the taps of a dilated kernel. Return the last corner."""
        end = self.grid(self.table.flipped_kernel, left, top, side, shown=self.table.window_taps >= 0)
        rows, columns = rows_and_columns(self.table.window)
        self.outline(left, top, columns * side, rows * side)
        return end

    def matrix(self, cell: Index, left: float, top: float, side: float, transposed: bool = False) -> None:
        """Draw C and frame the column of one output; or draw C transposed and frame the row."""
        values, taps = self.table.matrix, self.table.taps
        places: NDArray[np.intp] = np.where(taps >= 0, np.arange(len(taps))[:, None], -1)
        length, at = len(taps) * side, ravel(cell, self.table.output.shape) * side
        outline = (left + at, top, side, length)
        if transposed:
            values, places, outline = values.T, places.T, (left, top + at, length, side)
        self.grid(values, left, top, side, pixels_at(self.table, places), places >= 0)
        self.outline(*outline, line=2.5)


def fitting(shape: Index, largest: float, room: float) -> float:
    """Return the side of cells with which an array fits a room; an array of one row gets a wider room."""
    return min(largest, (room if len(shape) > 1 else 1.6 * room) / max(shape))


def pixel_ink(pixel: Index) -> str:
    return WORDS_ON_LIGHT[colour_number(pixel)]
