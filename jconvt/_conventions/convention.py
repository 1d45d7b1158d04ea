"""The class ``Convention``: all that the library knows of one framework's transposed convolution."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .._geometry.arguments import integer
from .._geometry.axis import Axis
from .._geometry.kernel_layout import KernelLayout, filters_layout
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ..errors import ArgumentError

Padding = str | tuple[tuple[int, int], ...]
"""A padding as the command line states it: a name in capitals, or a pair (before, after) for each spatial axis."""


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of a framework's function that computes a geometry.

    ``arguments`` are literals, without the input and the kernel. ``layout`` is the layout of the input and of the
    output; ``kernel`` is the layout of the kernel. ``crop`` is what remains to be removed from the result, before and
    after along each spatial axis: a negative number adds zeros, and these are added first.
    """

    function: str
    arguments: Mapping[str, Any]
    layout: Layout
    kernel: KernelLayout
    crop: tuple[tuple[int, int], ...]

    @property
    def exact(self) -> bool:
        """Whether the call gives the result without a crop."""
        return not any(map(any, self.crop))


@dataclasses.dataclass(frozen=True)
class Convention:
    """One framework's transposed convolution. ``jconvt._conventions.registry`` lists them all.

    A call is *stated* as a mapping of the function's arguments to their values, without the input and the kernel, for
    operands in the framework's default order.
    """

    name: str
    function: str
    """The function's name, with ``{rank}`` for the number of spatial axes."""
    arguments: tuple[str, ...]
    """The arguments that a stated call may have."""
    resolve: Callable[..., tuple[Spec, Layout]]
    """``resolve(input_shape, kernel_shape, **arguments)``: the geometry of a stated call."""
    call: Callable[[Spec, Sequence[int], Sequence[int]], Call]
    """``call(spec, input_shape, filters_shape)``: the way back. The shapes are ``(batch, spatial..., in)`` and
    ``(k..., out / groups, in)``."""
    code: str
    """A program with the fields ``{function}``, ``{x}``, ``{w}``, ``{arguments}``, ``{y}`` and ``{out_channels}``."""
    options: Mapping[str, str]
    """The argument's name for each option of the command line: stride, padding, output_padding, dilation, groups."""
    groups: str = "groups"
    """The argument's name for the number of groups."""
    positional: tuple[str, ...] = ()
    """The arguments that ``jconvt.explain`` accepts by position, after the kernel."""
    required: tuple[str, ...] = ()
    """The arguments that a stated call must have."""
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Values of the command line's options where the function has no default."""
    padding: Callable[[Padding], dict[str, Any]] = lambda padding: {"padding": padding}
    """The arguments for the command line's ``--padding``."""
    layout: Callable[[int, Mapping[str, Any]], Layout] = lambda rank, arguments: Layout(rank)
    """``layout(rank, arguments)``: the layout of the images of a stated call."""
    kernel_layout: Callable[[int, int, Mapping[str, Any]], KernelLayout] = lambda rank, groups, _: filters_layout(rank)
    """``kernel_layout(rank, groups, arguments)``: the layout of the kernel of a stated call."""
    complete: Callable[..., dict[str, Any]] = lambda arguments, kernel, output_shape: {**arguments}
    """``complete(arguments, kernel, output_shape)``: the arguments to write down, which may repeat the sizes."""
    batch_is_optional: bool = False
    """Whether the function accepts one image without a batch axis."""
    copies_views: bool = False
    """Whether the code has to copy operands first, as the framework accepts no array that runs backwards."""

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Raise if a stated call has unknown arguments, or lacks some that are required."""
        unknown = [name for name in arguments if name not in self.arguments]
        missing = [name for name in self.required if name not in arguments]
        if unknown or missing:
            got = f"{', '.join(map(repr, unknown))} unknown" if unknown else f"no {' and no '.join(missing)}"
            problem = f"the arguments are not those of {self.name}'s function"
            fix = "pass these, for operands in the framework's default order"
            raise ArgumentError(problem, got=got, legal=", ".join(self.arguments), fix=fix)

    def groups_of(self, arguments: Mapping[str, Any]) -> int:
        """Return the number of groups of a stated call."""
        return integer(arguments.get(self.groups, 1), self.groups, 1)

    def write(self, call: Call, x: str, w: str, y: str, out_channels: int) -> str:
        """Write a program that leaves the result of ``call`` on the arrays ``x`` and ``w`` in ``y``."""
        if self.copies_views:
            x, w = (name if name.isidentifier() else f"{name}.copy()" for name in (x, w))
        arguments = listed(call.arguments)
        return self.code.format(function=call.function, x=x, w=w, arguments=arguments, y=y, out_channels=out_channels)


def listed(arguments: Mapping[str, Any]) -> str:
    """Write arguments as they follow the input and the kernel."""
    return "".join(f", {name}={value!r}" for name, value in arguments.items())


def remainder(wanted: Sequence[Axis], computed: Sequence[Axis]) -> tuple[tuple[int, int], ...]:
    """Return the crop that is left where a function computes other ends of the canvas than ``wanted``."""
    return tuple((a.lo - b.lo, a.hi - b.hi) for a, b in zip(wanted, computed, strict=True))


def shortest(values: Iterable[int]) -> int | tuple[int, ...]:
    """Return one integer if all are equal, else all of them."""
    first, *others = values
    return (first, *others) if any(other != first for other in others) else first


def non_default(arguments: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments whose values are not the function's defaults."""
    return {name: value for name, value in arguments.items() if name not in defaults or value != defaults[name]}


def check_supported(spec: Spec, function: str, instead: str, most_axes: int | None = 3, groups: bool = False) -> None:
    """Raise if ``function`` lacks the groups or the number of spatial axes of ``spec``, which ``instead`` has."""
    if spec.groups > 1 and not groups:
        problem, got, legal = f"{function} has no groups", f"groups = {spec.groups}", "groups = 1"
        fix = f"call it on each group's channels and concatenate, or use {instead}"
        raise ArgumentError(problem, got=got, legal=legal, fix=fix)
    if most_axes is not None and spec.rank > most_axes:
        problem, got = f"{function} has at most {most_axes} spatial axes", f"{spec.rank} spatial axes"
        raise ArgumentError(problem, got=got, legal=f"1 to {most_axes} spatial axes", fix=f"use {instead}")


def check_added(number: int, added: int, axis: Axis, most: int, why: str) -> None:
    """Raise if ``added``, the output padding along the spatial axis of this ``number``, is more than ``most``."""
    if added > most:
        problem = f"output_padding is too large along spatial axis {number}"
        got = f"output_padding {added}, stride {axis.stride}, dilation {axis.dilation}"
        fix = "pass a smaller output_padding, or add zeros to the result with jax.numpy.pad"
        raise ArgumentError(problem, got=got, legal=f"0 to {most}: {why}", fix=fix)
