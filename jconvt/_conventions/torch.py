"""PyTorch's convention.

PyTorch also names a transposed convolution by the forward convolution that it transposes. ``padding`` is what that
convolution pads at both ends, so what is cropped here, and ``output_padding`` is how much less of it is cropped at the
end:

    lo = padding    hi = padding - output_padding    out = (n-1)s + e - 2 padding + output_padding

``output_padding`` is below the larger of stride and dilation. If it is more than ``padding``, positions past the last
stamp are added, which are zero. Input and output have at least one pixel along every axis. PyTorch does not always
check that: if the batch is empty it checks less, and if oneDNN computes, an output may be empty.
"""

from collections.abc import Sequence
from typing import Any

from .._geometry.arguments import Operands, Size, check_bias, check_groups, per_axis
from .._geometry.axis import Axis
from .._geometry.kernel_layout import KernelLayout
from .._geometry.layout import Layout
from .._geometry.memoize import memoize
from .._geometry.spec import Spec
from ..errors import ArgumentError
from .convention import Call, Convention, Padding, check_added, check_supported, non_default, remainder, shortest

_DEFAULTS = {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "dilation": 1}


@memoize
def resolve(
    input_shape: Sequence[Size],
    weight_shape: Sequence[int],
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    bias_shape: Sequence[int] | None = None,
    rank: int | None = None,
) -> tuple[Spec, Layout]:
    """Resolve a call of ``torch.nn.functional.conv_transpose1d`` to ``conv_transpose3d``.

    ``rank`` is the number of spatial axes, if the called function fixes it. The layout is that of batched arrays, even
    if ``input_shape`` has no batch.
    """
    operands = Operands.of("input", input_shape, "weight", weight_shape)
    rank = min(max(1, len(operands.kernel) - 2), 3) if rank is None else rank
    _check_operands(operands, rank)
    strides = per_axis(stride, "stride", rank, broadcast=True)
    paddings = per_axis(padding, "padding", rank, lowest=0, broadcast=True)
    added = per_axis(output_padding, "output_padding", rank, lowest=0, broadcast=True)
    dilations = per_axis(dilation, "dilation", rank, broadcast=True)
    groups = check_groups(groups, operands.kernel[0])
    if bias_shape is not None:
        check_bias(bias_shape, operands.kernel[1] * groups, "bias", "weight.shape[1] * groups")
    bares = map(Axis, operands.kernel[2:], strides, dilations)
    axes = tuple(map(crop_axis, range(rank), operands.input[-rank:], bares, paddings, added))
    return Spec(axes, groups), Layout(rank, channels_first=True)


def kernel_layout(rank: int) -> KernelLayout:
    """Return the layout of PyTorch's ``weight``: ``(in, out / groups, k...)``."""
    return KernelLayout((rank + 1, rank, *range(rank)))


def call(spec: Spec) -> Call:
    """Return PyTorch's call for a geometry, with what is left to crop if PyTorch cannot crop that much at one end.

    Raises:
      ArgumentError: there are more than three axes.

    >>> call(Spec((Axis(kernel=4, stride=2, lo=1, hi=0),))).arguments
    {'stride': 2, 'padding': 1, 'output_padding': 1}
    >>> call(Spec((Axis(kernel=4, stride=2, lo=1, hi=2),))).crop
    ((0, 1),)
    """
    axes, rank = spec.axes, spec.rank
    check_supported(spec, "PyTorch's transposed convolution", "jconvt.conv_transpose", groups=True)
    paddings, added = zip(*map(_paddings, axes), strict=True)
    arguments = {
        "stride": shortest(axis.stride for axis in axes),
        "padding": shortest(paddings),
        "output_padding": shortest(added),
        "groups": spec.groups,
        "dilation": shortest(axis.dilation for axis in axes),
    }
    computed = [axis.with_crop(pad, pad - plus) for axis, pad, plus in zip(axes, paddings, added, strict=True)]
    function, layout = CONVENTION.function.format(rank=rank), Layout(rank, channels_first=True)
    arguments = non_default(arguments, _DEFAULTS)
    return Call(function, arguments, layout, kernel_layout(rank), remainder(axes, computed))


