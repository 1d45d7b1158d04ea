"""The code in the README and in the documentation is run as tests."""

import importlib.util

from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser

collect_ignore = ["docs/conf.py", "docs/picture.py"]  # they need what only the documentation's build needs
collect_ignore += [
    module
    for package, modules in {
        "onnx": ["jconvt/onnx/backend.py"],
        "flax": ["jconvt/linen.py", "jconvt/nnx.py"],
        "equinox": ["jconvt/equinox.py"],
    }.items()
    if importlib.util.find_spec(package) is None
    for module in modules
]

pytest_collect_file = Sybil(parsers=[PythonCodeBlockParser()], patterns=["README.md", "docs/*.md"]).pytest()
