"""``jconvt choose``: which method ``"auto"`` picks for a layer and for each of its gradients, and why."""

import argparse
from typing import Any

import jax
from rich.console import Console

from .._conventions.registry import CONVENTIONS
from .._core.cost_model import PLATFORMS
from .._core.selection import Choice, choose
from . import geometry_options, layer_options, terminal

DTYPES = ("float32", "bfloat16", "float16", "float64", "int32", "complex64")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.epilog = layer_options.NUMBERS
    add_layer(parser)
    parser.add_argument(
        "--platform", choices=PLATFORMS, help="predict for this platform; default: JAX's default device"
    )
    parser.add_argument(
        "--measure", action="store_true", help="time the methods on JAX's default device instead of predicting"
    )
    parser.add_argument(
        "--devices", type=geometry_options.positive, default=1, metavar="N", help="devices that XLA shards over"
    )


def add_layer(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add the options that state a layer, its framework and its dtype."""
    parser.add_argument(
        "--convention",
        "--from",
        choices=CONVENTIONS,
        default="jconvt",
        metavar="NAME",
        help=f"the framework whose arguments these are: {', '.join(CONVENTIONS)}",
    )
    layer_options.add_arguments(parser, required)
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of input and kernel; default: float32")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print the choice."""
    if arguments.platform is None or arguments.measure:
        terminal.default_device()
    print(choice(arguments, platform=arguments.platform, measure=arguments.measure, devices=arguments.devices))
    return 0


def choice(arguments: argparse.Namespace, **options: Any) -> Choice:
    """Return what ``jconvt.choose`` with these ``options`` returns for the layer that the arguments state."""
    layer = layer_options.translation(arguments, arguments.convention, "jconvt")
    layout, rank = layer.source.layout, layer.spec.rank
    spatial = "ABEFGDHW"[-rank:]
    with jax.enable_x64(arguments.dtype == "float64"):
        return choose(
            layer.spec,
            layer.input_shape,
            layer.source.kernel.filters_shape(layer.kernel_shape),
            dtype=arguments.dtype,
            data_format=f"NC{spatial}" if layout.channels_first else f"N{spatial}C",
            **options,
        )
