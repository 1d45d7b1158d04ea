"""The command line: the parser, and how a command runs. A command's module is imported only when it is named.

Each module has ``add_arguments(parser)`` and ``run(arguments, console)``, which returns the exit status.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from rich.console import Console

from .. import __version__
from ..errors import ArgumentError, ArgumentTypeError

COMMANDS = {
    "demo": "show the five-by-five example by every method",
    "explain": "show why the numbers are what they are: every product of a small call",
    "translate": "show a call of one framework as a call of another, as code to paste",
    "convert": "write the weights of one framework as those of another",
    "choose": "show which methods jconvt picks for a layer, and why",
    "run": "run a JAX program with faster convolutions, unmodified",
    "check": "verify every method on JAX's default device",
    "bench": "time every method on JAX's default device",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line on ``argv``, and return its exit status."""
    argv = [*(sys.argv[1:] if argv is None else argv)]
    command = importlib.import_module(f".{argv[0]}", __package__) if argv and argv[0] in COMMANDS else None
    parser = argparse.ArgumentParser(
        "jconvt", description="Transposed convolution for JAX, as TensorFlow computes it.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"jconvt {__version__}")
    subparsers = parser.add_subparsers(title="commands")
    for name, text in COMMANDS.items():
        description = f"{text[0].upper()}{text[1:]}."
        subparser = subparsers.add_parser(name, help=text, description=description, allow_abbrev=False)
        if command is not None and name == argv[0]:
            command.add_arguments(subparser)
    arguments = parser.parse_args(argv)
    if command is None:
        parser.print_help()
        return 0
    try:
        status = command.run(arguments, Console(highlight=False))
        if sys.stdout is not None:  # it is None in a program that was started without one
            sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return 130
    except (ArgumentError, ArgumentTypeError, ImportError) as error:
        print("\n".join([f"jconvt {argv[0]}: {error}", *getattr(error, "__notes__", ())]), file=sys.stderr)
        return 2
    except OSError as error:
        if error.filename is not None or sys.stdout is None:
            raise
        print(f"jconvt: cannot write the output: {error.strerror or error}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python fails again as it flushes at exit
        return 2
