"""``jconvt translate``: a call of one framework in, two programs and a table out."""

import argparse
import sys
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from .. import _translation
from .._conventions.registry import CONVENTIONS
from ..errors import ArgumentError, ArgumentTypeError
from . import geometry_options


def add(commands: Any) -> None:
    """Adds the command."""
    text = "a call of one framework as a call of another, as code that can be pasted"
    parser = commands.add_parser(
        "translate",
        help=text,
        description=f"Shows {text}. Options are the source's arguments, whatever it calls them; numbers are "
        "one for all axes, or one for each, joined by x.",
    )
    parser.set_defaults(command=_translate)
    parser.add_argument("--from", dest="source", required=True, choices=[*CONVENTIONS], help="whose call it is")
    parser.add_argument("--to", dest="target", required=True, choices=[*CONVENTIONS], help="whose it becomes")
    parser.add_argument(
        "--input", required=True, type=geometry_options.numbers, metavar="HxW", help="the input's spatial sizes"
    )
    parser.add_argument(
        "--kernel", required=True, type=geometry_options.numbers, metavar="K", help="the kernel's sizes"
    )
    geometry_options.add(parser)
    parser.add_argument(
        "--channels", type=geometry_options.numbers, default=(8, 4), metavar="INxOUT", help="8x4 where left out"
    )
    parser.add_argument("--batch", type=geometry_options.positive, default=1, metavar="N")


def _translate(arguments: argparse.Namespace, console: Console) -> int:
    rank = len(arguments.input)
    try:
        found = _translation.translate(
            arguments.source,
            arguments.target,
            arguments.input,
            geometry_options.for_each(arguments.kernel, "kernel", rank),
            geometry_options.given(vars(arguments), arguments.source, rank),
            channels=geometry_options.for_each(arguments.channels, "channels", 2),
            batch=arguments.batch,
        )
    except (ArgumentError, ArgumentTypeError) as error:
        print(f"jconvt translate: {error}", file=sys.stderr)
        return 2
    if console.is_terminal:
        console.print(Syntax(str(found), "python", theme="ansi_dark", word_wrap=True))
        console.print(_table(found))
    else:
        print(found)  # to be pasted, so not a character of it is to be wrapped
    return 0


def _table(found: _translation.Translation) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    table.add_column("")
    for framework in (found.source_framework, found.target_framework):
        table.add_column(framework, no_wrap=True)
    source, target = found.source, found.target
    filters = source.kernel.filters_shape(found.kernel_shape)
    sizes = [
        found.input_shape[0],
        source.layout.spatial(found.input_shape),
        found.input_shape[source.layout.channel_axis],
    ]
    outputs = [
        found.output_shape[0],
        source.layout.spatial(found.output_shape),
        found.output_shape[source.layout.channel_axis],
    ]
    table.add_row("input", str(found.input_shape), str(target.layout.shape(*sizes)))
    table.add_row("kernel", str(found.kernel_shape), str(target.kernel.shape(filters)))
    table.add_row("result", str(found.output_shape), str(target.layout.shape(*outputs)))
    convert = found.kernel.code("w", found.kernel_shape)
    table.add_row("kernel conversion", "w", Text(convert))
    table.add_row("and back", Text(found.kernel.inverse.code("w", target.kernel.shape(filters))), "w")
    if not target.exact:
        table.add_row("to crop from the result", "", str(target.crop))
    return table
