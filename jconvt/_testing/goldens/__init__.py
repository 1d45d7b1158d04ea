"""Results that TensorFlow computed once, stored so that they can be compared with where TensorFlow is not installed.

``manifest.json`` holds TensorFlow's version, the script that asked it, and the arguments of each call; ``arrays.npz``
its operands and results. Where ``exact`` is set, operands are small integers, and any correct method gives the same
digits.
"""

import dataclasses
import functools
import importlib.resources
import json
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from ... import tensorflow


@dataclasses.dataclass(frozen=True)
class Golden:
    """One call and what TensorFlow answered. ``function`` is of ``jconvt.tensorflow``."""

    name: str
    function: str
    dtype: str
    exact: bool
    arguments: dict[str, Any]
    input: NDArray[Any]
    filters: NDArray[Any]
    output: NDArray[Any]

    def compute(self, **options: Any) -> jax.Array:
        """What jconvt answers to the same call, with ``options`` of its own such as ``method``."""
        if self.function == "conv2d_backprop_input":
            operands = {"out_backprop": self.input, "filter": self.filters}
            return tensorflow.conv2d_backprop_input(**operands, **self.arguments, **options)
        return getattr(tensorflow, self.function)(self.input, self.filters, **self.arguments, **options)


@functools.cache
def manifest() -> dict[str, Any]:
    """The versions and the script that made the goldens, and the calls."""
    return json.loads(importlib.resources.files(__name__).joinpath("manifest.json").read_text())


def load() -> list[Golden]:
    """All goldens, the five-by-five example first.

    >>> corner = load()[0]
    >>> corner.name, corner.output[0, 0, :, 0].tolist()
    ('example', [67.0, -134.0, 278.0, -154.0, 231.0])
    """
    with importlib.resources.files(__name__).joinpath("arrays.npz").open("rb") as file, np.load(file) as arrays:
        return [
            Golden(**case, **{part: arrays[f"{case['name']}/{part}"] for part in ("input", "filters", "output")})
            for case in manifest()["cases"]
        ]
