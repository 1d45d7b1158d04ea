"""The figures: the stamps, the dilated view, the gradient view, and the map of overlaps; or the first three in one."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ArgumentError
from . import palette, written
from .board import FAINT, INK, WINDOW, Board
from .explanation import Explanation
from .views import Index

_TITLE, _CALL, _LABEL, _SENTENCE = 33, 21, 25, 24
_PIXEL, _TAP, _BETWEEN = 86.0, 72.0, 100.0  # the largest cells of input and kernel, and what lies between the two
_HEAD = 118  # where a view begins, under its title
_LONGEST = 100  # characters of a call


def draw(explanation: Explanation, view: str, cell: Any = None, partly: bool = False) -> Any:
    """The figure of a view, with the sum of ``cell`` spelled out; of "dilated" also ``partly``, as far as that cell."""
    if view not in VIEWS:
        raise ArgumentError(
            "unknown view", got=f"view = {view!r}", legal=", ".join(map(repr, VIEWS)), fix="pass one of these"
        )
    board = Board()
    cell = explanation.busiest if cell is None else explanation.cell(cell)
    if partly:
        dilated(board, explanation, cell, last=cell)
    else:
        VIEWS[view](board, explanation, cell)
    return board.figure()


def svg(explanation: Explanation, view: str, cell: Any = None) -> str:
    """The figure as the text of an SVG file, the same for the same numbers."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "jconvt", "svg.fonttype": "none"}):
        file = io.StringIO()
        draw(explanation, view, cell).savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def stamps(board: Board, explanation: Explanation, cell: Index, top: float = 0) -> float:
    """Each pixel's stamp on a canvas of its own, and their sum. Returns where it ends."""
    top = _heading(board, explanation, "Each input pixel stamps the kernel; where stamps overlap, they add up", top)
    rows, columns = (*explanation.input.shape, 1)[:2]  # in one dimension, stamps stand under each other
    out_rows, out_columns = _grid(explanation.output.shape)
    side = max(6.0, min(64.0, 720 / max(columns * out_columns, rows * out_rows * 0.8)))
    gap = max(16.0, side * 0.6)
    width, height = out_columns * side + gap, out_rows * side + gap + 44
    operands = 240.0
    middle = top + max(rows * height, _operands_height(explanation, operands) + 40) / 2
    start = middle - rows * height / 2

    _operands(board, explanation, middle, operands)
    board.arrow(operands + 52, middle, "stamp")
    left = operands + 120
    longest = max(len(written.number(n)) for stamp in explanation.stamps.values() for n in stamp.flat)
    for row, (pixel, stamp) in enumerate(explanation.stamps.items()):
        x, y = left + (*pixel, 0)[1] * width, start + pixel[0] * height + 44
        reached = explanation.taps[row].reshape(stamp.shape) >= 0
        value = written.typeset(written.number(explanation.input[pixel]))
        words = f"{value} \N{MULTIPLICATION SIGN} kernel" if out_columns * side > 150 else value
        size = min(23.0, 1.5 * out_columns * side / len(words))
        board.text(x + out_columns * side / 2, y - 20, words, size, _word(pixel), ha="center", weight="bold")
        board.table(
            stamp,
            x,
            y,
            side,
            lambda at, p=pixel, r=reached: [p] if r[at] else [],
            lambda at, r=reached: bool(r[at]),
            longest=longest,
        )
        _outline_stamp(board, explanation, pixel, x, y, side, 3 if side > 20 else 1.5)
        for marked in {explanation.first, cell}:
            if reached[marked]:
                _mark(board, marked, x, y, side, 2.5)
    right = left + columns * width - gap
    board.arrow(right + 62, middle, "add")
    end = _sum(board, explanation, cell, right + 128, middle, top)
    return max(end, start + rows * height)


