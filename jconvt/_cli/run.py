"""``jconvt run``: an unmodified program, with the convolutions of JAX computed by jconvt where it is faster."""

import argparse
import builtins
import io
import os
import runpy
import sys
import types

from rich.console import Console

from .._accelerate import accelerate
from ..errors import ArgumentError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-m", dest="is_module", action="store_true", help="PROGRAM is the name of a module")
    parser.add_argument("--report", action="store_true", help="list the convolutions at the end, on stderr")
    # One positional for all: argparse removes "--" after a first one.
    parser.add_argument("program", metavar="PROGRAM", nargs=argparse.PARSER, help="a script and its arguments")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Run the program as Python would: with its arguments, its exit status and its traceback."""
    if arguments.program[0] == "--" and len(arguments.program) > 1:  # older versions of argparse keep it
        del arguments.program[0]
    program, *_ = sys.argv = arguments.program
    if not arguments.is_module and not os.path.exists(program):
        fix = "pass the path of a script, or -m before the name of a module"
        raise ArgumentError("there is no such program", got=program, legal="an existing file", fix=fix)
    if not sys.flags.safe_path:
        sys.path[0] = os.getcwd() if arguments.is_module else os.path.dirname(os.path.realpath(program))
    accelerate()
    try:
        if arguments.is_module:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        elif os.path.isdir(program):
            runpy.run_path(program, run_name="__main__")
        else:
            _execute(os.path.abspath(program))
    except SystemExit:
        raise
    except BaseException as error:
        trace = _of_program(error.__traceback__)
        if trace is None and isinstance(error, ImportError):  # there is no such module
            raise
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    finally:
        if arguments.report:
            print(accelerate.report(), file=sys.stderr)
    return 0


def _execute(path: str) -> None:
    """Execute a script as the module ``__main__``, which stays: its threads and handlers at exit may import it."""
    main = types.ModuleType("__main__")
    main.__dict__.update(__file__=path, __builtins__=builtins)
    sys.modules["__main__"] = main
    with io.open_code(path) as file:
        exec(compile(file.read(), path, "exec"), main.__dict__)


def _of_program(trace: types.TracebackType | None) -> types.TracebackType | None:
    """Return the part of a traceback that is in the program, as Python shows it."""
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in (__name__, "runpy"):
        trace = trace.tb_next
    return trace
