"""An interactive page: the template, the style and the script beside this file, and the numbers.

Numbers become text here, and the script only places them. The page loads nothing from the network, and its policy
forbids it.
"""

import html as markup
import importlib.resources
import json
import re
from typing import Any

import numpy as np

from .formatting import Index, colour_number, format_factor, format_number, typeset
from .products import ProductTable, ravel
from .words import words

_MOST_PRODUCTS = 20_000  # of all pairs of channels together; a page with more has only the chosen pair


def html(table: ProductTable, cell: Any = None, language: str = "en") -> str:
    """Return the page, which begins with the sum of ``cell``. It works from a disk, a server, and in a frame."""
    parts = words(language) | {
        "title": markup.escape(table.call),
        "style": _source("page.css"),
        "script": _source("page.js"),
        # "<" becomes an escape, so that no text in the numbers can end the element that holds them.
        "data": json.dumps(_data(table, cell, language), allow_nan=False).replace("<", "\\u003c"),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _source("page.html"))


def frame(table: ProductTable) -> str:
    """Return the page as an element of another page, which it cannot reach."""
    title, page = markup.escape(table.call), markup.escape(html(table))
    style = "width: 100%; height: 900px; border: 0"
    return f'<iframe sandbox="allow-scripts" title="{title}" style="{style}" srcdoc="{page}"></iframe>'


def _data(table: ProductTable, cell: Any, language: str) -> dict[str, Any]:
    """Return what the page shows: places as integers in row-major order, numbers as text."""
    chosen, pairs = (table.input_channel, table.output_channel), table.pairs
    shown = pairs if table.overlap.sum() * len(pairs) <= _MOST_PRODUCTS else [chosen]
    text = words(language)
    return {
        "input": table.input.shape,
        "kernel": table.kernel.shape,
        "output": table.output.shape,
        "window": table.window,
        "zeros": table.zero_filled_pixels.shape,
        "zeroPixels": table.zero_filled_pixels.ravel().tolist(),
        "windowTaps": table.window_taps.ravel().tolist(),
        "colours": [colour_number(pixel) for pixel in np.ndindex(table.input.shape)],
        "pairs": [_pair(table.pair(*each), language) for each in shown],
        "pair": shown.index(chosen),
        "cell": ravel(table.busiest if cell is None else table.cell(cell), table.output.shape),
        "notes": [] if shown == pairs else [text["onePair"].format(count=len(pairs))],
        "agrees": text["agrees" if table.agrees else "disagrees"],
        "words": text,
    }


def _pair(table: ProductTable, language: str) -> dict[str, Any]:
    return {
        "name": words(language)["pair"].format(input=table.input_channel, output=table.output_channel),
        "input": [*map(_number, table.input.flat)],
        "kernel": [*map(_number, table.kernel.flat)],
        "factors": [typeset(format_factor(value)) for value in table.input.flat],
        "taps": [typeset(format_factor(value)) for value in table.kernel.flat],
        "output": [*map(_number, table.output.flat)],
        "sums": [_sum(table, cell, language) for cell in np.ndindex(table.output.shape)],
        "notes": table.remarks(language),
        "unflipped": typeset(table.unflipped(table.first, language)),
    }


def _sum(table: ProductTable, cell: Index, language: str) -> dict[str, Any]:
    pixels, taps = table.input.shape, table.kernel.shape
    parts = [
        [typeset(text), -1 if pixel is None else ravel(pixel, pixels)] for text, pixel in table.spelled(cell, language)
    ]
    terms = [[ravel(p, pixels), ravel(tap, taps), _number(product)] for p, tap, product in table.products(cell)]
    return {"parts": parts, "terms": terms}


def _number(value: Any) -> str:
    return typeset(format_number(value))


def _source(name: str) -> str:
    return importlib.resources.files("jconvt._explain").joinpath(name).read_text(encoding="utf-8")