def _check_operands(operands: Operands, rank: int) -> None:
    input_axes = f"batch, channels, and the spatial ones; or {rank + 1}, without the batch"
    kernel_axes = "in, out / groups, and one for each spatial axis"
    operands.check_axes(rank, f"conv_transpose{rank}d", input_axes, kernel_axes, batch_is_optional=True)
    if min(operands.kernel) < 1:
        legal, fix = "kernel sizes and numbers of channels of at least 1", "check the order: (in, out / groups, k...)"
        raise ArgumentError("weight has an empty axis", got=operands, legal=legal, fix=fix)
    legal = "input of shape (batch, in, spatial...), weight of shape (in, out / groups, k...)"
    fix = "swap the first two axes of weight, or move the channels of input to the front"
    operands.check_channels(operands.input[-rank - 1], operands.kernel[0], legal, fix)


def crop_axis(number: int, n: Size, bare: Axis, padding: int, added: int) -> Axis:
    """Return ``bare`` with PyTorch's crop for ``n`` pixels along the spatial axis of this ``number``."""
    axis = bare.with_crop(padding, padding - added)
    check_added(number, added, axis, _most_added(axis), "less than the larger of stride and dilation")
    if isinstance(n, int) and n < 1:
        problem, legal = f"input has no pixels along spatial axis {number}", "at least 1; only the batch may be empty"
        fix = "call jconvt.conv_transpose, which takes empty images"
        raise ArgumentError(problem, got=f"size {n}", legal=legal, fix=fix)
    if isinstance(n, int) and axis.output_size(n) < 1:
        full, out = axis.full_size(n), axis.output_size(n)
        problem, fix = f"padding removes all there is along spatial axis {number}", "pass a smaller padding"
        got = f"padding {padding}, output_padding {added}: {out} of {full} pixels remain"
        raise ArgumentError(problem, got=got, legal=f"padding of at most {(full + added - 1) // 2}", fix=fix)
    return axis


def _most_added(axis: Axis) -> int:
    return max(axis.stride, axis.dilation) - 1


def _paddings(axis: Axis) -> tuple[int, int]:
    """Return ``padding`` and ``output_padding`` that crop as ``axis`` does, or at most that much of what is not zero.

    What is not cropped can be cropped later, and what is outside the canvas can be added; the rest has to be there.
    """
    most = _most_added(axis)
    padding = max(0, min(axis.lo, max(axis.hi, 0) + most))
    if axis.hi < 0 and axis.lo - axis.hi > most:
        # The result ends too early, so that it might be empty: one pixel has to remain, even of a single stamp.
        padding = min(padding, (axis.extent + most - 1) // 2)
    return padding, min(max(padding - axis.hi, 0), most)


def _padding_arguments(padding: Padding) -> dict[str, Any]:
    if padding == "VALID":  # PyTorch's default
        return {}
    if not isinstance(padding, str) and any(before != after for before, after in padding):
        got, fix = f"--padding of (before, after) = {padding}", "choose the output size by --output-padding"
        raise ArgumentError("PyTorch pads both ends equally", got=got, legal="one number for each axis", fix=fix)
    return {"padding": padding if isinstance(padding, str) else tuple(before for before, _ in padding)}


CONVENTION = Convention(
    name="torch",
    function="torch.nn.functional.conv_transpose{rank}d",
    arguments=tuple(_DEFAULTS),
    positional=("bias", *_DEFAULTS),
    resolve=resolve,
    call=lambda spec, *shapes: call(spec),
    layout=lambda rank, arguments: Layout(rank, channels_first=True),
    kernel_layout=lambda rank, groups, arguments: kernel_layout(rank),
    options={name: name for name in _DEFAULTS},
    padding=_padding_arguments,
    code="import torch\n\n{y} = {function}(torch.from_numpy({x}), torch.from_numpy({w}){arguments}).numpy()",
    batch_is_optional=True,
    copies_views=True,
)
