"""Integers, sizes and sequences of them, checked: what every argument of a geometry is made of."""

import itertools
import numbers
import operator
from typing import Any

from .errors import ArgumentError, ArgumentTypeError

Size = Any
"""A size along an axis: an ``int``, or a symbolic expression of ``jax.export``, which does integer arithmetic."""

LARGEST = 2**31 - 1
"""The largest kernel size, stride, dilation and canvas that compilers can index."""

_MOST_ENTRIES = 100  # more than any array has axes, and an end to endless iterators
_TYPICAL = 32
_STATIC = "compute it from shapes, or mark it static (static_argnames of jax.jit)"


def known(size: Size) -> int:
    """``size``, or a typical one for a symbol: costs are compared before it is known."""
    return size if isinstance(size, int) else _TYPICAL


def integer(value: Any, name: str, lowest: int) -> int:
    """``value`` as an ``int`` from ``lowest`` to ``LARGEST``, or an error that names the argument."""
    try:
        if isinstance(value, bool):
            raise TypeError
        value = operator.index(value)
    except TypeError:
        raise ArgumentTypeError(
            f"{name} must be an integer that is known before tracing",
            got=f"{name} = {value!r}",
            legal="a Python or NumPy integer",
            fix=_STATIC,
        ) from None
    if not lowest <= value <= LARGEST:
        raise ArgumentError(
            f"{name} is out of range",
            got=f"{name} = {value}",
            legal=f"{lowest} to {LARGEST}",
            fix=f"pass {lowest} or more" if value < lowest else f"pass {LARGEST} or less",
        )
    return value


def size(value: Any, name: str) -> Size:
    """``value`` as a size of at least 0: an ``int``, or a symbolic expression of ``jax.export`` as it is."""
    return value if _symbolic(value) else integer(value, name, lowest=0)


def _symbolic(value: Any) -> bool:
    """Whether ``value`` is an expression of sizes: it has the arithmetic of integers, and is no number or array."""
    if isinstance(value, numbers.Number) or hasattr(value, "dtype"):
        return False
    try:
        return isinstance(value - value, int)
    except TypeError:
        return False


def sequence(value: Any, name: str, legal: str) -> list[Any]:
    """``value`` as a list, or an error that says what it should hold."""
    try:
        if isinstance(value, str | bytes | set | frozenset | dict):  # no order, or no numbers
            raise TypeError
        return list(itertools.islice(value, _MOST_ENTRIES))
    except TypeError:  # a scalar; a traced array's error is a TypeError, too
        raise ArgumentTypeError(
            f"{name} must be a sequence that is known before tracing",
            got=f"{name} = {value!r}",
            legal=legal,
            fix=f"pass a list or a tuple; {_STATIC}",
        ) from None
