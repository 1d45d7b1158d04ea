"""Every method satisfies every law, on geometries that hypothesis draws."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jconvt._testing import goldens
from tests.support import laws
from tests.support.geometries import Call, calls

traced = pytest.mark.parametrize("method", laws.TRACED)
pixels = st.integers(0, 1000)


@traced
@settings(max_examples=40, deadline=None)
@given(call=calls(), pixel=pixels)
def test_method__satisfies_every_law(method, call, pixel):
    laws.equals_definition(call, method)
    laws.gradients_are_the_definition(call, method)
    laws.nan_reaches_its_stamp_only(call, method, pixel)


@pytest.mark.parametrize("method", laws.traced(rank=4))
@settings(max_examples=5, deadline=None)
@given(call=calls(ranks=(4,), empty=False))
def test_method__has_no_limit_on_spatial_axes(method, call):
    laws.equals_definition(call, method)
    laws.gradients_are_the_definition(call, method)


@settings(max_examples=80, deadline=None)
@given(call=calls(ranks=(1, 2, 3, 4)), pixel=pixels)
def test_reference__satisfies_every_law(call, pixel):
    laws.is_adjoint(call, "reference")  # the adjoints that each method is compared with are those of its own loops
    laws.nan_reaches_its_stamp_only(call, "reference", pixel)


@pytest.mark.parametrize("method", [*laws.TRACED, "reference"])
def test_method__gives_the_stored_results_of_tensorflow(method):
    stored = [golden for golden in goldens.load() if method in ("reference", *laws.traced(dtype=golden.dtype))]
    for golden, y in zip(stored, laws.stored_results(stored, method), strict=True):
        laws.equals_tensorflow(golden, y)


def test_vjp__does_not_support_integers():
    (golden,) = (golden for golden in goldens.load() if golden.dtype == "int32")
    with pytest.raises(TypeError, match="no derivatives of integers"):
        golden.compute(method="vjp")


def test_method__avoids_an_xla_crash():
    # XLA takes an axis with kernel 2, stride 2 and crop (1, 1) for a batch axis; together with an axis that makes it
    # swap the operands, the process aborts. So this runs in a process of its own.
    script = """
import numpy as np, jconvt
x, w = np.ones((1, 2, 3, 1), np.float32), np.arange(8, dtype=np.float32).reshape(4, 2, 1, 1)
for method in ("dilated", "vjp", "polyphase", "gemm", "auto"):
    y, expected = (jconvt.conv2d_transpose(x, w, None, 2, [(0, 0), (1, 1)], method=m) for m in (method, "reference"))
    np.testing.assert_array_equal(y, expected)
    print(method, y.shape)
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout.count("(1, 6, 4, 1)") == 5, found.stderr


def test_reference__computes_the_founding_example():
    # One sum written out by hand: the centre of the five-by-five canvas, under all four stamps.
    call = Call((1, 2, 2, 1), (3, 3, 1, 1), {"strides": 2, "padding": "VALID"})
    example = goldens.load()[0]
    y = laws.definition(call, example.input, example.filters)[0, :, :, 0]
    assert y[0, 0] == -67 * -1
    assert y[2, 2] == -67 * -9 + -77 * -7 + -117 * -3 + -127 * -1 == 1620
    assert y[4, 4] == -127 * -9
