"""The convention of Flax's layer ``ConvTranspose``, in ``flax.linen`` and ``flax.nnx``, and of jconvt's versions of it.

The input is channels last. The padding is that of ``jax.lax.conv_transpose``, and may also be an integer, or hold
integers instead of pairs.

jconvt's layers add arguments. ``output_shape`` and ``output_padding`` choose the output size as in
``jconvt.conv_transpose``. With ``use_consistent_padding``, "SAME_LOWER" is that of the convolution that is transposed:
"SAME" with an odd crop larger at the start of the canvas. "CIRCULAR", which Flax has too, is aligned as "SAME", or with
``transpose_kernel`` as that "SAME_LOWER": this follows from where Flax puts the padding before it wraps the canvas
around. With ``use_consistent_padding``, it is aligned as Flax's circular convolution, which it transposes: that copies
``(extent - 1) // 2`` pixels to the front of its input.
"""

from collections.abc import Sequence
from typing import Any

from .._geometry.arguments import LARGEST, Size, flag, integers, pairs, per_axis, single
from .._geometry.kernel_layout import KernelLayout
from .._geometry.layout import Layout
from .._geometry.memoize import memoize
from .._geometry.spec import Spec
from ..errors import ArgumentError
from . import lax
from ._layers import ResolvedLayer, check_channels, make_circular, to_same_lower, with_output_size
from .convention import Call, Convention, check_supported, non_default, remainder


@memoize
def resolve(
    input_shape: Sequence[Size],
    kernel_shape: Sequence[int],
    strides: Any = None,
    padding: Any = "SAME",
    kernel_dilation: Any = None,
    transpose_kernel: bool = False,
    *,
    kernel_size: Any = None,
    groups: int = 1,
    use_consistent_padding: bool = False,
) -> tuple[Spec, Layout]:
    """Resolve the layer with these arguments, for an input and a kernel of these shapes.

    ``input_shape`` has one batch axis; the layer merges any number into one. ``kernel_size`` may be left out, as the
    kernel has it. ``groups`` and ``use_consistent_padding`` are those of ``jconvt.lax``; Flax's layer has neither.
    """
    kernel_shape = integers(kernel_shape, "kernel.shape", range(100), "one size for each axis", lowest=0)
    kernel, rank = kernel_shape[:-2], len(kernel_shape) - 2
    if not 1 <= rank <= 3:
        problem, got = "Flax's ConvTranspose has one to three spatial axes", f"kernel of shape {kernel_shape}"
        fix = "call jconvt.lax.conv_transpose with dimension_numbers"
        raise ArgumentError(problem, got=got, legal="1 to 3 spatial axes", fix=fix)
    if kernel_size is not None and kernel_sizes(kernel_size) != kernel:
        problem, got = "kernel_size differs from the shape of the kernel", f"kernel_size = {kernel_size}"
        fix = "leave it out, or check the order of the kernel's axes: channels last"
        raise ArgumentError(problem, got=got, legal=kernel, fix=fix)
    legal = f"'SAME', 'VALID', an integer, or a sequence of {rank} integers or pairs (before, after)"
    if not isinstance(padding, str):
        padding = pairs(padding, "padding", (rank,), legal, -LARGEST, numbers=True)
    elif padding.upper() == "CIRCULAR":
        problem, got = "circular padding wraps the canvas around, which no crop does", f"padding = {padding!r}"
        fix = "use jconvt.linen.ConvTranspose or jconvt.nnx.ConvTranspose, or pass another padding"
        raise ArgumentError(problem, got=got, legal=legal, fix=fix)
    return lax.resolve(
        input_shape,
        kernel_shape,
        per_axis(strides, "strides", rank, default=1),
        padding,
        per_axis(kernel_dilation, "kernel_dilation", rank, default=1),
        transpose_kernel=transpose_kernel,
        use_consistent_padding=use_consistent_padding,
        feature_group_count=groups,
        names=("inputs", "kernel", "groups"),
    )


def kernel_layout(rank: int, transpose_kernel: bool = False, groups: int = 1) -> KernelLayout:
    """Return the layout of ``kernel``: ``(k..., in / groups, out)``, transposed ``(k..., out / groups, in)``."""
    return lax.kernel_layout(rank, transpose_kernel=transpose_kernel, groups=groups)


def call(spec: Spec, *, transpose_kernel: bool = False, nnx: bool = False) -> Call:
    """Return the layer that computes a geometry of one to three spatial axes, without groups.

    The arguments leave out the numbers of features and ``use_bias=False``, which the caller adds. The layer is exact
    for inputs of at least one pixel.
    """
    axes, rank = spec.axes, spec.rank
    check_supported(spec, "Flax's ConvTranspose", "the ConvTranspose of jconvt.linen, or jconvt.conv_transpose")
    arguments = {
        "kernel_size": tuple(axis.kernel for axis in axes),
        "strides": tuple(axis.stride for axis in axes),
        "padding": lax.padding_of(axes),
        "kernel_dilation": tuple(axis.dilation for axis in axes),
        "transpose_kernel": transpose_kernel,
    }
    ones = (1,) * rank
    defaults = {"strides": ones, "padding": "SAME", "kernel_dilation": ones, "transpose_kernel": False}
    function = "flax.nnx.ConvTranspose" if nnx else CONVENTION.function
    kernel = kernel_layout(rank, transpose_kernel)
    return Call(function, non_default(arguments, defaults), Layout(rank), kernel, remainder(axes, axes))


