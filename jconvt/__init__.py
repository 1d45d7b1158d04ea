"""Transposed convolution for JAX: what ``tf.nn.conv2d_transpose`` and its family compute, differentiable."""

from . import keras, lax, onnx, tensorflow, torch
from .axis import Axis
from .choice import Choice, Decision, choose
from .conventions.call import Call
from .errors import ArgumentError, ArgumentTypeError
from .explanation import Explanation, Product, explain
from .kernel import KernelConversion, KernelLayout
from .layout import Layout
from .spec import Spec
from .tensorflow import conv1d_transpose, conv2d_transpose, conv3d_transpose, conv_transpose
from .translation import Translation, translate

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
    "Product",
    "Spec",
    "Translation",
    "choose",
    "conv1d_transpose",
    "conv2d_transpose",
    "conv3d_transpose",
    "conv_transpose",
    "explain",
    "keras",
    "lax",
    "onnx",
    "tensorflow",
    "torch",
    "translate",
]
