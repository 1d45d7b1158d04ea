"""The figures: the stamps, the dilated view, the gradient view, and the overlaps; or the first three in one."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np

try:
    import matplotlib
except ModuleNotFoundError as error:
    hint = "figures need the package matplotlib: pip install 'jconvt[plot]'"
    raise ModuleNotFoundError(hint, name=error.name) from error
from matplotlib.figure import Figure

from ..errors import ArgumentError
from .canvas import row_and_column, rows_and_columns
from .drawing import Drawing, fitting
from .formatting import COLOURS, Index, format_index, format_number, tint
from .products import ProductTable, pixels_at, pixels_of, ravel, unravel

_TIMES = "\N{MULTIPLICATION SIGN}"


def draw(table: ProductTable, view: str, cell: Any = None, partly: bool = False) -> Figure:
    """Return the figure of a view with the sum of ``cell``; with ``partly``, "dilated" as far as that output."""
    if not isinstance(view, str) or view not in VIEWS:
        legal = ", ".join(map(repr, VIEWS))
        raise ArgumentError("unknown view", got=f"view = {view!r}", legal=legal, fix="pass one of these")
    drawing = Drawing(table, table.busiest if cell is None else table.cell(cell))
    if partly:
        dilated(drawing, last=drawing.cell)
    else:
        VIEWS[view](drawing)
    return drawing.figure()


def svg(table: ProductTable, view: str, cell: Any = None) -> str:
    """Return the figure as the text of an SVG file, the same for the same numbers."""
    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "jconvt", "svg.fonttype": "none"}):
        draw(table, view, cell).savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def stamps(drawing: Drawing) -> float:
    """Draw each pixel's stamp on a canvas of its own, and their sum. Return where they end."""
    table = drawing.table
    top = drawing.heading("Each input pixel stamps the kernel; where stamps overlap, they add up")
    rows, columns = (*table.input.shape, 1)[:2]  # in one dimension, the stamps are in one column
    out_rows, out_columns = rows_and_columns(table.output.shape)
    side = max(6.0, min(64.0, 720 / max(columns * out_columns, rows * out_rows * 0.8)))
    gap = max(16.0, side * 0.6)
    width, height = out_columns * side + gap, out_rows * side + gap + 44
    operands_width, operands_height = drawing.operands_size()
    middle = top + max(rows * height, operands_height + 40) / 2
    start = middle - rows * height / 2

    drawing.operands(middle)
    drawing.arrow(operands_width + 52, middle, "stamp")
    left = operands_width + 120
    longest = max(len(format_number(n)) for stamp in table.stamps.values() for n in stamp.flat)
    for pixel in np.ndindex(table.input.shape):
        drawing.stamp(pixel, left + (*pixel, 0)[1] * width, start + pixel[0] * height + 44, side, longest)
    right = left + columns * width - gap
    drawing.arrow(right + 62, middle, "add")
    return max(_output(drawing, right + 128, middle, top + 70), start + rows * height)


def _output(drawing: Drawing, left: float, middle: float, top: float) -> float:
    """Draw the output with the sums of its first stamped cell and of the marked cell. Return where they end."""
    table, cell, corner = drawing.table, drawing.cell, drawing.table.first
    rows, columns = rows_and_columns(table.output.shape)
    side = fitting(table.output.shape, 88, 560)
    y, width = max(top, middle - rows * side / 2), max(columns * side, 460)
    _, bottom = drawing.grid(table.output, left, y, side, pixels_of(table))
    for pixel in np.ndindex(table.input.shape):
        drawing.stamp_outline(pixel, left, y, side, 3 if side > 40 else 1.5)
    drawing.mark(corner, left, y, side)
    drawing.mark(cell, left, y, side)
    drawing.sum(left, y - 58, corner, width * 1.5)
    row, column = row_and_column(corner)
    drawing.vertical(left + (column + 0.25) * side, y - 38, y + row * side)
    if cell == corner:
        return bottom
    row, column = row_and_column(cell)
    drawing.vertical(left + column * side, y + (row + 1) * side, bottom + 40)
    return drawing.sum(left, bottom + 62, cell, width)


def dilated(drawing: Drawing, last: Index | None = None) -> None:
    """Draw the window of one output on the zero-filled input. The outputs after ``last`` are blank."""
    table, cell = drawing.table, drawing.cell
    top = drawing.heading("The same by sliding: put zeros between the pixels and around them, and flip the kernel")
    y = top + 32
    drawing.label(0, top, "input, with zeros")
    side = fitting(table.zero_filled_pixels.shape, 66, 620)
    x, bottom = drawing.zero_filled(cell, 0, y, side)

    x += 76
    window_rows, window_columns = rows_and_columns(table.window)
    kernel_side = min(side, 300 / window_columns)
    drawing.sign(x - 46, y + window_rows * kernel_side / 2, _TIMES, 34)
    drawing.label(x, top, "flipped kernel")
    _, kernel_bottom = drawing.flipped_kernel(x, y, kernel_side)

    x += max(window_columns * kernel_side, 190) + 150
    drawing.arrow(x - 72, y + min(window_rows * kernel_side, 200) / 2, "add")
    drawing.label(x, top, "output")
    order = np.arange(table.output.size).reshape(table.output.shape)
    done = order <= (order.max() if last is None else order[last])
    pixels, side = pixels_of(table), fitting(table.output.shape, 76, 520)
    right, out_bottom = drawing.grid(table.output, x, y, side, lambda at: pixels(at) if done[at] else [], done)
    drawing.mark(cell, x, y, side)
    end = drawing.sum(0, max(bottom, kernel_bottom, out_bottom) + 46, cell, right)
    drawing.unflipped(0, end + 4, 110)


