"""The stage of ``choose``: its predictions beside its measurements, for each map. ``benchmarks fit`` fits to them."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jconvt
from jconvt._geometry.maps import Map

from .. import choices, workloads
from ..workloads import Workload
from .stage import Results, Stage

_DTYPES = ("float32", "bfloat16")


def _layer(
    name: str, batch: int, size: int, rank: int, channels: tuple[int, int], kernel: int, stride: int, groups: int = 1
) -> Workload:
    sizes, output_sizes = (size,) * rank, (size * stride,) * rank
    return Workload(name, "for the fit", batch, sizes, output_sizes, *channels, kernel, stride, "SAME", groups)


_MORE = (
    _layer("grouped-k4", 8, 32, 2, (256, 256), 4, 2, groups=8),
    _layer("depthwise-k3", 8, 32, 2, (128, 128), 3, 2, groups=128),
    _layer("depthwise-k5-1d", 8, 512, 1, (256, 256), 5, 2, groups=256),
    _layer("grouped-k3-1d", 8, 512, 1, (256, 256), 3, 1, groups=4),
    _layer("grouped-k2-3d", 2, 16, 3, (64, 64), 2, 2, groups=4),
    _layer("small-k4", 1, 8, 2, (64, 64), 4, 2),
    _layer("large-k4", 32, 64, 2, (128, 64), 4, 2),
    _layer("k3-stride-1", 16, 32, 2, (256, 256), 3, 1),
    _layer("k5-stride-3", 4, 48, 2, (48, 40), 5, 3),
    _layer("k8-stride-4", 4, 32, 2, (128, 64), 8, 4),
    _layer("k25-1d", 8, 256, 1, (128, 64), 25, 4),
    _layer("k3-3d", 2, 16, 3, (64, 32), 3, 2),
)
"""Layers beside the published ones: groups, other kernels and strides, small and large."""


def _plan(quick: bool) -> Mapping[str, Callable[[], Any]]:
    published = [workloads.load()[name] for name in ("dcgan-3", "bilinear-x2", "hifigan-up1")]
    rest = [each for each in workloads.load().values() if each not in published]
    layers = [workloads.load()["tiny"], _MORE[5]] if quick else [*published, *_MORE, *rest]
    return {f"{layer.name}, {dtype}": functools.partial(_choose, layer, dtype) for layer in layers for dtype in _DTYPES}


def _choose(layer: Workload, dtype: str) -> dict[str, Any]:
    arguments = layer.spec, layer.input_shape, layer.filters_shape
    predicted = jconvt.choose(*arguments, dtype=dtype)
    measured = jconvt.choose(*arguments, dtype=dtype, measure=True)
    costs = {
        map: {"predicted": getattr(predicted, map).method, "measured": dict(getattr(measured, map).costs)}
        for map in Map
    }
    return {"layer": dataclasses.asdict(layer), "dtype": dtype, "platform": predicted.platform, "maps": costs}


def rows(results: Results) -> list[choices.Row]:
    """Return the prediction and the fastest method for each map of each layer."""
    found = []
    for each in results.values():
        for map, costs in each.get("maps", {}).items():
            measured, method = costs["measured"], costs["predicted"]
            fastest = min(measured, key=measured.__getitem__)
            cost = measured[method] / measured[fastest]
            found.append(choices.Row(each["layer"]["name"], each["dtype"], map, method, fastest, cost))
    return found


def _section(results: Results) -> Sequence[str]:
    found = rows(results)
    lines = [f"- {item}: {each['detail']}" for item, each in results.items() if "detail" in each]
    return [*(choices.section(found) if found else ["Nothing was measured."]), "", *lines]


STAGE = Stage("choosing", "The choice of a method: predicted and measured", 4, _section, _plan)
