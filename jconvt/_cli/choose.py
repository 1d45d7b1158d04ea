"""``jconvt choose``: which method ``"auto"`` picks for a layer and for each of its gradients, and why."""

import argparse
import sys
from typing import Any

import jax
from rich.console import Console

from .._conventions.registry import CONVENTIONS
from .._core.cost_model import PLATFORMS
from .._core.selection import Choice, choose
from .._native import native_status
from . import geometry_options, terminal

DTYPES = ("float32", "bfloat16", "float16", "float64", "int32", "complex64")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = geometry_options.NUMBERS
    add_layer(parser)
    option = parser.add_argument
    option("--platform", choices=PLATFORMS, help="predict for this platform; default: JAX's default device")
    option("--measure", action="store_true", help="time the methods on JAX's default device instead of predicting")
    help = "devices that XLA shards over"
    option("--devices", type=geometry_options.positive, default=1, metavar="N", help=help)


def add_layer(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add the options that state a layer, its framework and its dtype."""
    names, help = ("--convention", "--from"), f"the framework whose arguments these are: {', '.join(CONVENTIONS)}"
    parser.add_argument(*names, choices=CONVENTIONS, default="jconvt", metavar="NAME", help=help)
    geometry_options.add_layer(parser, required)
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of input and kernel; default: float32")


def run(arguments: argparse.Namespace, console: Console) -> int:
    if arguments.platform is None or arguments.measure:
        terminal.default_device()
    found = choice(arguments, platform=arguments.platform, measure=arguments.measure, devices=arguments.devices)
    print(found)
    if found.platform == "cpu" and native_status().reason is not None:
        print(native_status(), file=sys.stderr)
    return 0


def choice(arguments: argparse.Namespace, **options: Any) -> Choice:
    """Return what ``jconvt.choose`` with these ``options`` returns for the layer that the arguments state."""
    layer = geometry_options.translation(arguments, arguments.convention, "jconvt")
    spatial = "ABEFGDHW"[-layer.spec.rank :]
    options["data_format"] = f"NC{spatial}" if layer.source.layout.channels_first else f"N{spatial}C"
    kernel_shape = layer.source.kernel.filters_shape(layer.kernel_shape)
    with jax.enable_x64(arguments.dtype == "float64"):
        return choose(layer.spec, layer.input_shape, kernel_shape, dtype=arguments.dtype, **options)
