"""Draws docs/_static/stamps.png, the whole operation in one picture: ``python docs/picture.py``.

Every number in it is computed, and the sums that it spells out are checked as they are written.
"""

import pathlib
from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

import jconvt
from jconvt import example

TARGET = pathlib.Path(__file__).parent / "_static" / "stamps.png"
WIDTH, HEIGHT, DPI = 1600, 960, 100  # in pixels, as all lengths below are
INK, FAINT, EMPTY = "#1d2129", "#5b6270", "#eef0f3"
TIMES = "\N{MULTIPLICATION SIGN}"
# Okabe and Ito's colours, which the colour-blind can tell apart; the darker ones are for words.
COLOURS = {(0, 0): "#0072B2", (0, 1): "#E69F00", (1, 0): "#009E73", (1, 1): "#CC79A7"}
WORDS = {(0, 0): "#005a8d", (0, 1): "#9a6200", (1, 0): "#00745a", (1, 1): "#a04a7d"}

Pixel = tuple[int, int]
Pixels = Callable[[int, int], Sequence[Pixel]]

X = example.INPUT[0, :, :, 0].astype(int)
KERNEL = example.FILTERS[:, :, 0, 0].astype(int)
STRIDE = example.ARGUMENTS["strides"]


def transposed(x: np.ndarray) -> np.ndarray:
    """The example's call for another input."""
    y = jconvt.conv2d_transpose(x[None, :, :, None], example.FILTERS, **example.ARGUMENTS, method="reference")
    return np.asarray(y)[0, :, :, 0].astype(int)


def stamp(pixel: Pixel) -> np.ndarray:
    """What one input pixel contributes: the result for an input where the others are zero."""
    alone = np.zeros_like(X)
    alone[pixel] = X[pixel]
    return transposed(alone.astype(np.float32))


STAMPS = {pixel: stamp(pixel) for pixel in COLOURS}
RESULT = transposed(X.astype(np.float32))
CORNER, CENTRE = (0, 0), (2, 2)


def stamped_by(row: int, column: int) -> list[Pixel]:
    """The input pixels whose stamps reach a position. No product in the example is zero."""
    return [pixel for pixel, values in STAMPS.items() if values[row, column]]


def written(number: int) -> str:
    """A number with a minus sign as wide as its digits."""
    return str(number).replace("-", "\N{MINUS SIGN}")


def text(axes: Axes, x: float, y: float, words: str, size: float, colour: str = INK, **options) -> None:
    """Words ``size`` pixels high, centred at a point unless told otherwise."""
    options = {"ha": "center", "va": "center_baseline", **options}
    axes.text(x, y, words, fontsize=size * 72 / DPI, color=colour, **options)


def sentence(axes: Axes, x: float, y: float, size: float, parts: Sequence[tuple[str, str]]) -> None:
    """One line of words, each part in its own colour, from a point to the right."""
    for words, colour in parts:
        drawn = axes.text(x, y, words, fontsize=size * 72 / DPI, color=colour, va="center_baseline", weight="bold")
        x += drawn.get_window_extent().width


def square(axes: Axes, left: float, top: float, side: float, colour: str, width: float) -> None:
    axes.add_patch(Rectangle((left, top), side, side, facecolor="none", edgecolor=colour, linewidth=width, zorder=3))


def cell(axes: Axes, left: float, top: float, side: float, pixels: Sequence[Pixel]) -> None:
    """A square that the colours of its pixels share, lying in it as the pixels lie in the input."""
    axes.add_patch(Rectangle((left, top), side, side, facecolor=EMPTY))
    rows, columns = (sorted(set(numbers)) for numbers in zip(*pixels, strict=True)) if pixels else ((), ())
    for row, column in pixels:
        width, height = side / len(columns), side / len(rows)
        corner = left + columns.index(column) * width, top + rows.index(row) * height
        tint = [1 - 0.38 * (1 - part) for part in to_rgb(COLOURS[row, column])]
        axes.add_patch(Rectangle(corner, width, height, facecolor=tint))
    square(axes, left, top, side, "white", 1.5)


def table(axes: Axes, numbers: np.ndarray, left: float, top: float, side: float, size: float, pixels: Pixels) -> None:
    """Numbers in cells of the colours of ``pixels(row, column)``. Zeros, where nothing was stamped, are left blank."""
    for (row, column), number in np.ndenumerate(numbers):
        x, y = left + column * side, top + row * side
        cell(axes, x, y, side, pixels(row, column))
        if number:
            text(axes, x + side / 2, y + side / 2, written(number), size)


