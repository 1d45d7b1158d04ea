"""``jconvt translate``: a call of one framework in, two programs and a table out. It computes nothing."""

import argparse

from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from .._conventions.registry import CONVENTIONS
from . import geometry_options, terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = geometry_options.NUMBERS
    for option, name in (("--from", "source"), ("--to", "target")):
        help = f"one of {', '.join(CONVENTIONS)}"
        parser.add_argument(option, dest=name, required=True, choices=CONVENTIONS, metavar="NAME", help=help)
    geometry_options.add_layer(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    found = geometry_options.translation(arguments, arguments.source, arguments.target)
    if not console.is_terminal:
        print(found)  # to be pasted: not a character of it may wrap
        return 0
    console.print(Syntax(str(found), "python", theme="ansi_dark", word_wrap=True))
    table = terminal.table()
    table.add_column("")
    for framework in (found.source_framework, found.target_framework):
        table.add_column(framework, no_wrap=True)
    source, target = found.source, found.target

    def in_target(shape: tuple[int, ...]) -> str:
        return str(target.layout.shape(shape[0], source.layout.spatial(shape), shape[source.layout.channel_axis]))

    kernel_shape = target.kernel.shape(source.kernel.filters_shape(found.kernel_shape))
    table.add_row("input", str(found.input_shape), in_target(found.input_shape))
    table.add_row("kernel", str(found.kernel_shape), str(kernel_shape))
    table.add_row("output", str(found.output_shape), in_target(found.output_shape))
    table.add_row("kernel conversion", "w", Text(found.kernel.code("w", found.kernel_shape)))
    table.add_row("and back", Text(found.kernel.inverse.code("w", kernel_shape)), "w")
    if not target.exact:
        table.add_row("crop of the output", "", str(target.crop))
    console.print(table)
    return 0
