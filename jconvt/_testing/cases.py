"""The calls that ``jconvt check`` makes: small, of every kind of geometry, on the same random operands each time."""

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
"""Full precision: by default, TPUs multiply float32 in bfloat16."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A call of ``conv_transpose`` without the values of its operands."""

    name: str
    input: tuple[int, ...]
    filters: tuple[int, ...]
    arguments: dict[str, Any]
    function = "conv_transpose"

    @property
    def geometry(self) -> tuple[Spec, Layout]:
        return convention.resolve(self.input, self.filters, **self.arguments)

    def operands(self, dtype: str, whole: bool = False) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return random input, filters and an array of the output's shape: the same each time."""
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


def _case(name: str, input: tuple[int, ...], filters: tuple[int, ...], **arguments: Any) -> Case:
    return Case(name, input, filters, arguments)


def _sizes(name: str, input: tuple[int, ...], filters: tuple[int, ...], *outputs: Any, **arguments: Any) -> list[Case]:
    """Return a case for each output size."""
    return [
        _case(f"{name}-{'-'.join(map(str, sizes))}", input, filters, output_shape=[*sizes], **arguments)
        for sizes in outputs
    ]


SIZES = [
    *_sizes("1d-same", (1, 3, 2), (4, 3, 2), (7,), (8,), (9,), strides=3),
    *_sizes("1d-valid", (1, 3, 2), (4, 3, 2), (10,), (11,), (12,), strides=3, padding="VALID"),
    *_sizes("1d-gaps", (1, 3, 2), (2, 3, 2), (7,), (8,), (9,), strides=3),
    *_sizes("1d-pads", (1, 3, 2), (5, 3, 2), (6,), (7,), strides=2, padding=[(2, 1)]),
    *_sizes("2d-valid", (1, 2, 3, 2), (3, 2, 2, 2), *itertools.product((5, 6), (6, 7)), strides=2, padding="VALID"),
]
"""All legal output sizes of some geometries."""

CASES = [
    _case("1d", (2, 5, 3), (3, 2, 3), strides=2),
    _case("1d-one-pixel", (2, 1, 3), (7, 2, 3), strides=2),
    _case("1d-channels-first", (2, 3, 4), (4, 2, 3), strides=2, data_format="NCW", padding="VALID"),
    _case("1d-dilated", (1, 4, 2), (3, 3, 2), strides=2, dilations=3),
    _case("2d", (2, 3, 4, 3), (3, 3, 2, 3), strides=2),
    _case("2d-stride-1", (1, 4, 3, 2), (3, 2, 3, 2)),
    _case("2d-even", (1, 3, 3, 4), (4, 4, 2, 4), strides=2),
    _case("2d-gaps", (1, 3, 2, 2), (2, 1, 3, 2), strides=(3, 4)),
    _case("2d-unequal", (1, 3, 4, 2), (2, 5, 3, 2), strides=(3, 1), padding="VALID"),
    _case("2d-explicit", (1, 4, 3, 2), (4, 3, 3, 2), strides=2, padding=[(1, 2), (0, 1)]),
    _case("2d-output-padding", (1, 3, 3, 2), (3, 3, 3, 2), strides=2, output_padding=1),
    _case("2d-dilated", (1, 3, 3, 2), (3, 2, 3, 2), strides=2, dilations=(2, 3)),
    _case("2d-groups", (1, 3, 3, 4), (3, 3, 3, 4), strides=2, groups=2),
    _case("2d-depthwise", (2, 3, 3, 4), (4, 4, 1, 4), strides=2, groups=4),
    _case("2d-channels-first", (1, 3, 4, 3), (3, 2, 2, 3), strides=2, data_format="NCHW"),
    _case("2d-everything", (2, 4, 3, 2), (3, 2, 2, 4), strides=(2, 3), dilations=(2, 1), groups=2,
          padding=[(1, 0), (0, 1)], data_format="NCHW"),
    _case("3d", (1, 2, 3, 2, 2), (3, 2, 3, 2, 2), strides=2),
    _case("3d-valid", (1, 2, 2, 3, 2), (2, 3, 4, 3, 2), strides=(3, 1, 2), padding="VALID"),
    _case("3d-groups", (1, 4, 2, 2, 2), (3, 2, 2, 1, 4), strides=(2, 1, 2), dilations=(1, 2, 1), groups=4,
          data_format="NCDHW"),
]  # fmt: skip
"""One case for each feature of a geometry, and some with several."""
