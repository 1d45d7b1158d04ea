"""``jconvt explain``: the products of a small call, in the terminal, in figures, or in an interactive page."""

import argparse
import functools
import json
import math
import pathlib
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from .._conventions.registry import CONVENTIONS
from .._explain import Explanation, explain, text
from .._explain.words import LANGUAGES
from .._testing import example
from ..errors import ArgumentError
from . import geometry_options, terminal

_MOST_FILLED = 100_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = f"Without options, explain shows the five-by-five example. {geometry_options.NUMBERS}"
    option, names, sizes = parser.add_argument, ", ".join(CONVENTIONS), geometry_options.numbers
    operand = "nested lists of numbers, a .npy file, or sizes to fill with 1, 2, 3 and so on"
    option("--input", metavar="X", help=f"{operand}: [[1,2],[3,4]], x.npy or 4x4")
    option("--kernel", metavar="W", help="likewise; if X has batch and channels, so has W")
    option("--convention", choices=CONVENTIONS, default="jconvt", metavar="NAME", help=f"one of {names}")
    geometry_options.add(parser)
    option("--output-shape", type=sizes, metavar="HxW")
    option("--channels", type=sizes, default=(1, 1), metavar="INxOUT", help="of arrays to fill")
    option("--image", type=int, default=0, metavar="N", help="which image of the batch")
    option("--pair", type=_indices, default=(0, 0), metavar="IN,OUT", help="which channels")
    option("--cell", type=_indices, metavar="ROW,COLUMN", help="the output whose sum to spell out")
    option("--view", choices=(*text.VIEWS, "all"), help="default: stamps")
    file = functools.partial(option, metavar="FILE", type=pathlib.Path)
    file("--html", help="write an interactive page, which needs no network")
    option("--language", choices=LANGUAGES, default="en", help="of the page")
    file("--figure", help="draw the view as .png, .svg or .pdf, or animate it as .gif")


def _indices(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no index, and no indices joined by commas, as 2,2") from None


def run(arguments: argparse.Namespace, console: Console) -> int:
    for path, endings in ((arguments.html, (".html",)), (arguments.figure, (".png", ".svg", ".pdf", ".gif"))):
        if path is not None and path.suffix.lower() not in endings:
            problem, legal = "the ending of the file does not say what to write", ", ".join(endings)
            raise ArgumentError(problem, got=path, legal=legal, fix=f"end it in {endings[0]}")
    terminal.default_device()
    explanation = _explanation(arguments)
    cells = [explanation.first, explanation.busiest] if arguments.cell is None else [explanation.cell(arguments.cell)]
    for path, view in ((arguments.html, None), (arguments.figure, arguments.view)):
        if path is not None:
            explanation.save(path, view, arguments.cell, arguments.language if path is arguments.html else "en")
            print(f"wrote {path}")
    if arguments.html is arguments.figure is None:
        views = [*text.VIEWS] if arguments.view == "all" else [arguments.view or "stamps"]
        console.print(text.render(explanation, views, [*dict.fromkeys(cells)]))
    return 0 if explanation.agrees else 1


def _explanation(arguments: argparse.Namespace) -> Explanation:
    options = {name: getattr(arguments, name) for name in (*geometry_options.OPTIONS, "output_shape")}
    x, w = _operand(arguments.input, "--input"), _operand(arguments.kernel, "--kernel")
    if x is w is None and all(value is None for value in options.values()):
        options |= {"stride": (2,), "padding": "valid"}  # the example's call
    x = example.INPUT[0, :, :, 0] if x is None else x
    w = example.FILTERS[:, :, 0, 0] if w is None else w
    # An array of one or two axes has only the spatial ones.
    axes, rank = (len(a) if isinstance(a, tuple) else a.ndim if a.ndim <= 2 else a.ndim - 2 for a in (x, w))
    if axes != rank:
        got, legal = f"{axes} spatial axes in --input, {rank} in --kernel", "the same number"
        fix = "pass both with 1 or 2 spatial axes; with batch and channels, arrays have 3 or 4"
        raise ArgumentError("input and kernel have different numbers of axes", got=got, legal=legal, fix=fix)
    named = geometry_options.given(options, arguments.convention, rank)
    if options["output_shape"] is not None:
        named["output_shape"] = options["output_shape"]
    in_channels, out_channels = geometry_options.for_each(arguments.channels, "channels", 2)
    convention = CONVENTIONS[arguments.convention]
    groups = convention.groups_of(named)
    layout, kernel = convention.layout(rank, named), convention.kernel_layout(rank, groups, named)
    if isinstance(x, tuple):
        x = _filled(layout.shape(1, x, in_channels))
    elif x.ndim == rank:
        x = x.reshape(layout.shape(1, x.shape, 1))
    if isinstance(w, tuple):
        w = _filled(kernel.shape((*w, out_channels // groups, in_channels)))
    elif w.ndim == rank:
        w = w.reshape(kernel.shape((*w.shape, 1, 1)))
    return explain(x, w, convention=arguments.convention, image=arguments.image, pair=arguments.pair, **named)


def _filled(shape: tuple[int, ...]) -> NDArray[Any]:
    if math.prod(shape) > _MOST_FILLED:  # before memory is allocated for it
        legal, fix = f"at most {_MOST_FILLED} numbers", "pass smaller sizes, or fewer channels"
        raise ArgumentError("that is more than can be read", got=f"an array of shape {shape}", legal=legal, fix=fix)
    return np.arange(1, math.prod(shape) + 1, dtype=np.float32).reshape(shape)


def _operand(text: str | None, option: str) -> NDArray[Any] | tuple[int, ...] | None:
    """Return an array, or the sizes of one to fill."""
    if text is None:
        return None
    if re.fullmatch(r"[0-9]+(x[0-9]+)*", text):
        return geometry_options.numbers(text)
    try:
        if text.endswith(".npy"):
            with open(text, "rb") as file:
                return np.lib.format.read_array(file, allow_pickle=False)
        array = np.asarray(json.loads(text, parse_int=float))
        if array.ndim == 0 or array.size == 0 or array.dtype != np.float64:
            raise ValueError("no nested list of numbers")
        with np.errstate(over="ignore"):
            narrow = array.astype(np.float32)
        if not np.isfinite(narrow[np.isfinite(array)]).all():
            raise ValueError("a number that is too large for float32")
        return narrow
    except (OSError, ValueError, TypeError, MemoryError, RecursionError) as error:
        problem, got = f"{option} is no array of numbers", f"{text}: {getattr(error, 'strerror', None) or error}"
        legal = "nested lists of equal lengths, as [[1,2],[3,4]]; the name of a .npy file; or sizes, as 4x4"
        raise ArgumentError(problem, got=got, legal=legal, fix="quote the lists for the shell") from error
