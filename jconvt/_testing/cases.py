"""The calls that ``jconvt check`` makes: small, of every geometry, on operands that are drawn the same each time."""

import dataclasses
import itertools
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from .._conventions import tensorflow as convention
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ..tensorflow import conv_transpose

PRECISION = "highest"
"""TPUs multiply float32 in bfloat16 unless told otherwise."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A call of ``conv_transpose``, without its operands' values."""

    name: str
    input: tuple[int, ...]
    filters: tuple[int, ...]
    arguments: dict[str, Any]

    @property
    def geometry(self) -> tuple[Spec, Layout]:
        return convention.resolve(self.input, self.filters, **self.arguments)

    def operands(self, dtype: str, whole: bool = False) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Input, filters and an array of the output's shape: drawn, and the same each time."""
        spec, layout = self.geometry
        sizes = spec.output_sizes(layout.spatial(self.input))
        output = layout.shape(self.input[0], sizes, self.filters[-2] * spec.groups)
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))

        def draw(shape: tuple[int, ...]) -> NDArray[Any]:
            if whole or jnp.issubdtype(dtype, jnp.integer):
                return rng.integers(-9, 10, shape).astype(dtype)
            values = rng.standard_normal(shape)
            if jnp.issubdtype(dtype, jnp.complexfloating):
                values = values + 1j * rng.standard_normal(shape)
            return values.astype(jnp.dtype(dtype))

        return draw(self.input), draw(self.filters), draw(output)

    def compute(self, x: Any, w: Any, method: str) -> jax.Array:
        return conv_transpose(x, w, **self.arguments, method=method, precision=PRECISION)


SIZES = [
    Case(*case)
    for case in [
        *((f"1d-same-{n}", (1, 3, 2), (4, 3, 2), dict(output_shape=[n], strides=3)) for n in (7, 8, 9)),
        *(
            (f"1d-valid-{n}", (1, 3, 2), (4, 3, 2), dict(output_shape=[n], strides=3, padding="VALID"))
            for n in (10, 11, 12)
        ),
        *((f"1d-gaps-{n}", (1, 3, 2), (2, 3, 2), dict(output_shape=[n], strides=3)) for n in (7, 8, 9)),
        *((f"1d-pads-{n}", (1, 3, 2), (5, 3, 2), dict(output_shape=[n], strides=2, padding=[(2, 1)])) for n in (6, 7)),
        *(
            (f"2d-valid-{m}-{n}", (1, 2, 3, 2), (3, 2, 2, 2), dict(output_shape=[m, n], strides=2, padding="VALID"))
            for m, n in itertools.product((5, 6), (6, 7))
        ),
    ]
]
"""Every legal output size of some geometries."""

CASES = [
    Case(*case)
    for case in [
        ("1d", (2, 5, 3), (3, 2, 3), dict(strides=2)),
        ("1d-one-pixel", (2, 1, 3), (7, 2, 3), dict(strides=2)),
        ("1d-channels-first", (2, 3, 4), (4, 2, 3), dict(strides=2, data_format="NCW", padding="VALID")),
        ("1d-dilated", (1, 4, 2), (3, 3, 2), dict(strides=2, dilations=3)),
        ("2d", (2, 3, 4, 3), (3, 3, 2, 3), dict(strides=2)),
        ("2d-stride-1", (1, 4, 3, 2), (3, 2, 3, 2), dict()),
        ("2d-even", (1, 3, 3, 4), (4, 4, 2, 4), dict(strides=2)),
        ("2d-gaps", (1, 3, 2, 2), (2, 1, 3, 2), dict(strides=(3, 4))),
        ("2d-unequal", (1, 3, 4, 2), (2, 5, 3, 2), dict(strides=(3, 1), padding="VALID")),
        ("2d-explicit", (1, 4, 3, 2), (4, 3, 3, 2), dict(strides=2, padding=[(1, 2), (0, 1)])),
        ("2d-output-padding", (1, 3, 3, 2), (3, 3, 3, 2), dict(strides=2, output_padding=1)),
        ("2d-dilated", (1, 3, 3, 2), (3, 2, 3, 2), dict(strides=2, dilations=(2, 3))),
        ("2d-groups", (1, 3, 3, 4), (3, 3, 3, 4), dict(strides=2, groups=2)),
        ("2d-depthwise", (2, 3, 3, 4), (4, 4, 1, 4), dict(strides=2, groups=4)),
        ("2d-channels-first", (1, 3, 4, 3), (3, 2, 2, 3), dict(strides=2, data_format="NCHW")),
        (
            "2d-everything",
            (2, 4, 3, 2),
            (3, 2, 2, 4),
            dict(strides=(2, 3), dilations=(2, 1), groups=2, padding=[(1, 0), (0, 1)], data_format="NCHW"),
        ),
        ("3d", (1, 2, 3, 2, 2), (3, 2, 3, 2, 2), dict(strides=2)),
        ("3d-valid", (1, 2, 2, 3, 2), (2, 3, 4, 3, 2), dict(strides=(3, 1, 2), padding="VALID")),
        (
            "3d-groups",
            (1, 4, 2, 2, 2),
            (3, 2, 2, 1, 4),
            dict(strides=(2, 1, 2), dilations=(1, 2, 1), groups=4, data_format="NCDHW"),
        ),
    ]
]
"""One case for each feature of the geometry, and some with several."""
