"""An explanation as a page of its own: the template, the style and the script beside this file, and the numbers.

Numbers are written here, and only placed there. The page asks nothing of the network, and its policy forbids it to.
"""

import html as markup
import importlib.resources
import json
import re
from typing import Any

import numpy as np

from . import palette, written
from .explanation import Explanation

_MOST_PRODUCTS = 20_000  # of all pairs of channels together; where there are more, the page has the chosen pair alone
_HEIGHT = 900  # pixels, in a notebook

LIGHT = {
    "ground": "#f6f7f9",
    "card": "#ffffff",
    "ink": "#1d2129",
    "faint": "#5b6270",
    "edge": "#d5d9e0",
    "empty": "#eceef2",
    "window": "#d9dde4",
    "focus": "#0072b2",
}
DARK = {
    "ground": "#14171c",
    "card": "#1d2128",
    "ink": "#f2f4f7",
    "faint": "#aab2bf",
    "edge": "#3a414c",
    "empty": "#2a2f38",
    "window": "#444c59",
    "focus": "#8bcdf3",
}


def html(explanation: Explanation, cell: Any = None) -> str:
    """The page, with the sum of ``cell`` to begin with.

    It is one file, which works from a disk, from a server, and in a frame of another page.
    """
    parts = {
        "title": markup.escape(explanation.call),
        "colours": colours(),
        "style": _source("page.css"),
        "script": _source("page.js"),
        # "<" is written as an escape, so that no text in the numbers can end the element that holds them.
        "data": json.dumps(data(explanation, cell), allow_nan=False).replace("<", "\\u003c"),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _source("page.html"))


def frame(explanation: Explanation) -> str:
    """The page as an element of another one, which it cannot reach."""
    page = markup.escape(html(explanation))
    title = markup.escape(explanation.call)
    style = f"width: 100%; height: {_HEIGHT}px; border: 0"
    return f'<iframe sandbox="allow-scripts" title="{title}" style="{style}" srcdoc="{page}"></iframe>'


def colours() -> str:
    """The pixels' colours and the page's, as variables of its style, for light and for dark."""
    light, dark = dict(LIGHT), dict(DARK)
    for number, colour in enumerate(palette.COLOURS):
        light |= {f"tint{number}": palette.tint(colour), f"word{number}": palette.ON_LIGHT[number]}
        dark |= {f"tint{number}": palette.tint(colour, 0.55, DARK["card"]), f"word{number}": palette.ON_DARK[number]}
        light[f"line{number}"] = dark[f"line{number}"] = colour
    return f":root {{ {_variables(light)} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {_variables(dark)} }} }}"


def data(explanation: Explanation, cell: Any = None) -> dict[str, Any]:
    """What the page shows: places as integers in row-major order, numbers as they are written."""
    chosen = (explanation.input_channel, explanation.output_channel)
    start = explanation.busiest if cell is None else explanation.cell(cell)
    pairs = explanation.pairs
    products = int(explanation.overlap.sum())
    shown = pairs if products * len(pairs) <= _MOST_PRODUCTS else [chosen]
    return {
        "input": explanation.input.shape,
        "kernel": explanation.kernel.shape,
        "output": explanation.output.shape,
        "window": explanation.window,
        "zeros": explanation.zero_filled_pixels.shape,
        "zeroPixels": explanation.zero_filled_pixels.ravel().tolist(),
        "windowTaps": explanation.window_taps.ravel().tolist(),
        "colours": [palette.colour(pixel) for pixel in np.ndindex(explanation.input.shape)],
        "pairs": [_pair(explanation.pair(*each)) for each in shown],
        "pair": shown.index(chosen),
        "cell": int(np.ravel_multi_index(start, explanation.output.shape)),
        "notes": [] if shown == pairs else [f"This page has one of {len(pairs)} pairs."],
        "agrees": "The library computes the same numbers."
        if explanation.agrees
        else "The library disagrees with the definition here: please report it.",
    }


def _pair(explanation: Explanation) -> dict[str, Any]:
    sizes, taps = explanation.input.shape, explanation.kernel.shape
    sums = [
        {
            "parts": [
                [written.typeset(text), -1 if pixel is None else int(np.ravel_multi_index(pixel, sizes))]
                for text, pixel in explanation.spelled(cell)
            ],
            "terms": [
                [int(np.ravel_multi_index(pixel, sizes)), int(np.ravel_multi_index(tap, taps)), _number(product)]
                for pixel, tap, product in products
            ],
        }
        for cell, products in explanation.sums.items()
    ]
    return {
        "name": f"input {explanation.input_channel}, output {explanation.output_channel}",
        "input": [*map(_number, explanation.input.flat)],
        "kernel": [*map(_number, explanation.kernel.flat)],
        "factors": [written.typeset(written.factor(value)) for value in explanation.input.flat],
        "taps": [written.typeset(written.factor(value)) for value in explanation.kernel.flat],
        "output": [*map(_number, explanation.output.flat)],
        "sums": sums,
        "notes": explanation.notes,
        "unflipped": written.typeset(explanation.unflipped(explanation.first)),
    }


def _number(value: Any) -> str:
    return written.typeset(written.number(value))


def _variables(values: dict[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in values.items())


def _source(name: str) -> str:
    return importlib.resources.files("jconvt._explain").joinpath(name).read_text(encoding="utf-8")
