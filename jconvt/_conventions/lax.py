"""The convention of ``jax.lax.conv_transpose``.

It names a transposed convolution by what computes it: a convolution of stride 1 over the input with ``s - 1`` zeros
between its pixels, padded by ``a`` before and ``b`` after. With ``e`` the extent of one stamp:

    padding            lo                      hi              output size
    SAME               max(0, e - s) // 2      e - s - lo      s n
    VALID              0                       min(0, e - s)   s n + max(0, e - s)
    (a, b)             e - 1 - a               e - 1 - b       s(n-1) + 2 - e + a + b
    (a, b) consistent  a                       b               s(n-1) + e - a - b

No output size is below 0. An input without pixels has nothing to put zeros between, and counts as 0 long, so that the
output has ``s - 1`` positions more than the formulas say.

Both names are in capitals. Other spellings, and "SAME_LOWER", are the paddings of a convolution that is not transposed,
which ``jax.lax`` takes at stride 1 only: "valid" is none, and "same" is ``e - 1`` in all. Of an odd padding the larger
half is at the end, under "SAME_LOWER" at the start.

The kernel is a convolution's, so it runs backwards as a stamp. With ``transpose_kernel`` it is the kernel of the
convolution that is transposed: it stamps as it is, and its channels change places.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from .._geometry.arguments import (
    LARGEST,
    Operands,
    Padding,
    Size,
    check_groups,
    flag,
    integer,
    integers,
    pairs,
    per_axis,
)  # fmt: skip
from .._geometry.axis import Axis
from .._geometry.kernel_layout import KernelLayout
from .._geometry.layout import Layout
from .._geometry.memoize import memoize
from .._geometry.spec import Spec
from ..errors import ArgumentError
from .convention import Call, Convention, check_supported, non_default, remainder
from .dimension_numbers import Dimensions, dimensions, strings


class ResolvedCall(NamedTuple):
    """A resolved call: its geometry, the layout to compute in, the kernel's layout, and two orders of axes.

    ``input_order`` transposes the input to ``layout``, and ``output_order`` the result to the order of the output.
    """

    spec: Spec
    layout: Layout
    kernel: KernelLayout
    input_order: tuple[int, ...]
    output_order: tuple[int, ...]


@memoize
def resolve_call(
    lhs_shape: Sequence[Size],
    rhs_shape: Sequence[int],
    strides: Any,
    padding: Any,
    rhs_dilation: Any = None,
    dimension_numbers: Any = None,
    transpose_kernel: bool = False,
    use_consistent_padding: bool = False,
    *,
    feature_group_count: int = 1,
    names: tuple[str, str, str] = ("lhs", "rhs", "feature_group_count"),
) -> ResolvedCall:
    """Resolve a call of ``jconvt.lax.conv_transpose`` on operands of these shapes.

    ``names`` are the called function's names for the operands and the groups.
    """
    operands = Operands.of(names[0], lhs_shape, names[1], rhs_shape)
    _check_axes(operands)
    rank = len(operands.kernel) - 2
    numbers = dimensions(dimension_numbers, rank)
    strides = per_axis(strides, "strides", rank, scalar=False)
    dilations = per_axis(rhs_dilation, "rhs_dilation", rank, default=1, scalar=False)
    transpose_kernel = flag(transpose_kernel, "transpose_kernel")
    consistent = flag(use_consistent_padding, "use_consistent_padding")
    kernel = [operands.kernel[axis] for axis in numbers.rhs[2:]]
    operands.check_taps(kernel)
    bares = list(map(Axis, kernel, strides, dilations))
    ends = _paddings(padding, bares, consistent)
    groups = integer(feature_group_count, names[2], lowest=1)
    _check_channels(operands, numbers, transpose_kernel, groups, names[2])
    axes = tuple(
        crop_axis(position, operands.input[position], bare, pad, consistent)
        for position, bare, pad in zip(numbers.lhs[2:], bares, ends, strict=True)
    )
    kernel_axes = kernel_layout(rank, numbers, transpose_kernel, groups)
    return ResolvedCall(Spec(axes, groups), numbers.layout, kernel_axes, numbers.input_order, numbers.output_order)


def with_spatial_axis(
    strides: Any, padding: Any, rhs_dilation: Any, dimension_numbers: Any, use_consistent_padding: bool
) -> tuple[Sequence[int], str, None, Dimensions]:
    """Return the first four arguments for operands without a spatial axis, whose new last axis is one of size 1."""
    legal, fix = "(): there is no spatial axis", "leave the numbers out, or add spatial axes to both operands"
    for name, value in (("strides", strides), ("rhs_dilation", rhs_dilation)):
        if name == "strides" or value is not None:
            integers(value, name, (0,), legal, fix=fix)
    _paddings(padding, (), flag(use_consistent_padding, "use_consistent_padding"))
    numbers = dimensions(dimension_numbers, 0)
    return (1,), "VALID", None, Dimensions(*((*axes, 2) for axes in numbers))


def resolve(
    lhs_shape: Sequence[Size], rhs_shape: Sequence[int], *arguments: Any, **options: Any
) -> tuple[Spec, Layout]:
    """Return the geometry and the layout of ``resolve_call``."""
    resolved = resolve_call(lhs_shape, rhs_shape, *arguments, **options)
    return resolved.spec, resolved.layout


def kernel_layout(
    rank: int, dimension_numbers: Any = None, transpose_kernel: bool = False, groups: int = 1
) -> KernelLayout:
    """Return the kernel's layout: ``(k..., in / groups, out)``, unless ``dimension_numbers`` order it otherwise.

    With ``transpose_kernel``, it is ``(k..., out / groups, in)``.
    """
    last, first, *spatial = dimensions(dimension_numbers, rank).rhs
    order = (*spatial, first, last) if transpose_kernel else (*spatial, last, first)
    axes = tuple(order.index(axis) for axis in range(rank + 2))
    return KernelLayout(axes) if transpose_kernel else KernelLayout(axes, flipped=True, output_groups=groups)


def call(spec: Spec, *, channels_first: bool = False, transpose_kernel: bool = False, in_jconvt: bool = False) -> Call:
    """Return the call of ``jax.lax.conv_transpose`` that computes a geometry: every one without groups.

    ``jconvt.lax.conv_transpose`` has groups, too. The call is exact for inputs of at least one pixel.
    """
    axes, groups, rank = spec.axes, spec.groups, spec.rank
    instead = "jconvt.lax.conv_transpose, which is the same with feature_group_count"
    check_supported(spec, CONVENTION.function, instead, most_axes=None, groups=in_jconvt)
    numbers = strings(rank, channels_first) if channels_first or rank > 3 else None
    arguments = {
        "strides": tuple(axis.stride for axis in axes),
        "padding": padding_of(axes),
        "rhs_dilation": tuple(axis.dilation for axis in axes),
        "dimension_numbers": numbers,
        "transpose_kernel": transpose_kernel,
        "feature_group_count": groups,
    }
    defaults = {"dimension_numbers": None, "transpose_kernel": False, "feature_group_count": 1}
    arguments = non_default(arguments, defaults | {"rhs_dilation": (1,) * rank})
    function = "jconvt.lax.conv_transpose" if in_jconvt else CONVENTION.function
    kernel = kernel_layout(rank, numbers, transpose_kernel, groups)
    return Call(function, arguments, Layout(rank, channels_first), kernel, remainder(axes, axes))


def padding_of(axes: Sequence[Axis]) -> str | tuple[tuple[int, int], ...]:
    """Return the padding of a geometry: a name that fits every axis, or pairs."""
    for name in ("SAME", "VALID"):
        if all(_ends(name, axis, False) == (axis.lo, axis.hi) for axis in axes):
            return name
    return tuple((axis.extent - 1 - axis.lo, axis.extent - 1 - axis.hi) for axis in axes)


def crop_axis(position: int, n: Size, bare: Axis, padding: Padding, consistent: bool) -> Axis:
    """Return ``bare`` with the crop of its padding; ``position`` is the input's axis, of size ``n``."""
    lo, hi = _ends(padding, bare, consistent)
    if isinstance(n, int):
        dilated = (n - 1) * bare.stride + 1 if n > 0 else 0
        padded = dilated + 2 * (bare.extent - 1) - lo - hi
        if padded < 0:
            problem = f"padding removes more than there is along axis {position}"
            got = f"padding {padding}, of input size {n}, stride {bare.stride}, extent of the kernel {bare.extent}"
            legal = f"before + after of at {f'most {hi + lo + padded}' if consistent else f'least {-dilated}'}"
            raise ArgumentError(problem, got=got, legal=legal, fix="pass a padding that removes less")
        hi = bare.full_size(n) - lo - max(0, padded - bare.extent + 1)
    return bare.with_crop(lo, hi)


