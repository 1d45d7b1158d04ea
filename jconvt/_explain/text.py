"""An explanation in the terminal: the colour of each input pixel is behind its contributions.

If several pixels contribute to one cell, they share its background, from left to right as in the input. A chosen cell
has brackets, so that it stands out without colours, too.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from .formatting import Index, format_factor, format_index, format_number, pixel_tint, typeset
from .products import ProductTable, pixels_at, pixels_of, window_mask

_INK, _QUIET, _HEADING = "#1d2129", "dim", "bold"
_WINDOW = "#d5d9e0"


def render(table: ProductTable, views: Sequence[str], cells: Sequence[Index]) -> RenderableType:
    """Return some views and the sums of some outputs, for a ``rich`` console."""
    parts: list[RenderableType] = [Text(table.call, _QUIET), *map(Text, table.notes)]
    for title, view in (VIEWS[name] for name in views):
        parts += ["", Text(title, _HEADING), "", *view(table, cells)]
    agreement = Text("The library computes the same.", "green")
    if not table.agrees:
        agreement = Text("The library DISAGREES with the definition: please report it.", "bold red")
    parts.append("")
    for cell in cells:
        words = (text if pixel is None else _on_tint(text, pixel) for text, pixel in table.spelled(cell))
        parts.append(Text.assemble(*words))
    parts.append(agreement)
    return Padding(Group(*parts), (1, 2))


def _stamps(table: ProductTable, cells: Sequence[Index]) -> list[RenderableType]:
    stamps = []
    for row, (pixel, stamp) in enumerate(table.stamps.items()):
        factor = _on_tint(f" {typeset(format_factor(table.input[pixel]))} ", pixel)
        heading = Text.assemble(factor, f"{typeset('*')}kernel, from input{format_index(pixel)}")
        reached = table.taps[row].reshape(stamp.shape) >= 0
        pixels = pixels_at(table, np.where(reached, row, -1))
        stamps.append(Group(heading, _grid(stamp, pixels, reached & _mask(table, cells), ~reached, ~reached), ""))
    return [
        _beside(("input", _grid(table.input, lambda at: [at])), ("kernel", _grid(table.kernel))),
        "",
        Columns(stamps, padding=(0, 3)),
        Text("output: the sum of the stamps", _HEADING),
        _grid(table.output, pixels_of(table), _mask(table, cells)),
    ]


def _dilated(table: ProductTable, cells: Sequence[Index]) -> list[RenderableType]:
    cell, places, window = cells[-1], table.zero_filled_pixels, window_mask(table, cells[-1])
    ground = np.where(window, _WINDOW, "")
    filled = _grid(table.zero_filled, pixels_at(table, places), window, (places < 0) & ~window, ground=ground)
    return [
        _beside(
            (f"input with zeros, window of out{format_index(cell)}", filled),
            ("flipped kernel", _grid(table.flipped_kernel, quiet=table.window_taps < 0)),
            ("output", _grid(table.output, pixels_of(table), _mask(table, [cell]))),
        ),
        Text(table.unflipped(table.first), _QUIET),
    ]


def _gradient(table: ProductTable, cells: Sequence[Index]) -> list[RenderableType]:
    empty, rows = table.taps.T < 0, np.arange(table.input.size)
    pixels = pixels_at(table, np.where(empty, -1, rows))
    matrix = _grid(table.matrix.T, pixels, ~empty & _mask(table, cells).reshape(-1, 1), empty)
    column = _grid(table.input.reshape(-1, 1), pixels_at(table, rows.reshape(-1, 1)))
    sums = [f"out{format_index(cell)} = {format_number(value)}" for cell, value in np.ndenumerate(table.output)]
    return [_beside(("C transposed", matrix), (f"{typeset('*')}input", column), ("=", Text("\n".join(sums))))]


def _overlap(table: ProductTable, cells: Sequence[Index]) -> list[RenderableType]:
    return [_grid(table.overlap, chosen=_mask(table, cells))]


VIEWS: dict[str, tuple[str, Callable[[ProductTable, Sequence[Index]], list[RenderableType]]]] = {
    "stamps": ("Each input pixel stamps the kernel, times its value, and the stamps add up", _stamps),
    "dilated": ("The same by sliding: zeros between and around the pixels, and the kernel flipped", _dilated),
    "gradient": (
        "The same as a gradient: C is the forward convolution's matrix, and C transposed times the input",
        _gradient,
    ),
    "overlap": ("How many products each output adds up: where it alternates, checkerboards appear", _overlap),
}


def _mask(table: ProductTable, cells: Sequence[Index]) -> NDArray[np.bool_]:
    """Return which outputs are among ``cells``."""
    mask = np.zeros(table.output.shape, bool)
    for cell in cells:
        mask[cell] = True
    return mask


def _grid(
    values: NDArray,
    pixels: Callable[[Index], Sequence[Index]] = lambda at: [],
    chosen: ArrayLike = False,
    quiet: ArrayLike = False,
    blank: ArrayLike = False,
    ground: ArrayLike = "",
) -> Text:
    """Return numbers in columns of one width, on the tints of ``pixels(index)``, or else on ``ground``."""
    chosen, quiet, blank, ground = (np.broadcast_to(each, values.shape) for each in (chosen, quiet, blank, ground))
    texts = {at: "\N{MIDDLE DOT}" if blank[at] else format_number(value) for at, value in np.ndenumerate(values)}
    width = max(map(len, texts.values()))
    lines = [Text(no_wrap=True) for _ in range(values.size // values.shape[-1])]
    for number, (at, text) in enumerate(texts.items()):
        tints = [pixel_tint(pixel) for pixel in pixels(at)] or [str(ground[at])] * bool(ground[at])
        cell = Text(f"[{text:>{width}}]" if chosen[at] else f" {text:>{width}} ")
        cell.style = "bold" if chosen[at] else _QUIET if quiet[at] else ""
        for part, colour in enumerate(tints):
            start, end = (round(share * len(cell) / len(tints)) for share in (part, part + 1))
            cell.stylize(f"not dim {_INK} on {colour}", start, end)
        lines[number // values.shape[-1]].append_text(cell)
    return Text("\n", no_wrap=True).join(lines)


def _on_tint(text: str, pixel: Index) -> Text:
    return Text(text, f"{_INK} on {pixel_tint(pixel)}")


def _beside(*titled: tuple[str, Text]) -> Columns:
    """Return titled grids in a row, or in several rows if the terminal is narrow."""
    return Columns([Group(Text(title, _HEADING, no_wrap=True), content) for title, content in titled], padding=(0, 3))
