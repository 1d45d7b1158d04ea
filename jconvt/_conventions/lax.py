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

The kernel is a convolution's, so it runs backwards as a stamp. With ``transpose_kernel`` it is the kernel of the
convolution that is transposed: it stamps as it is, and its channels change places.
"""

from collections.abc import Sequence
from typing import Any

from .._geometry.arguments import LARGEST, Operands, Size, check_groups, flag, integer, pairs, per_axis
from .._geometry.axis import Axis
from .._geometry.kernel_layout import KernelLayout
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ..errors import ArgumentError
from ._dimension_numbers import Dimensions, dimensions, strings
from .convention import Call, Convention, remainder

Padding = str | tuple[int, int]
"""Along one axis: "SAME", "VALID", or the explicit (before, after)."""


def resolve(
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
) -> tuple[Spec, Layout]:
    """Resolve a call of ``jconvt.lax.conv_transpose`` on operands of these shapes.

    The layout is that of the input in ``dimensions(...).input_order``.
    """
    operands = Operands.of("lhs", lhs_shape, "rhs", rhs_shape)
    rank = check_operands(operands)
    numbers = dimensions(dimension_numbers, rank)
    strides = per_axis(strides, "strides", rank, scalar=False)
    dilations = (1,) * rank if rhs_dilation is None else per_axis(rhs_dilation, "rhs_dilation", rank, scalar=False)
    return resolve_checked(
        operands,
        strides,
        padding,
        dilations,
        numbers,
        flag(transpose_kernel, "transpose_kernel"),
        flag(use_consistent_padding, "use_consistent_padding"),
        groups=("feature_group_count", feature_group_count),
    )


def resolve_checked(
    operands: Operands,
    strides: Sequence[int],
    padding: Any,
    dilations: Sequence[int],
    numbers: Dimensions,
    transpose_kernel: bool = False,
    consistent: bool = False,
    *,
    groups: tuple[str, Any],
) -> tuple[Spec, Layout]:
    """Resolve a call whose operands, strides, dilations and flags are checked. ``groups`` come with their name."""
    kernel = [operands.kernel[axis] for axis in numbers.rhs[2:]]
    operands.check_taps(kernel)
    paddings = _paddings(padding, len(kernel))
    count = _groups(*groups, operands, numbers, transpose_kernel)
    axes = tuple(
        crop_axis(position, operands.input[position], Axis(k, s, d), pad, consistent)
        for position, k, s, d, pad in zip(numbers.lhs[2:], kernel, strides, dilations, paddings, strict=True)
    )
    return Spec(axes, count), numbers.layout


def kernel_layout(
    rank: int, dimension_numbers: Any = None, transpose_kernel: bool = False, groups: int = 1
) -> KernelLayout:
    """Return the kernel's layout: ``(k..., in / groups, out)``, unless ``dimension_numbers`` order it otherwise.

    With ``transpose_kernel``, it is ``(k..., out / groups, in)``.
    """
    numbers = dimensions(dimension_numbers, rank)
    out, in_axis = numbers.rhs[1::-1] if transpose_kernel else numbers.rhs[:2]
    place = {axis: i for i, axis in enumerate((*numbers.rhs[2:], out, in_axis))}
    axes = tuple(place[axis] for axis in range(rank + 2))
    return KernelLayout(axes) if transpose_kernel else KernelLayout(axes, flipped=True, output_groups=groups)


def call(spec: Spec, *, channels_first: bool = False, transpose_kernel: bool = False, in_jconvt: bool = False) -> Call:
    """Return the call of ``jax.lax.conv_transpose`` that computes a geometry: every one without groups.

    ``jconvt.lax.conv_transpose`` has groups, too. The call is exact for inputs of at least one pixel.
    """
    axes, groups, rank = spec.axes, spec.groups, spec.rank
    if groups > 1 and not in_jconvt:
        fix = "call jconvt.lax.conv_transpose, which is the same with feature_group_count"
        problem, got = "jax.lax.conv_transpose has no groups", f"groups = {groups}"
        raise ArgumentError(problem, got=got, legal="groups = 1", fix=fix)
    arguments: dict[str, Any] = {"strides": tuple(axis.stride for axis in axes), "padding": padding_of(axes)}
    if any(axis.dilation > 1 for axis in axes):
        arguments["rhs_dilation"] = tuple(axis.dilation for axis in axes)
    if channels_first or rank > 3:
        arguments["dimension_numbers"] = strings(rank, channels_first)
    if transpose_kernel:
        arguments["transpose_kernel"] = True
    if groups > 1:
        arguments["feature_group_count"] = groups
    function = "jconvt.lax.conv_transpose" if in_jconvt else CONVENTION.function
    kernel = kernel_layout(rank, arguments.get("dimension_numbers"), transpose_kernel, groups)
    return Call(function, arguments, Layout(rank, channels_first), kernel, remainder(axes, axes))


def padding_of(axes: Sequence[Axis]) -> str | tuple[tuple[int, int], ...]:
    """Return the padding of a geometry: a name that fits every axis, or pairs."""
    for name in ("SAME", "VALID"):
        if all(_ends(name, axis, False) == (axis.lo, axis.hi) for axis in axes):
            return name
    return tuple((axis.extent - 1 - axis.lo, axis.extent - 1 - axis.hi) for axis in axes)


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


def check_operands(operands: Operands) -> int:
    """Return the number of spatial axes, or raise if the operands differ in it."""
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
    return axes - 2


def _paddings(padding: Any, rank: int) -> Sequence[Padding]:
    legal = f"'SAME', 'VALID', or a sequence of {rank}, one (before, after) for each spatial axis"
    if isinstance(padding, str):
        if padding.upper() in ("SAME", "VALID"):
            return [padding.upper()] * rank
        raise ArgumentError("unknown padding", got=f"padding = {padding!r}", legal=legal, fix="pass one of these")
    return pairs(padding, "padding", (rank,), legal, lowest=-LARGEST)


def _groups(name: str, groups: Any, operands: Operands, numbers: Dimensions, transpose_kernel: bool) -> int:
    """Return the groups, or raise if the channels do not fit."""
    groups = integer(groups, name, lowest=1)
    last, first = operands.kernel[numbers.rhs[0]], operands.kernel[numbers.rhs[1]]
    order = "(k..., out / groups, in) with" if transpose_kernel else "(k..., in / groups, out) without"
    rhs = operands.kernel_name
    legal = f"{rhs} of shape {order} transpose_kernel, its axes in the order of its dimension numbers"
    fix = f"swap the channel axes of {rhs}, or check transpose_kernel and the order of the axes"
    note = f", {name} {groups}, transpose_kernel {transpose_kernel}"
    in_kernel = last if transpose_kernel else first * groups
    operands.check_channels(operands.input[numbers.lhs[1]], in_kernel, legal, fix, note)
    check_groups(groups, last, name, "input" if transpose_kernel else "output")
    return groups


CONVENTION = Convention(
    name="lax",
    function="jax.lax.conv_transpose",
    arguments=(
        "strides",
        "padding",
        "rhs_dilation",
        "transpose_kernel",
        "use_consistent_padding",
        "feature_group_count",
    ),
    positional=(
        "strides",
        "padding",
        "rhs_dilation",
        "dimension_numbers",
        "transpose_kernel",
        "use_consistent_padding",
    ),
    required=("strides", "padding"),
    resolve=resolve,
    call=lambda spec, *shapes: call(spec),
    kernel_layout=lambda rank, groups, arguments: kernel_layout(
        rank, None, arguments.get("transpose_kernel", False), groups
    ),
    groups="feature_group_count",
    options={"stride": "strides", "padding": "padding", "dilation": "rhs_dilation"},
    defaults={"stride": (1,), "padding": "SAME"},
    code="import jax\n\n{y} = {function}({x}, {w}{arguments})",
)
