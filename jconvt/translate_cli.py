"""``jconvt translate``: a call of one framework in, two programs and a table out."""

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from . import translation
from .errors import ArgumentError, ArgumentTypeError
from .frameworks import FRAMEWORKS

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
    parser.add_argument("--from", dest="source", required=True, choices=FRAMEWORKS, help="whose call it is")
    parser.add_argument("--to", dest="target", required=True, choices=FRAMEWORKS, help="whose it becomes")
    parser.add_argument("--input", required=True, type=_numbers, metavar="HxW", help="the input's spatial sizes")
    parser.add_argument("--kernel", required=True, type=_numbers, metavar="K", help="the kernel's sizes")
    parser.add_argument("--stride", type=_numbers, metavar="S", help="1 where left out")
    parser.add_argument(
        "--padding", metavar="P", help="same, valid, a number, or before:after; for more axes, joined by x"
    )
    parser.add_argument("--output-padding", type=_numbers, metavar="P")
    parser.add_argument("--dilation", type=_numbers, metavar="D")
    parser.add_argument("--groups", type=_positive, metavar="G")
    parser.add_argument("--channels", type=_numbers, default=(8, 4), metavar="INxOUT", help="8x4 where left out")
    parser.add_argument("--batch", type=_positive, default=1, metavar="N")


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number, and no numbers joined by x, such as 16x16") from None


def _positive(text: str) -> int:
    (*others, number) = _numbers(text)
    if others or number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of at least 1")
    return number


def _translate(arguments: argparse.Namespace, console: Console) -> int:
    rank = len(arguments.input)
    try:
        found = translation.translate(
            arguments.source,
            arguments.target,
            arguments.input,
            _for_each(arguments.kernel, "kernel", rank),
            given(vars(arguments), arguments.source, rank),
            channels=_for_each(arguments.channels, "channels", 2),
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


def given(options: Mapping[str, Any], source: str, rank: int) -> dict[str, Any]:
    """The options as arguments of the source's function, by its names."""
    names = _ARGUMENTS[source]
    found: dict[str, Any] = {}
    for option in ("stride", "padding", "output_padding", "dilation", "groups"):
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
                fix="leave it out, or translate from a framework that has it",
            )
        if option == "padding":
            found |= _padding(value, source, rank)
        elif option == "groups":
            found[names[option]] = value
        else:
            found[names[option]] = _for_each(value, option, rank)
    return found


def _for_each(numbers: tuple[int, ...], name: str, rank: int) -> Any:
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


def _table(found: translation.Translation) -> Table:
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
