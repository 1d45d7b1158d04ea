"""Keras's arguments, resolved.

Keras names a transposed convolution by its output size. With ``e`` the extent of one stamp, ``n`` the input size, ``s``
the stride and ``p`` the output padding, where ``None`` and 0 are not the same:

    padding   output_padding None       output_padding p
    same      s n                       s(n-1) + e % 2 + p
    valid     s n + max(e - s, 0)       s(n-1) + e + p

What the canvas has more than that is cropped, half of it rounded down at the start; what it has less is zeros at the
end. So Keras computes on JAX. On TensorFlow the crop is the same, but only the sizes are legal that TensorFlow's own
rules allow: under ``same`` at least one of ``e % 2 + p`` and at most ``s``, under ``valid`` ``p`` below ``s``. Keras on
JAX takes any ``p``, and so does ``resolve``. Of an odd crop, such as that of an odd kernel with stride 2, older
releases of Keras take the larger half from the start on PyTorch; that is not followed.

An input without pixels has the sizes above as well, where they are not below 0. (Keras says so for symbolic tensors; on
JAX it returns ``s - 1`` zeros more.)
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from .._geometry.arguments import Size, one_or_each, sequence
from .._geometry.axis import Axis
from .._geometry.kernel_layout import KernelLayout, filters_layout
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ..errors import ArgumentError, ArgumentTypeError
from . import tensorflow
from .call import Call, remainder

_FUNCTION = "keras.ops.conv_transpose"
_NAMES = tensorflow.Names("inputs", "kernel", "output_padding", "dilation_rate")
_LETTERS = "ABDEFGHIJKLMOPQRSTUVWXYZ"
_MOST_AXES = 3  # spatial axes that every backend takes


def resolve(
    input_shape: Sequence[Size],
    kernel_shape: Sequence[int],
    strides: Any = 1,
    padding: Any = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
    *,
    groups: int = 1,
) -> tuple[Spec, Layout]:
    """Resolves a call of ``keras.ops.conv_transpose`` on operands of these shapes, in any number of groups."""
    input_shape = sequence(input_shape, "inputs.shape", "one size for each axis")
    kernel_shape = sequence(kernel_shape, "kernel.shape", "one size for each axis")
    channels_first = _channels_first(data_format)
    same = _is_same(padding)
    # The operands are TensorFlow's, and so is what makes them fit.
    named = _tensorflows_name(max(1, len(kernel_shape) - 2)) if channels_first else None
    bare_spec, layout = tensorflow.resolve(input_shape, kernel_shape, data_format=named, groups=groups, names=_NAMES)
    rank = bare_spec.rank
    strides = one_or_each(strides, "strides", rank)
    dilations = one_or_each(dilation_rate, "dilation_rate", rank)
    added = [None] * rank if output_padding is None else one_or_each(output_padding, "output_padding", rank, lowest=0)
    axes = []
    for bare, stride, dilation, plus, n in zip(
        bare_spec.axes, strides, dilations, added, layout.spatial(input_shape), strict=True
    ):
        axis = _cropped(Axis(bare.kernel, stride, dilation), same, plus)
        missing = -axis.output_size(n) if isinstance(n, int) else 0
        if missing > 0:
            raise ArgumentError(
                "output_padding gives an axis without pixels a size below 0",
                got=f"output_padding {plus}, for output size {-missing} (input size {n}, kernel {axis.kernel}, "
                f"stride {stride}, dilation {dilation}, padding {padding})",
                legal=f"{(plus or 0) + missing} or more",
                fix="leave output_padding out, or pass inputs that have pixels",
            )
        axes.append(axis)
    return Spec(tuple(axes), bare_spec.groups), layout


def kernel_layout(rank: int) -> KernelLayout:
    """Keras's kernels are TensorFlow's: ``(k..., out / groups, in)``."""
    return filters_layout(rank)


def call(spec: Spec, channels_first: bool = False) -> Call:
    """The call of ``keras.ops.conv_transpose`` that computes ``axes``, or their canvas.

    It has only sizes that Keras takes on every backend. Where they do not do, the call is that of the whole canvas, and
    the rest is cropped or added.

    Raises:
      ArgumentError: there is more than one group, or more than three axes.
    """
    axes, groups, rank = spec.axes, spec.groups, spec.rank
    if groups != 1:
        raise ArgumentError(
            f"{_FUNCTION} has no groups",
            got=f"groups = {groups}",
            legal="groups = 1",
            fix="call it on each group's channels and concatenate, or call jconvt.keras.conv_transpose",
        )
    if rank > _MOST_AXES:
        raise ArgumentError(
            f"{_FUNCTION} has at most {_MOST_AXES} spatial axes",
            got=f"{rank} axes",
            legal=f"1 to {_MOST_AXES} axes",
            fix="call jconvt.keras.conv_transpose, which has any number",
        )
    padding, added, computed = _closest(axes)
    arguments: dict[str, Any] = {}
    strides, dilations = ([getattr(axis, name) for axis in axes] for name in ("stride", "dilation"))
    if set(strides) != {1}:
        arguments["strides"] = _shortest(strides)
    if padding != "valid":
        arguments["padding"] = padding
    if added is not None:
        arguments["output_padding"] = _shortest(added)
    if channels_first:
        arguments["data_format"] = "channels_first"
    if set(dilations) != {1}:
        arguments["dilation_rate"] = _shortest(dilations)
    return Call(_FUNCTION, arguments, Layout(rank, channels_first), kernel_layout(rank), remainder(axes, computed))


def _closest(axes: Sequence[Axis]) -> tuple[str, list[int] | None, list[Axis]]:
    """The padding and the output padding whose crop is that of ``axes`` or, failing that, none; and what they give."""
    for padding in ("valid", "same"):
        same = padding == "same"
        if [_cropped(axis, same, None) for axis in axes] == list(axes):
            return padding, None, list(axes)
        added = [_uncropped(axis, same) - axis.lo - axis.hi for axis in axes]
        if all(plus in _everywhere(axis, same) for axis, plus in zip(axes, added, strict=True)):
            computed = [_cropped(axis, same, plus) for axis, plus in zip(axes, added, strict=True)]
            if computed == list(axes):
                return padding, added, computed
    # As much of the end as "valid" can give: less remains to be added.
    added = [min(max(0, -axis.hi), axis.stride - 1) for axis in axes]
    computed = [_cropped(axis, False, plus) for axis, plus in zip(axes, added, strict=True)]
    usual = [_cropped(axis, False, None) for axis in axes]
    return "valid", None if computed == usual else added, computed


def _everywhere(axis: Axis, same: bool) -> range:
    """The output paddings that Keras takes on every backend."""
    lowest = 1 - axis.extent % 2 if same else 0
    return range(lowest, lowest + axis.stride)


def _uncropped(axis: Axis, same: bool) -> int:
    """The output padding with which nothing is cropped, and nothing added."""
    return 2 * (axis.extent // 2) if same else 0


def _cropped(axis: Axis, same: bool, output_padding: int | None) -> Axis:
    """``axis`` with the crop that Keras gives it, whatever its own."""
    if output_padding is None:
        removed = axis.extent - axis.stride if same else min(axis.extent - axis.stride, 0)
    else:
        removed = _uncropped(axis, same) - output_padding
    lo = max(0, removed) // 2
    return dataclasses.replace(axis, lo=lo, hi=removed - lo)


def _shortest(values: Sequence[int]) -> int | tuple[int, ...]:
    """One number, where all are the same."""
    return values[0] if len(set(values)) == 1 else tuple(values)


def _is_same(padding: Any) -> bool:
    if not isinstance(padding, str):
        raise ArgumentTypeError(
            "padding must be a string",
            got=f"padding = {padding!r}",
            legal="'valid' or 'same'",
            fix="call jconvt.conv_transpose for explicit pairs",
        )
    if padding.lower() not in ("valid", "same"):
        raise ArgumentError(
            "unknown padding",
            got=f"padding = {padding!r}",
            legal="'valid' or 'same'",
            fix="pass one of these, or call jconvt.conv_transpose for explicit pairs",
        )
    return padding.lower() == "same"


def _channels_first(data_format: Any) -> bool:
    if data_format is None:
        return False
    if not isinstance(data_format, str) or data_format.lower() not in ("channels_last", "channels_first"):
        raise ArgumentError(
            "unknown data_format",
            got=f"data_format = {data_format!r}",
            legal="'channels_last' or 'channels_first'",
            fix="leave it out for channels last",
        )
    return data_format.lower() == "channels_first"


def _tensorflows_name(rank: int) -> str:
    """TensorFlow's name for channels first, with ``rank`` spatial axes."""
    return "NC" + ("DHW"[-rank:] if rank <= 3 else _LETTERS[:rank])
