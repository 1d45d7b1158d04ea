"""The arguments of ``equinox.nn.ConvTranspose``, resolved.

Its input is channels first, its padding is that of the convolution that is transposed, and with ``e`` the extent of one
stamp, ``s`` the stride and ``p`` the ``output_padding``:

    padding        crop                                       output size
    (a, b)         (a, b - p)                                 s(n-1) + e - a - b + p
    VALID          (0, -p)                                    s(n-1) + e + p
    SAME           lo = max(0, e - s + p) // 2, and the rest  s n - p
    SAME_LOWER     the same, lo rounded up                    s n - p

The first row is relationship 14 of arXiv 1603.07285. The weight is a convolution's, so it runs backwards as a stamp.
With ``padding_mode`` "CIRCULAR" the input repeats itself, aligned as ``padding`` says.
"""

from collections.abc import Sequence
from typing import Any

from .._geometry.arguments import LARGEST, Operands, Size, integer, pairs, per_axis
from .._geometry.axis import Axis
from .._geometry.kernel_layout import KernelLayout
from .._geometry.spec import Spec
from ..errors import ArgumentError
from . import lax, tensorflow
from ._dimension_numbers import dimensions
from ._layers import ResolvedLayer, channels, circular, lower, sized

_MODES = ("ZEROS", "CIRCULAR")


def kernel_layout(rank: int, groups: int = 1) -> KernelLayout:
    """How the parameter ``weight`` lies: ``(out, in / groups, k...)``, as in a convolution."""
    return lax.kernel_layout(rank, _dimension_numbers(rank), groups=groups)


