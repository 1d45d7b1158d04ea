"""Keras's convention.

Keras names a transposed convolution by its output size. With ``e`` the extent of one stamp, ``n`` the input size, ``s``
the stride and ``p`` the output padding, where ``None`` and 0 are not the same:

    padding   output_padding None       output_padding p
    same      s n                       s(n-1) + e % 2 + p
    valid     s n + max(e - s, 0)       s(n-1) + e + p

What the canvas has more than that is cropped, half of it rounded down at the start; what it has less is zeros at the
end. So Keras computes on JAX. On TensorFlow the crop is the same, but only the sizes are legal that TensorFlow's rules
allow: under ``same`` at least one of ``e % 2 + p`` and at most ``s``, under ``valid`` ``p`` below ``s``. Keras on JAX
takes any ``p``, and so does ``resolve``. Of an odd crop, such as that of an odd kernel with stride 2, older releases of
Keras take the larger half from the start on PyTorch; that is not followed.

An input without pixels has ``s - 1`` positions more, as on JAX; Keras leaves them out for symbolic tensors.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from .._geometry.arguments import Operands, Size, check_groups, one_of, per_axis
from .._geometry.axis import Axis
from .._geometry.kernel_layout import filters_layout as kernel_layout  # the kernels are TensorFlow's
from .._geometry.layout import Layout
from .._geometry.memoize import memoize
from .._geometry.spec import Spec
from ..errors import ArgumentError, ArgumentTypeError
from . import lax, tensorflow
from .convention import Call, Convention, Padding, check_supported, non_default, remainder, shortest


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
    """Resolve a call of ``keras.ops.conv_transpose`` on operands of these shapes, in any number of groups."""
    data_format = _default_format() if data_format is None else data_format  # before the cache, as it can change
    return _resolve(
        input_shape, kernel_shape, strides, padding, output_padding, data_format, dilation_rate, groups=groups
    )


def _default_format() -> str:
    """Return the setting of a Keras that the program has imported, or else Keras's default."""
    backend = getattr(sys.modules.get("keras"), "backend", None)
    return "channels_last" if backend is None else backend.image_data_format()


@memoize
def _resolve(
    input_shape: Sequence[Size],
    kernel_shape: Sequence[int],
    strides: Any,
    padding: Any,
    output_padding: Any,
    data_format: str,
    dilation_rate: Any,
    *,
    groups: int,
) -> tuple[Spec, Layout]:
    operands = Operands.of("inputs", input_shape, "kernel", kernel_shape)
    layout = tensorflow.check_operands(operands, lambda rank: _layout(rank, {"data_format": data_format}))
    rank = layout.rank
    groups = check_groups(groups, operands.kernel[-1])
    same = _is_same(padding)
    strides = per_axis(strides, "strides", rank)
    dilations = per_axis(dilation_rate, "dilation_rate", rank)
    added = [None] * rank if output_padding is None else per_axis(output_padding, "output_padding", rank, lowest=0)
    bares = map(Axis, operands.kernel, strides, dilations)
    canvas = (crop_axis(bare, same, plus) for bare, plus in zip(bares, added, strict=True))
    axes = tuple(
        lax.crop_axis(position, operands.input[position], axis, (axis.lo, axis.hi), True)
        for position, axis in zip(layout.spatial_axes, canvas, strict=True)
    )
    return Spec(axes, groups), layout


def call(spec: Spec, channels_first: bool = False) -> Call:
    """Return the call of ``keras.ops.conv_transpose`` that computes a geometry, or its canvas.

    It has only sizes that Keras takes on every backend. If these are not enough, the call is that of the whole canvas,
    and the rest is cropped or added.

    Raises:
      ArgumentError: there is more than one group, or more than three axes.
    """
    axes, rank = spec.axes, spec.rank
    check_supported(spec, CONVENTION.function, "jconvt.keras.conv_transpose")
    padding, added, computed = _closest(axes)
    data_format = "channels_first" if channels_first else "channels_last"
    arguments = {
        "strides": shortest(axis.stride for axis in axes),
        "padding": padding,
        "output_padding": None if added is None else shortest(added),
        "data_format": None if data_format == _default_format() else data_format,
        "dilation_rate": shortest(axis.dilation for axis in axes),
    }
    defaults = {"strides": 1, "padding": "valid", "output_padding": None, "data_format": None, "dilation_rate": 1}
    layout, arguments = Layout(rank, channels_first), non_default(arguments, defaults)
    return Call(CONVENTION.function, arguments, layout, kernel_layout(rank), remainder(axes, computed))


