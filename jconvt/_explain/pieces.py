"""What the figures are made of: operands, stamps' outlines, the sliding window, the matrix, a sum in its colours."""

import numpy as np

from . import palette, written
from .board import EMPTY, FAINT, INK, WINDOW, Board
from .explanation import Explanation
from .views import Index

LABEL = 25  # pixels: the height of the words over a grid
_TITLE, _CALL = 33, 21
_PIXEL, _TAP, _BETWEEN = 86.0, 72.0, 100.0  # the largest cells of input and kernel, and what lies between the two
_OPERANDS = 240.0  # the room for each operand
_HEAD = 118  # where a view begins, under its title
_LONGEST = 100  # characters of a call


def heading(board: Board, explanation: Explanation, title: str, top: float) -> float:
    board.text(0, top + 16, title, _TITLE, weight="bold")
    call = (
        explanation.call
        if len(explanation.call) <= _LONGEST
        else explanation.call[: _LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"
    )
    board.text(0, top + 62, call, _CALL, FAINT, family="monospace")
    for note in explanation.notes:
        top += 30
        board.text(0, top + 62, note, _CALL, FAINT)
    return top + _HEAD


def fitting(shape: Index, largest: float, room: float) -> float:
    """The side of an array's cells that fills a room, where one row may be longer than several are wide."""
    return min(largest, (room if len(shape) > 1 else 1.6 * room) / max(shape))


def operands(board: Board, explanation: Explanation, middle: float) -> None:
    """Input over kernel, centred on a height."""
    width, height = operands_size(explanation)
    top = middle - height / 2
    for name, values, largest in (("input", explanation.input, _PIXEL), ("kernel", explanation.kernel, _TAP)):
        rows, columns = grid(values.shape)
        side = fitting(values.shape, largest, _OPERANDS)
        board.text(width / 2, top + 14, name, LABEL, ha="center", weight="bold")
        pixels = (lambda at: [at]) if name == "input" else (lambda at: [])
        board.table(values, (width - columns * side) / 2, top + 40, side, pixels)
        top += rows * side + _BETWEEN


def operands_size(explanation: Explanation) -> tuple[float, float]:
    """The width and the height of both operands."""
    sizes = [
        np.multiply(grid(values.shape), fitting(values.shape, largest, _OPERANDS))
        for values, largest in ((explanation.input, _PIXEL), (explanation.kernel, _TAP))
    ]
    (height, width), (more, wide) = sizes
    return float(max(width, wide, _OPERANDS)), float(height + more + _BETWEEN + 40)


def outline_stamp(
    board: Board, explanation: Explanation, pixel: Index, left: float, top: float, side: float, line: float
) -> None:
    """The edge of a stamp, as far as it is not cropped."""
    edges = []
    for i, axis, size in zip(pixel, explanation.spec.axes, explanation.output.shape, strict=True):
        start = i * axis.stride - axis.lo
        edges.append((max(start, 0), min(start + axis.extent, size)))
    (up, down), (west, east) = ([(0, 1)], [])[len(edges) - 1] + edges
    if up < down and west < east:
        colour = palette.COLOURS[palette.colour(pixel)]
        board.outline(left + west * side, top + up * side, (east - west) * side, (down - up) * side, colour, line)


def mark(board: Board, cell: Index, left: float, top: float, side: float, line: float) -> None:
    row, column = (0, *cell)[-2:]
    board.outline(left + column * side, top + row * side, side, side, INK, line if side > 20 else 1.5)


def grid(shape: Index) -> tuple[int, int]:
    """Rows and columns, of which one dimension has one row."""
    rows, columns = (1, *shape)[-2:]
    return rows, columns


def word(pixel: Index) -> str:
    return palette.ON_LIGHT[palette.colour(pixel)]


def sentence(explanation: Explanation, cell: Index) -> list[tuple[str, str]]:
    """One output's sum, in its pixels' colours."""
    return [(written.typeset(text), INK if pixel is None else word(pixel)) for text, pixel in explanation.spelled(cell)]


def zero_filled(board: Board, explanation: Explanation, cell: Index, left: float, top: float, side: float) -> None:
    """The zero-filled input, with the window of an output. Zeros are written in the window alone."""
    values, pixels = explanation.zero_filled, explanation.zero_filled_pixels
    inputs = list(np.ndindex(explanation.input.shape))

    def inside(at: Index) -> bool:
        return all(p <= i < p + extent for i, p, extent in zip(at, cell, explanation.window, strict=True))

    board.table(
        values,
        left,
        top,
        side,
        lambda at: [inputs[pixels[at]]] if pixels[at] >= 0 else [],
        lambda at: bool(pixels[at] >= 0) or inside(at),
        lambda at: WINDOW if inside(at) else EMPTY,
    )
    (rows, columns), (row, column) = grid(explanation.window), (0, *cell)[-2:]
    board.outline(left + column * side, top + row * side, columns * side, rows * side, INK, 3.5)


def flipped_kernel(board: Board, explanation: Explanation, left: float, top: float, side: float) -> None:
    """The window itself. Between the taps of a dilated kernel it is blank."""
    taps, (rows, columns) = explanation.window_taps, grid(explanation.window)
    board.table(explanation.flipped_kernel, left, top, side, lambda at: [], lambda at: bool(taps[at] >= 0))
    board.outline(left, top, columns * side, rows * side, INK, 3.5)


def matrix(
    board: Board, explanation: Explanation, cell: Index, left: float, top: float, side: float, transposed: bool = False
) -> None:
    """C, or C transposed, with what belongs to one output outlined: a column, or a row."""
    inputs = list(np.ndindex(explanation.input.shape))
    values, taps = explanation.matrix, explanation.taps
    length, at = len(inputs) * side, int(np.ravel_multi_index(cell, explanation.output.shape)) * side
    if transposed:
        values, taps = values.T, taps.T
    board.table(
        values,
        left,
        top,
        side,
        lambda at: [inputs[at[transposed]]] if taps[at] >= 0 else [],
        lambda at: bool(taps[at] >= 0),
    )
    if transposed:
        board.outline(left, top + at, length, side, INK, 2.5)
    else:
        board.outline(left + at, top, side, length, INK, 2.5)
