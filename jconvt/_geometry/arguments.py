"""The checks of arguments that every convention shares: integers, sizes, one entry for each axis, operand shapes."""

import dataclasses
import itertools
import numbers
import operator
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from ..errors import ArgumentError, ArgumentTypeError

Size = Any
"""A size along an axis: an ``int``, or a symbolic expression of ``jax.export``, which does integer arithmetic."""

Padding = str | tuple[int, int]
"""Along one axis: a name, like "SAME", or the explicit (before, after)."""

LARGEST = 2**31 - 1
"""The largest kernel size, stride, dilation and canvas that compilers can index."""

_MOST_ENTRIES = 100  # more than any array has axes, and an end to endless iterators
_TYPICAL = 32
_STATIC = "compute it from shapes, or mark it static (static_argnames of jax.jit)"


def known(size: Size) -> int:
    """Return ``size``, or a typical size for a symbol: costs are compared before its value is known."""
    return size if isinstance(size, int) else _TYPICAL


def integer(value: Any, name: str, lowest: int) -> int:
    """Return ``value`` as an ``int`` from ``lowest`` to ``LARGEST``, or raise an error that names the argument."""
    try:
        if isinstance(value, bool):
            raise TypeError
        value = operator.index(value)
    except TypeError:
        problem, got = f"{name} must be an integer that is known before tracing", f"{name} = {value!r}"
        raise ArgumentTypeError(problem, got=got, legal="a Python or NumPy integer", fix=_STATIC) from None
    if lowest <= value <= LARGEST:
        return value
    fix = f"pass {lowest} or more" if value < lowest else f"pass {LARGEST} or less"
    raise ArgumentError(f"{name} is out of range", got=f"{name} = {value}", legal=f"{lowest} to {LARGEST}", fix=fix)


def size(value: Any, name: str) -> Size:
    """Return ``value`` as a size of at least 0: an ``int``, or a symbolic expression of ``jax.export`` unchanged."""
    return value if _symbolic(value) else integer(value, name, lowest=0)


def _symbolic(value: Any) -> bool:
    """Whether ``value`` is an expression of sizes: it has integer arithmetic, but is no number and no array."""
    if isinstance(value, numbers.Number) or hasattr(value, "dtype"):
        return False
    try:
        return isinstance(value - value, int)
    except TypeError:
        return False


def flag(value: Any, name: str) -> bool:
    """Return ``value``, or raise if it is not ``True`` or ``False``."""
    if isinstance(value, bool):
        return value
    problem = f"{name} must be True or False, known before tracing"
    fix = "convert it with bool, or mark it static (static_argnames of jax.jit)"
    raise ArgumentTypeError(problem, got=f"{name} = {value!r}", legal="True or False", fix=fix)


def one_of(value: Any, name: str, legal: Collection[str], fix: str = "pass one of these") -> str:
    """Return ``value``, or raise if it is none of the ``legal`` strings."""
    if isinstance(value, str) and value in legal:
        return value
    raise ArgumentError(f"unknown {name}", got=f"{name} = {value!r}", legal=" or ".join(map(repr, legal)), fix=fix)


def single(value: Any) -> bool:
    """Whether ``value`` is one number rather than a sequence."""
    return isinstance(value, numbers.Number) or getattr(value, "ndim", None) == 0


def sequence(value: Any, name: str, legal: str) -> list[Any]:
    """Return ``value`` as a list, or raise an error that says what it should hold."""
    try:
        if isinstance(value, str | bytes | set | frozenset | dict):  # no order, or no numbers
            raise TypeError
        return list(itertools.islice(value, _MOST_ENTRIES))
    except TypeError:  # a scalar; a traced array's error is a TypeError, too
        problem, fix = f"{name} must be a sequence that is known before tracing", f"pass a list or a tuple; {_STATIC}"
        raise ArgumentTypeError(problem, got=f"{name} = {value!r}", legal=legal, fix=fix) from None