def dilated(board: Board, explanation: Explanation, cell: Index, top: float = 0, last: Index | None = None) -> float:
    """The window of one output on the zero-filled input. With ``last``, outputs after it are blank."""
    title = "The same by sliding: put zeros between the pixels and around them, and flip the kernel"
    top = _heading(board, explanation, title, top)
    values, pixels = explanation.zero_filled, explanation.zero_filled_pixels
    taps, flipped = explanation.window_taps, explanation.flipped_kernel
    inputs = list(np.ndindex(explanation.input.shape))
    rows, columns = _grid(values.shape)
    side = min(66.0, 620 / max(rows, columns))

    def inside(at: Index) -> bool:
        return all(p <= i < p + extent for i, p, extent in zip(at, cell, explanation.window, strict=True))

    board.text(0, top, "input, with zeros", _LABEL, weight="bold")
    y = top + 32
    board.table(
        values,
        0,
        y,
        side,
        lambda at: [inputs[pixels[at]]] if pixels[at] >= 0 else [],
        lambda at: bool(pixels[at] >= 0) or inside(at),
        lambda at: WINDOW if inside(at) else "#eef0f3",
    )
    (window_rows, window_columns), (row, column) = _grid(explanation.window), (0, *cell)[-2:]
    board.outline(column * side, y + row * side, window_columns * side, window_rows * side, INK, 3.5)

    x = columns * side + 76
    kernel_side = min(side, 300 / window_columns)
    board.text(x - 46, y + window_rows * kernel_side / 2, "\N{MULTIPLICATION SIGN}", 34, FAINT, ha="center")
    board.text(x, top, "flipped kernel", _LABEL, weight="bold")
    board.table(flipped, x, y, kernel_side, lambda at: [], lambda at: bool(taps[at] >= 0))
    board.outline(x, y, window_columns * kernel_side, window_rows * kernel_side, INK, 3.5)

    x += max(window_columns * kernel_side, 190) + 150
    out_rows, out_columns = _grid(explanation.output.shape)
    out_side = min(76.0, 520 / max(out_rows, out_columns))
    board.arrow(x - 72, y + min(window_rows * kernel_side, 200) / 2, "add")
    board.text(x, top, "output", _LABEL, weight="bold")
    done = explanation.output.size if last is None else int(np.ravel_multi_index(last, explanation.output.shape)) + 1
    order = np.arange(explanation.output.size).reshape(explanation.output.shape)
    board.table(
        explanation.output,
        x,
        y,
        out_side,
        lambda at: [pixel for pixel, _, _ in explanation.products(at)] if order[at] < done else [],
        lambda at: bool(order[at] < done),
    )
    _mark(board, cell, x, y, out_side, 3.5)
    bottom = y + max(rows * side, window_rows * kernel_side, out_rows * out_side)
    bottom = board.sentence(0, bottom + 46, _SENTENCE, _words(explanation, cell), x + out_columns * out_side)
    unflipped = explanation.unflipped(explanation.first)
    return board.paragraph(0, bottom + 4, written.typeset(unflipped), 21, 110, colour=FAINT)


def gradient(board: Board, explanation: Explanation, cell: Index, top: float = 0) -> float:
    """C and C transposed, side by side; the transposed matrix times the input is the output."""
    title = "The same as a gradient: the forward convolution is a matrix C, and this is C transposed"
    top = _heading(board, explanation, title, top)
    matrix, taps = explanation.matrix, explanation.taps
    inputs = list(np.ndindex(explanation.input.shape))
    rows, columns = matrix.shape
    side = max(5.0, min(34.0, 900 / columns))
    chosen = int(np.ravel_multi_index(cell, explanation.output.shape))
    y = top + 34

    board.text(0, top, f"C: {columns} numbers to {rows}", _LABEL, weight="bold")
    board.table(matrix, 0, y, side, lambda at: [inputs[at[0]]] if taps[at] >= 0 else [], lambda at: bool(taps[at] >= 0))
    board.outline(chosen * side, y, side, rows * side, INK, 2.5)
    words = (
        "A row for each input pixel: the window of the forward convolution that it stands for. A column for each "
        "output. No kernel is flipped here, and none in the transpose."
    )
    end = board.paragraph(0, y + rows * side + 50, words, 21, 64, colour=FAINT)
    end = board.sentence(0, end + 30, _SENTENCE, _words(explanation, cell), max(columns * side, 660))

    x = max(columns * side, 660) + 90
    board.text(x, top, "C transposed", _LABEL, weight="bold")
    board.table(
        matrix.T, x, y, side, lambda at: [inputs[at[1]]] if taps.T[at] >= 0 else [], lambda at: bool(taps.T[at] >= 0)
    )
    board.outline(x, y + chosen * side, rows * side, side, INK, 2.5)
    factor = max(side, 34.0)
    x += max(rows * side, 165) + 60
    board.text(x - 30, y + factor * rows / 2, "\N{MULTIPLICATION SIGN}", 30, FAINT, ha="center")
    board.text(x, top, "input", _LABEL, weight="bold")
    board.table(explanation.input.reshape(-1, 1), x, y, factor, lambda at: [inputs[at[0]]], width=2 * factor)
    x += max(2 * factor, 68) + 66
    board.text(x - 33, y + factor * rows / 2, "=", 30, FAINT, ha="center")
    board.text(x, top, "output", _LABEL, weight="bold")
    wide = max(2 * side, 60)
    outputs = [[pixel for pixel, _, _ in terms] for terms in explanation.sums.values()]
    board.table(explanation.output.reshape(-1, 1), x, y, side, lambda at: outputs[at[0]], width=wide)
    board.outline(x, y + chosen * side, wide, side, INK, 2.5)
    board.reach(x + 90, 0)
    return max(end, y + columns * side)


