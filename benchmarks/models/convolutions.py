"""Each convolution of the networks: XLA's own against every way in which jconvt computes it, and the prediction."""

import dataclasses
import functools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from rich.table import Table
from rich.text import Text

from jconvt import _accelerate
from jconvt._accelerate import LoweredConvolution
from jconvt._core import timing, xla_convolution
from jconvt._core.recognition import Convolution
from jconvt._geometry.maps import Map

from .. import machine, tables
from ..tables import milliseconds
from .network import normal

_ROUNDS, _BUDGET = (20, 0.2)
_SLOW = 8
"""A way that is predicted to take so many times as long as the fastest one is not measured."""
_SHOWN = 30
_COLUMNS = ("network", "lhs", "rhs", "chosen", "fastest", "XLA, ms", "fastest, ms", "cost")
_XLA = "XLA"


@dataclasses.dataclass(frozen=True)
class Distinct:
    """A convolution, how often each network has it, and the way that ``accelerate`` chooses."""

    seen: LoweredConvolution
    networks: Mapping[str, int]

    @property
    def chosen(self) -> str:
        return _XLA if self.seen.method is None or self.seen.map is None else _way(self.seen.map, self.seen.method)


def distinct(seen: Mapping[str, Sequence[LoweredConvolution]]) -> list[Distinct]:
    """Return the convolutions that differ. ``seen`` are those of each network."""
    found: dict[tuple[Convolution, str], tuple[LoweredConvolution, dict[str, int]]] = {}
    for network, group in seen.items():
        for each in group:
            if each.convolution is not None:
                _, counts = found.setdefault((each.convolution, each.dtype), (each, {}))
                counts[network] = counts.get(network, 0) + each.times
    return [Distinct(*each) for each in found.values()]


def measure(each: Distinct, quick: bool) -> dict[str, Any]:
    """Return the parameters, and the predicted and the measured seconds of XLA and of each way."""
    convolution, dtype = each.seen.convolution, each.seen.dtype
    assert convolution is not None
    operands = [
        normal(seed, *shape).astype(dtype) for seed, shape in enumerate((each.seen.lhs_shape, each.seen.rhs_shape))
    ]
    own = functools.partial(jax.lax.conv_general_dilated, **convolution.arguments())
    functions, predicted = {_XLA: own}, {_XLA: xla_convolution.seconds(convolution, dtype)}
    for seconds, reading, method in _accelerate.predicted(convolution, dtype):
        way = _way(reading.map, method)
        predicted[way] = seconds
        functions[way] = functools.partial(_accelerate.compute, reading, method, jnp.dtype(dtype), None)
    limit = _SLOW * min(predicted.values())
    calls = {
        way: _call(function, operands)
        for way, function in functions.items()
        if way in (_XLA, each.chosen) or predicted[way] <= limit
    }
    rounds = 1 if quick else _ROUNDS
    times = timing.interleaved(calls, rounds=rounds, budget=_BUDGET)
    return {
        **dataclasses.asdict(convolution),
        "dtype": dtype,
        "networks": dict(each.networks),
        "chosen": each.chosen,
        "predicted": predicted,
        "seconds": {way: statistics.median(found) for way, found in times.items()},
    }


def summary(measured: Sequence[dict[str, Any]]) -> str:
    """Return how good the predictions are, in a few sentences."""
    left = [each for each in measured if each["chosen"] == _XLA]
    wrongly_left = sum(_fastest(each) != _XLA for each in left)
    replaced = [each for each in measured if each["chosen"] != _XLA]
    slower = [each["seconds"][each["chosen"]] / each["seconds"][_XLA] for each in replaced]
    wrongly_replaced = sum(ratio > 1 for ratio in slower)
    costs = [cost(each) for each in measured]
    total, own, best = (
        sum(sum(each["networks"].values()) * seconds for each, seconds in zip(measured, found, strict=True))
        for found in zip(
            *((_chosen_seconds(each), each["seconds"][_XLA], each["seconds"][_fastest(each)]) for each in measured),
            strict=True,
        )
    )
    return (
        f"{len(replaced)} of {len(measured)} convolutions are replaced, {wrongly_replaced} of them although XLA is "
        f"faster (by a factor of {max([1.0, *slower]):.2f} at worst). {wrongly_left} of the {len(left)} that are left "
        f"to XLA would be faster. {sum(each['chosen'] == _fastest(each) for each in measured)} predictions name "
        f"the fastest way, {sum(each <= 1.1 for each in costs)} one within a tenth of its time. The chosen way takes "
        f"{math.exp(statistics.fmean(map(math.log, costs))):.2f} times the fastest one's time in the geometric mean, "
        f"{max(costs):.2f} at worst. All convolutions together take {milliseconds(total)} ms as chosen, "
        f"{milliseconds(own)} ms by XLA, and {milliseconds(best)} ms at best."
    )


def cost(each: dict[str, Any]) -> float:
    """Return the chosen way's measured time in multiples of the fastest one's."""
    return _chosen_seconds(each) / each["seconds"][_fastest(each)]


def table(measured: Sequence[dict[str, Any]]) -> Table:
    """Return the convolutions with the costliest choices."""
    table = tables.table("The costliest choices")
    for name in _COLUMNS:
        table.add_column(name, justify="right" if "ms" in name or name == "cost" else "left", no_wrap=True)
    for cells in _cells(measured)[:_SHOWN]:
        table.add_row(*map(Text, cells))
    return table


def page(content: dict[str, Any]) -> str:
    """Return the summary and the table of all convolutions as Markdown."""
    measured = content["convolutions"]
    lines = machine.heading(content, "Convolutions of networks on ")
    if measured:
        marks = ["--:" if "ms" in name or name == "cost" else ":--" for name in _COLUMNS]
        text = (
            "A way is the map that the convolution is (T, F or G), and the method. The network is the first one that "
            "has the convolution. Cost is the chosen way's measured time divided by the fastest one's."
        )
        rows = [_COLUMNS, marks, *_cells(measured)]
        lines += [summary(measured), "", text, "", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"


def _cells(measured: Sequence[dict[str, Any]]) -> list[list[str]]:
    def shape(sizes: Sequence[int]) -> str:
        return "x".join(map(str, sizes))

    return [
        [
            next(iter(each["networks"])),
            shape(each["lhs_shape"]),
            shape(each["rhs_shape"]),
            each["chosen"],
            _fastest(each),
            milliseconds(each["seconds"][_XLA]),
            milliseconds(each["seconds"][_fastest(each)]),
            f"{cost(each):.2f}",
        ]
        for each in sorted(measured, key=cost, reverse=True)
    ]


def _way(map: Map, method: str) -> str:
    return f"{map.symbol} {method}"


def _fastest(each: dict[str, Any]) -> str:
    return min(each["seconds"], key=lambda way: each["seconds"][way])


def _chosen_seconds(each: dict[str, Any]) -> float:
    return each["seconds"][each["chosen"]]


def _call(function: Any, operands: Sequence[Any]) -> Any:
    compiled = jax.jit(function).lower(*operands).compile()
    return timing.Enqueued(functools.partial(compiled, *operands), jax.block_until_ready)
