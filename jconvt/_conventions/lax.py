"""The arguments of ``jax.lax.conv_transpose``, resolved.

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
from typing import Any, NamedTuple

from .._geometry.arguments import LARGEST, Size, integer, sequence, size, wrong_length
from .._geometry.axis import Axis
from .._geometry.kernel_layout import KernelLayout
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ..errors import ArgumentError, ArgumentTypeError
from ._dimension_numbers import Dimensions, dimensions, strings
from .call import Call, remainder

Padding = str | tuple[int, int]
"""Along one axis: "SAME", "VALID", or the explicit (before, after)."""


class Names(NamedTuple):
    """What the function that was called calls the arguments that errors speak of."""

    lhs: str = "lhs"
    rhs: str = "rhs"
    rhs_dilation: str = "rhs_dilation"
    strides: str = "strides"
    feature_group_count: str = "feature_group_count"


NAMES = Names()
"""What ``jax.lax.conv_transpose`` calls them."""


def resolve(
    input_shape: Sequence[Size],
    kernel_shape: Sequence[int],
    strides: Any,
    padding: Any,
    rhs_dilation: Any = None,
    dimension_numbers: Any = None,
    transpose_kernel: bool = False,
    use_consistent_padding: bool = False,
    *,
    feature_group_count: int = 1,
    names: Names = NAMES,
) -> tuple[Spec, Layout]:
    """Resolves a call of ``jconvt.lax.conv_transpose`` on operands of these shapes.

    The layout is that of the input once it is in ``dimensions(...).input_order``.
    """
    lhs = [size(n, f"{names.lhs}.shape[{i}]") for i, n in enumerate(_shape(input_shape, names.lhs))]
    rhs = [integer(n, f"{names.rhs}.shape[{i}]", 0) for i, n in enumerate(_shape(kernel_shape, names.rhs))]
    rank = _rank(lhs, rhs, names)
    numbers = dimensions(dimension_numbers, rank)
    kernels = [rhs[axis] for axis in numbers.rhs[2:]]
    if min(kernels) < 1:
        raise ArgumentError(
            f"{names.rhs} has an axis without taps",
            got=f"{names.rhs} of shape {tuple(rhs)}, with spatial sizes {tuple(kernels)}",
            legal="kernel sizes of at least 1",
            fix="check the order of the axes",
        )
    strides = _one_each(strides, names.strides, rank)
    dilations = [1] * rank if rhs_dilation is None else _one_each(rhs_dilation, names.rhs_dilation, rank)
    paddings = _paddings(padding, rank)
    consistent = flag(use_consistent_padding, "use_consistent_padding")
    groups = _groups(feature_group_count, lhs, rhs, numbers, flag(transpose_kernel, "transpose_kernel"), names)
    axes = tuple(
        _axis(position, lhs[position], Axis(kernel, stride, dilation), pad, consistent)
        for position, kernel, stride, dilation, pad in zip(
            numbers.lhs[2:], kernels, strides, dilations, paddings, strict=True
        )
    )
    return Spec(axes, groups), numbers.layout


def kernel_layout(
    rank: int, dimension_numbers: Any = None, transpose_kernel: bool = False, groups: int = 1
) -> KernelLayout:
    """How the kernel lies: ``(k..., in / groups, out)``, or ``(k..., out / groups, in)`` with ``transpose_kernel``."""
    numbers = dimensions(dimension_numbers, rank)
    out, taken = numbers.rhs[1::-1] if transpose_kernel else numbers.rhs[:2]
    place = {axis: i for i, axis in enumerate((*numbers.rhs[2:], out, taken))}
    axes = tuple(place[axis] for axis in range(rank + 2))
    return KernelLayout(axes) if transpose_kernel else KernelLayout(axes, flipped=True, output_groups=groups)


def call(
    spec: Spec,
    *,
    channels_first: bool = False,
    transpose_kernel: bool = False,
    own: bool = False,
) -> Call:
    """The call of ``jax.lax.conv_transpose`` that computes a geometry: every one without groups.

    The function that is ``own``, ``jconvt.lax.conv_transpose``, has groups, too. The call is exact for inputs of at
    least one pixel.
    """
    axes, groups, rank = spec.axes, spec.groups, spec.rank
    if groups > 1 and not own:
        raise ArgumentError(
            "jax.lax.conv_transpose has no groups",
            got=f"groups = {groups}",
            legal="groups = 1",
            fix="call jconvt.lax.conv_transpose, which is the same with feature_group_count",
        )
    arguments: dict[str, Any] = {"strides": tuple(axis.stride for axis in axes), "padding": padding_of(axes)}
    if any(axis.dilation > 1 for axis in axes):
        arguments["rhs_dilation"] = tuple(axis.dilation for axis in axes)
    if channels_first or rank > 3:
        arguments["dimension_numbers"] = strings(rank, channels_first)
    if transpose_kernel:
        arguments["transpose_kernel"] = True
    if groups > 1:
        arguments["feature_group_count"] = groups
    return Call(
        function="jconvt.lax.conv_transpose" if own else "jax.lax.conv_transpose",
        arguments=arguments,
        layout=Layout(rank, channels_first),
        kernel=kernel_layout(rank, arguments.get("dimension_numbers"), transpose_kernel, groups),
        crop=remainder(axes, axes),
    )


def padding_of(axes: Sequence[Axis]) -> Any:
    """The padding of a geometry: a name that fits every axis, or pairs."""
    for name in ("SAME", "VALID"):
        if all(_ends(name, axis, False) == (axis.lo, axis.hi) for axis in axes):
            return name
    return tuple((axis.extent - 1 - axis.lo, axis.extent - 1 - axis.hi) for axis in axes)


def flag(value: Any, name: str) -> bool:
    """``value``, if it is ``True`` or ``False``."""
    if isinstance(value, bool):
        return value
    raise ArgumentTypeError(
        f"{name} must be True or False, known before tracing",
        got=f"{name} = {value!r}",
        legal="True or False",
        fix="convert it with bool, or mark it static (static_argnames of jax.jit)",
    )


def _ends(padding: Padding, axis: Axis, consistent: bool) -> tuple[int, int]:
    """``lo`` and ``hi`` of the table above, of an axis without them."""
    beyond = axis.extent - axis.stride
    if padding == "SAME":
        lo = max(0, beyond) // 2
        return lo, beyond - lo
    if isinstance(padding, str):
        return 0, min(0, beyond)
    before, after = padding
    return (before, after) if consistent else (axis.extent - 1 - before, axis.extent - 1 - after)


def _axis(position: int, n: Size, bare: Axis, padding: Padding, consistent: bool) -> Axis:
    """The crop along one axis; ``position`` is that axis of the input."""
    lo, hi = _ends(padding, bare, consistent)
    if isinstance(n, int):
        dilated = (n - 1) * bare.stride + 1 if n > 0 else 0
        padded = dilated + 2 * (bare.extent - 1) - lo - hi
        if padded < 0:
            least = hi + lo + padded if consistent else -dilated
            raise ArgumentError(
                f"padding removes more than there is along axis {position}",
                got=f"padding {padding}, of input size {n}, stride {bare.stride}, extent of the kernel {bare.extent}",
                legal=f"before + after of at {'most' if consistent else 'least'} {least}",
                fix="pass a padding that removes less",
            )
        hi = bare.full_size(n) - lo - max(0, padded - bare.extent + 1)
    return Axis(bare.kernel, bare.stride, bare.dilation, lo, hi)


def _shape(shape: Any, name: str) -> list[Any]:
    return sequence(shape, f"{name}.shape", "one size for each axis")


def _rank(lhs: Sequence[Size], rhs: Sequence[int], names: Names) -> int:
    shapes = f"{names.lhs} of shape {tuple(lhs)}, {names.rhs} of shape {tuple(rhs)}"
    if len(lhs) != len(rhs):
        raise ArgumentError(
            f"{names.lhs} and {names.rhs} differ in their number of axes",
            got=shapes,
            legal="batch, channels and the spatial axes; the kernel axes and the two of channels",
            fix="reshape one to as many axes as the other has",
        )
    if len(lhs) < 3:
        raise ArgumentError(
            "a transposed convolution has at least one spatial axis",
            got=shapes,
            legal="3 axes or more",
            fix="a product without spatial axes is jax.numpy.matmul",
        )
    return len(rhs) - 2


def _one_each(value: Any, name: str, rank: int) -> list[int]:
    legal = f"a sequence of {rank}, one integer for each spatial axis"
    entries = [integer(entry, f"{name}[{i}]", 1) for i, entry in enumerate(sequence(value, name, legal))]
    if len(entries) != rank:
        raise wrong_length(name, entries, legal)
    return entries


def _paddings(padding: Any, rank: int) -> list[Padding]:
    legal = f"'SAME', 'VALID', or a sequence of {rank}, one (before, after) for each spatial axis"
    if isinstance(padding, str):
        if padding.upper() in ("SAME", "VALID"):
            return [padding.upper()] * rank
        raise ArgumentError("unknown padding", got=f"padding = {padding!r}", legal=legal, fix="pass one of these")
    found = []
    for i, pair in enumerate(sequence(padding, "padding", legal)):
        entries = sequence(pair, f"padding[{i}]", legal)
        if len(entries) != 2:
            raise wrong_length(f"padding[{i}]", entries, legal)
        before, after = (integer(entry, f"padding[{i}]", lowest=-LARGEST) for entry in entries)
        found.append((before, after))
    if len(found) != rank:
        raise wrong_length("padding", found, legal)
    return found


def _groups(
    groups: Any, lhs: Sequence[Size], rhs: Sequence[int], numbers: Dimensions, transpose_kernel: bool, names: Names
) -> int:
    """The groups, once the channels are seen to fit."""
    name = names.feature_group_count
    groups = integer(groups, name, lowest=1)
    channels, last, first = lhs[numbers.lhs[1]], rhs[numbers.rhs[0]], rhs[numbers.rhs[1]]
    taken = last if transpose_kernel else first * groups
    shapes = f"{names.lhs} of shape {tuple(lhs)}, {names.rhs} of shape {tuple(rhs)}, {name} {groups}"
    if channels != taken:
        order = "(k..., out / groups, in) with" if transpose_kernel else "(k..., in / groups, out) without"
        raise ArgumentError(
            f"the channels of {names.lhs} and {names.rhs} differ",
            got=f"{channels} in {names.lhs}, {taken} in {names.rhs}: {shapes}, transpose_kernel {transpose_kernel}",
            legal=f"{names.rhs} of shape {order} transpose_kernel, its axes in the order of its dimension numbers",
            fix=f"swap the channel axes of {names.rhs}, or check transpose_kernel and the order of the axes",
        )
    if last % groups:
        raise ArgumentError(
            f"{name} does not divide the {'input' if transpose_kernel else 'output'} channels",
            got=f"{last} channels: {shapes}",
            legal=f"a divisor of {last}",
            fix=f"pass such a {name}",
        )
    return groups
