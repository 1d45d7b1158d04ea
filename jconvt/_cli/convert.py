"""``jconvt convert``: a file of weights in, one for another framework out, and a table of what was converted."""

import argparse
import pathlib
import sys

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .. import weights
from ..errors import ArgumentError, ArgumentTypeError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.description = (
        "Writes the weights of one framework as those of another: transposed convolutions, convolutions, dense layers "
        "and norms. Formats are told by the names: .keras, .h5, .pt, .pth, .safetensors, and .onnx to read. PATTERN is "
        "a path in which * stands for anything; options with an = may be repeated."
    )
    parser.add_argument("source", type=pathlib.Path, metavar="IN", help="the file to read")
    parser.add_argument("target", type=pathlib.Path, metavar="OUT", help="the file to write; it is replaced")
    parser.add_argument(
        "--to", choices=weights.TARGETS, help="whose layout a .safetensors file gets; that of IN where left out"
    )
    parser.add_argument(
        "--from", dest="framework", choices=weights.TARGETS, help="whose a .safetensors file is; torch where left out"
    )
    parser.add_argument(
        "--kind",
        dest="kinds",
        type=_assignment,
        action="append",
        metavar="PATTERN=KIND",
        help="conv_transpose, conv, dense or norm, where IN does not tell",
    )
    parser.add_argument(
        "--groups", type=_number, action="append", metavar="PATTERN=N", help="groups, where IN does not tell"
    )
    parser.add_argument(
        "--name", dest="names", type=_assignment, action="append", metavar="OLD=NEW", help="the layer's path in OUT"
    )
    parser.add_argument(
        "--like",
        type=pathlib.Path,
        metavar="FILE",
        help="a .keras or .h5 file of which OUT is a copy, with new numbers",
    )
    parser.add_argument("--partial", action="store_true", help="with --like, keep the numbers of layers not in IN")


def _assignment(text: str) -> tuple[str, str]:
    left, equals, right = text.partition("=")
    if not (left and equals and right):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form LEFT=RIGHT")
    return left, right


def _number(text: str) -> tuple[str, int]:
    pattern, number = _assignment(text)
    if not number.isdecimal() or int(number) < 1:
        raise argparse.ArgumentTypeError(f"{number!r} is no number of at least 1")
    return pattern, int(number)


def run(arguments: argparse.Namespace, console: Console) -> int:
    try:
        if arguments.partial and arguments.like is None:
            raise ArgumentError(
                "--partial is for a file that OUT is a copy of",
                got="--partial, and no --like",
                legal="both, or neither",
                fix="pass --like FILE, or leave --partial out",
            )
        checkpoint = weights.read(
            arguments.source,
            framework=arguments.framework,
            kinds=dict(arguments.kinds or ()),
            groups=dict(arguments.groups or ()),
        )
        report = weights.write(
            arguments.target,
            checkpoint,
            arguments.to,
            names=dict(arguments.names or ()),
            like=arguments.like,
            strict=not arguments.partial,
        )
    except (ArgumentError, ArgumentTypeError, ImportError) as error:
        print("\n".join([f"jconvt convert: {error}", *getattr(error, "__notes__", ())]), file=sys.stderr)
        return 2
    except OSError as error:
        print(f"jconvt convert: {error.filename or arguments.target}: {error.strerror or error}", file=sys.stderr)
        return 2
    console.print(_table(report))
    for line in report.lists():
        console.print(Text(line, "yellow"))
    console.print(Text(f"{len(report.rows)} layers converted, {len(report.unused)} not used: {arguments.target}"))
    return 0


def _table(report: weights.Report) -> Table:
    """One row for each layer, on two lines, so that it fits 80 columns: what it was, and what it is."""
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    table.add_column("layer", overflow="fold")
    for heading in ("kind", "shape\nnew shape", "conversion"):
        table.add_column(heading, no_wrap=True)
    for row in report.rows:
        layer = Text(row.source, "bold")
        if row.target != row.source:
            layer.append(f"\nby {row.rule}: {row.target}", "not bold")
        same = row.source_shape == row.target_shape and row.conversion == "as it is"
        shapes = str(row.source_shape) + ("" if same else f"\n{row.target_shape}")
        table.add_row(layer, row.kind, shapes, Text(row.conversion.replace(").", ")\n.").replace("[", "\n[", 1)))
    return table
