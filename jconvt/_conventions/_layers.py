"""What layers have beyond the functions: groups in the shapes of parameters, sizes asked of a call, circular padding.

Circular padding repeats the input in both directions, and the output is one period of ``stride * size``. A crop of the
canvas cannot say that. The canvas of a longer input can: with ``before`` pixels of the end put before it, and
``after`` pixels of the start behind it, every stamp that reaches the period is there. Pixel ``i`` reaches the positions
``i * stride`` to ``i * stride + extent - 1`` of the canvas, and the period starts at ``lo``; so the first pixel to
reach it is ``ceil((lo - extent + 1) / stride)``, and as many as ``ceil(lo / stride)`` follow the last one.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

from .._geometry.arguments import Size, integer, per_axis
from .._geometry.arguments import sizes as checked_sizes
from .._geometry.axis import Axis
from .._geometry.kernel_layout import KernelLayout
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ..errors import ArgumentError
from . import tensorflow


class ResolvedLayer(NamedTuple):
    """What a layer comes down to: the geometry, how its kernel lies, and what of the input is repeated around it.

    ``repeats`` is empty, or the geometry is that of the input once ``(before, after)`` pixels of it are repeated.
    """

    spec: Spec
    layout: Layout
    kernel: KernelLayout
    repeats: tuple[tuple[int, int], ...] = ()


def channels(taken: Any, given: Any, groups: Any, names: tuple[str, str]) -> tuple[int, int, int]:
    """The numbers of channels, or features, in and out, which ``names`` names, and of groups that divide both."""
    taken, given = integer(taken, names[0], 1), integer(given, names[1], 1)
    groups = integer(groups, "groups", 1)
    for name, count in zip(names, (taken, given), strict=True):
        if count % groups:
            raise ArgumentError(
                f"groups does not divide {name}",
                got=f"groups = {groups}, {name} = {count}",
                legal=f"a divisor of {names[0]} = {taken} and of {names[1]} = {given}",
                fix=f"pass such a groups, or change {name}",
            )
    return taken, given, groups


def sized(
    sizes: Sequence[Size],
    axes: Sequence[Axis],
    paddings: Sequence[tensorflow.Padding],
    output_shape: Any,
    output_padding: Any,
    first: int,
) -> tuple[Axis, ...]:
    """``axes`` with the output size that is asked for, aligned by TensorFlow's rules.

    ``first`` is the input's first spatial axis. At least one of ``output_shape`` and ``output_padding`` is given.
    """
    rank = len(axes)
    requested: Sequence[Any] = [None] * rank
    added: Sequence[Any] = [None] * rank
    if output_shape is not None:
        legal = f"{rank} sizes, one for each spatial axis"
        requested = checked_sizes(output_shape, "output_shape", (rank,), legal)
    if output_padding is not None:
        added = per_axis(output_padding, "output_padding", rank, lowest=0, broadcast=True)
    tensorflow.check_one_size(output_shape, output_padding)
    return tuple(
        tensorflow.crop_axis(first + i, n, axis, pad, out, plus)
        for i, (n, axis, pad, out, plus) in enumerate(zip(sizes, axes, paddings, requested, added, strict=True))
    )


def lower(axis: Axis) -> Axis:
    """``axis``, cropped as "SAME" does, as "SAME_LOWER" does."""
    odd = max(0, axis.lo + axis.hi) % 2
    return dataclasses.replace(axis, lo=axis.lo + odd, hi=axis.hi - odd)


def circular(
    spec: Spec, layout: Layout, kernel: KernelLayout, axes: Sequence[Axis], sizes: Sequence[Size], asked: dict[str, Any]
) -> ResolvedLayer:
    """The layer of ``axes`` made circular on inputs of ``sizes``.

    Each axis is aligned by its ``lo``, from 0 to the extent less 1. ``asked``
    holds arguments that choose the output size, which must be ``None``.
    """
    asked = {name: value for name, value in asked.items() if value is not None}
    if asked:
        raise ArgumentError(
            "the output of circular padding is one period",
            got=" and ".join(f"{name} = {value}" for name, value in asked.items()),
            legal="stride * input size, along each axis",
            fix=f"leave {' and '.join(asked)} out, or pass another padding",
        )
    repeats, lengthened = [], []
    for axis, n in zip(axes, sizes, strict=True):
        if isinstance(n, int) and n == 0:  # nothing to repeat, and no output
            repeats.append((0, 0))
            lengthened.append(dataclasses.replace(axis, hi=axis.full_size(0) - axis.lo))
            continue
        before = -((axis.lo - axis.extent + 1) // axis.stride)
        after = -(-axis.lo // axis.stride)
        hi = (after - 1) * axis.stride + axis.extent - axis.lo
        repeats.append((before, after))
        lengthened.append(dataclasses.replace(axis, lo=axis.lo + before * axis.stride, hi=hi))
    return ResolvedLayer(Spec(tuple(lengthened), spec.groups), layout, kernel, tuple(repeats))
