"""The attributes of ONNX's operator ``ConvTranspose``, resolved.

With ``e`` the extent of one stamp and ``p`` the output padding, along an axis of input size ``n``:

    pads (a, b)      output size s(n-1) + e + p - a - b, and lo = a
    VALID            as pads (0, 0)
    output_shape     t = max(0, s(n-1) + e + p - output_shape) is halved into a and b; zeros follow the last stamp
                     where more is asked for than there is
    SAME_*           t = max(0, e + p - s) is halved; the output size is s n, or s(n-1) + e + p if that is less

Where ``t`` is odd, a is the smaller half under SAME_UPPER, and the larger otherwise. That is the operator's formula
since opset 11, and what onnxruntime computes; the formula of opset 1 has the halves the other way round. The maximum
with 0 is onnxruntime's, and that of ONNX's shape inference: pads are not below 0, so that under SAME a stamp shorter
than the stride gives less than the ``s n`` that the text promises.

No output size is below 1, and less than ``s`` positions are added after the last stamp, as in onnxruntime: the forward
convolution would take the output to another size than ``n`` otherwise.
"""

from collections.abc import Sequence
from typing import Any

from .._geometry.arguments import Size, integer, sequence, size, wrong_length
from .._geometry.axis import Axis
from .._geometry.kernel_layout import KernelLayout
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ..errors import ArgumentError, ArgumentTypeError
from .call import Call, remainder

_AUTO_PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


def resolve(
    input_shape: Sequence[Size],
    weight_shape: Sequence[int],
    *,
    auto_pad: str = "NOTSET",
    dilations: Any = None,
    group: int = 1,
    kernel_shape: Any = None,
    output_padding: Any = None,
    output_shape: Any = None,
    pads: Any = None,
    strides: Any = None,
    bias_shape: Sequence[int] | None = None,
) -> tuple[Spec, Layout]:
    """Resolves a ``ConvTranspose`` of operands of these shapes with these attributes."""
    x = [size(n, f"X.shape[{i}]") for i, n in enumerate(_shape(input_shape, "X"))]
    w = [integer(n, f"W.shape[{i}]", 0) for i, n in enumerate(_shape(weight_shape, "W"))]
    rank = _rank(x, w)
    group = _group(group, x, w)
    if bias_shape is not None:
        _check_bias(bias_shape, w[1] * group)
    if kernel_shape is not None:
        _check_kernel(_integers(kernel_shape, "kernel_shape", rank, 1), w)
    if not isinstance(auto_pad, str) or auto_pad not in _AUTO_PADS:
        raise ArgumentError(
            "unknown auto_pad",
            got=f"auto_pad = {auto_pad!r}",
            legal=", ".join(map(repr, _AUTO_PADS)),
            fix="leave it out for 'NOTSET', which is explicit pads",
        )
    if auto_pad != "NOTSET" and pads is not None:
        raise ArgumentError(
            "auto_pad and pads both choose the pads",
            got=f"auto_pad = {auto_pad!r}, pads = {pads!r}",
            legal="one of the two",
            fix="leave pads out, or pass auto_pad='NOTSET'",
        )
    strides = [1] * rank if strides is None else _integers(strides, "strides", rank, 1)
    dilations = [1] * rank if dilations is None else _integers(dilations, "dilations", rank, 1)
    bares = [Axis(*numbers) for numbers in zip(w[2:], strides, dilations, strict=True)]
    added = [0] * rank if output_padding is None else _output_padding(output_padding, bares)
    ends = [0] * (2 * rank) if pads is None else _integers(pads, "pads", 2 * rank, 0)
    asked: Sequence[Any] = [None] * rank if output_shape is None else _output_shape(output_shape, rank)
    axes = tuple(
        _axis(bare, n, plus, (ends[i], ends[rank + i]), out, auto_pad, i)
        for i, (bare, n, plus, out) in enumerate(zip(bares, x[2:], added, asked, strict=True))
    )
    return Spec(axes, group), Layout(rank, channels_first=True)


