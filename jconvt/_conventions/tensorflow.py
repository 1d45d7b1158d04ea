"""The conventions of TensorFlow and of ``jconvt.conv_transpose``, which has TensorFlow's arguments and two more.

TensorFlow names a transposed convolution by the forward convolution that it transposes: ``output_shape`` is that
convolution's input, and ``padding`` says where it pads. With ``e`` the extent of one stamp, an output size ``out`` is
legal for input size ``n`` if the forward convolution takes ``out`` to ``n``:

    SAME             ceil(out / s) = n             s(n-1) + 1 .. s n           lo = max(0, s(n-1) + e - out) // 2
    VALID            ceil((out - e + 1) / s) = n   s(n-1) + e .. s n + e - 1   lo = 0
    explicit (a, b)  as VALID for out + a + b      VALID's, less a + b         lo = a

If n is 0, every VALID size below ``e`` is legal: none holds a window. (TensorFlow rejects some of these.)
The rules are those of "Notes on padding" in the documentation of ``tf.nn``. Without ``output_shape``, the size is that
of ``tf.keras.layers.Conv2DTranspose``: ``s n`` under SAME, ``s n + max(e - s, 0)`` under VALID, and under explicit
padding VALID's less ``a + b``, if that is not below 0; with an ``output_padding`` of ``p``,
``s(n-1) + e + p - 2 (e // 2)``, ``s(n-1) + e + p``, and that less ``a + b``.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._geometry.arguments import Operands, Padding, Size, check_groups, integer, paddings, per_axis, sizes
from .._geometry.axis import Axis
from .._geometry.kernel_layout import filters_layout
from .._geometry.layout import Layout
from .._geometry.memoize import memoize
from .._geometry.spec import Spec
from ..errors import ArgumentError, ArgumentTypeError
from .convention import Call, Convention, check_supported, non_default, remainder

_DATA_FORMATS = {1: ("NWC", "NCW"), 2: ("NHWC", "NCHW"), 3: ("NDHWC", "NCDHW")}

NAMES = ("input", "filters", "output_shape")
"""The names of these arguments in ``conv_transpose``."""


@memoize
def resolve(
    input_shape: Sequence[Size],
    filters_shape: Sequence[int],
    output_shape: Any = None,
    strides: Any = 1,
    padding: Any = "SAME",
    data_format: str | None = None,
    dilations: Any = None,
    *,
    output_padding: Any = None,
    groups: int = 1,
    rank: int | None = None,
    names: tuple[str, str, str] = NAMES,
) -> tuple[Spec, Layout]:
    """Resolve a call of ``conv_transpose`` on operands of these shapes.

    ``rank`` is the number of spatial axes, if the called function fixes it. ``names`` are the called function's names
    for the first three arguments.
    """
    operands = Operands.of(names[0], input_shape, names[1], filters_shape)
    layout = check_operands(operands, functools.partial(layout_of, data_format), rank)
    rank, outer = layout.rank, (0, layout.channel_axis)
    strides = per_axis(strides, "strides", rank, default=1, broadcast=True, outer=outer)
    dilations = per_axis(dilations, "dilations", rank, default=1, broadcast=True, outer=outer)
    ends = _paddings(padding, layout)
    requested, added = None, (None,) * rank
    if output_shape is not None:
        requested = sizes(output_shape, names[2], (rank, rank + 2), f"{rank + 2} sizes, or the {rank} spatial ones")
    groups = _groups(groups, operands, requested, layout)
    output_sizes = _output_sizes(requested, operands, layout, groups, names[2])
    if output_padding is not None:
        check_one_size(requested, output_padding)
        added = per_axis(output_padding, "output_padding", rank, lowest=0, broadcast=True)
    bares = map(Axis, operands.kernel, strides, dilations)
    axes = tuple(
        crop_axis(position, operands.input[position], bare, pad, out, plus, names[2])
        for position, bare, pad, out, plus in zip(layout.spatial_axes, bares, ends, output_sizes, added, strict=True)
    )
    return Spec(axes, groups), layout


def crop_axis(
    position: int,
    n: Size,
    bare: Axis,
    padding: Padding,
    output_size: Size | None,
    output_padding: int | None,
    name: str = "output_shape",
) -> Axis:
    """Return ``bare`` with the crop of its padding and output size.

    ``n`` is the input's size and ``position`` its axis; ``name`` is the argument that ``output_size`` is from.
    """
    s, e = bare.stride, bare.extent
    a, b = (0, 0) if isinstance(padding, str) else padding
    same = padding == "SAME"
    # The last stamp ends where the padding begins if the output size is ``flush``. All sizes below are distances from
    # it, which are integers even if sizes are symbolic.
    flush = bare.full_size(n) - a - b
    lowest, highest, default = (1 - e, s - e, s - e) if same else (0, s - 1, max(s - e, 0))
    if isinstance(n, int):
        if n == 0:  # no pixel: under SAME no output either, else too few outputs for the first window
            lowest = highest if same else -flush
        lowest = max(lowest, -flush)
        default = max(default, lowest)
    distance = default
    if output_size is not None:
        distance = output_size - flush
    elif output_padding is not None:
        distance = output_padding - (2 * (e // 2) if same else 0)
    if isinstance(distance, int) and lowest <= distance <= highest:
        lo = max(0, -distance) // 2 if same else a
        return bare.with_crop(lo, a + b - distance - lo)
    call = f"input size {n}, kernel {bare.kernel}, stride {s}, dilation {bare.dilation}, padding {padding}"
    legal = _range(lowest + flush, highest + flush)
    if not isinstance(distance, int):
        problem = f"{name} along axis {position} is at no fixed distance from stride * input size"
        fix = "write the size as stride * input size plus a constant"
        raise ArgumentTypeError(problem, got=f"size {output_size} ({call})", legal=legal, fix=fix)
    if lowest > highest:
        problem, legal = f"padding removes more than there is along axis {position}", f"{flush + a + b + s - 1}"
        raise ArgumentError(problem, got=call, legal=f"before + after of at most {legal}", fix="pass a smaller padding")
    out = flush + distance
    if output_padding is not None:
        got, shift = f"output_padding {output_padding}, for output size {out} ({call})", output_padding - distance
        legal = f"{_range(lowest + shift, highest + shift)}, for output size {legal}"
        fix = f"pass a legal one; without output_padding, the output size is {flush + default}"
        raise ArgumentError(f"output_padding is illegal along axis {position}", got=got, legal=legal, fix=fix)
    # Either forward size is the ceiling of a quotient, written as the floor of its negative.
    forward = max(0, -(((0 if same else e - 1 - a - b) - out) // s))
    got = f"size {out}, which the forward convolution would take to size {forward}, not {n} ({call})"
    fix = f"pass a legal size; the default is {flush + default}"
    raise ArgumentError(f"{name} is illegal along axis {position}", got=got, legal=legal, fix=fix)


def _range(lowest: Size, highest: Size) -> str:
    return f"{lowest}" if lowest == highest else f"{lowest} to {highest}"


def check_one_size(output_shape: Any, output_padding: Any) -> None:
    """Raise if two arguments choose the output size."""
    if output_shape is not None and output_padding is not None:
        got = f"output_shape = {output_shape}, output_padding = {output_padding}"
        fix = "leave output_padding out: output_shape says everything"
        problem = "output_shape and output_padding both choose the output size"
        raise ArgumentError(problem, got=got, legal="one of the two", fix=fix)


def check_operands(operands: Operands, layout_of_rank: Callable[[int], Layout], rank: int | None = None) -> Layout:
    """Return the layout of the input, or raise if the operands have other axes, no taps, or different channels."""
    rank = max(1, len(operands.kernel) - 2) if rank is None else rank
    input_axes = "batch, channels, and one for each kernel axis"
    kernel_axes = "one for each kernel axis, out / groups, in"
    operands.check_axes(rank, f"a {rank}-D transposed convolution", input_axes, kernel_axes)
    operands.check_taps(operands.kernel[:rank])
    layout = layout_of_rank(rank)
    legal = f"{operands.kernel_name} of shape (k..., out / groups, in), with the other's channels last"
    fix = f"swap the last two axes of {operands.kernel_name}, or check data_format"
    operands.check_channels(operands.input[layout.channel_axis], operands.kernel[-1], legal, fix)
    return layout


def layout_of(data_format: Any, rank: int) -> Layout:
    """Return the layout that a ``data_format`` names."""
    if data_format is None:
        return Layout(rank)
    named = _DATA_FORMATS.get(rank)
    if isinstance(data_format, str) and named is not None:
        if data_format in named:
            return Layout(rank, channels_first=data_format == named[1])
    elif isinstance(data_format, str) and data_format.isalpha() and len({*data_format}) == len(data_format) == rank + 2:
        # Beyond three axes TensorFlow has no names; any letters serve for the spatial axes.
        if data_format.startswith("NC"):
            return Layout(rank, channels_first=True)
        if data_format.startswith("N") and data_format.endswith("C"):
            return Layout(rank)
    problem, got = f"unknown data_format for {rank} spatial axes", f"data_format = {data_format!r}"
    legal = " or ".join(named or (f"N, {rank} letters, C", f"NC, {rank} letters"))
    raise ArgumentError(problem, got=got, legal=legal, fix="leave it out for channels last")


def _paddings(padding: Any, layout: Layout) -> Sequence[Padding]:
    rank = layout.rank
    legal = f"'SAME', 'VALID', or a (before, after) of at least 0 for each of {rank + 2} or {rank} axes"
    found = paddings(padding, ("SAME", "VALID"), (rank, rank + 2), legal)
    if len(found) == rank:
        return found
    if found[0] != (0, 0) or found[layout.channel_axis] != (0, 0):
        got, legal = f"padding = {[*found]}", f"padding[0] = padding[{layout.channel_axis}] = (0, 0)"
        fix = f"pass only the {rank} pairs of the spatial axes, or check data_format"
        raise ArgumentError("padding of the batch and of the channels must be (0, 0)", got=got, legal=legal, fix=fix)
    return layout.spatial(found)


def _groups(groups: Any, operands: Operands, output_shape: Sequence[Size] | None, layout: Layout) -> int:
    """Return ``groups`` or, as in TensorFlow, the groups that the channels of a full ``output_shape`` imply."""
    groups = integer(groups, "groups", lowest=1)
    out, in_channels = operands.kernel[-2:]
    if groups == 1 and out > 0 and output_shape is not None and len(output_shape) == layout.rank + 2:
        implied, rest = divmod(output_shape[layout.channel_axis], out)
        if rest == 0 and implied > 0 and in_channels % implied == 0:
            groups = implied
    return check_groups(groups, in_channels)


def _output_sizes(
    output_shape: Sequence[Size] | None, operands: Operands, layout: Layout, groups: int, name: str
) -> Sequence[Size | None]:
    """Return the spatial sizes of ``output_shape``, or raise if it has a wrong batch size or number of channels."""
    if output_shape is None or len(output_shape) == layout.rank:
        return output_shape or (None,) * layout.rank
    channels = "number of channels", layout.channel_axis, operands.kernel[-2] * groups
    for part, axis, size in (("batch size", 0, operands.input[0]), channels):
        if output_shape[axis] != size:
            got, legal = f"{name}[{axis}] = {output_shape[axis]}", f"{size}, from {operands} and groups {groups}"
            fix = f"pass {size}, or only the spatial sizes"
            raise ArgumentError(f"{name} has another {part} than the operands give", got=got, legal=legal, fix=fix)
    return layout.spatial(output_shape)


def call(spec: Spec, input_shape: Sequence[Size], filters_shape: Sequence[int], *, in_jconvt: bool = False) -> Call:
    """Return the call that computes a geometry on an input of ``input_shape``, channels last.

    The crop decides between SAME and VALID. Otherwise the ends are cropped explicitly: in TensorFlow in 2-D only, in
    other dimensions the result of VALID is left to crop. ``jconvt.conv_transpose`` crops explicitly in any number of
    dimensions, and has ``groups``, which TensorFlow reads from the full ``output_shape``.
    """
    axes, groups, rank = spec.axes, spec.groups, spec.rank
    legal = f"{rank + 2} sizes, including the channels"
    n = sizes(input_shape, "input_shape", (rank + 2,), legal)[1:-1]
    out = sizes(filters_shape, "filters_shape", (rank + 2,), legal)[-2]
    instead = "jconvt.conv_transpose, which has the same arguments in any number of dimensions"
    check_supported(spec, "tf.nn's transposed convolution", instead, None if in_jconvt else 3, groups=True)
    padding: Any = "SAME"
    computed = axes
    if not all(map(_is_same, axes, n)):
        padding, ends = "VALID", [(0, 0)] * rank
        if (in_jconvt or rank == 2) and any(axis.lo > 0 or axis.hi > 0 for axis in axes):
            ends = [(max(axis.lo, 0), max(axis.hi, 0)) for axis in axes]
            padding = tuple(ends) if in_jconvt else ((0, 0), *ends, (0, 0))
        computed = [
            axis.with_crop(before, after - min(max(-axis.hi, 0), axis.stride - 1))
            for axis, (before, after) in zip(axes, ends, strict=True)
        ]
    outputs = tuple(axis.output_size(size) for axis, size in zip(computed, n, strict=True))
    arguments = {
        "output_shape": outputs if in_jconvt else (input_shape[0], *outputs, out * groups),
        "strides": tuple(axis.stride for axis in axes),
        "padding": padding,
        "dilations": tuple(axis.dilation for axis in axes),
        "groups": groups if in_jconvt else 1,
    }
    arguments = non_default(arguments, {"dilations": (1,) * rank, "groups": 1})
    function = (JCONVT if in_jconvt else CONVENTION).function.format(rank=rank)
    return Call(function, arguments, Layout(rank), filters_layout(rank), remainder(axes, computed))


def _is_same(axis: Axis, size: Size) -> bool:
    """Whether SAME crops these ends for an input of this size."""
    out = axis.output_size(size)
    beyond = axis.stride * size - out  # from the largest legal size down
    if not isinstance(beyond, int) or not 0 <= beyond < axis.stride:
        return False
    return axis.lo == max(0, axis.extent - axis.stride + beyond) // 2


def _resolve_in_tensorflow(input_shape: Any, filters_shape: Any, **arguments: Any) -> tuple[Spec, Layout]:
    padding = arguments.get("padding")
    if isinstance(padding, tuple | list) and len(padding) != 4:
        fix = "state the call as one of 'jconvt', which has it in any number of dimensions"
        legal, got = "'SAME', 'VALID', or in 2-D a pair for each of 4 axes", f"padding = {padding!r}"
        raise ArgumentError("TensorFlow has explicit padding in 2-D only", got=got, legal=legal, fix=fix)
    return resolve(input_shape, filters_shape, **arguments)


def _layout(rank: int, arguments: Mapping[str, Any]) -> Layout:
    return Layout(rank, str(arguments.get("data_format")).startswith("NC"))


_ARGUMENTS = ("output_shape", "strides", "padding", "data_format", "dilations")
_OPTIONS = {"stride": "strides", "padding": "padding", "dilation": "dilations"}

CONVENTION = Convention(
    name="tensorflow",
    function="tf.nn.conv{rank}d_transpose",
    arguments=_ARGUMENTS,
    positional=(*_ARGUMENTS, "name"),
    resolve=_resolve_in_tensorflow,
    call=call,
    layout=_layout,
    options=_OPTIONS,
    defaults={"stride": (1,), "padding": "SAME"},
    padding=lambda padding: {"padding": padding if isinstance(padding, str) else ((0, 0), *padding, (0, 0))},
    complete=lambda arguments, kernel, output_shape: (
        {"output_shape": output_shape, "strides": (1,) * len(kernel)} | arguments
    ),
    code="import tensorflow as tf\n\n{y} = {function}({x}, {w}{arguments}).numpy()",
)

JCONVT = Convention(
    name="jconvt",
    function="jconvt.conv_transpose",
    arguments=(*_ARGUMENTS, "output_padding", "groups"),
    positional=(*_ARGUMENTS, "name"),
    resolve=resolve,
    call=functools.partial(call, in_jconvt=True),
    layout=_layout,
    options=_OPTIONS | {"output_padding": "output_padding", "groups": "groups"},
    code="import jconvt\n\n{y} = {function}({x}, {w}{arguments})",
)
