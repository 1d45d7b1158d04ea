"""``python -m benchmarks fit DIR``: the constants of a platform's cost model, from the results of ``device``.

The seconds of a method are predicted as a sum of a few features of the problem, each times a constant that is not
negative (``jconvt/_core/fitted_costs.py``). The constants minimize the sum of the squares of the relative errors, for
each method, map and kind of problem separately.
"""

import argparse
import collections
import json
import pathlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.text import Text
from scipy.optimize import nnls

from jconvt._atomic_write import replacement
from jconvt._conventions import tensorflow
from jconvt._core import fitted_costs
from jconvt._geometry.maps import Map
from jconvt._methods import ProblemShape

from . import tables
from .workloads import Workload

_LEAST_POINTS = 5
"""With fewer layers than this, the constants of a kind of problem stay as they are."""
_NEAR = 1.1


class Point(NamedTuple):
    """The measured seconds of each method for one map of one layer."""

    layer: str
    map: Map
    problem: ProblemShape
    predicted: str
    """The method that ``choose`` predicted to be the fastest when it was measured."""
    seconds: Mapping[str, float]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("folder", metavar="DIR", type=pathlib.Path, help="where the command device wrote its results")
    parser.add_argument("--install", action="store_true", help="let jconvt.choose use the constants from now on")


def command(arguments: argparse.Namespace, console: Console) -> int:
    """Fit, write the constants, and print how often the choices are good before and after."""
    path = arguments.folder / "device.json"
    try:
        platform, points = read(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"benchmarks: {path} holds no measurements of choose: {error!r}; run the command device", file=sys.stderr)
        return 2
    before = fitted_costs.load()
    constants = fit(points, before.get(platform, {}))
    content = json.dumps(before | {platform: constants}, indent=1, allow_nan=False) + "\n"
    targets = [arguments.folder / "fitted_costs.json"]
    if arguments.install:
        targets.append(fitted_costs.FILE)
    for target in targets:
        with replacement(target) as file:
            file.write(content)
    table = tables.table(f"The method that auto chooses on {platform}, {len(points)} maps of layers")
    for name in ("predictions", "within a tenth\nof the fastest", "time of the fastest,\ngeometric mean", "worst"):
        table.add_column(name, justify="left" if name == "predictions" else "right")
    for name, choose in {
        "before": lambda point: point.predicted,
        "fitted to all layers": lambda point: _choose(point, constants),
        "fitted to the other layers": _without_its_layer(points, before.get(platform, {})),
    }.items():
        table.add_row(name, *quality(points, choose))
    console.print(table)
    for target in targets:
        console.print(Text(f"Written: {target}"), soft_wrap=True)
    return 0


def read(content: Mapping[str, Any]) -> tuple[str, list[Point]]:
    """Return the platform and the measurements that ``device.json`` holds."""
    points, platforms = [], set()
    for result in content["stages"]["choosing"]["results"].values():
        if "maps" not in result:
            continue
        layer = Workload(
            **result["layer"] | {name: tuple(result["layer"][name]) for name in ("input_sizes", "output_sizes")}
        )
        spec, layout = tensorflow.resolve(layer.input_shape, layer.filters_shape, **layer.arguments)
        channels = layer.input_channels, layer.output_channels
        problem = ProblemShape.of(spec, layout, result["dtype"], layer.batch, layer.input_sizes, channels)
        platforms.add(result["platform"])
        points += [
            Point(layer.name, Map(map), problem, each["predicted"], each["measured"])
            for map, each in result["maps"].items()
        ]
    if len(platforms) != 1:
        raise ValueError(f"measurements on {sorted(platforms) or 'no platform'}, not on one")
    return platforms.pop(), points


def fit(points: Iterable[Point], before: fitted_costs.Constants) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return the constants by kind of problem, map and method; those of ``before`` where there are few points."""
    groups: dict[tuple[str, Map], list[Point]] = collections.defaultdict(list)
    for point in points:
        groups[fitted_costs.kind(point.problem), point.map].append(point)
    constants = {kind: {map: dict(methods) for map, methods in maps.items()} for kind, maps in before.items()}
    for (kind, map), group in sorted(groups.items()):
        methods = set.intersection(*(set(point.seconds) for point in group))
        if len(group) >= _LEAST_POINTS:
            constants.setdefault(kind, {})[map] = {method: _constants(map, method, group) for method in sorted(methods)}
    return constants


def _constants(map: Map, method: str, group: Sequence[Point]) -> list[float]:
    """Return the constants of one method, which minimize the squares of the relative errors."""
    seconds = np.array([point.seconds[method] for point in group])
    matrix = np.array([fitted_costs.features(map, method, point.problem) for point in group]) / seconds[:, None]
    scale = matrix.max(axis=0)  # the features differ by many orders of magnitude
    scale[scale == 0] = 1
    found, _ = nnls(matrix / scale, np.ones(len(group)))
    return [float(f"{value:.4g}") for value in found / scale]


def quality(points: Sequence[Point], choose: Callable[[Point], str]) -> tuple[str, str, str]:
    """Return how many choices are within a tenth of the fastest method, and the geometric mean and the worst ratio."""
    ratios = np.array([point.seconds[choose(point)] / min(point.seconds.values()) for point in points])
    near = int((ratios <= _NEAR).sum())
    return f"{near} of {len(points)}", f"{np.exp(np.log(ratios).mean()):.3f}", f"{ratios.max():.2f}"


def _choose(point: Point, constants: fitted_costs.Constants) -> str:
    predicted = fitted_costs.predict(constants, point.map, list(point.seconds), point.problem)
    return min(predicted, key=predicted.__getitem__) if predicted else point.predicted


def _without_its_layer(points: Sequence[Point], before: fitted_costs.Constants) -> Callable[[Point], str]:
    """Return the choice by constants that were fitted without the point's layer: as good as for a new layer."""
    layers = {point.layer for point in points}
    fits = {layer: fit([point for point in points if point.layer != layer], before) for layer in layers}
    return lambda point: _choose(point, fits[point.layer])
