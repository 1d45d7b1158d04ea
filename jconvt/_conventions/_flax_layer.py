"""The arguments of ``jconvt.linen.ConvTranspose`` and ``jconvt.nnx.ConvTranspose``: Flax's, and what Flax lacks.

``output_shape`` and ``output_padding`` choose the output size as in ``jconvt.conv_transpose``. "SAME_LOWER" is "SAME"
where the odd one of the positions cropped is at the start of the canvas. "CIRCULAR" is aligned as "SAME" is, with
``transpose_kernel`` as "SAME_LOWER" is; Flax says so by where it puts the padding before it wraps the canvas around.
"""

from collections.abc import Sequence
from typing import Any

from .._geometry.arguments import Size, flag, integers, single
from .._geometry.spec import Spec
from ..errors import ArgumentError
from . import flax
from ._layers import ResolvedLayer, channels, circular, lower, sized

_NAMED = ("SAME", "SAME_LOWER", "VALID", "CIRCULAR")


def kernel_sizes(kernel_size: Any) -> tuple[int, ...]:
    """``kernel_size``, of one to three spatial axes."""
    legal = "an integer, or a sequence of 1 to 3 integers"
    return integers((kernel_size,) if single(kernel_size) else kernel_size, "kernel_size", (1, 2, 3), legal)


def kernel_shape(
    kernel_size: Any, in_features: Any, features: Any, groups: Any, transpose_kernel: Any, *, name: str
) -> tuple[int, ...]:
    """The shape of the parameter ``kernel``; ``name`` is what the layer calls its output features."""
    sizes = kernel_sizes(kernel_size)
    taken, given, groups = channels(in_features, features, groups, ("in_features", name))
    if flag(transpose_kernel, "transpose_kernel"):
        return (*sizes, given // groups, taken)
    return (*sizes, taken // groups, given)


def batch_axes(inputs_shape: Sequence[Size], kernel_size: Any, in_features: int | None = None) -> int:
    """The number of batch axes of ``inputs``, once the others are seen to be the layer's."""
    sizes = kernel_sizes(kernel_size)
    if len(inputs_shape) <= len(sizes):
        raise ArgumentError(
            "inputs have too few axes for kernel_size",
            got=f"inputs of shape {tuple(inputs_shape)}, kernel_size = {sizes}",
            legal=f"{len(sizes)} spatial axes and one of features, after any number of batch axes",
            fix="add the missing axes, or pass a kernel_size of fewer",
        )
    if in_features not in (None, inputs_shape[-1]):
        raise ArgumentError(
            "inputs have another number of features than the layer",
            got=f"{inputs_shape[-1]}, in inputs of shape {tuple(inputs_shape)}",
            legal=f"in_features = {in_features}, last: (batch..., spatial..., in_features)",
            fix="move the channels of inputs to the end, or make the layer with their number",
        )
    return len(inputs_shape) - len(sizes) - 1


def resolve(
    input_shape: Sequence[Size],
    kernel_shape: Sequence[int],
    strides: Any = None,
    padding: Any = "SAME",
    kernel_dilation: Any = None,
    transpose_kernel: bool = False,
    *,
    groups: int = 1,
    output_shape: Any = None,
    output_padding: Any = None,
    use_consistent_padding: bool = False,
) -> ResolvedLayer:
    """Resolves the layer on an input with one batch axis, and with a kernel of this shape."""
    named = padding if isinstance(padding, str) else None  # Flax aligns "same" otherwise than "SAME"
    if named is not None and named not in _NAMED:
        raise ArgumentError(
            "unknown padding",
            got=f"padding = {padding!r}",
            legal=f"{', '.join(map(repr, _NAMED))}, an integer, or a sequence of integers or pairs (before, after)",
            fix="pass one of these, in capitals",
        )
    is_circular = named == "CIRCULAR"
    is_lower = named == "SAME_LOWER" or (is_circular and transpose_kernel)
    spec, layout = flax.resolve(
        input_shape,
        kernel_shape,
        strides,
        "SAME" if is_circular or is_lower else padding,
        kernel_dilation,
        transpose_kernel,
        groups=groups,
        use_consistent_padding=use_consistent_padding,
    )
    axes = spec.axes
    kernel = flax.kernel_layout(len(axes), transpose_kernel, groups)
    if not is_circular and (output_shape is not None or output_padding is not None):
        paddings = [{None: (axis.lo, axis.hi), "VALID": (0, 0)}.get(named, "SAME") for axis in axes]
        axes = sized(input_shape[1:-1], axes, paddings, output_shape, output_padding, first=1)
    if is_lower:
        axes = tuple(lower(axis) for axis in axes)
    if is_circular:
        asked = {"output_shape": output_shape, "output_padding": output_padding}
        return circular(spec, layout, kernel, axes, input_shape[1:-1], asked)
    return ResolvedLayer(Spec(axes, spec.groups), layout, kernel)
