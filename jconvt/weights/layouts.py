"""The names of each framework's arrays, and the layouts of its kernels.

A dense layer is a convolution without spatial axes, and a forward convolution has the kernel of the transposed one
that is its gradient: ``(k..., in / groups, out)`` of the first is ``(k..., out / groups, in)`` of the second. So one
``KernelLayout`` describes them all. Only Flax and Equinox store the kernel of a transposed convolution differently
from a forward one's: flipped, and with the channels swapped.
"""

from .._conventions import equinox, flax, torch
from .._geometry.kernel_layout import KernelLayout, filters_layout
from ..errors import ArgumentError

KINDS = ("conv_transpose", "conv", "dense", "norm")
"""The kinds of layers that are converted."""

CONVERTED = "convolutions, transposed convolutions, dense layers and norms"  # in the words of error messages
UNKNOWN = "unknown"  # a convolution when the file does not say whether it is transposed
OTHER = "other"  # everything that is not converted
CONVOLUTIONS = ("conv_transpose", "conv", UNKNOWN)

ROLES = ("kernel", "scale", "bias", "mean", "var")
"""The purposes of a layer's arrays, in the order in which they are listed. Flax's layers use the same names."""

_FLIPPING = ("flax", "equinox")

_SUFFIXES = {
    "torch": {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"},
    "keras": {"kernel": "kernel", "scale": "gamma", "bias": "bias", "mean": "moving_mean", "var": "moving_variance"},
    "flax": {"kernel": "kernel", "scale": "scale", "bias": "bias", "mean": "mean", "var": "var"},
    "equinox": {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "mean", "var": "var"},
}
_SUFFIXES["onnx"] = _SUFFIXES["torch"]

FRAMEWORKS = tuple(_SUFFIXES)  # whose arrays can be read
TARGETS = ("torch", "keras", "flax", "equinox")
"""The frameworks that a checkpoint can be converted to."""


def suffix(framework: str, kind: str, role: str) -> str:
    """Return the framework's name for an array of this role. An array without a known role keeps its name."""
    if framework == "keras" and kind == "norm" and role == "bias":
        return "beta"
    return _SUFFIXES[framework].get(role, role)


def role_of(framework: str, name: str, rank: int) -> str | None:
    """Return the role of an array by its name, or ``None``: the inverse of ``suffix``.

    Where a kernel and a scale share a name, as ``weight`` in PyTorch, an array of rank 1 is a scale.
    """
    if framework == "keras" and name == "beta":
        return "bias"
    found = [role for role, suffix in _SUFFIXES[framework].items() if suffix == name]
    if found == ["kernel", "scale"]:
        return "kernel" if rank > 1 else "scale"
    return found[0] if found else None


def layout(framework: str, kind: str, rank: int, groups: int = 1, transpose_kernel: bool = False) -> KernelLayout:
    """Return the layout of the framework's kernel, for a layer of ``kind`` with ``rank`` spatial axes.

    Raises:
      ArgumentError: the layout depends on the kind, and ``kind`` is "unknown".
    """
    if framework in _FLIPPING and kind == UNKNOWN:
        stored = "stores the kernel of a transposed convolution flipped, and that of a convolution unflipped"
        got, legal = "a convolution whose file does not say which of the two it is", "kind 'conv_transpose' or 'conv'"
        fix = "pass kinds={'PATTERN': 'conv_transpose'}, or --kind PATTERN=conv_transpose, for the layer's path"
        raise ArgumentError(f"{framework} {stored}", got=got, legal=legal, fix=fix)
    if framework == "flax" and kind == "conv_transpose":
        return flax.kernel_layout(rank, transpose_kernel, groups)
    if framework == "equinox" and kind == "conv_transpose":
        return equinox.kernel_layout(rank, groups)
    return filters_layout(rank) if framework in ("flax", "keras") else torch.kernel_layout(rank)
