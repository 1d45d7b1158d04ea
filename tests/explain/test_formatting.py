"""Numbers as text, and the colours of pixels."""

import itertools

import numpy as np
import pytest

from jconvt._explain.formatting import colour_number, format_factor, format_number


@pytest.mark.parametrize(
    "value", [0, 1, -5, 0.5, -0.0, 2.0**60, 1e-9, 123456789.0, 1.5 - 2j, np.float32(0.1), np.uint8(200)]
)
def test_format_number__reads_back(value):
    text = format_number(value)
    assert complex(text.replace("i", "j")) == pytest.approx(value, rel=1e-5)
    assert format_factor(value).startswith("(") == isinstance(value, complex)


def test_colour_number__neighbours_differ():
    for row, column in itertools.product(range(6), repeat=2):
        near = {colour_number((row + i, column + j)) for i, j in itertools.product((0, 1), repeat=2)}
        assert len(near) == 4
    assert [colour_number((i,)) for i in range(8)] == [0, 1, 2, 3, 4, 5, 6, 0]
