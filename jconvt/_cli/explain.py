"""``jconvt explain``: a small call in; its products in the terminal, in figures, or in a page to play with."""

import argparse
import json
import math
import pathlib
import re
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from .._conventions.registry import CONVENTIONS
from .._explain import Explanation, explain, text
from .._testing import example
from ..errors import ArgumentError, ArgumentTypeError
from . import geometry_options

_VIEWS = (*text.VIEWS, "all")
_MOST_FILLED = 100_000


def add(commands: Any) -> None:
    """Adds the command."""
    shown = "why the numbers are what they are: every product of a small call, in three views"
    parser = commands.add_parser(
        "explain",
        help=shown,
        description=f"Shows {shown}. Without options, of the five-by-five example. Options are the arguments of the "
        "convention's function, whatever it calls them; numbers are one for all axes, or one for each, joined by x.",
    )
    parser.set_defaults(command=_explain)
    operand = "nested lists of numbers, a .npy file, or sizes to be filled with 1, 2, 3 and so on"
    parser.add_argument("--input", metavar="X", help=f"{operand}: [[1,2],[3,4]], x.npy or 4x4")
    parser.add_argument("--kernel", metavar="W", help="likewise; arrays have their channels, where X has them")
    parser.add_argument("--convention", choices=[*CONVENTIONS], default="jconvt", help="jconvt if left out")
    geometry_options.add(parser)
    parser.add_argument("--output-shape", type=geometry_options.numbers, metavar="HxW")
    parser.add_argument(
        "--channels", type=geometry_options.numbers, default=(1, 1), metavar="INxOUT", help="of filled ones"
    )
    parser.add_argument("--image", type=int, default=0, metavar="N", help="which image of the batch")
    parser.add_argument("--pair", type=_indices, default=(0, 0), metavar="IN,OUT", help="which channels")
    parser.add_argument("--cell", type=_indices, metavar="ROW,COLUMN", help="the output whose sum is spelled out")
    parser.add_argument("--view", choices=_VIEWS, help="stamps where left out")
    parser.add_argument(
        "--html", metavar="FILE", type=pathlib.Path, help="write a page to play with, needing no network"
    )
    parser.add_argument(
        "--figure", metavar="FILE", type=pathlib.Path, help="draw the view as .png, .svg or .pdf, or animate it as .gif"
    )


def _indices(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no index, and no indices joined by commas, as 2,2") from None


def _explain(arguments: argparse.Namespace, console: Console) -> int:
    try:
        _check_ending(arguments.html, (".html",))
        _check_ending(arguments.figure, (".png", ".svg", ".pdf", ".gif"))
        explanation = _explanation(arguments)
        cells = [explanation.first, explanation.busiest]
        if arguments.cell is not None:
            cells = [explanation.cell(arguments.cell)]
        if arguments.html is not None:
            _write(explanation, arguments.html, None, arguments.cell)
        if arguments.figure is not None:
            _write(explanation, arguments.figure, arguments.view, arguments.cell)
    except (ArgumentError, ArgumentTypeError, ModuleNotFoundError) as error:
        print(f"jconvt explain: {error}", file=sys.stderr)
        return 2
    views = [*text.VIEWS] if arguments.view == "all" else [arguments.view or "stamps"]
    if (arguments.html, arguments.figure) == (None, None):
        console.print(text.render(explanation, views, [*dict.fromkeys(cells)]))
    return 0 if explanation.agrees else 1


def _check_ending(path: pathlib.Path | None, endings: tuple[str, ...]) -> None:
    if path is not None and path.suffix.lower() not in endings:
        raise ArgumentError(
            "the ending of the file does not say what to write",
            got=str(path),
            legal=", ".join(endings),
            fix=f"end it in {endings[0]}",
        )


def _write(explanation: Explanation, path: pathlib.Path, view: Any, cell: Any) -> None:
    explanation.save(path, view, cell)
    print(f"wrote {path}")


def _explanation(arguments: argparse.Namespace) -> Explanation:
    options = {name: getattr(arguments, name) for name in (*geometry_options.OPTIONS, "output_shape")}
    x, w = _operand(arguments.input, "--input"), _operand(arguments.kernel, "--kernel")
    if x is w is None and all(value is None for value in options.values()):
        options |= {"stride": (2,), "padding": "valid"}  # the example's call
    x = example.INPUT[0, :, :, 0] if x is None else x
    w = example.FILTERS[:, :, 0, 0] if w is None else w
    rank = _rank(w)
    if _rank(x) != rank:
        raise ArgumentError(
            "input and kernel have different numbers of axes",
            got=f"{_rank(x)} spatial axes in --input, {rank} in --kernel",
            legal="as many",
            fix="pass both, with 1 or 2 spatial axes; with their channels, arrays have 3 or 4",
        )
    named = geometry_options.given(options, arguments.convention, rank)
    if options["output_shape"] is not None:
        named["output_shape"] = options["output_shape"]
    taken, out = geometry_options.for_each(arguments.channels, "channels", 2)
    convention = CONVENTIONS[arguments.convention]
    groups = convention.groups_of(named)
    layout, kernel = convention.layout(rank, named), convention.kernel_layout(rank, groups, named)
    if isinstance(x, tuple):
        x = _filled(layout.shape(1, x, taken))
    elif x.ndim == rank:
        x = x.reshape(layout.shape(1, x.shape, 1))
    if isinstance(w, tuple):
        w = _filled(kernel.shape((*w, out // groups, taken)))
    elif w.ndim == rank:
        w = w.reshape(kernel.shape((*w.shape, 1, 1)))
    return explain(x, w, convention=arguments.convention, image=arguments.image, pair=arguments.pair, **named)


def _rank(operand: NDArray[Any] | tuple[int, ...]) -> int:
    """The number of spatial axes: arrays of one or two axes have no others."""
    if isinstance(operand, tuple):
        return len(operand)
    return operand.ndim if operand.ndim <= 2 else operand.ndim - 2


def _filled(shape: tuple[int, ...]) -> NDArray[Any]:
    if math.prod(shape) > _MOST_FILLED:  # not to be made before it is refused
        raise ArgumentError(
            "that is more than can be read",
            got=f"an array of shape {shape}",
            legal=f"at most {_MOST_FILLED} numbers",
            fix="pass smaller sizes, or fewer channels",
        )
    return np.arange(1, math.prod(shape) + 1, dtype=np.float32).reshape(shape)


def _operand(given: str | None, option: str) -> NDArray[Any] | tuple[int, ...] | None:
    """An array, or the sizes of one to be filled."""
    if given is None:
        return None
    if re.fullmatch(r"[0-9]+(x[0-9]+)*", given):
        return geometry_options.numbers(given)
    try:
        if given.endswith(".npy"):
            with open(given, "rb") as file:
                return np.lib.format.read_array(file, allow_pickle=False)
        array = np.asarray(json.loads(given, parse_int=float))
        if array.ndim == 0 or array.size == 0 or array.dtype != np.float64:
            raise ValueError("no nested list of numbers")
        with np.errstate(over="ignore"):
            narrow = array.astype(np.float32)
        if (np.isfinite(array) & ~np.isfinite(narrow)).any():
            raise ValueError("a number that is too large for float32")
        return narrow
    except (OSError, ValueError, TypeError, MemoryError, RecursionError) as error:
        raise ArgumentError(
            f"{option} is no array of numbers",
            got=f"{given}: {getattr(error, 'strerror', None) or error}",
            legal="nested lists of equal lengths, as [[1,2],[3,4]]; the name of a .npy file; or sizes, as 4x4",
            fix="quote the lists for the shell",
        ) from error
