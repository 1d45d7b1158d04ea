"""Time calls side by side: every call in each round, in a shuffled order."""

import dataclasses
import math
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

_SLOW_FACTOR = 3
"""Calls that take this many times as long as the fastest one leave after ``_MIN_ROUNDS``."""
_MIN_ROUNDS = 2
_SETTLING = 0.02
"""For these seconds a call is repeated before it is timed: threads of the library before it spin for 10 ms or so."""
_ENQUEUED_SECONDS, _MOST_ENQUEUED = 2e-3, 100
"""On an accelerator, as many calls as take these seconds are enqueued before one wait, up to this number: dispatch and
waiting take longer than a short call."""


@dataclasses.dataclass(frozen=True)
class Enqueued:
    """A call that enqueues work on a device, and the function that waits for its result. Calling it does both."""

    enqueue: Callable[[], Any]
    wait: Callable[[Any], Any]

    def __call__(self) -> Any:
        result = self.enqueue()
        self.wait(result)
        return result

    def seconds(self) -> float:
        """Return the time of one call, of several that run one after the other."""
        number = min(max(round(_ENQUEUED_SECONDS / seconds(self)), 1), _MOST_ENQUEUED)

        def run() -> None:
            for _ in range(number - 1):
                self.enqueue()
            self()

        return seconds(run) / number


def seconds(call: Callable[[], Any]) -> float:
    """Return the time of one call. The call waits for its own result."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def interleaved(
    calls: Mapping[str, Callable[[], Any]], *, rounds: int = 20, budget: float = math.inf, seed: int = 0
) -> dict[str, list[float]]:
    """Return the times of each call in seconds, one for each round.

    In a round, each call is repeated until the threads of the library before it have gone to sleep and the caches are
    warm. Then it is timed once, and an ``Enqueued`` one on an accelerator as part of several. Calls that are three
    times slower than the fastest leave after two rounds, so the lists can differ in length.

    Args:
      calls: the calls by name. Each waits for its own result, and is compiled already.
      rounds: the number of rounds, 1 or more.
      budget: after the second round, new rounds start only within these seconds.
      seed: for the order.

    >>> times = interleaved({"one": lambda: None, "other": lambda: None}, rounds=2)
    >>> {name: len(each) for name, each in times.items()}
    {'one': 2, 'other': 2}
    """
    rng = random.Random(seed)
    times: dict[str, list[float]] = {name: [] for name in calls}
    running = list(calls)
    start = time.perf_counter()
    for number in range(1, rounds + 1):
        for name in rng.sample(running, len(running)):
            _settle(calls[name])
            times[name].append(_timed(calls[name]))
        if number == _MIN_ROUNDS:
            fastest = min((min(times[name]) for name in running), default=0)
            running = [name for name in running if min(times[name]) <= _SLOW_FACTOR * fastest]
            start = time.perf_counter()
        if number >= _MIN_ROUNDS and time.perf_counter() - start > budget:
            break
    return times


def _settle(call: Callable[[], Any]) -> None:
    """Call at least once, and until other libraries have settled."""
    end = time.perf_counter() + _SETTLING
    call()
    while time.perf_counter() < end:
        call()


def _timed(call: Callable[[], Any]) -> float:
    if isinstance(call, Enqueued) and jax.default_backend() != "cpu":
        return call.seconds()
    return seconds(call)
