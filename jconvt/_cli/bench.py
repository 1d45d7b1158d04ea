"""``jconvt bench``: how long each method takes for a layer and its gradients, as ``jconvt.choose`` measures it."""

import argparse

from rich.console import Console
from rich.progress import track
from rich.text import Text

from .._core.selection import methods_in_use
from .._geometry.maps import Map
from .._methods import METHODS
from ..errors import ArgumentError
from . import choose, terminal

LAYERS = {
    "DCGAN, 4x4 to 8x8": "--batch 8 --input 4x4 --kernel 5 --channels 256x128 --stride 2",
    "U-Net, 32x32 to 64x64": "--batch 2 --input 32x32 --kernel 2 --channels 128x64 --stride 2",
    "FCN, 16x16 to 128x128": "--input 16x16 --kernel 16 --channels 21x21 --stride 8",
    "HiFi-GAN, 64 to 512": "--input 64 --kernel 16 --channels 256x128 --stride 8",
    "V-Net, 8x8x8 to 16x16x16": "--input 8x8x8 --kernel 4 --channels 32x16 --stride 2",
}
"""Layers of published models on small images, as the options that state them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = f"Without --input and --kernel, bench times {len(LAYERS)} layers of published models."
    choose.add_layer(parser, required=False)


def run(arguments: argparse.Namespace, console: Console) -> int:
    device, layers = terminal.default_device(), {"this layer": arguments}
    if arguments.input is arguments.kernel is None:
        parser = argparse.ArgumentParser()
        choose.add_layer(parser)
        layers = {name: parser.parse_args([*text.split(), "--dtype", arguments.dtype]) for name, text in LAYERS.items()}
    elif arguments.input is None or arguments.kernel is None:
        got = f"only {'--kernel' if arguments.input is None else '--input'}"
        legal, fix = "both, or neither for the built-in layers", "add the other one"
        raise ArgumentError("a layer needs both --input and --kernel", got=got, legal=legal, fix=fix)
    methods = [name for name in methods_in_use() if METHODS[name].how]
    table = terminal.table("milliseconds", *methods, caption="Green: the fastest. A dash: the method has no such map.")
    progress = {"console": console, "transient": True, "disable": not console.is_terminal}
    for name, layer in track(layers.items(), "Timing", **progress):
        choice = choose.choice(layer, measure=True)
        table.add_section()
        table.add_row(Text(name, "bold"))
        for map in Map:
            decision = getattr(choice, map)
            cells = dict.fromkeys(methods, Text("-", terminal.QUIET))
            for method, seconds in decision.costs.items():
                style = terminal.GOOD if method == decision.method else ""
                cells[method] = Text(terminal.milliseconds(seconds), style)
            table.add_row(f"  {map.replace('_', ' ')}", *cells.values())
    console.print(table)
    console.print(terminal.ran_on(device))
    return 0
