"""``jconvt convert``: reads a file of weights, writes one for another framework, and shows a table of the layers."""

import argparse
import pathlib
import sys
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..errors import ArgumentError
from ..weights import TARGETS, Report, read, write
from ..weights.files import FORMATS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.description = (
        "Write the weights of one framework as those of another: transposed convolutions, convolutions, dense layers, "
        "norms and PReLU. The suffix of a file is its format: .keras, .h5, .pt, .pth, .safetensors, and .onnx to "
        "read; the content of IN is read if its suffix is another. "
        "PATTERN is a path in which * is any text; options with an = may be repeated."
    )

    def option(name: str, help: str, **keywords: Any) -> None:
        parser.add_argument(name, help=help, **keywords)

    repeated: dict[str, Any] = {"type": _assignment, "action": "append", "default": []}
    option("source", "the file to read", type=pathlib.Path, metavar="IN")
    option("target", "the file to write; it is replaced", type=pathlib.Path, metavar="OUT")
    option("--to", "the layout that a .safetensors OUT gets; by default that of IN", choices=TARGETS)
    option("--from", "the layout that a .safetensors IN has; by default torch", choices=TARGETS, dest="framework")
    option("--format", "the format of IN, whatever its name", choices=FORMATS)
    option("--key", "the state_dict to read, if a PyTorch IN has several: params_ema, or model.generator")
    kinds = "conv_transpose, conv, dense, norm or prelu, where IN does not say"
    option("--kind", kinds, metavar="PATTERN=KIND", **repeated)
    groups = "groups, where IN does not say: of these layers, or of all transposed convolutions"
    option("--groups", groups, metavar="[PATTERN=]N", **{**repeated, "type": _count})
    option("--name", "the layer's path in OUT", metavar="OLD=NEW", **repeated)
    option("--like", "a .keras or .h5 file to copy, with the numbers of IN", type=pathlib.Path, metavar="FILE")
    option("--by-order", "for Keras, pair layers by order where paths and shapes leave a choice", action="store_true")
    option("--partial", "with --like, keep the numbers of layers not in IN", action="store_true")


def _assignment(text: str) -> tuple[str, str]:
    left, equals, right = text.partition("=")
    if not (left and equals and right):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form LEFT=RIGHT")
    return left, right


def _count(text: str) -> tuple[str | None, int]:
    pattern, number = _assignment(text) if "=" in text else (None, text)
    if not number.isdecimal() or int(number) < 1:
        raise argparse.ArgumentTypeError(f"{number!r} is not an integer of at least 1")
    return pattern, int(number)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Run the command, and return its exit status."""
    try:
        report = _write(arguments)
    except OSError as error:
        print(f"jconvt convert: {error.filename or arguments.target}: {error.strerror or error}", file=sys.stderr)
        return 2
    console.print(_table(report))
    for line in report.lists():
        console.print(Text(line, "yellow"))
    console.print(Text(f"{len(report.rows)} layers converted, {len(report.unused)} not used: {arguments.target}"))
    return 0


def _write(arguments: argparse.Namespace) -> Report:
    if arguments.partial and arguments.like is None:
        got, legal, fix = "--partial, and no --like", "both, or neither", "pass --like FILE, or leave --partial out"
        raise ArgumentError("--partial is only for a copy of another file", got=got, legal=legal, fix=fix)
    kinds, groups, names = dict(arguments.kind), dict(arguments.groups), dict(arguments.name)
    of_others = groups.pop(None, None)
    known = {"key": arguments.key, "format": arguments.format, "framework": arguments.framework}
    checkpoint = read(arguments.source, kinds=kinds, groups=groups, **known).told(groups=of_others)
    options: dict[str, Any] = {"names": names, "like": arguments.like, "strict": not arguments.partial}
    return write(arguments.target, checkpoint, arguments.to, **options, by_order=arguments.by_order)


def _table(report: Report) -> Table:
    """Return a table that fits 80 columns: each layer has two lines, before and after."""
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    table.add_column("layer", overflow="fold")
    for heading in ("kind", "shape\nnew shape", "conversion"):
        table.add_column(heading, no_wrap=True)
    for row in report.rows:
        layer = Text(row.source, "bold")
        if row.target != row.source:
            layer.append(f"\nby {row.rule}: {row.target}", "not bold")
        is_same = row.source_shape == row.target_shape and row.conversion == "as it is"
        shapes = str(row.source_shape) + ("" if is_same else f"\n{row.target_shape}")
        table.add_row(layer, row.kind, shapes, Text(row.conversion.replace(").", ")\n.").replace("[", "\n[", 1)))
    return table
