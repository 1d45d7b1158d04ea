"""Fixtures of the tests of ``jconvt.accelerate``."""

import jax
import pytest

import jconvt
from jconvt import _accelerate


@pytest.fixture(autouse=True)
def _nothing_is_replaced_before_and_after():
    with jax.default_device(jax.devices("cpu")[0]):  # nothing is replaced on other devices
        yield
    jconvt.accelerate(False)
    _accelerate._calls.clear()


@pytest.fixture
def all_replaced(monkeypatch):
    """Replace every convolution that is one of the maps: few that are as small as those of tests would be faster."""
    for name in ("_MIN_GAIN", "_MIN_SECONDS"):
        monkeypatch.setattr(_accelerate, name, 0)


@pytest.fixture
def seen():
    """The rows of the report since the start of the test, or since the last call."""
    _accelerate._seen.clear()

    def since():
        found = [*_accelerate._seen]
        _accelerate._seen.clear()
        return found

    return since
