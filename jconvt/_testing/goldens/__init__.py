"""Outputs that TensorFlow computed once, stored to compare with on machines without TensorFlow.

``manifest.json`` holds TensorFlow's version, the script that called it, and the arguments of each call; ``arrays.npz``
holds the operands and outputs. If ``exact`` is set, operands are small integers, and every correct method gives the
same digits.
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
    """One call of ``jconvt.tensorflow``'s ``function``, and TensorFlow's output."""

    name: str
    function: str
    dtype: str
    exact: bool
    arguments: dict[str, Any]
    input: NDArray[Any]
    filters: NDArray[Any]
    output: NDArray[Any]

    def compute(self, **options: Any) -> jax.Array:
        """Return jconvt's output for the same call, with jconvt's ``options``, such as ``method``."""
        if self.function == "conv2d_backprop_input":
            operands = {"out_backprop": self.input, "filter": self.filters}
            return tensorflow.conv2d_backprop_input(**operands, **self.arguments, **options)
        return getattr(tensorflow, self.function)(self.input, self.filters, **self.arguments, **options)


@functools.cache
def manifest() -> dict[str, Any]:
    """Return the versions and the script that made the goldens, and the calls."""
    return json.loads(importlib.resources.files(__name__).joinpath("manifest.json").read_text())


def load() -> list[Golden]:
    """Return all goldens, the five-by-five example first.

    >>> corner = load()[0]
    >>> corner.name, corner.output[0, 0, :, 0].tolist()
    ('example', [67.0, -134.0, 278.0, -154.0, 231.0])
    """
    with importlib.resources.files(__name__).joinpath("arrays.npz").open("rb") as file, np.load(file) as arrays:
        return [
            Golden(**case, **{part: arrays[f"{case['name']}/{part}"] for part in ("input", "filters", "output")})
            for case in manifest()["cases"]
        ]
