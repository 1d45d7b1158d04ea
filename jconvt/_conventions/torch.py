"""PyTorch's arguments, resolved.

PyTorch names a transposed convolution by the forward convolution that it transposes, too. ``padding`` is what that
convolution pads at both ends, so what is cropped here, and ``output_padding`` is how much less of it is cropped at the
end:

    lo = padding    hi = padding - output_padding    out = (n-1)s + e - 2 padding + output_padding

``output_padding`` is below the larger of stride and dilation. Where it is more than ``padding``, positions past the
last stamp are added, which are zero. Input and output have a pixel along every axis at least. PyTorch does not always
see to that: where the batch is empty it checks less, and where oneDNN computes, an output may be empty.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from .._geometry.arguments import Size, check_groups, integer, per_axis, sequence, size
from .._geometry.axis import Axis
from .._geometry.kernel_layout import KernelLayout
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ..errors import ArgumentError
from .call import Call, remainder

_MOST_AXES = 3
_SIZES = "a size for each axis"
_DEFAULTS = {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "dilation": 1}


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
    """Resolves a call of ``torch.nn.functional.conv_transpose1d`` to ``conv_transpose3d``.

    ``rank`` is the number of spatial axes, where the function that was called fixes it. The layout is that of batched
    arrays, also where ``input_shape`` has no batch.
    """
    operands = _Operands(
        [size(n, f"input.shape[{i}]") for i, n in enumerate(sequence(input_shape, "input.shape", _SIZES))],
        [integer(n, f"weight.shape[{i}]", 0) for i, n in enumerate(sequence(weight_shape, "weight.shape", _SIZES))],
    )
    rank = _rank(operands, rank)
    strides = per_axis(stride, "stride", rank)
    paddings = per_axis(padding, "padding", rank, lowest=0)
    added = per_axis(output_padding, "output_padding", rank, lowest=0)
    dilations = per_axis(dilation, "dilation", rank)
    groups = _groups(groups, operands, rank)
    if bias_shape is not None:
        _check_bias(bias_shape, operands.weight[1] * groups)
    axes = tuple(
        _axis(axis, n, Axis(kernel, s, d, pad, pad - plus))
        for axis, (n, kernel, s, d, pad, plus) in enumerate(
            zip(operands.input[-rank:], operands.weight[2:], strides, dilations, paddings, added, strict=True)
        )
    )
    return Spec(axes, groups), Layout(rank, channels_first=True)


def kernel_layout(rank: int) -> KernelLayout:
    """PyTorch's ``weight``: ``(in, out / groups, k...)``."""
    return KernelLayout((rank + 1, rank, *range(rank)))


def call(spec: Spec) -> Call:
    """PyTorch's call for a geometry, with what is left to crop where PyTorch cannot crop that much at one end.

    Raises:
      ArgumentError: there are more than three axes.

    >>> call(Spec((Axis(kernel=4, stride=2, lo=1, hi=0),))).arguments
    {'stride': 2, 'padding': 1, 'output_padding': 1}
    >>> call(Spec((Axis(kernel=4, stride=2, lo=1, hi=2),))).crop
    ((0, 1),)
    """
    axes, groups, rank = spec.axes, spec.groups, spec.rank
    if not 1 <= rank <= _MOST_AXES:
        raise ArgumentError(
            f"PyTorch has no transposed convolution over {rank} spatial axes",
            got=f"{rank} axes",
            legal=f"1 to {_MOST_AXES} spatial axes",
            fix="call jconvt.conv_transpose, which takes any number of them",
        )
    paddings, added = zip(*(_paddings(axis) for axis in axes), strict=True)
    given = {
        "stride": _shortest([axis.stride for axis in axes]),
        "padding": _shortest(paddings),
        "output_padding": _shortest(added),
        "groups": groups,
        "dilation": _shortest([axis.dilation for axis in axes]),
    }
    computed = [
        Axis(axis.kernel, axis.stride, axis.dilation, pad, pad - plus)
        for axis, pad, plus in zip(axes, paddings, added, strict=True)
    ]
    return Call(
        function=f"torch.nn.functional.conv_transpose{rank}d",
        arguments={name: value for name, value in given.items() if value != _DEFAULTS[name]},
        layout=Layout(rank, channels_first=True),
        kernel=kernel_layout(rank),
        crop=remainder(axes, computed),
    )


class _Operands(NamedTuple):
    """The operands' shapes."""

    input: Sequence[Size]
    weight: Sequence[int]

    def __str__(self) -> str:
        return f"input of shape {tuple(self.input)}, weight of shape {tuple(self.weight)}"