def overlap(board: Board, explanation: Explanation, cell: Index, top: float = 0) -> float:
    """How many products each output adds up."""
    top = _heading(board, explanation, "How many products each output adds up", top)
    counts = explanation.overlap
    rows, columns = _grid(counts.shape)
    side = min(76.0, 700 / max(rows, columns))
    shades = {n: palette.tint(palette.COLOURS[0], 0.08 + 0.5 * n / max(counts.max(), 1)) for n in np.unique(counts)}
    board.table(counts, 0, top, side, lambda at: [], ground=lambda at: shades[counts[at]])
    _mark(board, cell, 0, top, side, 3.5)
    words = (
        "Where the number alternates, checkerboards come from: an input that is the same everywhere gives an output "
        "that is not. Away from the edges it is even where the stride divides "
        "the kernel's size."
    )
    x = columns * side + 48
    end = board.paragraph(x, top + 20, words, 22, 46, colour=FAINT)
    end = board.sentence(x, end + 24, _SENTENCE, _words(explanation, cell), 560)
    return max(end, top + rows * side)


def everything(board: Board, explanation: Explanation, cell: Index, top: float = 0) -> float:
    """Stamps, dilated view and gradient view under each other."""
    for view in (stamps, dilated, gradient):
        top = view(board, explanation, cell, top) + 60
    return top


VIEWS: dict[str, Callable[[Board, Explanation, Index], float]] = {
    "stamps": stamps,
    "dilated": dilated,
    "gradient": gradient,
    "overlap": overlap,
    "all": everything,
}


def _heading(board: Board, explanation: Explanation, title: str, top: float) -> float:
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


def _operands(board: Board, explanation: Explanation, middle: float, width: float) -> None:
    """Input over kernel, centred on a height."""
    top = middle - _operands_height(explanation, width) / 2
    for name, values, largest in (("input", explanation.input, _PIXEL), ("kernel", explanation.kernel, _TAP)):
        rows, columns = _grid(values.shape)
        side = min(largest, width / columns)
        board.text(width / 2, top + 14, name, _LABEL, ha="center", weight="bold")
        pixels = (lambda at: [at]) if name == "input" else (lambda at: [])
        board.table(values, (width - columns * side) / 2, top + 40, side, pixels)
        top += rows * side + _BETWEEN


def _operands_height(explanation: Explanation, width: float) -> float:
    heights = (
        rows * min(largest, width / columns)
        for largest, (rows, columns) in (
            (_PIXEL, _grid(explanation.input.shape)),
            (_TAP, _grid(explanation.kernel.shape)),
        )
    )
    return sum(heights) + _BETWEEN + 40


def _sum(board: Board, explanation: Explanation, cell: Index, left: float, middle: float, top: float) -> float:
    """The output, with two sums spelled out: that of its corner, and that of a cell."""
    rows, columns = _grid(explanation.output.shape)
    side = min(88.0, 560 / max(rows, columns))
    y = max(top + 70, middle - rows * side / 2)
    width = max(columns * side, 460)
    board.table(explanation.output, left, y, side, lambda at: [pixel for pixel, _, _ in explanation.products(at)])
    for pixel in np.ndindex(explanation.input.shape):
        _outline_stamp(board, explanation, pixel, left, y, side, 3 if side > 40 else 1.5)
    corner = explanation.first
    _mark(board, corner, left, y, side, 3.5)
    _mark(board, cell, left, y, side, 3.5)
    board.sentence(left, y - 58, _SENTENCE, _words(explanation, corner), width * 1.5)
    x = left + ((0, *corner)[-1] + 0.25) * side
    board.line([(x, y - 38), (x, y + (0, *corner)[-2] * side)])
    bottom = y + rows * side
    if cell == corner:
        return bottom
    x = left + (0, *cell)[-1] * side
    board.line([(x, y + ((0, *cell)[-2] + 1) * side), (x, bottom + 40)])
    return board.sentence(left, bottom + 62, _SENTENCE, _words(explanation, cell), width)


def _outline_stamp(
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


def _mark(board: Board, cell: Index, left: float, top: float, side: float, line: float) -> None:
    row, column = (0, *cell)[-2:]
    board.outline(left + column * side, top + row * side, side, side, INK, line if side > 20 else 1.5)


def _grid(shape: Index) -> tuple[int, int]:
    """Rows and columns, of which one dimension has one row."""
    rows, columns = (1, *shape)[-2:]
    return rows, columns


def _word(pixel: Index) -> str:
    return palette.ON_LIGHT[palette.colour(pixel)]


def _words(explanation: Explanation, cell: Index) -> list[tuple[str, str]]:
    """One output's sum, in its pixels' colours."""
    return [
        (written.typeset(text), INK if pixel is None else _word(pixel)) for text, pixel in explanation.spelled(cell)
    ]
