"""Weights of other frameworks, read into models of Flax and Equinox, and written back.

    from jconvt import weights
    checkpoint = weights.read("decoder.keras")
    variables, report = weights.into_linen(checkpoint, module, x)
    print(report)

``read`` takes Keras's ``.keras`` and ``.h5``, PyTorch's ``.pt``, ``.safetensors`` and ``.onnx``. The files may come
from strangers: no code in them is run, nothing outside their folder is read, and no array is made that is larger than
the file. ``import jconvt`` does not bring this module: it is imported by name.
"""

from .conversion import convert
from .equinox import from_equinox, into_equinox
from .files import read, write
from .frameworks import KINDS, TARGETS
from .layer import Checkpoint, Layer
from .linen import from_linen, into_linen
from .nnx import from_nnx, into_nnx
from .report import Report, Row

__all__ = [
    "KINDS",
    "TARGETS",
    "Checkpoint",
    "Layer",
    "Report",
    "Row",
    "convert",
    "from_equinox",
    "from_linen",
    "from_nnx",
    "into_equinox",
    "into_linen",
    "into_nnx",
    "read",
    "write",
]
