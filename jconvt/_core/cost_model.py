"""Predictions: the seconds that a method takes for a map, and the chunk size that it uses.

The formulas are the methods' own (``Method.cost``). How often they pick the fastest method is published with the
benchmarks.
"""

from .._geometry.maps import Map
from .._methods import METHODS, ProblemShape
from .._methods._batch_chunking import cpu_chunk_size

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
"""The platforms with predictions of their own. Any other platform is treated as a TPU."""


def seconds(map: Map, method: str, problem: ProblemShape, platform: str | None) -> float:
    """The predicted seconds of a map by a method. Only ratios matter."""
    cost = METHODS[method].cost
    return cost.get(platform or "", cost["tpu"])(map, problem)


def chunk_size(map: Map, method: str, problem: ProblemShape, platform: str | None) -> int:
    """The number of images that a method computes at a time: on a CPU, as many as fit in its cache."""
    if platform != "cpu" or problem.batch < 2:
        return problem.batch
    return cpu_chunk_size(METHODS[method].temporary_bytes(map, problem), problem)
