"""The arguments of ``equinox.nn.ConvTranspose``.

The input is channels first, and the padding is that of the convolution that is transposed. With ``e`` the extent of one
stamp, ``s`` the stride and ``p`` the ``output_padding``:

    padding        crop                                       output size
    (a, b)         (a, b - p)                                 s(n-1) + e - a - b + p
    VALID          (0, -p)                                    s(n-1) + e + p
    SAME           lo = max(0, e - s + p) // 2, and the rest  s n - p
    SAME_LOWER     the same, lo rounded up                    s n - p

The first row is relationship 14 of arXiv 1603.07285. An input without pixels counts as in ``jax.lax``. The weight is a
convolution's, so it stamps backwards. With ``padding_mode`` "CIRCULAR" the input repeats, aligned as ``padding`` says.
"""

from collections.abc import Sequence
from typing import Any

from .._geometry.arguments import LARGEST, Padding, Size, integer, one_of, paddings, per_axis
from .._geometry.axis import Axis
from .._geometry.kernel_layout import KernelLayout
from .._geometry.layout import Layout
from .._geometry.memoize import memoize
from .._geometry.spec import Spec
from ..errors import ArgumentError
from . import lax
from ._layers import ResolvedLayer, check_channels, make_circular, to_same_lower, with_output_size
from .convention import check_added


def kernel_layout(rank: int, groups: int = 1) -> KernelLayout:
    """Return the layout of the parameter ``weight``: ``(out, in / groups, k...)``, as in a convolution."""
    return KernelLayout((rank, rank + 1, *range(rank)), flipped=True, output_groups=groups)


def weight_shape(
    num_spatial_dims: Any, in_channels: Any, out_channels: Any, kernel_size: Any, groups: Any = 1
) -> tuple[int, ...]:
    """Return the shape of the parameter ``weight``."""
    rank = integer(num_spatial_dims, "num_spatial_dims", 1)
    in_channels, out_channels, groups = check_channels(in_channels, out_channels, groups)
    return (out_channels, in_channels // groups, *per_axis(kernel_size, "kernel_size", rank))


def resolve_axes(
    kernel_size: Sequence[int],
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    padding_mode: Any = "ZEROS",
) -> tuple[Axis, ...]:
    """Return the axes that these arguments mean, which do not depend on the input.

    With ``padding_mode`` "CIRCULAR" only their ``lo`` has a meaning.
    """
    rank = len(kernel_size)
    strides, dilations = per_axis(stride, "stride", rank), per_axis(dilation, "dilation", rank)
    added = per_axis(output_padding, "output_padding", rank, 0)
    legal = f"'SAME', 'SAME_LOWER', 'VALID', an integer, or a sequence of {rank} integers or pairs (before, after)"
    ends = paddings(padding, ("SAME", "SAME_LOWER", "VALID"), (rank,), legal, lowest=-LARGEST, numbers=True)
    bares = list(map(Axis, kernel_size, strides, dilations))
    for i, (plus, axis) in enumerate(zip(added, bares, strict=True)):
        check_added(i, plus, axis, axis.stride - 1, "more is a larger input's")
    if is_circular(padding_mode) and (any(added) or not {*ends} <= {"SAME", "SAME_LOWER"}):
        problem = "circular padding is aligned by 'SAME' or 'SAME_LOWER', and its output is one period"
        got, legal = f"padding = {padding!r}, output_padding = {added}", "'SAME' or 'SAME_LOWER', output_padding 0"
        raise ArgumentError(problem, got=got, legal=legal, fix="pass padding='SAME', and leave output_padding out")
    return tuple(map(_crop_axis, bares, ends, added))


@memoize
def resolve(
    x_shape: Sequence[Size],
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
    """Resolve the layer for an input, which has no batch axis, and a weight of these shapes.

    ``output_shape``, which Equinox lacks, holds the spatial sizes. TensorFlow's rules align them, and
    ``output_padding`` must then be 0.
    """
    rank, in_channels = len(weight_shape) - 2, weight_shape[1] * groups
    check_channels(in_channels, weight_shape[0], groups)
    if len(x_shape) != rank + 1 or x_shape[0] != in_channels:
        got, legal = f"x of shape {tuple(x_shape)}", f"{rank + 1} axes, the first of size {in_channels}"
        fix = "map the layer over a batch with jax.vmap; move channels that are last to the front"
        raise ArgumentError("x is not (in_channels, spatial...)", got=got, legal=legal, fix=fix)
    axes, wrap = resolve_axes(weight_shape[2:], stride, padding, output_padding, dilation, padding_mode), ()
    sizes = x_shape[1:]
    if is_circular(padding_mode):
        axes, wrap = make_circular(axes, sizes, output_shape=output_shape)
    elif output_shape is None:
        axes = tuple(
            lax.crop_axis(i, n, axis, (axis.lo, axis.hi), True)
            for i, (n, axis) in enumerate(zip(sizes, axes, strict=True), 1)
        )
    else:
        added = output_padding if any(per_axis(output_padding, "output_padding", rank, 0)) else None
        name = padding.upper() if isinstance(padding, str) and padding.upper() != "VALID" else None
        axes = with_output_size(axes, sizes, name and "SAME", output_shape, added)
        if name == "SAME_LOWER":
            axes = tuple(map(to_same_lower, axes))
    return ResolvedLayer(Spec(axes, groups), Layout(rank, channels_first=True), kernel_layout(rank, groups), wrap)


def is_circular(padding_mode: Any) -> bool:
    """Return whether ``padding_mode`` is "CIRCULAR", or raise an error if a transposed convolution has no such mode."""
    named = padding_mode.upper() if isinstance(padding_mode, str) else padding_mode
    fix = "pass one of these: 'REFLECT' and 'REPLICATE' are for convolutions that are not transposed"
    return one_of(named, "padding_mode", ("ZEROS", "CIRCULAR"), fix) == "CIRCULAR"


def _crop_axis(axis: Axis, padding: Padding, output_padding: int) -> Axis:
    """Return ``axis`` cropped as in the table above."""
    if not isinstance(padding, str) or padding == "VALID":
        lo, hi = (0, 0) if isinstance(padding, str) else padding
        return axis.with_crop(lo, hi - output_padding)
    removed = axis.extent - axis.stride + output_padding
    lo = max(0, removed) // 2
    axis = axis.with_crop(lo, removed - lo)
    return to_same_lower(axis) if padding == "SAME_LOWER" else axis