def gradient(drawing: Drawing) -> None:
    """Draw C and C transposed, side by side; the transposed matrix times the input is the output."""
    table, cell = drawing.table, drawing.cell
    top = drawing.heading("The same as a gradient: the forward convolution is a matrix C, and this is C transposed")
    y = top + 34
    rows, columns = table.taps.shape
    side = max(5.0, min(34.0, 900 / columns))
    drawing.label(0, top, f"C: {columns} numbers to {rows}")
    drawing.matrix(cell, 0, y, side)
    words = (
        "Each row belongs to an input pixel: it is that pixel's window in the forward convolution. Each column belongs "
        "to an output. No kernel is flipped here, and none in the transpose."
    )
    end = drawing.paragraph(0, y + rows * side + 50, words, 21, 64)
    drawing.sum(0, end + 30, cell, max(columns * side, 660))

    x = max(columns * side, 660) + 90
    drawing.label(x, top, "C transposed")
    drawing.matrix(cell, x, y, side, transposed=True)
    factor = max(side, 34.0)
    x += max(rows * side, 165) + 60
    drawing.sign(x - 30, y + factor * rows / 2, _TIMES)
    drawing.label(x, top, "input")
    drawing.grid(table.input.reshape(-1, 1), x, y, factor, pixels_at(table, np.arange(rows)[:, None]), width=2 * factor)
    x += max(2 * factor, 68) + 66
    drawing.sign(x - 33, y + factor * rows / 2, "=")
    drawing.label(x, top, "output")
    width, pixels = max(2 * side, 60), pixels_of(table)
    sums = table.output.reshape(-1, 1)
    drawing.grid(sums, x, y, side, lambda at: pixels(unravel(at[0], table.output.shape)), width=width)
    drawing.outline(x, y + ravel(cell, table.output.shape) * side, width, side, line=2.5)
    drawing.grow(x + 90, 0)


def overlap(drawing: Drawing) -> None:
    """Draw how many products each output adds up."""
    counts = drawing.table.overlap
    top = drawing.heading("How many products each output adds up")
    side = fitting(counts.shape, 76, 700)
    shades = np.array([tint(COLOURS[0], 0.08 + 0.5 * n / max(counts.max(), 1)) for n in range(counts.max() + 1)])
    x, _ = drawing.grid(counts, 0, top, side, ground=shades[counts])
    drawing.mark(drawing.cell, 0, top, side)
    words = (
        "Where the number alternates, checkerboards appear: a constant input gives an output that is not constant. "
        "Away from the edges, the number is the same everywhere if the stride divides the kernel's size."
    )
    end = drawing.paragraph(x + 48, top + 20, words, 22, 46)
    drawing.sum(x + 48, end + 24, drawing.cell, 560)


def everything(drawing: Drawing) -> None:
    """Draw the stamps and, smaller, the first output in the other two views."""
    table, first = drawing.table, drawing.table.first
    top = stamps(drawing) + 60
    y = top + 32
    side = fitting(table.zero_filled_pixels.shape, 42, 380)
    drawing.label(0, top, "The same by sliding, with the kernel flipped")
    x, _ = drawing.zero_filled(first, 0, y, side)
    window_rows, window_columns = rows_and_columns(table.window)
    kernel_side = max(side, min(34.0, 200 / window_columns))
    drawing.sign(x + 30, y + window_rows * kernel_side / 2, _TIMES)
    x, _ = drawing.flipped_kernel(x + 60, y, kernel_side)
    drawing.unflipped(x + 30, drawing.sum(x + 30, top + 50, first, 420) + 8, 32)

    x = max(x + 450, 810)
    rows, columns = table.taps.shape
    side = max(5.0, min(33.0, 900 / columns))
    drawing.label(x, top, "The same as a gradient, with C transposed")
    drawing.matrix(first, x, y, side)
    words = (
        "C is the forward convolution, a row for each input pixel. Each column of it times the input is an output. "
        f"No kernel is flipped: the outlined column holds what out{format_index(first)} is made of."
    )
    drawing.paragraph(x, y + rows * side + 40, words, 21, 76)


VIEWS: dict[str, Callable[[Drawing], object]] = {
    "stamps": stamps,
    "dilated": dilated,
    "gradient": gradient,
    "overlap": overlap,
    "all": everything,
}