def _rank(operands: _Operands, rank: int | None) -> int:
    """The number of spatial axes, once both operands are seen to have it."""
    if rank is None:
        rank = min(max(1, len(operands.weight) - 2), _MOST_AXES)
    if len(operands.weight) != rank + 2:
        raise ArgumentError(
            f"weight has the wrong number of axes for conv_transpose{rank}d",
            got=operands,
            legal=f"{rank + 2} axes: in, out / groups, and one for each spatial axis",
            fix=f"reshape to {rank + 2} axes, or call the function of the other rank",
        )
    if len(operands.input) not in (rank + 1, rank + 2):
        raise ArgumentError(
            f"input has the wrong number of axes for conv_transpose{rank}d",
            got=operands,
            legal=f"{rank + 2} axes: batch, channels, and the spatial ones; or {rank + 1}, without the batch",
            fix=f"reshape to {rank + 2} axes, or call the function of the other rank",
        )
    if min(operands.weight) < 1:
        raise ArgumentError(
            "weight has an empty axis",
            got=operands,
            legal="kernel sizes and numbers of channels of at least 1",
            fix="check the order of the axes: (in, out / groups, k...)",
        )
    return rank


def _groups(groups: Any, operands: _Operands, rank: int) -> int:
    """``groups``, once the channels are seen to fit."""
    groups = integer(groups, "groups", lowest=1)
    channels, taken = operands.input[-rank - 1], operands.weight[0]
    if channels != taken:
        raise ArgumentError(
            "the channels of input and weight differ",
            got=f"{channels} in input, {taken} in weight: {operands}",
            legal="input of shape (batch, in, spatial...), weight of shape (in, out / groups, k...)",
            fix="swap the first two axes of weight, or move the channels of input to the front",
        )
    check_groups(groups, taken)
    return groups


def _check_bias(shape: Sequence[int], out: int) -> None:
    """Refuses a bias that does not hold one number for each output channel."""
    if tuple(shape) != (out,):
        raise ArgumentError(
            "bias does not fit the output's channels",
            got=f"bias of shape {tuple(shape)}",
            legal=f"shape ({out},): one number for each of the groups' output channels",
            fix=f"reshape to ({out},), or leave it out",
        )


def _axis(number: int, n: Size, axis: Axis) -> Axis:
    """``axis``, once PyTorch is seen to compute it for ``n`` pixels."""
    padding, added = axis.lo, axis.lo - axis.hi
    most = _most_added(axis)
    if added > most:
        raise ArgumentError(
            f"output_padding is too large along spatial axis {number}",
            got=f"output_padding {added}, stride {axis.stride}, dilation {axis.dilation}",
            legal=f"0 to {most}: less than the larger of stride and dilation",
            fix="pass a smaller output_padding, or add zeros to the result with jax.numpy.pad",
        )
    if not isinstance(n, int):
        return axis
    if n < 1:
        raise ArgumentError(
            f"input has no pixels along spatial axis {number}",
            got=f"size {n}",
            legal="spatial sizes of at least 1; the batch alone may be empty",
            fix="call jconvt.conv_transpose, which takes empty images",
        )
    full, out = axis.full_size(n), axis.output_size(n)
    if out < 1:
        raise ArgumentError(
            f"padding removes all there is along spatial axis {number}",
            got=f"padding {padding}, output_padding {added}: {out} of {full} pixels remain",
            legal=f"padding of at most {(full + added - 1) // 2}",
            fix="pass a smaller padding",
        )
    return axis


def _most_added(axis: Axis) -> int:
    """The largest ``output_padding``."""
    return max(axis.stride, axis.dilation) - 1


def _paddings(axis: Axis) -> tuple[int, int]:
    """``padding`` and ``output_padding`` that crop as ``axis`` does; else at most that much of what is not zero.

    What is not cropped can be cropped later, and what lies outside the canvas can be added; the rest has to be there.
    """
    most = _most_added(axis)
    padding = max(0, min(axis.lo, max(axis.hi, 0) + most))
    if axis.hi < 0 and axis.lo - axis.hi > most:
        # The result ends too early, so that it might be empty: one pixel has to remain, even of a single stamp.
        padding = min(padding, (axis.extent + most - 1) // 2)
    return padding, min(max(padding - axis.hi, 0), most)


def _shortest(values: Sequence[int]) -> int | tuple[int, ...]:
    """One integer, if it serves every axis."""
    return values[0] if len(set(values)) == 1 else tuple(values)
