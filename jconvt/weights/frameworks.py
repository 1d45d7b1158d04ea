"""What each framework calls a layer's arrays, and how it lays out the kernel.

A dense layer is a convolution without spatial axes, and a forward convolution has the kernel of the transposed one
that is its gradient: ``(k..., in / groups, out)`` of the one is ``(k..., out / groups, in)`` of the other. So one
``KernelLayout`` describes them all, and only Flax and Equinox, which turn the kernel of a transposed convolution
round, tell it from the forward one's.
"""

from .._conventions import lax, torch
from .._conventions._dimension_numbers import strings
from .._geometry.kernel_layout import KernelLayout, filters_layout
from ..errors import ArgumentError

KINDS = ("conv_transpose", "conv", "dense", "norm")
"""The kinds of layers that are converted."""

UNKNOWN = "unknown"
"""The kind of a convolution of which the file does not say whether it is a transposed one."""

OTHER = "other"
"""The kind of whatever is not converted."""

_SUFFIXES = {
    "torch": {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"},
    "keras": {"kernel": "kernel", "scale": "gamma", "bias": "bias", "mean": "moving_mean", "var": "moving_variance"},
    "flax": {"kernel": "kernel", "scale": "scale", "bias": "bias", "mean": "mean", "var": "var"},
    "equinox": {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "mean", "var": "var"},
}
_SUFFIXES["onnx"] = _SUFFIXES["torch"]

FRAMEWORKS = tuple(_SUFFIXES)
"""Those whose arrays can be read."""

TARGETS = ("torch", "keras", "flax", "equinox")
"""Those that a checkpoint can be converted to."""


def suffix(framework: str, kind: str, role: str) -> str:
    """What the framework calls the array; one without a role of ours keeps its name."""
    if framework == "keras" and kind == "norm" and role == "bias":
        return "beta"
    return _SUFFIXES[framework].get(role, role)


def role(framework: str, name: str, axes: int) -> str | None:
    """The inverse of ``suffix``, for an array of ``axes`` axes: ``weight`` is a norm's scale if it has one axis."""
    if framework == "keras" and name == "beta":
        return "bias"
    found = [role for role, suffix in _SUFFIXES[framework].items() if suffix == name]
    if found == ["kernel", "scale"]:
        return "kernel" if axes > 1 else "scale"
    return found[0] if found else None


def layout(framework: str, kind: str, rank: int, groups: int = 1, transpose_kernel: bool = False) -> KernelLayout:
    """How the framework's kernel lies, of a layer of ``kind`` with ``rank`` spatial axes."""
    turned = framework in ("flax", "equinox")
    if turned and kind == UNKNOWN:
        raise ArgumentError(
            f"{framework} turns the kernel of a transposed convolution round, and that of a convolution not",
            got="a layer whose file does not say which of them it is",
            legal="kind 'conv_transpose' or 'conv'",
            fix="pass kinds={'pattern of the path': 'conv_transpose'}; on the command line, "
            "--kind 'PATTERN=conv_transpose'",
        )
    if turned and kind == "conv_transpose":
        if framework == "flax":
            return lax.kernel_layout(rank, transpose_kernel=transpose_kernel, groups=groups)
        images = strings(rank, channels_first=True)[0]
        return lax.kernel_layout(rank, (images, f"OI{images[2:]}", images), groups=groups)
    return filters_layout(rank) if framework in ("flax", "keras") else torch.kernel_layout(rank)
