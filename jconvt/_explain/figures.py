"""The figures: the stamps, the dilated view, the gradient view, and the map of overlaps; or the first three in one."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ArgumentError
from . import palette, written
from .board import FAINT, INK, Board
from .explanation import Explanation
from .pieces import (
    LABEL,
    fitting,
    flipped_kernel,
    grid,
    heading,
    mark,
    matrix,
    operands,
    operands_size,
    outline_stamp,
    sentence,
    word,
    zero_filled,
)
from .views import Index

_SENTENCE = 24  # pixels: the height of a sum


def draw(explanation: Explanation, view: str, cell: Any = None, partly: bool = False) -> Any:
    """The figure of a view, with the sum of ``cell`` spelled out; of "dilated" also ``partly``, as far as that cell."""
    if not isinstance(view, str) or view not in VIEWS:
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
    top = heading(board, explanation, "Each input pixel stamps the kernel; where stamps overlap, they add up", top)
    rows, columns = (*explanation.input.shape, 1)[:2]  # in one dimension, stamps stand under each other
    out_rows, out_columns = grid(explanation.output.shape)
    side = max(6.0, min(64.0, 720 / max(columns * out_columns, rows * out_rows * 0.8)))
    gap = max(16.0, side * 0.6)
    width, height = out_columns * side + gap, out_rows * side + gap + 44
    operands_width, operands_height = operands_size(explanation)
    middle = top + max(rows * height, operands_height + 40) / 2
    start = middle - rows * height / 2

    operands(board, explanation, middle)
    board.arrow(operands_width + 52, middle, "stamp")
    left = operands_width + 120
    longest = max(len(written.number(n)) for stamp in explanation.stamps.values() for n in stamp.flat)
    for row, (pixel, stamp) in enumerate(explanation.stamps.items()):
        x, y = left + (*pixel, 0)[1] * width, start + pixel[0] * height + 44
        reached = explanation.taps[row].reshape(stamp.shape) >= 0
        value = written.typeset(written.factor(explanation.input[pixel]))
        words = f"{value} \N{MULTIPLICATION SIGN} kernel" if out_columns * side > 150 else value
        size = min(23.0, 1.5 * out_columns * side / len(words))
        board.text(x + out_columns * side / 2, y - 20, words, size, word(pixel), ha="center", weight="bold")
        board.table(
            stamp,
            x,
            y,
            side,
            lambda at, p=pixel, r=reached: [p] if r[at] else [],
            lambda at, r=reached: bool(r[at]),
            longest=longest,
        )
        outline_stamp(board, explanation, pixel, x, y, side, 3 if side > 20 else 1.5)
        for marked in {explanation.first, cell}:
            if reached[marked]:
                mark(board, marked, x, y, side, 2.5)
    right = left + columns * width - gap
    board.arrow(right + 62, middle, "add")
    end = _sum(board, explanation, cell, right + 128, middle, top)
    return max(end, start + rows * height)


def dilated(board: Board, explanation: Explanation, cell: Index, top: float = 0, last: Index | None = None) -> float:
    """The window of one output on the zero-filled input. With ``last``, outputs after it are blank."""
    title = "The same by sliding: put zeros between the pixels and around them, and flip the kernel"
    top = heading(board, explanation, title, top)
    rows, columns = grid(explanation.zero_filled_pixels.shape)
    side = fitting(explanation.zero_filled_pixels.shape, 66, 620)
    board.text(0, top, "input, with zeros", LABEL, weight="bold")
    y = top + 32
    zero_filled(board, explanation, cell, 0, y, side)

    x = columns * side + 76
    window_rows, window_columns = grid(explanation.window)
    kernel_side = min(side, 300 / window_columns)
    board.text(x - 46, y + window_rows * kernel_side / 2, "\N{MULTIPLICATION SIGN}", 34, FAINT, ha="center")
    board.text(x, top, "flipped kernel", LABEL, weight="bold")
    flipped_kernel(board, explanation, x, y, kernel_side)

    x += max(window_columns * kernel_side, 190) + 150
    out_rows, out_columns = grid(explanation.output.shape)
    out_side = fitting(explanation.output.shape, 76, 520)
    board.arrow(x - 72, y + min(window_rows * kernel_side, 200) / 2, "add")
    board.text(x, top, "output", LABEL, weight="bold")
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
    mark(board, cell, x, y, out_side, 3.5)
    bottom = y + max(rows * side, window_rows * kernel_side, out_rows * out_side)
    bottom = board.sentence(0, bottom + 46, _SENTENCE, sentence(explanation, cell), x + out_columns * out_side)
    unflipped = explanation.unflipped(explanation.first)
    return board.paragraph(0, bottom + 4, written.typeset(unflipped), 21, 110, colour=FAINT)


def gradient(board: Board, explanation: Explanation, cell: Index, top: float = 0) -> float:
    """C and C transposed, side by side; the transposed matrix times the input is the output."""
    title = "The same as a gradient: the forward convolution is a matrix C, and this is C transposed"
    top = heading(board, explanation, title, top)
    inputs = list(np.ndindex(explanation.input.shape))
    rows, columns = explanation.taps.shape
    side = max(5.0, min(34.0, 900 / columns))
    y = top + 34
    board.text(0, top, f"C: {columns} numbers to {rows}", LABEL, weight="bold")
    matrix(board, explanation, cell, 0, y, side)
    words = (
        "A row for each input pixel: the window of the forward convolution that it stands for. A column for each "
        "output. No kernel is flipped here, and none in the transpose."
    )
    end = board.paragraph(0, y + rows * side + 50, words, 21, 64, colour=FAINT)
    end = board.sentence(0, end + 30, _SENTENCE, sentence(explanation, cell), max(columns * side, 660))

    x = max(columns * side, 660) + 90
    board.text(x, top, "C transposed", LABEL, weight="bold")
    matrix(board, explanation, cell, x, y, side, transposed=True)
    factor = max(side, 34.0)
    x += max(rows * side, 165) + 60
    board.text(x - 30, y + factor * rows / 2, "\N{MULTIPLICATION SIGN}", 30, FAINT, ha="center")
    board.text(x, top, "input", LABEL, weight="bold")
    board.table(explanation.input.reshape(-1, 1), x, y, factor, lambda at: [inputs[at[0]]], width=2 * factor)
    x += max(2 * factor, 68) + 66
    board.text(x - 33, y + factor * rows / 2, "=", 30, FAINT, ha="center")
    board.text(x, top, "output", LABEL, weight="bold")
    wide = max(2 * side, 60)
    outputs = [[pixel for pixel, _, _ in terms] for terms in explanation.sums.values()]
    board.table(explanation.output.reshape(-1, 1), x, y, side, lambda at: outputs[at[0]], width=wide)
    chosen = int(np.ravel_multi_index(cell, explanation.output.shape))
    board.outline(x, y + chosen * side, wide, side, INK, 2.5)
    board.reach(x + 90, 0)
    return max(end, y + columns * side)


def overlap(board: Board, explanation: Explanation, cell: Index, top: float = 0) -> float:
    """How many products each output adds up."""
    top = heading(board, explanation, "How many products each output adds up", top)
    counts = explanation.overlap
    rows, columns = grid(counts.shape)
    side = fitting(counts.shape, 76, 700)
    shades = {n: palette.tint(palette.COLOURS[0], 0.08 + 0.5 * n / max(counts.max(), 1)) for n in np.unique(counts)}
    board.table(counts, 0, top, side, lambda at: [], ground=lambda at: shades[counts[at]])
    mark(board, cell, 0, top, side, 3.5)
    words = (
        "Where the number alternates, checkerboards come from: an input that is the same everywhere gives an output "
        "that is not. Away from the edges it is even where the stride divides "
        "the kernel's size."
    )
    x = columns * side + 48
    end = board.paragraph(x, top + 20, words, 22, 46, colour=FAINT)
    end = board.sentence(x, end + 24, _SENTENCE, sentence(explanation, cell), 560)
    return max(end, top + rows * side)


def everything(board: Board, explanation: Explanation, cell: Index, top: float = 0) -> float:
    """The stamps and, smaller, the first output in the other two views."""
    end = stamps(board, explanation, cell, top)
    top, first = end + 60, explanation.first
    rows, columns = grid(explanation.zero_filled_pixels.shape)
    window_rows, window_columns = grid(explanation.window)
    side = fitting(explanation.zero_filled_pixels.shape, 42, 380)
    kernel_side = max(side, min(34.0, 200 / window_columns))
    board.text(0, top, "The same by sliding, with the kernel flipped", LABEL, weight="bold")
    zero_filled(board, explanation, first, 0, top + 32, side)
    x = columns * side + 60
    board.text(x - 30, top + 32 + window_rows * kernel_side / 2, "\N{MULTIPLICATION SIGN}", 30, FAINT, ha="center")
    flipped_kernel(board, explanation, x, top + 32, kernel_side)
    x += window_columns * kernel_side
    below = board.sentence(x + 30, top + 50, _SENTENCE, sentence(explanation, first), 420)
    unflipped = written.typeset(explanation.unflipped(first))
    below = board.paragraph(x + 30, below + 8, unflipped, 21, 32, colour=FAINT)
    end = max(below, top + 32 + max(rows * side, window_rows * kernel_side))

    x = max(x + 450, 810)
    rows, columns = explanation.taps.shape
    side = max(5.0, min(33.0, 900 / columns))
    board.text(x, top, "The same as a gradient, with C transposed", LABEL, weight="bold")
    matrix(board, explanation, first, x, top + 32, side)
    words = (
        "C is the forward convolution, a row for each input pixel. Each column of it times the input is an output. "
        f"No kernel is flipped: the outlined column holds what out{written.place(first)} is made of."
    )
    return max(end, board.paragraph(x, top + 32 + rows * side + 40, words, 21, 76, colour=FAINT))


VIEWS: dict[str, Callable[[Board, Explanation, Index], float]] = {
    "stamps": stamps,
    "dilated": dilated,
    "gradient": gradient,
    "overlap": overlap,
    "all": everything,
}


def _sum(board: Board, explanation: Explanation, cell: Index, left: float, middle: float, top: float) -> float:
    """The output, with two sums spelled out: that of its corner, and that of a cell."""
    rows, columns = grid(explanation.output.shape)
    side = fitting(explanation.output.shape, 88, 560)
    y = max(top + 70, middle - rows * side / 2)
    width = max(columns * side, 460)
    board.table(explanation.output, left, y, side, lambda at: [pixel for pixel, _, _ in explanation.products(at)])
    for pixel in np.ndindex(explanation.input.shape):
        outline_stamp(board, explanation, pixel, left, y, side, 3 if side > 40 else 1.5)
    corner = explanation.first
    mark(board, corner, left, y, side, 3.5)
    mark(board, cell, left, y, side, 3.5)
    board.sentence(left, y - 58, _SENTENCE, sentence(explanation, corner), width * 1.5)
    x = left + ((0, *corner)[-1] + 0.25) * side
    board.line([(x, y - 38), (x, y + (0, *corner)[-2] * side)])
    bottom = y + rows * side
    if cell == corner:
        return bottom
    x = left + (0, *cell)[-1] * side
    board.line([(x, y + ((0, *cell)[-2] + 1) * side), (x, bottom + 40)])
    return board.sentence(left, bottom + 62, _SENTENCE, sentence(explanation, cell), width)
