"""The code in the README and in the documentation is run as tests."""

import importlib.util
import os

from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")  # one CPU pretends to be eight, for what is split over devices

collect_ignore = ["docs/conf.py", "docs/picture.py"]  # they need what only the documentation's build needs
_NEEDS = {
    "docs/from_flax.md": ["flax"],
    "docs/from_keras.md": ["flax", "keras", "tensorflow"],
    "docs/from_onnx.md": ["onnx", "onnxruntime"],
    "docs/from_torch.md": ["torch"],
    "docs/layers.md": ["flax"],
    "docs/weights.md": ["flax", "safetensors"],
    "jconvt/equinox.py": ["equinox"],
    **{f"jconvt/_explain/{name}.py": ["matplotlib"] for name in ("canvas", "drawing", "figures")},
    "jconvt/linen.py": ["flax"],
    "jconvt/nnx.py": ["flax"],
    "tests/support/onnx_backend.py": ["onnx"],
    "jconvt/weights/equinox.py": ["equinox"],
    "jconvt/weights/linen.py": ["flax"],
    "jconvt/weights/nnx.py": ["flax"],
    "jconvt/weights/probe.py": ["h5py"],
    "tests/support/make_goldens.py": ["tensorflow"],
    "tests/support/onnxruntime_calls.py": ["onnx", "onnxruntime"],
}
"""What the code of a file needs beyond jconvt. The cells of notebooks are run by the documentation's build instead."""


def installed(*names: str) -> bool:
    """Whether these packages are there."""
    return all(map(importlib.util.find_spec, names))


_without = [path for path, names in _NEEDS.items() if not installed(*names)]
collect_ignore += _without

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "docs/*.md"],
    excludes=_without,
    setup=lambda namespace: namespace.update(installed=installed),
).pytest()
