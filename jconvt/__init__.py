"""Transposed convolution for JAX: differentiable, with the results of ``tf.nn.conv2d_transpose`` and its family."""

from typing import TYPE_CHECKING, Any

from . import keras, lax, onnx, tensorflow, torch
from ._accelerate import accelerate
from ._conventions.convention import Call
from ._core.plain import plain_jax
from ._core.selection import Choice, Decision, choose
from ._geometry.axis import Axis
from ._geometry.kernel_layout import KernelConversion, KernelLayout
from ._geometry.layout import Layout
from ._geometry.spec import Spec
from ._native import NativeStatus, native_status
from ._translation import Translation, translate
from .errors import ArgumentError, ArgumentTypeError
from .tensorflow import conv1d_transpose, conv2d_transpose, conv3d_transpose, conv_transpose

if TYPE_CHECKING:
    from ._explain import Explanation, Product, explain

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "ArgumentTypeError",
    "Axis",
    "Call",
    "Choice",
    "Decision",
    "Explanation",
    "KernelConversion",
    "KernelLayout",
    "Layout",
    "NativeStatus",
    "Product",
    "Spec",
    "Translation",
    "accelerate",
    "choose",
    "conv1d_transpose",
    "conv2d_transpose",
    "conv3d_transpose",
    "conv_transpose",
    "explain",
    "keras",
    "lax",
    "native_status",
    "onnx",
    "plain_jax",
    "tensorflow",
    "torch",
    "translate",
]

_ON_DEMAND = ("Explanation", "Product", "explain")


def __getattr__(name: str) -> Any:
    """Import ``explain`` on first use, so that programs that only compute do not load it."""
    if name not in _ON_DEMAND:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import _explain

    return getattr(_explain, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_DEMAND})