def kernel_layout(rank: int) -> KernelLayout:
    """``W``: ``(in, out / group, k...)``."""
    return KernelLayout((rank + 1, rank, *range(rank)))


def call(spec: Spec) -> Call:
    """The operator that computes a geometry, exactly wherever ``pads`` and ``output_padding`` can say it.

    ``pads`` are not below 0, and ``output_padding`` is below the stride: further zeros have to be added to the result.
    """
    axes, groups, rank = spec.axes, spec.groups, spec.rank
    added = [min(max(0, -axis.hi), axis.stride - 1) for axis in axes]
    # Where the operator's result ends too early, a position of it has to remain, even of a single stamp.
    begins = [
        max(0, min(axis.lo, axis.extent + plus - 1) if -axis.hi > plus else axis.lo)
        for axis, plus in zip(axes, added, strict=True)
    ]
    ends = [max(0, axis.hi) for axis in axes]
    computed = [
        Axis(axis.kernel, axis.stride, axis.dilation, begin, end - plus)
        for axis, begin, end, plus in zip(axes, begins, ends, added, strict=True)
    ]
    arguments: dict[str, Any] = {}
    for name, values, default in (
        ("strides", [axis.stride for axis in axes], 1),
        ("dilations", [axis.dilation for axis in axes], 1),
        ("pads", begins + ends, 0),
        ("output_padding", added, 0),
    ):
        if any(value != default for value in values):
            arguments[name] = values
    if groups != 1:
        arguments["group"] = groups
    return Call(
        "ConvTranspose",
        arguments,
        Layout(rank, channels_first=True),
        kernel_layout(rank),
        remainder(axes, computed),
    )


def _axis(
    bare: Axis, n: Size, added: int, pads: tuple[int, int], asked: Size | None, auto_pad: str, position: int
) -> Axis:
    """The crop along one spatial axis."""
    same = auto_pad.startswith("SAME")
    if asked is None and not same:
        lo, hi = pads[0], pads[1] - added
    else:
        total = bare.extent - bare.stride + added if asked is None else bare.full_size(n) + added - asked
        if not isinstance(total, int):
            raise ArgumentTypeError(
                f"output_shape along spatial axis {position} is at no fixed distance from stride * input size",
                got=f"output_shape[{position}] = {asked}, for input size {n} and {bare}",
                legal="stride * input size plus a constant",
                fix="leave output_shape out, and pass pads",
            )
        if asked is not None and added - total >= bare.stride:
            most = bare.full_size(n) + bare.stride - 1
            raise ArgumentError(
                f"output_shape is too large along spatial axis {position}",
                got=f"output_shape[{position}] = {asked}, for input size {n} and {bare}",
                legal=f"1 to {most}: less than a stride past the last stamp",
                fix=f"pass at most {most}, and pad the result with jax.numpy.pad",
            )
        half = max(0, total) // 2
        lo = half if auto_pad == "SAME_UPPER" else max(0, total) - half
        # What is asked for is met with zeros, too; SAME alone is met by removing, or not at all.
        hi = (max(0, total) if asked is None else total) - lo - added
    axis = Axis(bare.kernel, bare.stride, bare.dilation, lo, hi)
    out = axis.output_size(n)
    if isinstance(out, int) and out < 1:
        raise ArgumentError(
            f"the output size along spatial axis {position} is below 1",
            got=f"{bare.full_size(n)} + output_padding {added} - pads {lo} and {hi + added} ({bare}, input size {n})",
            legal="sizes and pads that leave 1 position or more",
            fix="pass smaller pads, or a larger output_shape",
        )
    return axis


def _shape(shape: Any, name: str) -> list[Any]:
    return sequence(shape, f"{name}.shape", "one size for each axis")


