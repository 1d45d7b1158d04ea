"""How long calls take, side by side: the same rounds for all of them, in an order that is drawn anew for each round."""

import math
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_SLOW = 3
"""How many times the fastest call's time makes a call slow, so that a few rounds say enough of it."""
_FEW = 2
"""The rounds that a slow call stays for, and the fewest that a race has."""


def seconds(call: Callable[[], Any]) -> float:
    """The time of one call. The call itself waits for its result."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def race(
    calls: Mapping[str, Callable[[], Any]], *, rounds: int = 20, budget: float = math.inf, seed: int = 0
) -> dict[str, list[float]]:
    """The times of each call, in seconds, one for each round.

    In a round every call is made twice, and timed the second time: whoever follows another library's call finds its
    threads still spinning and the caches full of its arrays, and the first call pays for that. A call that takes more
    than three times the fastest one's time leaves after two rounds, so the lists can differ in length.

    Args:
      calls: the calls by name. Each waits for its own result, and has been made before: nothing is left to compile.
      rounds: the number of rounds, 1 or more.
      budget: seconds that the rounds after the second may begin in.
      seed: of the order.

    >>> times = race({"one": lambda: None, "other": lambda: None}, rounds=3)
    >>> {name: len(each) for name, each in times.items()}
    {'one': 3, 'other': 3}
    """
    rng = random.Random(seed)
    times: dict[str, list[float]] = {name: [] for name in calls}
    running = list(calls)
    start = time.perf_counter()
    for number in range(1, rounds + 1):
        for name in rng.sample(running, len(running)):
            calls[name]()
            times[name].append(seconds(calls[name]))
        if number == _FEW:
            fastest = min((min(times[name]) for name in running), default=0)
            running = [name for name in running if min(times[name]) <= _SLOW * fastest]
            start = time.perf_counter()
        if number >= _FEW and time.perf_counter() - start > budget:
            break
    return times


def ratio(times: Sequence[float], base: Sequence[float]) -> float:
    """How many times ``base`` takes ``times``: the median over the rounds that both ran in.

    >>> ratio([2.0, 4.0, 9.0], [1.0, 2.0, 3.0])
    2.0
    """
    return statistics.median(time / other for time, other in zip(times, base, strict=False))
