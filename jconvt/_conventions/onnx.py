"""The convention of ONNX's operator ``ConvTranspose``.

With ``e`` the extent of one stamp and ``p`` the output padding, along an axis of input size ``n``:

    pads (a, b)      output size s(n-1) + e + p - a - b, and lo = a
    VALID            as pads (0, 0)
    output_shape     t = max(0, s(n-1) + e + p - output_shape) is halved into a and b; zeros follow the last stamp
                     if output_shape is larger than that
    SAME_*           t = max(0, e + p - s) is halved; the output size is s n, or s(n-1) + e + p if that is less

If ``t`` is odd, a is the smaller half under SAME_UPPER, and the larger otherwise. That is the operator's formula
since opset 11, and what onnxruntime computes; the formula of opset 1 has the halves the other way round. The maximum
with 0 is onnxruntime's, and that of ONNX's shape inference: pads are not below 0, so that under SAME a stamp shorter
than the stride gives less than the ``s n`` that the text promises.

No output size is below 1, and less than ``s`` positions are added after the last stamp, as in onnxruntime: the forward
convolution would take the output to another size than ``n`` otherwise. ``output_shape`` needs an input of at least one
pixel, as there.
"""

from collections.abc import Sequence
from typing import Any

from .._geometry.arguments import Operands, Size, check_bias, check_groups, integers, one_of, per_axis, sizes
from .._geometry.axis import Axis
from .._geometry.layout import Layout
from .._geometry.memoize import memoize
from .._geometry.spec import Spec
from ..errors import ArgumentError, ArgumentTypeError
from .convention import Call, Convention, Padding, check_added, non_default, remainder
from .torch import kernel_layout as kernel_layout  # W is PyTorch's weight: (in, out / group, k...)


@memoize
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
    """Resolve a ``ConvTranspose`` of operands of these shapes with these attributes."""
    operands = Operands.of("X", input_shape, "W", weight_shape)
    rank = _rank(operands)
    kernel = operands.kernel[2:]
    group = check_groups(group, operands.kernel[0], "group")
    if bias_shape is not None:
        check_bias(bias_shape, operands.kernel[1] * group, "B", "W.shape[1] * group")
    if kernel_shape is not None and per_axis(kernel_shape, "kernel_shape", rank, scalar=False) != kernel:
        got, fix = f"kernel_shape = {kernel_shape}, {operands}", "leave it out: it is known from W"
        raise ArgumentError("kernel_shape is not that of W", got=got, legal=f"{[*kernel]}", fix=fix)
    auto_pads = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
    one_of(auto_pad, "auto_pad", auto_pads, "leave it out for 'NOTSET', which is explicit pads")
    if auto_pad != "NOTSET" and pads is not None:
        got, fix = f"auto_pad = {auto_pad!r}, pads = {pads!r}", "leave pads out, or pass auto_pad='NOTSET'"
        raise ArgumentError("auto_pad and pads both choose the pads", got=got, legal="one of the two", fix=fix)
    strides = per_axis(strides, "strides", rank, default=1, scalar=False)
    dilations = per_axis(dilations, "dilations", rank, default=1, scalar=False)
    bares = list(map(Axis, kernel, strides, dilations))
    added = per_axis(output_padding, "output_padding", rank, 0, default=0, scalar=False)
    for i, (plus, axis) in enumerate(zip(added, bares, strict=True)):
        check_added(i, plus, axis, axis.stride - 1, "less than the stride, even if the dilation is larger")
    ends, requested = (0,) * (2 * rank), (None,) * rank
    if pads is not None:
        legal, fix = f"a list of {2 * rank} integers of at least 0", "pass all begins, then all ends"
        ends = integers(pads, "pads", (2 * rank,), legal, lowest=0, fix=fix)
    if output_shape is not None:
        legal = f"{rank} sizes: the spatial ones, without batch and channels"
        requested = sizes(output_shape, "output_shape", (rank,), legal)
    crops = zip(ends[:rank], ends[rank:], strict=True)
    axes = map(crop_axis, range(rank), operands.input[2:], bares, added, crops, requested, [auto_pad] * rank)
    return Spec(tuple(axes), group), Layout(rank, channels_first=True)


def call(spec: Spec) -> Call:
    """Return the operator that computes a geometry, exactly if ``pads`` and ``output_padding`` can say it.

    ``pads`` are not below 0, and ``output_padding`` is below the stride: further zeros have to be added to the result.
    """
    axes, rank = spec.axes, spec.rank
    begins, ends, added = map(list, zip(*map(_pads, axes), strict=True))
    crops = zip(axes, begins, ends, added, strict=True)
    computed = [axis.with_crop(begin, end - plus) for axis, begin, end, plus in crops]
    arguments = {
        "strides": [axis.stride for axis in axes],
        "dilations": [axis.dilation for axis in axes],
        "pads": begins + ends,
        "output_padding": added,
        "group": spec.groups,
    }
    ones, zeros = [1] * rank, [0] * rank
    defaults = {"strides": ones, "dilations": ones, "pads": zeros + zeros, "output_padding": zeros, "group": 1}
    arguments, layout = non_default(arguments, defaults), Layout(rank, channels_first=True)
    return Call(CONVENTION.function, arguments, layout, kernel_layout(rank), remainder(axes, computed))


