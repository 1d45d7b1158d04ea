"""A call's geometry as options of a command: what all frameworks have, by one name, as each of them wants it."""

import argparse
from collections.abc import Mapping
from typing import Any

from ..errors import ArgumentError

_ARGUMENTS = {
    "tensorflow": {"stride": "strides", "padding": "padding", "dilation": "dilations"},
    "jconvt": {
        "stride": "strides",
        "padding": "padding",
        "dilation": "dilations",
        "output_padding": "output_padding",
        "groups": "groups",
    },
    "keras": {
        "stride": "strides",
        "padding": "padding",
        "dilation": "dilation_rate",
        "output_padding": "output_padding",
    },
    "torch": {
        "stride": "stride",
        "padding": "padding",
        "dilation": "dilation",
        "output_padding": "output_padding",
        "groups": "groups",
    },
    "onnx": {
        "stride": "strides",
        "padding": "pads",
        "dilation": "dilations",
        "output_padding": "output_padding",
        "groups": "group",
    },
    "lax": {"stride": "strides", "padding": "padding", "dilation": "rhs_dilation"},
    "flax": {"stride": "strides", "padding": "padding", "dilation": "kernel_dilation"},
}
"""What each framework calls the options; one that is not there it has not."""

_DEFAULT_PADDING = {"tensorflow": "SAME", "lax": "SAME"}
"""Of those whose function has no default."""

OPTIONS = ("stride", "padding", "output_padding", "dilation", "groups")
"""The options' names, as ``argparse`` has them."""


def add(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--stride", type=numbers, metavar="S", help="1 where left out")
    parser.add_argument(
        "--padding", metavar="P", help="same, valid, a number, or before:after; for more axes, joined by x"
    )
    parser.add_argument("--output-padding", type=numbers, metavar="P")
    parser.add_argument("--dilation", type=numbers, metavar="D")
    parser.add_argument("--groups", type=positive, metavar="G")


def numbers(text: str) -> tuple[int, ...]:
    """Integers joined by x."""
    try:
        return tuple(int(part) for part in text.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number, and no numbers joined by x, such as 16x16") from None


def positive(text: str) -> int:
    """One integer of at least 1."""
    (*others, number) = numbers(text)
    if others or number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of at least 1")
    return number


def given(options: Mapping[str, Any], source: str, rank: int) -> dict[str, Any]:
    """The options as arguments of the source's function, by its names."""
    names = _ARGUMENTS[source]
    found: dict[str, Any] = {}
    for option in OPTIONS:
        value = options.get(option)
        if value is None:
            if option == "padding" and source in _DEFAULT_PADDING:
                found["padding"] = _DEFAULT_PADDING[source]
            elif option == "stride" and source in ("lax", "tensorflow"):
                found["strides"] = (1,) * rank
            continue
        if option not in names:
            raise ArgumentError(
                f"{source}'s function has no {option.replace('_', ' ')}",
                got=f"--{option.replace('_', '-')} {value}",
                legal=", ".join(f"--{name.replace('_', '-')}" for name in names),
                fix="leave it out, or call a framework that has it",
            )
        if option == "padding":
            found |= _padding(value, source, rank)
        elif option == "groups":
            found[names[option]] = value
        else:
            found[names[option]] = for_each(value, option, rank)
    return found


def for_each(numbers: tuple[int, ...], name: str, rank: int) -> Any:
    """One number for each axis, of as many, or of one for all."""
    if len(numbers) not in (1, rank):
        raise ArgumentError(
            f"--{name.replace('_', '-')} has the wrong number of numbers",
            got="x".join(map(str, numbers)),
            legal=f"1 or {rank}",
            fix="pass one number for all axes, or one for each",
        )
    return numbers * rank if len(numbers) == 1 else numbers


def _padding(text: str, source: str, rank: int) -> dict[str, Any]:
    """``--padding``, as the source's function takes it."""
    if text.upper() in ("SAME", "VALID", "SAME_UPPER", "SAME_LOWER"):
        if source == "onnx":
            return {"auto_pad": "SAME_UPPER" if text.upper() == "SAME" else text.upper()}
        return {"padding": text.lower() if source == "keras" else text.upper()}
    try:
        parts = [tuple(int(number) for number in part.split(":")) for part in text.split("x")]
        if not all(len(part) in (1, 2) for part in parts):
            raise ValueError
    except ValueError:
        raise ArgumentError(
            "unknown --padding",
            got=text,
            legal="same, valid, a number, before:after, or these joined by x: 1:2x0:1",
            fix="pass one of these",
        ) from None
    if len(parts) not in (1, rank):
        raise ArgumentError(
            "--padding has the wrong number of axes",
            got=text,
            legal=f"1 or {rank}",
            fix="pass one for all axes, or one for each",
        )
    pairs = [(part[0], part[-1]) for part in (parts * rank if len(parts) == 1 else parts)]
    if source == "torch":
        if any(before != after for before, after in pairs):
            raise ArgumentError(
                "PyTorch pads both ends alike",
                got=f"--padding {text}",
                legal="one number for each axis",
                fix="choose the output size by --output-padding",
            )
        return {"padding": tuple(before for before, _ in pairs)}
    if source == "onnx":
        return {"pads": (*(before for before, _ in pairs), *(after for _, after in pairs))}
    if source == "keras":
        raise ArgumentError(
            "Keras has no numbers for padding",
            got=f"--padding {text}",
            legal="same or valid",
            fix="choose the output size by --output-padding",
        )
    return {"padding": ((0, 0), *pairs, (0, 0)) if source == "tensorflow" else tuple(pairs)}
