"""A layer as the options of a command: sizes, channels and geometry, in the words of one framework."""

import argparse

from .._translation import Translation, translate
from . import geometry_options

NUMBERS = (
    "Options are the arguments of the framework's function. Numbers are one for all axes, or one for each, joined by x."
)


def add_arguments(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add the options that state a layer."""
    numbers = geometry_options.numbers
    parser.add_argument("--input", required=required, type=numbers, metavar="HxW", help="the input's spatial sizes")
    parser.add_argument("--kernel", required=required, type=numbers, metavar="K", help="the kernel's sizes")
    geometry_options.add(parser)
    parser.add_argument(
        "--channels", type=numbers, default=(8, 4), metavar="INxOUT", help="input and output channels; default: 8x4"
    )
    parser.add_argument("--batch", type=geometry_options.positive, default=1, metavar="N", help="images; default: 1")


def translation(arguments: argparse.Namespace, source: str, target: str) -> Translation:
    """Return the layer, a call of ``source``, as a call of ``target``.

    Raises:
      ArgumentError: the options are not a call of ``source``, or ``target`` has no such call.
    """
    rank = len(arguments.input)
    return translate(
        source,
        target,
        arguments.input,
        geometry_options.for_each(arguments.kernel, "kernel", rank),
        geometry_options.given(vars(arguments), source, rank),
        channels=geometry_options.for_each(arguments.channels, "channels", 2),
        batch=arguments.batch,
    )
