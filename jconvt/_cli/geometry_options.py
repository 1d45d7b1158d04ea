"""A call's geometry, and a whole layer, as options of a command: one name for each, whatever a function calls it."""

import argparse
from collections.abc import Mapping
from typing import Any

from .._conventions.convention import Convention
from .._conventions.registry import CONVENTIONS
from .._translation import Translation, translate
from ..errors import ArgumentError

NUMBERS = (
    "Options are the arguments of the framework's function. Numbers are one for all axes, or one for each, joined by x."
)
OPTIONS = ("stride", "padding", "output_padding", "dilation", "groups")
"""The options' names, as ``argparse`` has them."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options of a geometry."""
    option = parser.add_argument
    option("--stride", type=numbers, metavar="S", help="1 where left out")
    option("--padding", metavar="P", help="same, valid, a number, or before:after; for more axes, joined by x")
    option("--output-padding", type=numbers, metavar="P")
    option("--dilation", type=numbers, metavar="D")
    option("--groups", type=positive, metavar="G")


def add_layer(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add the options of a layer: a geometry, sizes and channels."""
    option = parser.add_argument
    option("--input", required=required, type=numbers, metavar="HxW", help="the input's spatial sizes")
    option("--kernel", required=required, type=numbers, metavar="K", help="the kernel's sizes")
    add(parser)
    help = "input and output channels; default: 8x4"
    option("--channels", type=numbers, default=(8, 4), metavar="INxOUT", help=help)
    option("--batch", type=positive, default=1, metavar="N", help="images; default: 1")


def numbers(text: str) -> tuple[int, ...]:
    """Parse integers joined by x."""
    try:
        return tuple(int(part) for part in text.split("x"))
    except ValueError:
        problem = f"{text!r}: expected an integer, or integers joined by x, such as 16x16"
        raise argparse.ArgumentTypeError(problem) from None


def positive(text: str) -> int:
    """Parse one integer of at least 1."""
    (*others, number) = numbers(text)
    if others or number < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected one integer of at least 1")
    return number


def translation(arguments: argparse.Namespace, source: str, target: str) -> Translation:
    """Return the layer that ``arguments`` state, a call of ``source``, as a call of ``target``."""
    rank = len(arguments.input)
    kernel, channels = for_each(arguments.kernel, "kernel", rank), for_each(arguments.channels, "channels", 2)
    named = given(vars(arguments), source, rank)
    return translate(source, target, arguments.input, kernel, named, channels=channels, batch=arguments.batch)


def given(options: Mapping[str, Any], source: str, rank: int) -> dict[str, Any]:
    """Return the options as arguments of the source's function, by its names."""
    convention = CONVENTIONS[source]
    found: dict[str, Any] = {}
    for option in OPTIONS:
        value = convention.defaults.get(option) if options.get(option) is None else options[option]
        if value is None:
            continue
        if option not in convention.options:
            problem, got = f"{source}'s function has no {option.replace('_', ' ')}", f"{_flag(option)} {value}"
            legal, fix = ", ".join(map(_flag, convention.options)), "leave it out, or call a framework that has it"
            raise ArgumentError(problem, got=got, legal=legal, fix=fix)
        if option == "padding":
            found |= _padding(value, convention, rank)
        else:
            found[convention.options[option]] = value if option == "groups" else for_each(value, option, rank)
    return found


def for_each(value: tuple[int, ...], name: str, rank: int) -> tuple[int, ...]:
    """Return one number for each axis, from as many or from one for all."""
    if len(value) not in (1, rank):
        problem, got = f"{_flag(name)} has the wrong number of numbers", "x".join(map(str, value))
        fix = "pass one number for all axes, or one for each"
        raise ArgumentError(problem, got=got, legal=f"1 or {rank}", fix=fix)
    return value * rank if len(value) == 1 else value


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def _padding(text: str, convention: Convention, rank: int) -> dict[str, Any]:
    """Return ``--padding`` as arguments of the convention's function."""
    if text.upper() in ("SAME", "VALID", "SAME_UPPER", "SAME_LOWER"):
        return convention.padding(text.upper())
    try:
        parts = [tuple(int(number) for number in part.split(":")) for part in text.split("x")]
        if not all(len(part) in (1, 2) for part in parts):
            raise ValueError
    except ValueError:
        legal = "same, valid, a number, before:after, or these joined by x: 1:2x0:1"
        raise ArgumentError("unknown --padding", got=text, legal=legal, fix="pass one of these") from None
    if len(parts) not in (1, rank):
        problem, fix = "--padding has the wrong number of axes", "pass one for all axes, or one for each"
        raise ArgumentError(problem, got=text, legal=f"1 or {rank}", fix=fix)
    return convention.padding(tuple((part[0], part[-1]) for part in (parts * rank if len(parts) == 1 else parts)))
