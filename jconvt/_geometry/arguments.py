"""Integers, sizes and sequences of them, checked: what every argument of a geometry is made of."""

import itertools
import numbers
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, ArgumentTypeError

if TYPE_CHECKING:
    from .layout import Layout

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


def wrong_length(name: str, value: Any, legal: str) -> ArgumentError:
    """The error for a sequence of a wrong length."""
    return ArgumentError(
        f"{name} has the wrong length",
        got=f"{name} = {value}, of length {len(value)}",
        legal=legal,
        fix="pass one entry for each spatial axis",
    )


def single(value: Any) -> bool:
    """Whether ``value`` is one number, and no sequence of them."""
    return isinstance(value, numbers.Number) or getattr(value, "ndim", None) == 0


def one_or_each(value: Any, name: str, rank: int, lowest: int = 1) -> list[int]:
    """One integer for each spatial axis, from an integer or a sequence of just as many."""
    if single(value):
        return [integer(value, name, lowest)] * rank
    legal = f"an integer, or a sequence of {rank}"
    entries = [integer(entry, f"{name}[{i}]", lowest) for i, entry in enumerate(sequence(value, name, legal))]
    if len(entries) != rank:
        raise wrong_length(name, entries, legal)
    return entries


def check_groups(groups: int, channels: int) -> None:
    """Refuses groups that do not divide the input's channels."""
    if channels % groups:
        raise ArgumentError(
            "groups does not divide the input's channels",
            got=f"groups = {groups}, {channels} channels",
            legal=f"a divisor of {channels}",
            fix="pass such a groups; groups=channels is a depthwise convolution",
        )


def per_axis(value: Any, name: str, rank: int, layout: "Layout | None" = None, lowest: int = 1) -> list[int]:
    """One integer for each spatial axis, from an integer or a sequence of 1 or ``rank`` of them.

    With a ``layout``, as many entries as the array has axes are taken too: those for the batch and the channels must
    then be 1.
    """
    if single(value):
        return [integer(value, name, lowest)] * rank
    lengths = sorted({1, rank} if layout is None else {1, rank, rank + 2})
    legal = f"an integer, or a sequence of {' or '.join(map(str, lengths))}"
    entries = [integer(entry, f"{name}[{i}]", lowest) for i, entry in enumerate(sequence(value, name, legal))]
    if len(entries) not in lengths:
        raise wrong_length(name, entries, legal)
    if len(entries) == 1:
        return entries * rank
    if len(entries) == rank or layout is None:
        return entries
    outer = [entries[0], entries[layout.channel_axis]]
    if outer != [1, 1]:
        raise ArgumentError(
            f"{name} of the batch and of the channels must be 1",
            got=f"{name} = {entries}",
            legal=f"{name}[0] = {name}[{layout.channel_axis}] = 1",
            fix=f"pass the {rank} numbers of the spatial axes alone, or check data_format",
        )
    return [entries[axis] for axis in layout.spatial_axes]


def pairs(value: Sequence[Any], name: str, legal: str) -> list[tuple[int, int]]:
    """Each entry of ``value`` as a pair of integers of at least 0."""
    found = []
    for i, pair in enumerate(value):
        entries = sequence(pair, f"{name}[{i}]", legal)
        if len(entries) != 2:
            raise wrong_length(f"{name}[{i}]", entries, legal)
        before, after = (integer(entry, f"{name}[{i}]", lowest=0) for entry in entries)
        found.append((before, after))
    return found
