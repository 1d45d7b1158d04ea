"""Each reading of a convolution, computed as a map by the NumPy loops, is the convolution."""

import dataclasses

import numpy as np
from hypothesis import given, settings

import jconvt
from jconvt._core.recognition import readings
from jconvt._geometry.maps import Map
from jconvt._methods import reference
from tests.support.convolutions import convolutions, expected, operands, readable

LOOPS = {
    Map.TRANSPOSE: reference.transpose,
    Map.FORWARD: reference.forward,
    Map.KERNEL_GRADIENT: reference.kernel_gradient,
}


@settings(max_examples=80, deadline=None)
@given(convolutions())
def test_readings__are_the_convolution(convolution):
    lhs, rhs = operands(convolution)
    y = expected(convolution, lhs, rhs)
    assert y.size == np.prod(convolution.output_sizes)
    try:
        found = readings(convolution)
    except jconvt.ArgumentError:
        assert y.size == 0 or max(convolution.lhs_dilation) > 1 or convolution.batch_group_count > 1
        return
    for reading in found:
        last = dataclasses.replace(reading, layout=jconvt.Layout(reading.spec.rank))
        a, b = (np.asarray(each) for each in last.operands(lhs, rhs))
        np.testing.assert_array_equal(last.result(LOOPS[reading.map](a, b, reading.spec)), y)


@settings(max_examples=40, deadline=None)
@given(readable())
def test_reading__gives_the_convolution_back(convolution):
    lhs, rhs = operands(convolution)
    for reading in readings(convolution):
        back = reading.convolution()
        assert readings(back)  # also with the least padding
        np.testing.assert_array_equal(expected(back, lhs, rhs), expected(convolution, lhs, rhs))