def _paddings(padding: Any, axes: Sequence[Axis], consistent: bool) -> Sequence[Padding]:
    """Return "SAME", "VALID" or a pair (before, after) for each of ``axes``."""
    rank, names = len(axes), ("SAME", "VALID")
    legal = f"'SAME', 'VALID', or a sequence of {rank}, one (before, after) for each spatial axis"
    if not isinstance(padding, str):
        return pairs(padding, "padding", (rank,), legal, lowest=-LARGEST, names=names if consistent else ())
    if padding in names:
        return [padding] * rank
    capitals = padding.upper()
    if capitals in (*names, "SAME_LOWER") and not consistent and all(axis.stride == 1 for axis in axes):
        return [_convolution_padding(capitals, axis.extent) for axis in axes]
    fix = "pass one of these"
    if capitals in names:
        fix = f"write {capitals!r}: only at stride 1 jax.lax takes other spellings, for the padding of a convolution"
    raise ArgumentError("unknown padding", got=f"padding = {padding!r}", legal=legal, fix=fix)


def _convolution_padding(name: str, extent: int) -> tuple[int, int]:
    """Return the padding of this name for a convolution of stride 1 that is not transposed."""
    half, odd = divmod(0 if name == "VALID" else extent - 1, 2)
    return (half + odd, half) if name == "SAME_LOWER" else (half, half + odd)