def _closest(axes: Sequence[Axis]) -> tuple[str, list[int] | None, list[Axis]]:
    """Return the padding and output padding whose crop is that of ``axes`` or else none, and the axes they give."""
    for padding in ("valid", "same"):
        same = padding == "same"
        if [crop_axis(axis, same, None) for axis in axes] == list(axes):
            return padding, None, list(axes)
        added = [_uncropped(axis, same) - axis.lo - axis.hi for axis in axes]
        lowest = [1 - axis.extent % 2 if same else 0 for axis in axes]  # on every backend
        if all(low <= plus < low + axis.stride for axis, plus, low in zip(axes, added, lowest, strict=True)):
            computed = [crop_axis(axis, same, plus) for axis, plus in zip(axes, added, strict=True)]
            if computed == list(axes):
                return padding, added, computed
    # As much of the end as "valid" can give: less remains to be added.
    added = [min(max(0, -axis.hi), axis.stride - 1) for axis in axes]
    computed = [crop_axis(axis, False, plus) for axis, plus in zip(axes, added, strict=True)]
    usual = [crop_axis(axis, False, None) for axis in axes]
    return "valid", None if computed == usual else added, computed


def _uncropped(axis: Axis, same: bool) -> int:
    """Return the output padding with which nothing is cropped, and nothing added."""
    return 2 * (axis.extent // 2) if same else 0


def crop_axis(axis: Axis, same: bool, output_padding: int | None) -> Axis:
    """Return ``axis`` with Keras's crop instead of its own."""
    if output_padding is None:
        removed = axis.extent - axis.stride if same else min(axis.extent - axis.stride, 0)
    else:
        removed = _uncropped(axis, same) - output_padding
    lo = max(0, removed) // 2
    return axis.with_crop(lo, removed - lo)


def _is_same(padding: Any) -> bool:
    fix = "pass one of these, or call jconvt.conv_transpose for explicit pairs"
    if not isinstance(padding, str):
        got, legal = f"padding = {padding!r}", "'valid' or 'same'"
        raise ArgumentTypeError("padding must be a string", got=got, legal=legal, fix=fix)
    return one_of(padding.lower(), "padding", ("valid", "same"), fix) == "same"


def _layout(rank: int, arguments: Mapping[str, Any]) -> Layout:
    named, formats = arguments.get("data_format"), ("channels_last", "channels_first")
    named = _default_format() if named is None else named
    named = named.lower() if isinstance(named, str) else named
    return Layout(rank, one_of(named, "data_format", formats, "pass one of these") == "channels_first")


def _padding_arguments(padding: Padding) -> dict[str, Any]:
    if isinstance(padding, str):
        return {"padding": padding.lower()}
    got, fix = f"--padding of (before, after) = {padding}", "choose the output size by --output-padding"
    raise ArgumentError("Keras has no numbers for padding", got=got, legal="same or valid", fix=fix)


_POSITIONAL = ("strides", "padding", "output_padding", "data_format", "dilation_rate")

CONVENTION = Convention(
    name="keras",
    function="keras.ops.conv_transpose",
    arguments=(*_POSITIONAL, "groups"),
    positional=_POSITIONAL,
    resolve=resolve,
    call=lambda spec, *shapes: call(spec),
    layout=_layout,
    options=dict(stride="strides", padding="padding", dilation="dilation_rate", output_padding="output_padding"),
    padding=_padding_arguments,
    code="import keras\n\n{y} = keras.ops.convert_to_numpy({function}({x}, {w}{arguments}))",
)
