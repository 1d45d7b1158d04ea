"""Predictions: the seconds that each method takes for a map.

Where a platform was measured, the constants that were fitted to it predict. Otherwise the methods' own formulas do
(``Method.cost``). How often they pick the fastest method is published with the benchmarks.
"""

from collections.abc import Sequence

from .._geometry.maps import Map
from .._methods import METHODS, ProblemShape
from . import fitted_costs

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
"""The platforms with predictions of their own. Any other platform is treated as a TPU."""


def predict(map: Map, methods: Sequence[str], problem: ProblemShape, platform: str | None) -> dict[str, float]:
    """The predicted seconds of a map by each method. Only ratios matter."""
    fitted = fitted_costs.predict(fitted_costs.load().get(platform or "", {}), map, methods, problem)
    return fitted or {method: _seconds(map, method, problem, platform) for method in methods}


def _seconds(map: Map, method: str, problem: ProblemShape, platform: str | None) -> float:
    cost = METHODS[method].cost
    return (cost.get(platform or "") or cost["tpu"])(map, problem)
