"""``python -m benchmarks show``: the tables of a JSON file of results, with its page and plot written again."""

import argparse
import json
import pathlib
import sys

from rich.console import Console

from . import compare
from .models import command as models


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the argument."""
    parser.add_argument("file", metavar="FILE", type=pathlib.Path, help="of compare or models")


def command(arguments: argparse.Namespace, console: Console) -> int:
    """Print the tables, and write the page and the plot."""
    try:
        content = json.loads(arguments.file.read_text())
        present = models.present if "networks" in content else compare.present
        present(content, arguments.file, console)
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"benchmarks: {arguments.file} is no file of results: {error!r}; pass one of results/", file=sys.stderr)
        return 2
    return 0
