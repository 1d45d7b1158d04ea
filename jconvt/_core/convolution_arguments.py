"""The arguments of ``jax.lax.conv_general_dilated``, read and checked."""

from typing import Any

from jax import lax

from .._conventions.dimension_numbers import Dimensions, dimensions
from .._geometry.arguments import Operands, check_groups, integer, paddings, per_axis
from ..errors import ArgumentError
from .recognition import Convolution

_NAMES = ("SAME", "SAME_LOWER", "VALID")


def read(
    lhs_shape: Any,
    rhs_shape: Any,
    window_strides: Any,
    padding: Any,
    lhs_dilation: Any,
    rhs_dilation: Any,
    dimension_numbers: Any,
    feature_group_count: Any,
    batch_group_count: Any,
) -> Convolution:
    """Return the convolution of a call of ``jax.lax.conv_general_dilated``, or raise if it has a wrong argument."""
    operands = Operands.of("lhs", lhs_shape, "rhs", rhs_shape)
    rank = len(operands.kernel) - 2
    if rank < 0 or len(operands.input) != rank + 2:
        legal, fix = "the same number of axes, 2 or more", "add the axes of the batch and of the channels"
        raise ArgumentError("lhs and rhs have different or too few axes", got=operands, legal=legal, fix=fix)
    for i, size in enumerate(operands.input):
        integer(size, f"lhs.shape[{i}]", 0)  # a symbolic size has no geometry
    if dimension_numbers is None:
        dimension_numbers = Dimensions(*(tuple(range(rank + 2)),) * 3)
    numbers = dimensions(dimension_numbers, rank)
    strides = per_axis(window_strides, "window_strides", rank, scalar=False)
    lhs_dilations = per_axis(lhs_dilation, "lhs_dilation", rank, default=1, scalar=False)
    rhs_dilations = per_axis(rhs_dilation, "rhs_dilation", rank, default=1, scalar=False)
    if isinstance(padding, str) and set(lhs_dilations) - {1}:
        got, legal = (
            f"padding = {padding!r}, lhs_dilation = {lhs_dilations}",
            "a pair of integers for each spatial axis",
        )
        fix = "pass the explicit pairs, or call jax.lax.conv_transpose"
        raise ArgumentError("padding has no name if lhs is dilated", got=got, legal=legal, fix=fix)
    legal = f"{', '.join(map(repr, _NAMES))}, or a pair (before, after) for each of {rank} spatial axes"
    pads = paddings(padding, _NAMES, (rank,), legal, lowest=-(2**31))
    _check_channels(operands, numbers, feature_group_count, batch_group_count)
    if isinstance(padding, str):
        sizes = [operands.input[axis] for axis in numbers.lhs[2:]]
        taps = [operands.kernel[axis] for axis in numbers.rhs[2:]]
        extents = [max(0, (k - 1) * d + 1) for k, d in zip(taps, rhs_dilations, strict=True)]
        pads = lax.padtype_to_pads(sizes, extents, strides, padding.upper())
    return Convolution(
        operands.input,
        operands.kernel,
        strides,
        tuple((int(before), int(after)) for before, after in pads),
        lhs_dilations,
        rhs_dilations,
        numbers,
        integer(feature_group_count, "feature_group_count", 1),
        integer(batch_group_count, "batch_group_count", 1),
    )


def _check_channels(operands: Operands, numbers: Dimensions, feature_group_count: Any, batch_group_count: Any) -> None:
    """Raise unless the groups divide the batch and the channels, and the channels of both operands agree."""
    batch, channels = (operands.input[axis] for axis in numbers.lhs[:2])
    outputs, inputs = (operands.kernel[axis] for axis in numbers.rhs[:2])
    groups = check_groups(feature_group_count, channels, "feature_group_count")
    check_groups(feature_group_count, outputs, "feature_group_count", "output")
    check_groups(batch_group_count, outputs, "batch_group_count", "output")
    if batch % batch_group_count:
        got, legal = f"batch_group_count = {batch_group_count}, batch {batch}", f"a divisor of {batch}"
        fix = "pass such a batch_group_count; 1 is an ordinary convolution"
        raise ArgumentError("batch_group_count does not divide the batch", got=got, legal=legal, fix=fix)
    if groups > 1 < batch_group_count:
        got = f"feature_group_count = {groups}, batch_group_count = {batch_group_count}"
        legal = "one of the two is 1"
        raise ArgumentError("there are two kinds of groups", got=got, legal=legal, fix="leave one of them out")
    legal = f"lhs has feature_group_count * {inputs} channels"
    operands.check_channels(channels, inputs * groups, legal, "check feature_group_count and dimension_numbers")
