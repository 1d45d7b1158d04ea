"""The conventions that ``translate``, ``explain`` and the command line know: a new one is one file and one line."""

from ..errors import ArgumentError
from . import flax, keras, lax, onnx, tensorflow, torch
from .convention import Convention

CONVENTIONS: dict[str, Convention] = {
    convention.name: convention
    for convention in (
        tensorflow.CONVENTION,
        keras.CONVENTION,
        torch.CONVENTION,
        onnx.CONVENTION,
        lax.CONVENTION,
        flax.CONVENTION,
        tensorflow.JCONVT,
    )
}
"""By name. "jconvt" is ``jconvt.conv_transpose``, in any number of dimensions."""


def named(name: str, argument: str) -> Convention:
    """Return the convention of this name, or raise an error about the ``argument`` that named it."""
    if name in CONVENTIONS:
        return CONVENTIONS[name]
    legal = ", ".join(map(repr, CONVENTIONS))
    raise ArgumentError(f"unknown {argument}", got=f"{name!r}", legal=legal, fix="pass one of these")
