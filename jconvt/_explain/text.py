"""An explanation in the terminal: each input pixel's colour behind what it contributes.

Where several contribute to one cell, they share its ground, as they lie in the input from left to right. A chosen cell
stands in brackets, so that it is seen without colours, too.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from . import palette, written
from .explanation import Explanation
from .views import Index

_INK, _QUIET, _HEADING = "#1d2129", "dim", "bold"
_WINDOW = "#d5d9e0"


class _Cell(NamedTuple):
    """A number, the grounds that it stands on, and whether it stands back, or stands out."""

    text: str
    grounds: Sequence[str] = ()
    quiet: bool = False
    chosen: bool = False


def render(explanation: Explanation, views: Sequence[str], cells: Sequence[Index]) -> RenderableType:
    """``views`` of an explanation, with the sums of some outputs spelled out."""
    parts: list[RenderableType] = [Text(explanation.call, _QUIET), *map(Text, explanation.notes)]
    for view in views:
        parts += ["", *VIEWS[view](explanation, cells)]
    parts += ["", *(_sum(explanation, cell) for cell in cells), _agreement(explanation)]
    return Padding(Group(*parts), (1, 2))


def _stamps(explanation: Explanation, cells: Sequence[Index]) -> list[RenderableType]:
    reached = explanation.taps.reshape(-1, *explanation.output.shape) >= 0
    stamps = []
    for row, (pixel, stamp) in enumerate(explanation.stamps.items()):
        heading = Text.assemble(
            _on_ground(f" {written.typeset(written.factor(explanation.input[pixel]))} ", pixel),
            f"{written.typeset('*')}kernel, from input{written.place(pixel)}",
        )

        def cell(at: Index, pixel: Index = pixel, stamp: NDArray = stamp, there: NDArray = reached[row]) -> _Cell:
            if not there[at]:
                return _Cell("\N{MIDDLE DOT}", quiet=True)
            return _Cell(written.number(stamp[at]), _tints([pixel]), chosen=at in cells)

        stamps.append(Group(heading, _cells(stamp.shape, cell), ""))
    return [
        Text("Each input pixel stamps the kernel, times its value, and the stamps add up", _HEADING),
        "",
        _beside(
            ("input", _grid(explanation.input, lambda at: [at])),
            ("kernel", _plain(explanation.kernel)),
        ),
        "",
        Columns(stamps, padding=(0, 3)),
        Text("output: the sum of the stamps", _HEADING),
        _output(explanation, cells),
    ]


def _dilated(explanation: Explanation, cells: Sequence[Index]) -> list[RenderableType]:
    pixels, inputs = explanation.zero_filled_pixels, list(np.ndindex(explanation.input.shape))
    values, cell = explanation.zero_filled, cells[-1]

    def filled(at: Index) -> _Cell:
        inside = all(p <= i < p + extent for i, p, extent in zip(at, cell, explanation.window, strict=True))
        ground = _tints([inputs[pixels[at]]]) if pixels[at] >= 0 else [_WINDOW] if inside else []
        return _Cell(written.number(values[at]), ground, pixels[at] < 0 and not inside, inside)

    taps = explanation.window_taps
    flipped = explanation.flipped_kernel
    return [
        Text("The same by sliding: zeros between and around the pixels, and the kernel flipped", _HEADING),
        "",
        _beside(
            (f"input with zeros, window of out{written.place(cell)}", _cells(values.shape, filled)),
            ("flipped kernel", _cells(taps.shape, lambda at: _Cell(written.number(flipped[at]), (), taps[at] < 0))),
            ("output", _output(explanation, [cell])),
        ),
        Text(explanation.unflipped(explanation.first), _QUIET),
    ]


def _gradient(explanation: Explanation, cells: Sequence[Index]) -> list[RenderableType]:
    taps, outputs = explanation.taps.T, list(np.ndindex(explanation.output.shape))
    inputs = list(np.ndindex(explanation.input.shape))
    matrix = explanation.matrix.T

    def entry(at: Index) -> _Cell:
        empty = taps[at] < 0
        text = written.number(matrix[at])
        return _Cell(text, () if empty else _tints([inputs[at[1]]]), empty, outputs[at[0]] in cells and not empty)

    column = explanation.input.reshape(-1, 1)
    pixels = _cells(column.shape, lambda at: _Cell(written.number(column[at]), _tints([inputs[at[0]]])))
    sums = explanation.output.reshape(-1, 1)
    named = Text(
        "\n".join(
            f"out{written.place(cell)} = {written.number(value)}"
            for cell, value in zip(outputs, sums[:, 0], strict=True)
        )
    )
    return [
        Text(
            "The same as a gradient: C is the forward convolution's matrix, and C transposed times the input", _HEADING
        ),
        "",
        _beside(("C transposed", _cells(matrix.shape, entry)), (written.typeset("*") + "input", pixels), ("=", named)),
    ]


def _overlap(explanation: Explanation, cells: Sequence[Index]) -> list[RenderableType]:
    return [
        Text("How many products each output adds up: where it alternates, checkerboards come from", _HEADING),
        "",
        _grid(explanation.overlap, lambda at: [], cells),
    ]


VIEWS: dict[str, Callable[[Explanation, Sequence[Index]], list[RenderableType]]] = {
    "stamps": _stamps,
    "dilated": _dilated,
    "gradient": _gradient,
    "overlap": _overlap,
}


def _sum(explanation: Explanation, cell: Index) -> Text:
    parts = [(text, pixel) for text, pixel in explanation.spelled(cell)]
    return Text.assemble(*(text if pixel is None else _on_ground(text, pixel) for text, pixel in parts))


def _agreement(explanation: Explanation) -> Text:
    if explanation.agrees:
        return Text("The library computes the same.", "green")
    return Text("The library DISAGREES with the definition: please report it.", "bold red")


def _output(explanation: Explanation, cells: Sequence[Index]) -> Text:
    return _grid(explanation.output, lambda at: [pixel for pixel, _, _ in explanation.products(at)], cells)


def _plain(values: NDArray) -> Text:
    return _grid(values, lambda at: [])


def _grid(values: NDArray, pixels: Callable[[Index], Sequence[Index]], chosen: Sequence[Index] = ()) -> Text:
    """Numbers on the grounds of ``pixels(index)``."""

    def cell(at: Index) -> _Cell:
        return _Cell(written.number(values[at]), _tints(pixels(at)), chosen=at in chosen)

    return _cells(values.shape, cell)


def _cells(shape: Index, cell: Callable[[Index], _Cell]) -> Text:
    """The cells of an array, a line for each row, all as wide as the widest."""
    rows = [[cell((*row, column)) for column in range(shape[-1])] for row in np.ndindex(shape[:-1])]
    width = max(len(each.text) for row in rows for each in row)
    return Text("\n", no_wrap=True).join(Text.assemble(*(_drawn(each, width) for each in row)) for row in rows)


def _drawn(cell: _Cell, width: int) -> Text:
    text = f"[{cell.text:>{width}}]" if cell.chosen else f" {cell.text:>{width}} "
    drawn = Text(text, ("bold" if cell.chosen else _QUIET if cell.quiet else ""))
    for part, ground in enumerate(cell.grounds):
        start, end = (round(at * len(text) / len(cell.grounds)) for at in (part, part + 1))
        drawn.stylize(f"not dim {_INK} on {ground}", start, end)
    return drawn


def _tints(pixels: Sequence[Index]) -> list[str]:
    return [palette.tint(palette.COLOURS[palette.colour(pixel)]) for pixel in pixels]


def _on_ground(text: str, pixel: Index) -> Text:
    return Text(text, f"{_INK} on {_tints([pixel])[0]}")


def _beside(*titled: tuple[str, Text]) -> Columns:
    """Titled grids beside each other, or under each other where there is no room."""
    return Columns([Group(Text(title, _HEADING, no_wrap=True), content) for title, content in titled], padding=(0, 3))
