"""Every method keeps every law, on geometries that hypothesis draws."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jconvt._testing import goldens
from tests.support import laws
from tests.support.geometries import Call, calls

few = settings(max_examples=40, deadline=None)


@pytest.mark.parametrize("method", laws.TRACED)
@few
@given(call=calls())
def test_equals_the_definition(method, call):
    laws.equals_definition(call, method)


@pytest.mark.parametrize("method", [*laws.TRACED, "reference"])
@few
@given(call=calls())
def test_is_the_adjoint_of_the_forward_convolution(method, call):
    laws.is_adjoint(call, method)


@pytest.mark.parametrize("method", laws.TRACED)
@few
@given(call=calls(ranks=(1, 2)))
def test_gradients_are_the_forward_convolution_and_the_kernel_gradient(method, call):
    laws.gradients_are_the_definition(call, method)


@pytest.mark.parametrize("method", [*laws.TRACED, "reference"])
@few
@given(call=calls(ranks=(1, 2)), pixel=st.integers(0, 1000))
def test_a_nan_stays_under_its_stamp(method, call, pixel):
    laws.spreads_nan_under_the_stamp_alone(call, method, pixel)


@pytest.mark.parametrize("method", laws.TRACED)
@settings(max_examples=8, deadline=None)
@given(call=calls(ranks=(4,)))
def test_four_spatial_axes(method, call):
    laws.equals_definition(call, method)
    laws.is_adjoint(call, method)


@pytest.mark.parametrize("golden", goldens.load(), ids=lambda golden: golden.name)
@pytest.mark.parametrize("method", [*laws.TRACED, "reference"])
def test_gives_tensorflows_stored_result(method, golden):
    if method == "vjp" and golden.dtype == "int32":
        with pytest.raises(TypeError, match="none for integers"):
            laws.equals_tensorflow(golden, method)
    else:
        laws.equals_tensorflow(golden, method)


def test_xla_mistakes_no_axis_for_a_batch():
    # Kernel 2, stride 2, crop (1, 1) looks to XLA like a batch axis; with an axis that makes it swap operands, the
    # process aborts. So this runs in one of its own.
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


def test_the_reference_on_the_founding_example_by_hand():
    # The one computation that is written out: the centre of the five-by-five canvas, under all four stamps.
    call = Call((1, 2, 2, 1), (3, 3, 1, 1), {"strides": 2, "padding": "VALID"})
    example = goldens.load()[0]
    y = laws.definition(call, example.input, example.filters)[0, :, :, 0]
    assert y[0, 0] == -67 * -1
    assert y[2, 2] == -67 * -9 + -77 * -7 + -117 * -3 + -127 * -1 == 1620
    assert y[4, 4] == -127 * -9
