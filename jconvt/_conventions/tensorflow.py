"""TensorFlow's arguments, resolved.

TensorFlow names a transposed convolution by the forward convolution that it transposes: ``output_shape`` is that
convolution's input, and ``padding`` says where it pads. With ``e`` the extent of one stamp, an output size ``out`` is
legal for input size ``n`` where the forward convolution takes ``out`` to ``n``:

    SAME             ceil(out / s) = n             s(n-1) + 1 .. s n           lo = max(0, s(n-1) + e - out) // 2
    VALID            ceil((out - e + 1) / s) = n   s(n-1) + e .. s n + e - 1   lo = 0
    explicit (a, b)  as VALID for out + a + b      VALID's, less a + b         lo = a

Where n is 0, every VALID size below ``e`` is legal: none holds a window. (TensorFlow refuses some of these.)
The rules are those of "Notes on padding" in the documentation of ``tf.nn``. Where no size is asked for, it is that of
``tf.keras.layers.Conv2DTranspose``: ``s n`` under SAME, ``s n + max(e - s, 0)`` under VALID, and under explicit padding
VALID's less ``a + b``, if that is not below 0; with an ``output_padding`` of ``p``, ``s(n-1) + e + p - 2 (e // 2)``,
``s(n-1) + e + p``, and that less ``a + b``.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from .._geometry.arguments import Size, check_groups, integer, pairs, per_axis, sequence, size, wrong_length
from .._geometry.axis import Axis
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ..errors import ArgumentError, ArgumentTypeError

_DATA_FORMATS = {1: ("NWC", "NCW"), 2: ("NHWC", "NCHW"), 3: ("NDHWC", "NCDHW")}

Padding = str | tuple[int, int]
"""Along one axis: "SAME", "VALID", or the explicit (before, after)."""


class Names(NamedTuple):
    """What the function that was called calls the arguments that errors speak of."""

    input: str = "input"
    filters: str = "filters"
    output_shape: str = "output_shape"
    dilations: str = "dilations"


NAMES = Names()
"""What ``conv_transpose`` calls them."""


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
    names: Names = NAMES,
) -> tuple[Spec, Layout]:
    """Resolves a call of ``conv_transpose`` on operands of these shapes.

    ``rank`` is the number of spatial axes, where the function that was called fixes it.
    """
    input_shape = [size(n, f"{names.input}.shape[{i}]") for i, n in enumerate(_shape(input_shape, names.input))]
    filters_shape = [
        integer(n, f"{names.filters}.shape[{i}]", 0) for i, n in enumerate(_shape(filters_shape, names.filters))
    ]
    operands = _Operands(input_shape, filters_shape, names)
    rank = _rank(operands, rank)
    layout = layout_of(data_format, rank)
    strides = per_axis(1 if strides is None else strides, "strides", rank, layout)
    dilations = per_axis(1 if dilations is None else dilations, names.dilations, rank, layout)
    paddings = _paddings(padding, rank, layout)
    shape = None if output_shape is None else _output_shape(output_shape, rank, names)
    groups = _groups(groups, operands, shape, layout)
    requested: Sequence[Any] = [None] * rank
    added: Sequence[Any] = [None] * rank
    if shape is not None:
        requested = _requested_sizes(shape, operands, layout, groups)
    if output_padding is not None:
        if shape is not None:
            raise both_choose(shape, output_padding)
        added = per_axis(output_padding, "output_padding", rank, lowest=0)
    axes = tuple(
        cropped(Along(position, input_shape[position], kernel, stride, dilation, pad), out, plus, names)
        for position, kernel, stride, dilation, pad, out, plus in zip(
            layout.spatial_axes, filters_shape, strides, dilations, paddings, requested, added, strict=False
        )
    )
    return Spec(axes, groups), layout


class _Operands(NamedTuple):
    """The operands' shapes, and what to call them."""

    input: Sequence[Size]
    filters: Sequence[int]
    names: Names

    def __str__(self) -> str:
        names = self.names
        return f"{names.input} of shape {tuple(self.input)}, {names.filters} of shape {tuple(self.filters)}"


class Along(NamedTuple):
    """What a call says of one spatial axis; ``position`` is that axis of the input."""

    position: int
    size: Size
    kernel: int
    stride: int
    dilation: int
    padding: Padding

    def __str__(self) -> str:
        return (
            f"input size {self.size}, kernel {self.kernel}, stride {self.stride}, dilation {self.dilation}, "
            f"padding {self.padding}"
        )