def _integers(value: Any, name: str, length: int, lowest: int) -> list[int]:
    """The ``length`` integers of an attribute. An attribute of ONNX is a list, also where its numbers are equal."""
    legal = f"a list of {length} integers of at least {lowest}"
    entries = [integer(entry, f"{name}[{i}]", lowest) for i, entry in enumerate(sequence(value, name, legal))]
    if len(entries) != length:
        error = wrong_length(name, entries, legal)
        if name != "pads":
            raise error
        raise ArgumentError(
            "pads has the wrong length",
            got=f"pads = {entries}, of length {len(entries)}",
            legal=legal,
            fix="pass all begins, then all ends",
        )
    return entries


def _output_padding(value: Any, bares: Sequence[Axis]) -> list[int]:
    found = _integers(value, "output_padding", len(bares), 0)
    for i, (plus, axis) in enumerate(zip(found, bares, strict=True)):
        if plus >= axis.stride:
            raise ArgumentError(
                f"output_padding is too large along spatial axis {i}",
                got=f"output_padding[{i}] = {plus}, with stride {axis.stride}",
                legal=f"0 to {axis.stride - 1}: less than the stride, even where the dilation is larger",
                fix="pass less, and pad the result with jax.numpy.pad",
            )
    return found


def _output_shape(value: Any, rank: int) -> list[Size]:
    legal = f"{rank} sizes: the spatial ones, without batch and channels"
    found = [size(entry, f"output_shape[{i}]") for i, entry in enumerate(sequence(value, "output_shape", legal))]
    if len(found) != rank:
        raise wrong_length("output_shape", found, legal)
    return found


def _rank(x: list[Size], w: list[int]) -> int:
    rank = max(1, len(w) - 2)
    for name, shape, axes in (("W", w, "C, M / group, k..."), ("X", x, "N, C, D...")):
        if len(shape) != rank + 2:
            raise ArgumentError(
                f"{name} has the wrong number of axes for a {rank}-D ConvTranspose",
                got=f"X of shape {tuple(x)}, W of shape {tuple(w)}",
                legal=f"{rank + 2} axes: {axes}",
                fix=f"reshape {name} to {rank + 2} axes",
            )
    if min(w[2:]) < 1:
        raise ArgumentError(
            "W has an axis without taps",
            got=f"W of shape {tuple(w)}",
            legal="kernel sizes of at least 1",
            fix="check the order of the axes: (C, M / group, k...)",
        )
    return rank


def _group(group: Any, x: list[Size], w: list[int]) -> int:
    group = integer(group, "group", lowest=1)
    if x[1] != w[0]:
        raise ArgumentError(
            "the channels of X and W differ",
            got=f"{x[1]} in X, {w[0]} in W: X of shape {tuple(x)}, W of shape {tuple(w)}",
            legal="W of shape (C, M / group, k...), with the channels of X first",
            fix="swap the first two axes of W, or move the channels of X to axis 1",
        )
    if w[0] % group:
        raise ArgumentError(
            "group does not divide the channels of X",
            got=f"group = {group}, {w[0]} channels",
            legal=f"a divisor of {w[0]}",
            fix="pass such a group; group = channels is a depthwise convolution",
        )
    return group


def _check_bias(shape: Sequence[int], channels: int) -> None:
    if tuple(shape) != (channels,):
        raise ArgumentError(
            "B does not fit the output's channels",
            got=f"B of shape {tuple(shape)}",
            legal=f"({channels},): M = W.shape[1] * group",
            fix="pass one number for each output channel, or leave B out",
        )


def _check_kernel(kernel_shape: list[int], w: list[int]) -> None:
    if kernel_shape != w[2:]:
        raise ArgumentError(
            "kernel_shape is not that of W",
            got=f"kernel_shape = {kernel_shape}, W of shape {tuple(w)}",
            legal=f"{w[2:]}",
            fix="leave it out: it is known from W",
        )