def arrow(axes: Axes, x: float, y: float, words: str) -> None:
    axes.add_patch(FancyArrowPatch((x - 32, y), (x + 32, y), arrowstyle="-|>", mutation_scale=24, lw=3, color=FAINT))
    text(axes, x, y - 34, words, 21, FAINT)


def draw_operands(axes: Axes) -> None:
    text(axes, 148, 248, "input", 27, weight="bold")
    table(axes, X, 58, 272, 90, 26, lambda row, column: [(row, column)])
    text(axes, 148, 528, "kernel", 27, weight="bold")
    table(axes, KERNEL, 40, 556, 72, 26, lambda row, column: [])


def draw_stamps(axes: Axes) -> None:
    side = 64
    for pixel, values in STAMPS.items():
        left, top = 346 + pixel[1] * 344, 208 + pixel[0] * 378
        text(axes, left + 2.5 * side, top - 24, f"{written(X[pixel])} {TIMES} kernel", 24, WORDS[pixel], weight="bold")
        table(axes, values, left, top, side, 18.5, lambda row, column, p=pixel, v=values: [p] if v[row, column] else [])
        square(axes, left + pixel[1] * STRIDE * side, top + pixel[0] * STRIDE * side, 3 * side, COLOURS[pixel], 3)
        for row, column in (CORNER, CENTRE):
            if pixel in stamped_by(row, column):
                square(axes, left + column * side, top + row * side, side, INK, 2.5)


def draw_result(axes: Axes) -> None:
    left, top, side = 1112, 322, 90
    table(axes, RESULT, left, top, side, 24.5, stamped_by)
    for pixel, colour in COLOURS.items():
        square(axes, left + pixel[1] * STRIDE * side, top + pixel[0] * STRIDE * side, 3 * side, colour, 3)
    for row, column in (CORNER, CENTRE):
        square(axes, left + column * side, top + row * side, side, INK, 3.5)

    (pixel,) = stamped_by(*CORNER)
    assert RESULT[CORNER] == X[pixel] * KERNEL[CORNER]
    product = f"{written(X[pixel])} {TIMES} {written(KERNEL[CORNER])}"
    sentence(axes, left, top - 60, 26, [(f"{written(RESULT[CORNER])} = ", INK), (product, WORDS[pixel])])
    leader(axes, left + side / 4, top - 38, top)

    terms = [(written(STAMPS[pixel][CENTRE]), WORDS[pixel]) for pixel in stamped_by(*CENTRE)]
    assert RESULT[CENTRE] == sum(STAMPS[pixel][CENTRE] for pixel in stamped_by(*CENTRE))
    parts = [part for term in terms for part in ((" + ", INK), term)][1:]
    bottom = top + 5 * side
    sentence(axes, left, bottom + 62, 26, [(f"{written(RESULT[CENTRE])} = ", INK), *parts])
    leader(axes, left + CENTRE[1] * side, top + (CENTRE[0] + 1) * side, bottom + 38)


def leader(axes: Axes, x: float, top: float, bottom: float) -> None:
    axes.plot([x, x], [top, bottom], color=INK, linewidth=2.5, zorder=4)


def main() -> None:
    figure = plt.figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, facecolor="none")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(HEIGHT, 0))
    axes.axis("off")
    card = FancyBboxPatch((34, 34), WIDTH - 68, HEIGHT - 68, boxstyle="round,pad=30", facecolor="white")
    axes.add_patch(card)
    card.set(edgecolor="#d5d9e0", linewidth=2)
    text(
        axes, WIDTH / 2, 62, "Each input pixel stamps the kernel; where stamps overlap, they add up", 35, weight="bold"
    )
    call = f'conv2d_transpose(input, kernel, strides={STRIDE}, padding="{example.ARGUMENTS["padding"]}")'
    text(axes, WIDTH / 2, 112, call, 23, FAINT, family="monospace")
    draw_operands(axes)
    arrow(axes, 301, 547, "stamp")
    draw_stamps(axes)
    arrow(axes, 1061, 547, "add")
    draw_result(axes)
    figure.savefig(TARGET, metadata={"Software": None})


if __name__ == "__main__":
    main()