class _Sizes(NamedTuple):
    """The output sizes in question along one axis, each as its distance from ``flush``, and that.

    ``flush`` is ``s(n-1) + e - a - b``, where the last stamp ends just as the padding begins. Distances from it are
    integers, even where sizes are symbolic.
    """

    flush: Size
    asked: Any
    lowest: int
    highest: int
    default: int

    def legal(self, offset: Size) -> str:
        """The legal range, counted from another origin."""
        lowest, highest = self.lowest + offset, self.highest + offset
        return f"{lowest}" if self.lowest == self.highest else f"{lowest} to {highest}"


def both_choose(output_shape: Any, output_padding: Any) -> ArgumentError:
    """The error for two arguments that choose the output size."""
    return ArgumentError(
        "output_shape and output_padding both choose the output size",
        got=f"output_shape = {output_shape}, output_padding = {output_padding}",
        legal="one of the two",
        fix="leave output_padding out: output_shape says everything",
    )


def cropped(along: Along, requested: Size | None, output_padding: int | None, names: Names) -> Axis:
    """The crop along one axis."""
    bare = Axis(along.kernel, along.stride, along.dilation)
    n, s, e = along.size, along.stride, bare.extent
    same = along.padding == "SAME"
    a, b = (0, 0) if isinstance(along.padding, str) else along.padding
    flush = bare.full_size(n) - a - b
    lowest, highest, default = (1 - e, s - e, s - e) if same else (0, s - 1, max(s - e, 0))
    if isinstance(n, int):
        if n == 0:  # no pixel: under SAME no output either, else too few outputs for the first window
            lowest = highest if same else -flush
        lowest = max(lowest, -flush)
        default = max(default, lowest)
    if requested is not None:
        asked = requested - flush
    elif output_padding is not None:
        asked = output_padding - (2 * (e // 2) if same else 0)
    else:
        asked = default
    sizes = _Sizes(flush, asked, lowest, highest, default)
    if not isinstance(asked, int):
        raise ArgumentTypeError(
            f"{names.output_shape} along axis {along.position} is at no fixed distance from stride * input size",
            got=f"size {requested} ({along})",
            legal=f"{sizes.legal(flush)}",
            fix="write the size as stride * input size plus a constant",
        )
    if not lowest <= asked <= highest:
        raise _illegal_size(along, sizes, a + b, output_padding, names)
    lo = max(0, -asked) // 2 if same else a
    return Axis(along.kernel, s, along.dilation, lo, a + b - asked - lo)


def _illegal_size(along: Along, sizes: _Sizes, removed: int, output_padding: int | None, names: Names) -> ArgumentError:
    if sizes.lowest > sizes.highest:
        return ArgumentError(
            f"padding removes more than there is along axis {along.position}",
            got=f"{along}",
            legal=f"before + after of at most {sizes.flush + removed + along.stride - 1}",
            fix="pass a smaller padding",
        )
    asked, default = sizes.flush + sizes.asked, sizes.flush + sizes.default
    if output_padding is not None:
        return ArgumentError(
            f"output_padding is illegal along axis {along.position}",
            got=f"output_padding {output_padding}, for output size {asked} ({along})",
            legal=f"{sizes.legal(output_padding - sizes.asked)}, for output size {sizes.legal(sizes.flush)}",
            fix=f"pass a legal one; without output_padding, the output size is {default}",
        )
    # Either forward size is the ceiling of a quotient, written as the floor of its negative.
    uncounted = 0 if along.padding == "SAME" else (along.kernel - 1) * along.dilation - removed
    forward = max(0, -((uncounted - asked) // along.stride))
    return ArgumentError(
        f"{names.output_shape} is illegal along axis {along.position}",
        got=f"size {asked}, which the forward convolution would take to size {forward}, not {along.size} ({along})",
        legal=sizes.legal(sizes.flush),
        fix=f"pass a legal size; the default is {default}",
    )


def _shape(shape: Any, name: str) -> list[Any]:
    return sequence(shape, f"{name}.shape", "one size for each axis")


def _rank(operands: _Operands, rank: int | None) -> int:
    names = operands.names
    if rank is None:
        rank = max(1, len(operands.filters) - 2)
    for name, shape, axes in (
        (names.filters, operands.filters, "one for each kernel axis, out / groups, in"),
        (names.input, operands.input, "batch, channels, and one for each kernel axis"),
    ):
        if len(shape) != rank + 2:
            raise ArgumentError(
                f"{name} has the wrong number of axes for a {rank}-D transposed convolution",
                got=operands,
                legal=f"{rank + 2} axes: {axes}",
                fix=f"reshape to {rank + 2} axes, or call the function of the other rank",
            )
    if min(operands.filters[:rank]) < 1:
        raise ArgumentError(
            f"{names.filters} has an axis without taps",
            got=operands,
            legal="kernel sizes of at least 1",
            fix="check the order of the axes: (k..., out / groups, in)",
        )
    return rank


def layout_of(data_format: Any, rank: int) -> Layout:
    """What a ``data_format`` says."""
    if data_format is None:
        return Layout(rank)
    named = _DATA_FORMATS.get(rank)
    if isinstance(data_format, str) and named is not None:
        if data_format in named:
            return Layout(rank, channels_first=data_format == named[1])
    elif (
        isinstance(data_format, str) and data_format.isalpha() and len(set(data_format)) == len(data_format) == rank + 2
    ):
        # Beyond three axes TensorFlow has no names; any letters serve for the spatial axes.
        if data_format.startswith("NC"):
            return Layout(rank, channels_first=True)
        if data_format.startswith("N") and data_format.endswith("C"):
            return Layout(rank)
    raise ArgumentError(
        f"unknown data_format for {rank} spatial axes",
        got=f"data_format = {data_format!r}",
        legal=" or ".join(named or (f"N, {rank} letters, C", f"NC, {rank} letters")),
        fix="leave it out for channels last",
    )


def _paddings(padding: Any, rank: int, layout: Layout) -> list[Padding]:
    legal = f"'SAME', 'VALID', or a (before, after) of at least 0 for each of {rank + 2} or {rank} axes"
    if isinstance(padding, str):
        if padding.upper() in ("SAME", "VALID"):
            return [padding.upper()] * rank
        raise ArgumentError(
            "unknown padding",
            got=f"padding = {padding!r}",
            legal=legal,
            fix="pass the explicit pairs as padding" if padding.upper() == "EXPLICIT" else "pass one of these",
        )
    found = pairs(sequence(padding, "padding", legal), "padding", legal)
    if len(found) == rank:
        return [*found]
    if len(found) != rank + 2:
        raise wrong_length("padding", found, legal)
    if found[0] != (0, 0) or found[layout.channel_axis] != (0, 0):
        raise ArgumentError(
            "padding of the batch and of the channels must be (0, 0)",
            got=f"padding = {found}",
            legal=f"padding[0] = padding[{layout.channel_axis}] = (0, 0)",
            fix=f"pass the {rank} pairs of the spatial axes alone, or check data_format",
        )
    return [found[axis] for axis in layout.spatial_axes]


def _output_shape(output_shape: Any, rank: int, names: Names) -> list[Size]:
    legal = f"{rank + 2} sizes, or the {rank} spatial ones"
    name = names.output_shape
    shape = [size(v, f"{name}[{i}]") for i, v in enumerate(sequence(output_shape, name, legal))]
    if len(shape) not in (rank, rank + 2):
        raise wrong_length(name, shape, legal)
    return shape


def _groups(groups: Any, operands: _Operands, shape: list[Size] | None, layout: Layout) -> int:
    """The groups: as given or, as in TensorFlow, what the channels of a full ``output_shape`` imply."""
    groups = integer(groups, "groups", lowest=1)
    names, channels, (out, taken) = operands.names, operands.input[layout.channel_axis], operands.filters[-2:]
    if channels != taken:
        raise ArgumentError(
            f"the channels of {names.input} and {names.filters} differ",
            got=f"{channels} in {names.input}, {taken} in {names.filters}: {operands}",
            legal=f"{names.filters} of shape (k..., out / groups, in), with the other's channels last",
            fix=f"swap the last two axes of {names.filters}, or check data_format",
        )
    if groups == 1 and out > 0 and shape is not None and len(shape) == layout.rank + 2:
        implied, rest = divmod(shape[layout.channel_axis], out)
        if rest == 0 and implied > 0 and taken % implied == 0:
            groups = implied
    check_groups(groups, taken)
    return groups


def _requested_sizes(shape: list[Size], operands: _Operands, layout: Layout, groups: int) -> Sequence[Size]:
    """The spatial sizes of ``output_shape``, once its batch and channels are seen to be right."""
    if len(shape) == layout.rank:
        return shape
    for name, axis, expected in (
        ("batch size", 0, operands.input[0]),
        ("number of channels", layout.channel_axis, operands.filters[-2] * groups),
    ):
        if shape[axis] != expected:
            raise ArgumentError(
                f"{operands.names.output_shape} has another {name} than the operands give",
                got=f"{operands.names.output_shape}[{axis}] = {shape[axis]}",
                legal=f"{expected}, from {operands} and groups {groups}",
                fix=f"pass {expected}, or the spatial sizes alone",
            )
    return layout.spatial(shape)
