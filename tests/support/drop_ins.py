"""A call of a drop-in beside the call that it replaces: the same result, or an error of jconvt's."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from jconvt import ArgumentError, ArgumentTypeError


def assert_drop_in(theirs: Callable[[], Any], ours: Callable[[], Any], extends: bool, case: Any) -> bool:
    """Compare two calls, and return whether both have a result.

    ``extends`` says whether jconvt documents that it computes this ``case`` where the original raises.
    """
    try:
        found = np.asarray(ours())
    except (ArgumentError, ArgumentTypeError):
        return False
    try:
        wanted = np.asarray(theirs())
    except Exception as error:
        if not extends:
            raise AssertionError(f"only jconvt computes {case}") from error
        return False
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype), case
    np.testing.assert_array_equal(found, wanted, str(case))
    return True


def in_any_case(*names: str) -> st.SearchStrategy[str]:
    """One of ``names``, as it is, in lower case, capitalised, or in mixed case."""

    def mixed(name: str, seed: int) -> str:
        return "".join(random.Random(seed).choice((letter.lower(), letter.upper())) for letter in name)

    same, lower, capital = (lambda name, _: name), (lambda name, _: name.lower()), (lambda name, _: name.capitalize())
    spellings = (same, same, lower, lower, capital, mixed)
    chosen = st.sampled_from(names), st.sampled_from(spellings), st.integers(0, 9)
    return st.builds(lambda name, spelling, seed: spelling(name, seed), *chosen)


def held(draw: Any, values: list[int]) -> Any:
    """The integers in a list or a tuple; now and then in NumPy's types, as ``None``, or not one for each axis."""
    unusual = [np.array, lambda numbers: tuple(map(np.int64, numbers)), lambda _: None]
    wrong = [lambda numbers: numbers[0] if numbers else 1, lambda numbers: [*numbers, 1]]
    return draw(st.sampled_from([list, tuple] * 8 + unusual + wrong))(values)