def kernel_sizes(kernel_size: Any) -> tuple[int, ...]:
    """Return ``kernel_size`` as one integer for each of one to three spatial axes."""
    legal = "an integer, or a sequence of 1 to 3 integers"
    return integers((kernel_size,) if single(kernel_size) else kernel_size, "kernel_size", (1, 2, 3), legal)


def kernel_shape(
    sizes: tuple[int, ...], in_features: Any, features: Any, groups: Any, transpose_kernel: Any, name: str
) -> tuple[int, ...]:
    """Return the shape of the parameter ``kernel``. Errors call the number of output features ``name``."""
    in_features, features, groups = check_channels(in_features, features, groups, ("in_features", name))
    if flag(transpose_kernel, "transpose_kernel"):
        return (*sizes, features // groups, in_features)
    return (*sizes, in_features // groups, features)


def batch_axes(inputs_shape: Sequence[Size], rank: int, in_features: int | None = None) -> int:
    """Return the number of batch axes of ``inputs``, or raise an error if its other axes do not fit the layer."""
    got = f"inputs of shape {tuple(inputs_shape)}"
    if len(inputs_shape) <= rank:
        legal = f"batch axes, if any, then {rank} spatial axes and one of features"
        fix = "add the missing axes, or pass a shorter kernel_size"
        raise ArgumentError("inputs have too few axes for kernel_size", got=got, legal=legal, fix=fix)
    if in_features not in (None, inputs_shape[-1]):
        legal = f"in_features = {in_features}, last: (batch..., spatial..., in_features)"
        fix = "move the channels of inputs to the end, or change in_features"
        raise ArgumentError("inputs and layer differ in their number of features", got=got, legal=legal, fix=fix)
    return len(inputs_shape) - rank - 1


@memoize
def resolve_layer(
    input_shape: Sequence[Size],
    kernel_shape: Sequence[int],
    strides: Any = None,
    padding: Any = "SAME",
    kernel_dilation: Any = None,
    transpose_kernel: bool = False,
    *,
    output_shape: Any = None,
    output_padding: Any = None,
    groups: int = 1,
    use_consistent_padding: bool = False,
) -> ResolvedLayer:
    """Resolve jconvt's layer for an input with one batch axis, and for a kernel of this shape.

    ``groups`` and ``use_consistent_padding`` are those of ``resolve``.
    """
    consistent = flag(use_consistent_padding, "use_consistent_padding")
    name = padding if isinstance(padding, str) else None
    if name is not None:
        _check_name(name, per_axis(strides, "strides", len(kernel_shape) - 2, default=1), consistent)
    is_circular = name == "CIRCULAR"
    is_lower = transpose_kernel if is_circular else name == "SAME_LOWER" and consistent
    padding = "SAME" if is_circular or is_lower else padding
    spec, layout = resolve(
        input_shape, kernel_shape, strides, padding, kernel_dilation, transpose_kernel, groups=groups,
        use_consistent_padding=consistent,
    )  # fmt: skip
    axes, sizes, wrap = spec.axes, input_shape[1:-1], ()
    if not is_circular and (output_shape is not None or output_padding is not None):
        named = "SAME" if is_lower else name if name in ("SAME", "VALID") else None
        axes = with_output_size(axes, sizes, named, output_shape, output_padding)
    if is_lower:
        axes = tuple(map(to_same_lower, axes))
    if is_circular:
        if consistent:
            axes = tuple(axis.with_crop((axis.extent - 1) // 2, 0) for axis in axes)
        axes, wrap = make_circular(axes, sizes, output_shape=output_shape, output_padding=output_padding)
    kernel = kernel_layout(spec.rank, transpose_kernel, spec.groups)
    return ResolvedLayer(Spec(axes, spec.groups), layout, kernel, wrap)


def _check_name(padding: str, strides: Sequence[int], consistent: bool) -> None:
    """Raise if neither Flax's layers nor jconvt's have a padding of this name at these strides."""
    got, capitals = f"padding = {padding!r}", padding.upper()
    if capitals not in ("SAME", "VALID", "SAME_LOWER") and padding != "CIRCULAR":
        legal = "'SAME', 'VALID', 'SAME_LOWER', 'CIRCULAR', an integer, or a sequence of integers or pairs"
        fix = "write 'CIRCULAR'" if capitals == "CIRCULAR" else "pass one of these"
        raise ArgumentError("unknown padding", got=got, legal=legal, fix=fix)
    if padding == "SAME_LOWER" and not consistent and any(stride > 1 for stride in strides):
        legal = "strides of 1, where it is the padding of a convolution that is not transposed"
        fix = "pass use_consistent_padding=True, too, to crop the odd position at the start of the output"
        raise ArgumentError(
            "Flax has 'SAME_LOWER' at stride 1 only", got=f"{got}, strides = {strides}", legal=legal, fix=fix
        )


CONVENTION = Convention(
    name="flax",
    function="flax.linen.ConvTranspose",
    arguments=("strides", "padding", "kernel_dilation", "transpose_kernel", "kernel_size"),
    positional=("strides", "padding", "kernel_dilation", "transpose_kernel"),
    resolve=resolve,
    call=lambda spec, *shapes: call(spec),
    kernel_layout=lambda rank, groups, stated: kernel_layout(rank, stated.get("transpose_kernel", False)),
    complete=lambda arguments, kernel, output_shape: {"kernel_size": kernel} | arguments,
    options={"stride": "strides", "padding": "padding", "dilation": "kernel_dilation"},
    code="""import flax.linen as nn

layer = nn.ConvTranspose(features={out_channels}{arguments}, use_bias=False)
{y} = layer.apply({{"params": {{"kernel": {w}}}}}, {x})""",
)
