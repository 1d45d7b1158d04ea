"""The code in the README and in the documentation runs as tests, and programs compile quickly."""

import importlib.util
import os
import pathlib

from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")  # one CPU acts as eight devices, for the tests of sharding
# Most of the time of the tests is XLA compiling small programs that run once. Processes that tests start inherit this.
if "xla_backend_optimization_level" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0".strip()

collect_ignore = ["docs/conf.py", "docs/picture.py"]  # they need what only the documentation's build needs
_PUBLISHED = pathlib.Path(__file__).parent / "tests" / "support" / "published"
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
    "tests/cli/test_models.py": ["flax", "matplotlib"],
    "tests/support/onnx_backend.py": ["onnx"],
    "jconvt/weights/models/equinox.py": ["equinox"],
    "jconvt/weights/models/linen.py": ["flax"],
    "jconvt/weights/models/nnx.py": ["flax"],
    "jconvt/weights/formats/_hdf5_probe.py": ["h5py"],
    "tests/support/generated_jax.py": ["equinox", "flax"],
    "tests/support/generated_keras.py": ["keras"],
    "tests/support/generated_torch.py": ["safetensors", "torch"],
    "tests/support/make_goldens.py": ["tensorflow"],
    "tests/support/onnxruntime_calls.py": ["onnx", "onnxruntime"],
    **{f"tests/support/published/{each.name}": ["flax", "keras", "torch"] for each in _PUBLISHED.glob("*.py")},
}
"""The packages that the code of a file needs besides jconvt. The documentation's build runs the cells of notebooks."""


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