def check_length(
    value: Sequence[Any], name: str, lengths: Collection[int], legal: str, fix: str = "pass one for each spatial axis"
) -> None:
    """Raise if the length of ``value`` is not one of ``lengths``."""
    if len(value) not in lengths:
        got = f"{name} = {value}, of length {len(value)}"
        raise ArgumentError(f"{name} has the wrong length", got=got, legal=legal, fix=fix)


def integers(
    value: Any, name: str, lengths: Collection[int], legal: str, lowest: int = 1, **options: str
) -> tuple[int, ...]:
    """Return a sequence of integers of at least ``lowest``, which has one of these ``lengths``."""
    found = [integer(entry, f"{name}[{i}]", lowest) for i, entry in enumerate(sequence(value, name, legal))]
    check_length(found, name, lengths, legal, **options)
    return tuple(found)


def sizes(value: Any, name: str, lengths: Collection[int], legal: str) -> tuple[Size, ...]:
    """Return a sequence of sizes, which has one of these ``lengths``."""
    found = [size(entry, f"{name}[{i}]") for i, entry in enumerate(sequence(value, name, legal))]
    check_length(found, name, lengths, legal)
    return tuple(found)


def pairs(
    value: Any,
    name: str,
    lengths: Collection[int],
    legal: str,
    lowest: int = 0,
    numbers: bool = False,
    names: Collection[str] = (),
) -> tuple[Any, ...]:
    """Return a sequence of pairs of integers of at least ``lowest``.

    With ``numbers``, an integer is a pair of equal ones, and one integer serves every axis. An entry may also
    be one of ``names``.
    """
    found: list[Padding] = []
    entries = [value] * min(lengths) if numbers and single(value) else sequence(value, name, legal)
    for i, entry in enumerate(entries):
        label = f"{name}[{i}]"
        if isinstance(entry, str) and entry in names:
            found.append(entry)
            continue
        pair = [entry, entry] if numbers and single(entry) else sequence(entry, label, legal)
        check_length(pair, label, (2,), legal)
        before, after = (integer(part, label, lowest) for part in pair)
        found.append((before, after))
    check_length(found, name, lengths, legal)
    return tuple(found)


def paddings(
    padding: Any, names: Collection[str], lengths: Sequence[int], legal: str, **options: Any
) -> Sequence[Padding]:
    """Return one of ``names``, in capitals, for each of ``lengths[0]`` axes, or the ``pairs`` with ``options``."""
    if not isinstance(padding, str):
        return pairs(padding, "padding", lengths, legal, **options)
    if padding.upper() in names:
        return [padding.upper()] * lengths[0]
    fix = "pass the explicit pairs as padding" if padding.upper() == "EXPLICIT" else "pass one of these"
    raise ArgumentError("unknown padding", got=f"padding = {padding!r}", legal=legal, fix=fix)


def per_axis(
    value: Any,
    name: str,
    rank: int,
    lowest: int = 1,
    *,
    default: int | None = None,
    scalar: bool = True,
    broadcast: bool = False,
    outer: Sequence[int] = (),
) -> tuple[int, ...]:
    """Return one integer of at least ``lowest`` for each of ``rank`` spatial axes.

    ``None`` is the ``default``, if there is one. One integer may serve every axis if ``scalar``, and a sequence of one
    if ``broadcast``. With ``outer``, the axes of batch and channels, a sequence may hold entries for these, too, which
    must be 1.
    """
    if value is None and default is not None:
        return (default,) * rank
    if scalar and single(value):
        return (integer(value, name, lowest),) * rank
    lengths = sorted({rank, 1 if broadcast else rank, rank + len(outer)})
    legal = f"a sequence of {' or '.join(map(str, lengths))}"
    legal = f"an integer, or {legal}" if scalar else f"{legal} integers of at least {lowest}"
    entries = integers(value, name, lengths, legal, lowest)
    if len(entries) in (1, rank):
        return entries if len(entries) == rank else entries * rank
    if any(entries[axis] != 1 for axis in outer):
        problem, got = f"{name} of the batch and of the channels must be 1", f"{name} = {[*entries]}"
        legal = f"{' = '.join(f'{name}[{axis}]' for axis in outer)} = 1"
        fix = f"pass only the {rank} numbers of the spatial axes, or check data_format"
        raise ArgumentError(problem, got=got, legal=legal, fix=fix)
    return tuple(entry for axis, entry in enumerate(entries) if axis not in outer)