def weight_shape(
    num_spatial_dims: Any, in_channels: Any, out_channels: Any, kernel_size: Any, groups: Any = 1
) -> tuple[int, ...]:
    """The shape of the parameter ``weight``."""
    rank = integer(num_spatial_dims, "num_spatial_dims", 1)
    taken, given, groups = channels(in_channels, out_channels, groups, ("in_channels", "out_channels"))
    return (given, taken // groups, *per_axis(kernel_size, "kernel_size", rank))


def check_input(shape: Sequence[Size], num_spatial_dims: int, in_channels: int) -> None:
    """Refuses an input of another shape than ``(in, spatial...)``."""
    if len(shape) == num_spatial_dims + 1 and shape[0] == in_channels:
        return
    raise ArgumentError(
        "x is not (in_channels, spatial...)",
        got=f"x of shape {tuple(shape)}",
        legal=f"{num_spatial_dims + 1} axes, the first of size {in_channels}",
        fix="map the layer over a batch with jax.vmap; move channels that are last to the front",
    )


def geometry(
    kernel_size: Sequence[int],
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    padding_mode: Any = "ZEROS",
) -> tuple[Axis, ...]:
    """The axes that these arguments mean: all that the layer can say before it sees an input.

    With ``padding_mode`` "CIRCULAR" only their alignment ``lo`` is meant.
    """
    rank = len(kernel_size)
    strides, dilations = per_axis(stride, "stride", rank), per_axis(dilation, "dilation", rank)
    added = per_axis(output_padding, "output_padding", rank, 0)
    paddings = _paddings(padding, rank)
    for i, (p, s) in enumerate(zip(added, strides, strict=True)):
        if p >= s:
            raise ArgumentError(
                f"output_padding[{i}] is not below the stride",
                got=f"output_padding[{i}] = {p}, stride[{i}] = {s}",
                legal=f"0 to {s - 1}: any more would be a larger input's",
                fix="pass a smaller one, or a larger stride",
            )
    if is_circular(padding_mode) and (any(added) or not all(isinstance(pad, str) for pad in paddings)):
        raise ArgumentError(
            "circular padding is aligned by 'SAME' or 'SAME_LOWER', and its output is one period",
            got=f"padding = {padding!r}, output_padding = {tuple(added)}",
            legal="padding 'SAME' or 'SAME_LOWER', output_padding 0",
            fix="pass padding='SAME', and leave output_padding out",
        )
    return tuple(
        _cropped(Axis(k, s, d), pad, p)
        for k, s, d, pad, p in zip(kernel_size, strides, dilations, paddings, added, strict=True)
    )


def resolve(
    input_shape: Sequence[Size],
    weight_shape: Sequence[int],
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    padding_mode: Any = "ZEROS",
    *,
    output_shape: Any = None,
) -> ResolvedLayer:
    """Resolves the layer on an input with a batch axis, and with a weight of this shape.

    ``output_shape``, which Equinox has not, holds the spatial sizes. TensorFlow's rules align them, and they leave no
    choice to ``output_padding``.
    """
    axes = geometry(weight_shape[2:], stride, padding, output_padding, dilation, padding_mode)
    operands = Operands.of("x", input_shape, "weight", weight_shape)
    lax.check_operands(operands)
    spec, layout = lax.resolve_checked(
        operands,
        [axis.stride for axis in axes],
        [(axis.extent - 1 - axis.lo, axis.extent - 1 - axis.hi) for axis in axes],
        [axis.dilation for axis in axes],
        dimensions(_dimension_numbers(len(axes)), len(axes)),
        groups=("groups", groups),
    )
    kernel = kernel_layout(len(axes), groups)
    if is_circular(padding_mode):
        return circular(spec, layout, kernel, axes, input_shape[2:], {"output_shape": output_shape})
    if output_shape is None:
        return ResolvedLayer(spec, layout, kernel)
    added = per_axis(output_padding, "output_padding", len(axes), 0)
    paddings = _paddings(padding, len(axes))
    axes = sized(
        input_shape[2:],
        axes,
        ["SAME" if isinstance(pad, str) else pad for pad in paddings],
        output_shape,
        added if any(added) else None,
        first=2,
    )
    if "SAME_LOWER" in paddings:
        axes = tuple(lower(axis) for axis in axes)
    return ResolvedLayer(Spec(axes, spec.groups), layout, kernel)


def is_circular(padding_mode: Any) -> bool:
    """Whether ``padding_mode`` is "CIRCULAR", once it is seen to be one that transposed convolution has."""
    if isinstance(padding_mode, str) and padding_mode.upper() in _MODES:
        return padding_mode.upper() == "CIRCULAR"
    raise ArgumentError(
        "unknown padding_mode",
        got=f"padding_mode = {padding_mode!r}",
        legal=" or ".join(map(repr, _MODES)),
        fix="pass one of these: 'REFLECT' and 'REPLICATE' are for convolutions that are not transposed",
    )


def _cropped(bare: Axis, padding: tensorflow.Padding, added: int) -> Axis:
    """``bare``, cropped as in the table above."""
    if not isinstance(padding, str):
        before, after = padding
        return Axis(bare.kernel, bare.stride, bare.dilation, before, after - added)
    removed = bare.extent - bare.stride + added
    lo = max(0, removed) // 2
    axis = Axis(bare.kernel, bare.stride, bare.dilation, lo, removed - lo)
    return lower(axis) if padding == "SAME_LOWER" else axis


def _dimension_numbers(rank: int) -> tuple[str, str, str]:
    space = "".join(chr(ord("a") + i) for i in range(rank))
    return f"NC{space}", f"OI{space}", f"NC{space}"


def _paddings(padding: Any, rank: int) -> list[tensorflow.Padding]:
    """For each axis "SAME", "SAME_LOWER", or the pair that is cropped."""
    legal = f"'SAME', 'SAME_LOWER', 'VALID', an integer, or a sequence of {rank} integers or pairs (before, after)"
    if isinstance(padding, str):
        if padding.upper() in ("SAME", "SAME_LOWER"):
            return [padding.upper()] * rank
        if padding.upper() == "VALID":
            return [(0, 0)] * rank
        raise ArgumentError("unknown padding", got=f"padding = {padding!r}", legal=legal, fix="pass one of these")
    return list(pairs(padding, "padding", (rank,), legal, -LARGEST, numbers=True))
