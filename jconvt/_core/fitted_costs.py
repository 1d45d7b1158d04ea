"""Costs that were fitted to measurements: a constant for each feature of a problem, and their sum in seconds.

``python -m benchmarks fit`` computes the constants from the results of ``python -m benchmarks device``. For a platform
without them, the methods' own formulas predict.
"""

import functools
import json
import pathlib
from collections.abc import Iterable, Mapping

import jax.numpy as jnp

from .._geometry.maps import Map
from .._methods import METHODS, ProblemShape

FILE = pathlib.Path(__file__).with_suffix(".json")
"""The constants: platform, kind of problem, map, method."""

Constants = Mapping[str, Mapping[str, Mapping[str, list[float]]]]


@functools.cache
def load() -> dict[str, Constants]:
    """Return the constants of each platform that was measured."""
    return json.loads(FILE.read_text())


def kind(problem: ProblemShape) -> str:
    """The kind of problem, which has its own constants: libraries treat groups and dtypes differently."""
    groups = "dense" if problem.spec.groups == 1 else "grouped"
    return f"{groups}, {'half' if problem.dtype.itemsize < 4 else 'single'}"


def features(map: Map, method: str, problem: ProblemShape) -> tuple[float, ...]:
    """The factors of the constants: 1, FLOPs, FLOPs with the zeros of a dilated input, and the bytes that are moved."""
    moved = problem.bytes("x", "w", "z") + 2 * METHODS[method].temporary_bytes(map, problem)
    return 1.0, problem.flops, problem.flops * problem.dilation_overhead, moved


def predict(constants: Constants, map: Map, methods: Iterable[str], problem: ProblemShape) -> dict[str, float] | None:
    """The predicted seconds of each method; None if a method was not measured for this map and kind of problem."""
    found = constants.get(kind(problem), {}).get(map, {})
    if not jnp.issubdtype(problem.dtype, jnp.floating) or not found.keys() >= set(methods):
        return None
    return {
        method: sum(a * b for a, b in zip(found[method], features(map, method, problem), strict=True))
        for method in methods
    }
