"""The names of each framework's arrays, and the layouts of its kernels.

A dense layer is a convolution without spatial axes, and a forward convolution has the kernel of the transposed one
that is its gradient: ``(k..., in / groups, out)`` of the first is ``(k..., out / groups, in)`` of the second. So one
``KernelLayout`` describes them all. Only Flax and Equinox store the kernel of a transposed convolution differently
from a forward one's: flipped, and with the channels swapped.
"""

import dataclasses
from collections.abc import Callable, Mapping

from .._conventions import equinox, flax, torch
from .._geometry.kernel_layout import KernelLayout, filters_layout
from ..errors import ArgumentError

KINDS = ("conv_transpose", "conv", "dense", "norm", "prelu")
"""The kinds of layers that are converted."""

CONVERTED = "convolutions, transposed convolutions, dense layers, norms and PReLU"  # in the words of error messages
UNKNOWN = "unknown"  # a convolution when the file does not say whether it is transposed
VECTOR = "norm or prelu"  # one vector per layer, in a file where both have the same name
OTHER = "other"  # everything that is not converted
CONVOLUTIONS = ("conv_transpose", "conv", UNKNOWN)
CHOICES = {UNKNOWN: CONVOLUTIONS, VECTOR: ("norm", "prelu", VECTOR)}
"""The kinds that a layer may have whose file does not say."""

ROLES = ("kernel", "scale", "bias", "mean", "var", "negative_slope")
"""The purposes of a layer's arrays, in the order in which they are listed. Flax's layers use the same names."""


@dataclasses.dataclass(frozen=True)
class Stored:
    """The form in which a framework stores the arrays of a layer.

    Attributes:
      suffixes: the name of each role's array.
      kernel: the layout of the kernel of a convolution, by rank.
      transposed: the layout of the kernel of a transposed convolution, by rank, ``transpose_kernel`` and groups; by
        default that of the forward convolution which is its gradient.
      norm_bias: the name of the bias of a norm.
      channels_first: whether images have the channels first.
      has_transpose_kernel: whether layers have that option.
      bias_has_axes: whether the bias of a convolution has the spatial axes, of size 1.
      has_transposed_groups: whether transposed convolutions may have groups.
      has_scalars: whether a slope for all channels has no axes.
    """

    suffixes: Mapping[str, str]
    kernel: Callable[[int], KernelLayout]
    transposed: Callable[[int, bool, int], KernelLayout] | None = None
    norm_bias: str = "bias"
    channels_first: bool = False
    has_transpose_kernel: bool = False
    bias_has_axes: bool = False
    has_transposed_groups: bool = True
    has_scalars: bool = False


_NAMES = {role: role for role in ROLES}
_WEIGHTS = {"kernel": "weight", "scale": "weight"}
_TORCH = Stored(
    _NAMES | _WEIGHTS | {"mean": "running_mean", "var": "running_var", "negative_slope": "weight"},
    torch.kernel_layout,
    channels_first=True,
)
STORED = {
    "torch": _TORCH,
    "keras": Stored(
        _NAMES | {"scale": "gamma", "mean": "moving_mean", "var": "moving_variance", "negative_slope": "alpha"},
        filters_layout,
        norm_bias="beta",
        has_transposed_groups=False,
    ),
    "flax": Stored(_NAMES, filters_layout, flax.kernel_layout, has_transpose_kernel=True, has_scalars=True),
    "equinox": Stored(
        _NAMES | _WEIGHTS,
        torch.kernel_layout,
        lambda rank, _, groups: equinox.kernel_layout(rank, groups),
        channels_first=True,
        bias_has_axes=True,
        has_scalars=True,
    ),
    "onnx": _TORCH,
}

FRAMEWORKS = tuple(STORED)  # whose arrays can be read
TARGETS = ("torch", "keras", "flax", "equinox")
"""The frameworks that a checkpoint can be converted to."""


def suffix(framework: str, kind: str, role: str) -> str:
    """Return the framework's name for an array of this role. An array without a known role keeps its name."""
    if kind == "norm" and role == "bias":
        return STORED[framework].norm_bias
    return STORED[framework].suffixes.get(role, role)


def role_of(framework: str, name: str, rank: int) -> str | None:
    """Return the role of an array by its name, or ``None``: the inverse of ``suffix``.

    Where several roles share a name, as ``weight`` in PyTorch, an array of rank 1 is a scale.
    """
    stored = STORED[framework]
    if name == stored.norm_bias:
        return "bias"
    found = [role for role, suffix in stored.suffixes.items() if suffix == name]
    if found[:2] == ["kernel", "scale"]:
        return "kernel" if rank > 1 else "scale"
    return found[0] if found else None


def layout(framework: str, kind: str, rank: int, groups: int = 1, transpose_kernel: bool = False) -> KernelLayout:
    """Return the layout of the framework's kernel, for a layer of ``kind`` with ``rank`` spatial axes.

    Raises:
      ArgumentError: the layout depends on the kind, and ``kind`` is "unknown".
    """
    stored = STORED[framework]
    if stored.transposed is not None and kind == UNKNOWN:
        problem = (
            f"{framework} stores the kernel of a transposed convolution flipped, and that of a convolution unflipped"
        )
        got, legal = "a convolution whose file does not say which of the two it is", "kind 'conv_transpose' or 'conv'"
        fix = "pass kinds={'PATTERN': 'conv_transpose'}, or --kind PATTERN=conv_transpose, for the layer's path"
        raise ArgumentError(problem, got=got, legal=legal, fix=fix)
    if stored.transposed is not None and kind == "conv_transpose":
        return stored.transposed(rank, transpose_kernel, groups)
    return stored.kernel(rank)
