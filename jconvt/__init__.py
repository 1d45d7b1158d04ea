"""Transposed convolution for JAX: what ``tf.nn.conv2d_transpose`` and its family compute, differentiable."""

from . import tensorflow
from .axis import Axis
from .choice import Choice, Decision, choose
from .errors import ArgumentError, ArgumentTypeError
from .spec import Spec
from .tensorflow import conv1d_transpose, conv2d_transpose, conv3d_transpose, conv_transpose

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "ArgumentTypeError",
    "Axis",
    "Choice",
    "Decision",
    "Spec",
    "choose",
    "conv1d_transpose",
    "conv2d_transpose",
    "conv3d_transpose",
    "conv_transpose",
    "tensorflow",
]