def _ends(padding: Padding, axis: Axis, consistent: bool) -> tuple[int, int]:
    """Return ``lo`` and ``hi`` of the table above."""
    beyond = axis.extent - axis.stride
    if padding == "SAME":
        lo = max(0, beyond) // 2
        return lo, beyond - lo
    if isinstance(padding, str):
        return 0, min(0, beyond)
    before, after = padding
    return (before, after) if consistent else (axis.extent - 1 - before, axis.extent - 1 - after)


def _check_axes(operands: Operands) -> None:
    axes = len(operands.kernel)
    if len(operands.input) != axes:
        problem = f"{operands.input_name} and {operands.kernel_name} differ in their number of axes"
        legal = "batch, channels and the spatial axes; the kernel axes and the two of channels"
        fix = "reshape one to as many axes as the other has"
        raise ArgumentError(problem, got=operands, legal=legal, fix=fix)
    if axes < 3:
        problem = "a transposed convolution has at least one spatial axis"
        fix = "a product without spatial axes is jax.numpy.matmul"
        raise ArgumentError(problem, got=operands, legal="3 axes or more", fix=fix)


def _check_channels(operands: Operands, numbers: Dimensions, transpose_kernel: bool, groups: int, name: str) -> None:
    last, first = operands.kernel[numbers.rhs[0]], operands.kernel[numbers.rhs[1]]
    order = "(k..., out / groups, in) with" if transpose_kernel else "(k..., in / groups, out) without"
    rhs = operands.kernel_name
    legal = f"{rhs} of shape {order} transpose_kernel, its axes in the order of its dimension numbers"
    fix = f"swap the channel axes of {rhs}, or check transpose_kernel and the order of the axes"
    note = f", {name} {groups}, transpose_kernel {transpose_kernel}"
    in_kernel = last if transpose_kernel else first * groups
    operands.check_channels(operands.input[numbers.lhs[1]], in_kernel, legal, fix, note)
    check_groups(groups, last, name, "input" if transpose_kernel else "output")


_POSITIONAL = ("strides", "padding", "rhs_dilation", "dimension_numbers", "transpose_kernel", "use_consistent_padding")

CONVENTION = Convention(
    name="lax",
    function="jax.lax.conv_transpose",
    arguments=(*(name for name in _POSITIONAL if name != "dimension_numbers"), "feature_group_count"),
    positional=_POSITIONAL,
    required=("strides", "padding"),
    resolve=resolve,
    call=lambda spec, *shapes: call(spec),
    kernel_layout=lambda rank, groups, stated: kernel_layout(rank, None, stated.get("transpose_kernel", False), groups),
    groups="feature_group_count",
    options={"stride": "strides", "padding": "padding", "dilation": "rhs_dilation"},
    defaults={"stride": (1,), "padding": "SAME"},
    code="import jax\n\n{y} = {function}({x}, {w}{arguments})",
)
