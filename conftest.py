"""The code in the README and in the documentation is run as tests."""

import importlib.util

from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser

collect_ignore = ["docs/conf.py", "docs/picture.py"]  # they need what only the documentation's build needs
if importlib.util.find_spec("onnx") is None:
    collect_ignore.append("jconvt/onnx/backend.py")
if importlib.util.find_spec("matplotlib") is None:
    collect_ignore += [f"jconvt/explanation/{name}.py" for name in ("animation", "board", "figures", "pieces")]

pytest_collect_file = Sybil(parsers=[PythonCodeBlockParser()], patterns=["README.md", "docs/*.md"]).pytest()
