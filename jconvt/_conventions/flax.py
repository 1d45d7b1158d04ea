"""The arguments of Flax's layer ``ConvTranspose``, of ``flax.linen`` and of ``flax.nnx``, resolved.

Its input is channels last, and its padding that of ``jax.lax.conv_transpose``, where a number stands for a pair.
"""

from collections.abc import Sequence
from typing import Any

from .._geometry.arguments import Operands, Size, flag, integer, per_axis, sequence, single
from .._geometry.kernel_layout import KernelLayout
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ..errors import ArgumentError
from . import lax
from ._dimension_numbers import dimensions
from .convention import Call, Convention, remainder


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
    """Resolves the layer with these arguments on an input and with a kernel of these shapes.

    ``input_shape`` has one batch axis; the layer itself takes any number, and merges them. ``kernel_size`` is that of
    the kernel, and may be left out. Groups, and pairs that are the padding of the convolution that is transposed, are
    those of ``jax.lax``'s convolutions: Flax's layer has neither.
    """
    shape = sequence(kernel_shape, "kernel.shape", "one size for each axis")
    rank = len(shape) - 2
    if not 1 <= rank <= 3:
        raise ArgumentError(
            "Flax's ConvTranspose has one to three spatial axes",
            got=f"kernel of shape {tuple(shape)}",
            legal="3 to 5 axes: one for each of kernel_size, and two of channels",
            fix="for more spatial axes, call jconvt.lax.conv_transpose with dimension_numbers",
        )
    if kernel_size is not None:
        _check_kernel_size(kernel_size, shape[:rank])
    operands = Operands.of("inputs", input_shape, "kernel", shape)
    lax.check_operands(operands)
    return lax.resolve_checked(
        operands,
        per_axis(1 if strides is None else strides, "strides", rank),
        _padding(padding, rank),
        per_axis(1 if kernel_dilation is None else kernel_dilation, "kernel_dilation", rank),
        dimensions(None, rank),
        flag(transpose_kernel, "transpose_kernel"),
        flag(use_consistent_padding, "use_consistent_padding"),
        groups=("groups", groups),
    )


def kernel_layout(rank: int, transpose_kernel: bool = False, groups: int = 1) -> KernelLayout:
    """How the parameter ``kernel`` lies.

    It is ``(k..., in / groups, out)``, or ``(k..., out / groups, in)`` with ``transpose_kernel``.
    """
    return lax.kernel_layout(rank, transpose_kernel=transpose_kernel, groups=groups)


def call(spec: Spec, *, transpose_kernel: bool = False, nnx: bool = False) -> Call:
    """The layer that computes a geometry: every one of up to three spatial axes without groups.

    The arguments are those beside the numbers of features, and without ``use_bias=False``, which is for the caller to
    say. The layer is exact for inputs of at least one pixel.
    """
    axes, groups, rank = spec.axes, spec.groups, spec.rank
    if groups > 1:
        raise ArgumentError(
            "Flax's ConvTranspose has no groups",
            got=f"groups = {groups}",
            legal="groups = 1",
            fix="use jconvt.linen.ConvTranspose or jconvt.nnx.ConvTranspose, which are the same with groups",
        )
    if not 1 <= rank <= 3:
        raise ArgumentError(
            "Flax's ConvTranspose has one to three spatial axes",
            got=f"{rank} axes",
            legal="1 to 3 axes",
            fix="call jconvt.lax.conv_transpose with dimension_numbers",
        )
    arguments: dict[str, Any] = {"kernel_size": tuple(axis.kernel for axis in axes)}
    if any(axis.stride > 1 for axis in axes):
        arguments["strides"] = tuple(axis.stride for axis in axes)
    padding = lax.padding_of(axes)
    if padding != "SAME":
        arguments["padding"] = padding
    if any(axis.dilation > 1 for axis in axes):
        arguments["kernel_dilation"] = tuple(axis.dilation for axis in axes)
    if transpose_kernel:
        arguments["transpose_kernel"] = True
    return Call(
        function="flax.nnx.ConvTranspose" if nnx else "flax.linen.ConvTranspose",
        arguments=arguments,
        layout=Layout(rank),
        kernel=kernel_layout(rank, transpose_kernel),
        crop=remainder(axes, axes),
    )


def _padding(padding: Any, rank: int) -> Any:
    """What ``jax.lax`` is passed: a name, or pairs. They are checked there."""
    legal = f"'SAME', 'VALID', an integer, or a sequence of {rank} integers or pairs (before, after)"
    if isinstance(padding, str):
        if padding.upper() == "CIRCULAR":
            raise ArgumentError(
                "circular padding wraps the canvas around, and jconvt crops it",
                got=f"padding = {padding!r}",
                legal=legal,
                fix="use jconvt.linen.ConvTranspose or jconvt.nnx.ConvTranspose, or pass another padding",
            )
        return padding
    if single(padding):
        return ((padding, padding),) * rank
    return [(pad, pad) if single(pad) else pad for pad in sequence(padding, "padding", legal)]


def _check_kernel_size(kernel_size: Any, kernel: Sequence[int]) -> None:
    legal = f"{tuple(kernel)}, the kernel's"
    found = sequence((kernel_size,) if single(kernel_size) else kernel_size, "kernel_size", legal)
    if [integer(k, f"kernel_size[{i}]", 1) for i, k in enumerate(found)] != list(kernel):
        raise ArgumentError(
            "kernel_size is not the kernel's",
            got=f"kernel_size = {kernel_size}",
            legal=legal,
            fix="leave it out, or check the order of the kernel's axes: channels last",
        )


CONVENTION = Convention(
    name="flax",
    function="flax.linen.ConvTranspose",
    arguments=("strides", "padding", "kernel_dilation", "transpose_kernel", "kernel_size"),
    positional=("strides", "padding", "kernel_dilation", "transpose_kernel"),
    resolve=resolve,
    call=lambda spec, *shapes: call(spec),
    kernel_layout=lambda rank, groups, arguments: kernel_layout(rank, arguments.get("transpose_kernel", False)),
    complete=lambda arguments, kernel, output_shape: {"kernel_size": kernel} | arguments,
    options={"stride": "strides", "padding": "padding", "dilation": "kernel_dilation"},
    code="""import flax.linen as nn

layer = nn.ConvTranspose(features={out_channels}{arguments}, use_bias=False)
{y} = layer.apply({{"params": {{"kernel": {w}}}}}, {x})""",
)
