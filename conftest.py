"""The code in the README and in the documentation is run as tests."""

import importlib.util

from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser

collect_ignore = ["docs/conf.py", "docs/picture.py"]  # they need what only the documentation's build needs
_NEEDS = {
    "jconvt/onnx/backend.py": ["onnx"],
    "jconvt/linen.py": ["flax"],
    "jconvt/nnx.py": ["flax"],
    "jconvt/equinox.py": ["equinox"],
    "jconvt/weights/linen.py": ["flax"],
    "jconvt/weights/probe.py": ["h5py"],
    "jconvt/weights/nnx.py": ["flax"],
    "jconvt/weights/equinox.py": ["equinox"],
    "docs/weights.md": ["flax", "safetensors"],
}
_without = [path for path, names in _NEEDS.items() if not all(map(importlib.util.find_spec, names))]
collect_ignore += _without

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser()], patterns=["README.md", "docs/*.md"], excludes=_without
).pytest()
