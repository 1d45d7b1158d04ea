"""Shared by the conventions of the Flax and Equinox layers: channel counts, output sizes and circular padding.

Circular padding repeats the input in both directions, and the output is one period of ``stride * size``. No crop of the
canvas gives that, but a crop of a longer input's canvas does. Copy the last ``before`` pixels to the front of the input
and the first ``after`` pixels to its end, so that every stamp that reaches the period is there. Pixel ``i`` reaches the
positions ``i * stride`` to ``i * stride + extent - 1`` of the canvas, and the period starts at ``lo``. So the first
pixel to reach it is ``ceil((lo - extent + 1) / stride)``, and ``ceil(lo / stride)`` pixels follow the input's last one.
"""

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
    """A resolved layer: geometry, layout of the images, layout of the kernel, and wrap padding.

    ``wrap`` is empty, or holds for each spatial axis how many pixels are copied ``(before, after)`` the input from its
    other end. ``spec`` is then the geometry of the longer input.
    """

    spec: Spec
    layout: Layout
    kernel: KernelLayout
    wrap: tuple[tuple[int, int], ...] = ()


def check_channels(
    in_channels: Any, out_channels: Any, groups: Any, names: tuple[str, str] = ("in_channels", "out_channels")
) -> tuple[int, int, int]:
    """Return the three as integers, or raise an error, which calls the first two ``names``."""
    counts = [integer(count, name, 1) for count, name in zip((in_channels, out_channels), names, strict=True)]
    groups = integer(groups, "groups", 1)
    for name, count in zip(names, counts, strict=True):
        if count % groups:
            problem, got = f"groups does not divide {name}", f"groups = {groups}, {name} = {count}"
            legal = f"a divisor of {names[0]} = {counts[0]} and of {names[1]} = {counts[1]}"
            raise ArgumentError(problem, got=got, legal=legal, fix=f"pass such a groups, or change {name}")
    return counts[0], counts[1], groups


def with_output_size(
    axes: Sequence[Axis], sizes: Sequence[Size], padding: str | None, output_shape: Any, output_padding: Any
) -> tuple[Axis, ...]:
    """Return ``axes`` with the requested output size, aligned by TensorFlow's rules.

    ``padding`` is "SAME", "VALID", or ``None`` if the crop of ``axes`` is the explicit padding. The spatial axes of the
    input are those after the first. ``output_shape`` and ``output_padding`` are not both ``None``.
    """
    rank = len(axes)
    tensorflow.check_one_size(output_shape, output_padding)
    requested = added = (None,) * rank
    if output_shape is not None:
        requested = checked_sizes(output_shape, "output_shape", (rank,), f"{rank} sizes, one for each spatial axis")
    else:
        added = per_axis(output_padding, "output_padding", rank, lowest=0, broadcast=True)
    return tuple(
        tensorflow.crop_axis(i, n, axis, padding or (axis.lo, axis.hi), out, plus)
        for i, (n, axis, out, plus) in enumerate(zip(sizes, axes, requested, added, strict=True), 1)
    )


def to_same_lower(axis: Axis) -> Axis:
    """Return ``axis``, cropped as under "SAME", cropped as under "SAME_LOWER": an odd crop is larger at the start."""
    odd = max(0, axis.lo + axis.hi) % 2
    return axis.with_crop(axis.lo + odd, axis.hi - odd)


def make_circular(
    axes: Sequence[Axis], sizes: Sequence[Size], **size_arguments: Any
) -> tuple[tuple[Axis, ...], tuple[tuple[int, int], ...]]:
    """Return the axes and the wrap padding that make ``axes`` circular on inputs of ``sizes``.

    The ``lo`` of each axis, from 0 to the extent less 1, aligns it. ``size_arguments`` would choose the output size, so
    all must be ``None``.
    """
    present = {name: value for name, value in size_arguments.items() if value is not None}
    if present:
        got = " and ".join(f"{name} = {value}" for name, value in present.items())
        fix = f"leave {' and '.join(present)} out, or pass another padding"
        problem, legal = "the output of circular padding is one period", "stride * input size, along each axis"
        raise ArgumentError(problem, got=got, legal=legal, fix=fix)
    wrap, longer = [], []
    for axis, n in zip(axes, sizes, strict=True):
        if isinstance(n, int) and n == 0:  # no pixel to copy, and no output
            wrap.append((0, 0))
            longer.append(axis.with_crop(axis.lo, axis.full_size(0) - axis.lo))
            continue
        before = -((axis.lo - axis.extent + 1) // axis.stride)
        after = -(-axis.lo // axis.stride)
        hi = (after - 1) * axis.stride + axis.extent - axis.lo
        wrap.append((before, after))
        longer.append(axis.with_crop(axis.lo + before * axis.stride, hi))
    return tuple(longer), tuple(wrap)
