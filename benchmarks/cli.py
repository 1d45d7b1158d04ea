"""``python -m benchmarks``: the parser, and which command runs."""

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from jconvt.errors import ArgumentError

from . import choices, compare, fit, methods, scaling, show, tpu
from .device import command as device
from .models import command as models

_TPU = "--tpu-compile"
_COMMANDS = {
    "compare": (
        "measure auto, every method and every baseline, and write the figures",
        compare.add_arguments,
        compare.command,
    ),
    "methods": ("measure only jconvt's methods", methods.add_arguments, methods.command),
    "scaling": (
        "measure how auto's time grows with the pixels and with the batch",
        scaling.add_arguments,
        scaling.command,
    ),
    "choices": (
        "compare the predictions of jconvt.choose with its measurements",
        choices.add_arguments,
        choices.command,
    ),
    "models": (
        "measure networks of other libraries with jconvt.accelerate, without it, and in PyTorch",
        models.add_arguments,
        models.command,
    ),
    "device": (
        "check, test and measure this device in a few minutes, and write one page",
        device.add_arguments,
        device.command,
    ),
    "fit": (
        "fit the cost model of a platform to the results of the command device",
        fit.add_arguments,
        fit.command,
    ),
    "show": (
        "print the tables of a JSON file, and write its page and plot again",
        show.add_arguments,
        show.command,
    ),
}
"""For each command its help, and the functions that add its options and that run it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark on ``argv``, and return its exit status. Without a command, it compares."""
    argv = list(sys.argv[1:] if argv is None else argv)
    console = Console(highlight=False)
    try:
        if _TPU in argv:
            return _compile_for_tpu([each for each in argv if each != _TPU], console)
        if not argv or (argv[0].startswith("-") and argv[0] not in ("-h", "--help")):
            argv = ["compare", *argv]
        arguments = _parser().parse_args(argv)
        return arguments.command(arguments, console)
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks",
        description="Transposed convolution in JAX beside other libraries.",
        epilog=f"python -m benchmarks {_TPU} --help: the TPU compiler's estimates, without a TPU",
    )
    commands = parser.add_subparsers(title="commands; without one, compare", required=True)
    for name, (text, add_arguments, command) in _COMMANDS.items():
        subparser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        subparser.set_defaults(command=command)
        add_arguments(subparser)
    return parser


def _compile_for_tpu(argv: list[str], console: Console) -> int:
    text = "Compile each method and jax.lax for a TPU, without one, and write the compiler's estimates."
    parser = argparse.ArgumentParser(f"python -m benchmarks {_TPU}", description=text)
    tpu.add_arguments(parser)
    compare.add_output(parser)
    arguments = parser.parse_args(argv)
    compare.folder(arguments.output)
    try:
        return tpu.command(arguments, console)
    except ArgumentError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