def crop_axis(
    number: int, n: Size, bare: Axis, added: int, pads: tuple[int, int], size: Size | None, auto_pad: str
) -> Axis:
    """Return ``bare`` with the crop of these attributes, along the spatial axis of this ``number``."""
    call = f"output_shape[{number}] = {size}, for input size {n} and {bare}"
    if size is not None and isinstance(n, int) and n < 1:
        problem, legal = f"output_shape needs pixels of X along spatial axis {number}", "an input size of at least 1"
        raise ArgumentError(problem, got=call, legal=legal, fix="leave output_shape out, and pass pads")
    if size is None and not auto_pad.startswith("SAME"):
        lo, hi = pads[0], pads[1] - added
    else:
        total = bare.extent - bare.stride + added if size is None else bare.full_size(n) + added - size
        if not isinstance(total, int):
            problem = f"output_shape along spatial axis {number} is at no fixed distance from stride * input size"
            fix = "leave output_shape out, and pass pads"
            raise ArgumentTypeError(problem, got=call, legal="stride * input size plus a constant", fix=fix)
        if size is not None and added - total >= bare.stride:
            most = bare.full_size(n) + bare.stride - 1
            problem = f"output_shape is too large along spatial axis {number}"
            legal = f"1 to {most}: less than a stride past the last stamp"
            fix = f"pass at most {most}, and pad the result with jax.numpy.pad"
            raise ArgumentError(problem, got=call, legal=legal, fix=fix)
        half = max(0, total) // 2
        lo = half if auto_pad == "SAME_UPPER" else max(0, total) - half
        # An output_shape may add zeros; SAME only removes.
        hi = (max(0, total) if size is None else total) - lo - added
    axis = bare.with_crop(lo, hi)
    out = axis.output_size(n)
    if isinstance(out, int) and out < 1:
        full = bare.full_size(n)
        got = f"{full} + output_padding {added} - pads {lo} and {hi + added} ({bare}, input size {n})"
        legal, fix = "sizes and pads that leave 1 position or more", "pass smaller pads, or a larger output_shape"
        problem = f"the output size along spatial axis {number} is below 1"
        raise ArgumentError(problem, got=got, legal=legal, fix=fix)
    return axis


def _pads(axis: Axis) -> tuple[int, int, int]:
    """Return the pads and the output padding that crop as ``axis`` does, or at most that much."""
    added = min(max(0, -axis.hi), axis.stride - 1)
    # If the operator's result ends too early, a position of it has to remain, even of a single stamp.
    begin = min(axis.lo, axis.extent + added - 1) if -axis.hi > added else axis.lo
    return max(0, begin), max(0, axis.hi), added


def _rank(operands: Operands) -> int:
    """Return the number of spatial axes, or raise if the operands do not fit each other."""
    rank = max(1, len(operands.kernel) - 2)
    operands.check_axes(rank, f"a {rank}-D ConvTranspose", "N, C, D...", "C, M / group, k...")
    operands.check_taps(operands.kernel[2:])
    legal = "W of shape (C, M / group, k...), with the channels of X first"
    fix = "swap the first two axes of W, or move the channels of X to axis 1"
    operands.check_channels(operands.input[1], operands.kernel[0], legal, fix)
    return rank


def _padding_arguments(padding: Padding) -> dict[str, Any]:
    if isinstance(padding, str):
        return {"auto_pad": "SAME_UPPER" if padding == "SAME" else padding}
    return {"pads": tuple(end for ends in zip(*padding, strict=True) for end in ends)}


CONVENTION = Convention(
    name="onnx",
    function="ConvTranspose",
    arguments=("auto_pad", "dilations", "group", "kernel_shape", "output_padding", "output_shape", "pads", "strides"),
    resolve=resolve,
    call=lambda spec, *shapes: call(spec),
    layout=lambda rank, arguments: Layout(rank, channels_first=True),
    kernel_layout=lambda rank, groups, arguments: kernel_layout(rank),
    groups="group",
    options=dict(
        stride="strides", padding="pads", dilation="dilations", output_padding="output_padding", groups="group"
    ),
    padding=_padding_arguments,
    code="""import onnxruntime
from onnx import TensorProto, helper

operands = {{"X": {x}, "W": {w}}}
node = helper.make_node("{function}", ["X", "W"], ["Y"]{arguments})
inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in operands.items()]
outputs = [helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)]
graph = helper.make_graph([node], "ConvTranspose", inputs, outputs)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
({y},) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, operands)""",
    copies_views=True,
)