@dataclasses.dataclass(frozen=True)
class Operands:
    """The shapes of a call's input and kernel, and the called function's names for the two."""

    input_name: str
    input: tuple[Size, ...]
    kernel_name: str
    kernel: tuple[int, ...]

    @classmethod
    def of(cls, input_name: str, input_shape: Any, kernel_name: str, kernel_shape: Any) -> "Operands":
        """Check two shapes: sequences of sizes, those of the kernel integers."""
        legal, any_length = "one size for each axis", range(_MOST_ENTRIES + 1)
        image = sizes(input_shape, f"{input_name}.shape", any_length, legal)
        kernel = integers(kernel_shape, f"{kernel_name}.shape", any_length, legal, lowest=0)
        return cls(input_name, image, kernel_name, kernel)

    def __str__(self) -> str:
        return f"{self.input_name} of shape {self.input}, {self.kernel_name} of shape {self.kernel}"

    def check_axes(
        self, rank: int, function: str, input_axes: str, kernel_axes: str, batch_is_optional: bool = False
    ) -> None:
        """Raise unless both operands have ``rank`` spatial axes and two others."""
        for name, shape, axes, fewest in (
            (self.kernel_name, self.kernel, kernel_axes, rank + 2),
            (self.input_name, self.input, input_axes, rank + 2 - batch_is_optional),
        ):
            if not fewest <= len(shape) <= rank + 2:
                problem = f"{name} has the wrong number of axes for {function}"
                fix = f"reshape {name} to {rank + 2} axes, or call the function for its number of axes"
                raise ArgumentError(problem, got=self, legal=f"{rank + 2} axes: {axes}", fix=fix)

    def check_taps(self, kernel_sizes: Sequence[int]) -> None:
        """Raise if a kernel size is 0."""
        if min(kernel_sizes) < 1:
            got, fix = f"kernel sizes {tuple(kernel_sizes)}: {self}", "check the order of the kernel's axes"
            problem = f"{self.kernel_name} has an axis without taps"
            raise ArgumentError(problem, got=got, legal="kernel sizes of at least 1", fix=fix)

    def check_channels(self, channels: Size, in_kernel: int, legal: str, fix: str, note: str = "") -> None:
        """Raise if the input's channels are not those that the kernel has ``in_kernel``."""
        if channels != in_kernel:
            got = f"{channels} in {self.input_name}, {in_kernel} in {self.kernel_name}: {self}{note}"
            problem = f"the channels of {self.input_name} and {self.kernel_name} differ"
            raise ArgumentError(problem, got=got, legal=legal, fix=fix)


def check_groups(groups: Any, channels: int, name: str = "groups", side: str = "input") -> int:
    """Return ``groups`` as an integer, or raise if it does not divide the number of channels on that ``side``."""
    groups = integer(groups, name, lowest=1)
    if channels % groups:
        fix = f"pass such a {name}; one group for each channel is a depthwise convolution"
        got, legal = f"{name} = {groups}, {channels} channels", f"a divisor of {channels}"
        raise ArgumentError(f"{name} does not divide the {side} channels", got=got, legal=legal, fix=fix)
    return groups


def check_bias(shape: Iterable[int], channels: int, name: str, source: str) -> None:
    """Raise if a bias does not hold one number for each output channel; ``source`` is the formula of their number."""
    if tuple(shape) != (channels,):
        got, legal = f"{name} of shape {tuple(shape)}", f"shape ({channels},): {source}, one for each output channel"
        fix = f"reshape it to ({channels},), or leave {name} out"
        raise ArgumentError(f"{name} does not fit the output's channels", got=got, legal=legal, fix=fix)
