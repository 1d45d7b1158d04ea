"""The code in the README and in the documentation is run as tests."""

import importlib.util

from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser

collect_ignore = ["docs/conf.py", "docs/picture.py"]  # they need what only the documentation's build needs
collect_ignore += [
    f"jconvt/{module}.py"
    for package, modules in {
        "equinox": ["equinox"],
        "flax": ["linen", "nnx"],
        "matplotlib": [f"explanation/{name}" for name in ("animation", "board", "figures", "pieces")],
        "onnx": ["onnx/backend"],
    }.items()
    if importlib.util.find_spec(package) is None
    for module in modules
]

_PAGES = {
    "docs/from_flax.md": ["flax"],
    "docs/from_keras.md": ["flax", "keras", "tensorflow"],
    "docs/from_onnx.md": ["onnx", "onnxruntime"],
    "docs/from_torch.md": ["torch"],
    "docs/layers.md": ["flax"],
}
"""What the code of a page needs beyond jconvt. The cells of notebooks are run by the documentation's build instead."""

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser()],
    patterns=["README.md", "docs/*.md"],
    excludes=[page for page, packages in _PAGES.items() if not all(map(importlib.util.find_spec, packages))],
).pytest()
