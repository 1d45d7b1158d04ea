"""Explanations that several files show."""

import numpy as np
import pytest

from jconvt import explain
from jconvt._testing import example

NAUGHTY = "</script><script>alert(1)</script><!-- & \"quoted\" 'too' {{data}} \\u003c"


@pytest.fixture(scope="session")
def _corner():
    return explain(example.INPUT, example.FILTERS, **example.ARGUMENTS)


@pytest.fixture
def corner(_corner):
    """The five-by-five example; a copy, so that a test may change it."""
    return _corner.pair(0, 0)


@pytest.fixture(scope="session")
def other():
    """One dimension, a dilated kernel, gaps, NaN and infinity, and a name that breaks out of careless pages."""
    x, w = np.array([3, np.nan, -1, 0.25], np.float32), np.array([1, -2, np.inf], np.float32)
    return explain(x.reshape(1, 4, 1), w.reshape(3, 1, 1), strides=3, padding="VALID", dilations=2, name=NAUGHTY)


@pytest.fixture
def naughty():
    return NAUGHTY
