"""Read other frameworks' weights into models of Flax and Equinox, and write them back.

    from jconvt import weights
    checkpoint = weights.read("decoder.keras")
    variables, report = weights.into_linen(checkpoint, module, x)
    print(report)

``read`` accepts Keras's ``.keras`` and ``.h5``, PyTorch's ``.pt``, ``.safetensors`` and ``.onnx``; ``from_state_dict``
accepts arrays in memory. The files may be untrusted: no code in them runs, no file outside their folder is read, and no
array is larger than its file.
``import jconvt`` does not import this module: import it by name.
"""

from .checkpoint import Checkpoint, Layer
from .conversion import convert
from .files import read, write
from .formats.state_dict import from_state_dict
from .layouts import KINDS, TARGETS
from .models.equinox import from_equinox, into_equinox
from .models.linen import from_linen, into_linen
from .models.nnx import from_nnx, into_nnx
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
    "from_state_dict",
    "into_equinox",
    "into_linen",
    "into_nnx",
    "read",
    "write",
]
