"""Each reading of a convolution, computed as a map by the NumPy loops, is the convolution."""

import dataclasses
import functools

import jax
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import jconvt
from jconvt._conventions.dimension_numbers import Dimensions
from jconvt._core.recognition import Convolution, readings
from jconvt._geometry.maps import Map
from jconvt._methods import reference

LOOPS = {
    Map.TRANSPOSE: reference.transpose,
    Map.FORWARD: reference.forward,
    Map.KERNEL_GRADIENT: reference.kernel_gradient,
}


@st.composite
def convolutions(draw, rank=None):
    """A convolution with any parameters that ``jax.lax`` accepts, and an output that is not empty."""
    rank = rank or draw(st.integers(1, 3))
    small = st.integers(1, 3)
    each = st.tuples(*[small] * rank)
    dilates = draw(st.sampled_from(["none", "lhs", "any"]))
    ones = (1,) * rank
    lhs_dilation = draw(each) if dilates != "none" else ones
    window_strides = draw(each) if dilates != "lhs" or draw(st.booleans()) else ones
    rhs_dilation = draw(each)
    groups = draw(small)
    feature_groups, batch_groups = draw(st.sampled_from([(groups, 1), (1, groups)]))
    taps = draw(each)
    channels = draw(small)
    batch, outputs = draw(small) * batch_groups, draw(small) * feature_groups * batch_groups
    sizes = draw(st.tuples(*[st.integers(1, 6)] * rank))
    padding = draw(st.tuples(*[st.tuples(st.integers(-2, 4), st.integers(-2, 4))] * rank))
    numbers = Dimensions(*(tuple(draw(st.permutations(range(rank + 2)))) for _ in range(3)))

    def shape(axes, values):
        return tuple(values[axes.index(axis)] for axis in range(rank + 2))

    convolution = Convolution(
        shape(numbers.lhs, (batch, channels * feature_groups, *sizes)),
        shape(numbers.rhs, (outputs, channels, *taps)),
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        numbers,
        feature_groups,
        batch_groups,
    )
    try:
        jax.eval_shape(functools.partial(expected, convolution), *operands(convolution))
    except ValueError:  # the padding crops more than there is
        assume(False)
    return convolution


def operands(convolution):
    rng = np.random.default_rng(0)
    return [rng.integers(-9, 10, shape).astype(np.float32) for shape in (convolution.lhs_shape, convolution.rhs_shape)]


def expected(convolution, lhs, rhs):
    return jax.jit(lambda lhs, rhs: jax.lax.conv_general_dilated(lhs, rhs, **convolution.arguments()))(lhs, rhs)


@settings(max_examples=300, deadline=None)
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
        a, b = (np.asarray(each) for each in reading.operands(lhs, rhs))
        last = dataclasses.replace(reading, layout=jconvt.Layout(reading.spec.rank))
        a, b = (np.asarray(each) for each in last.operands(lhs, rhs))
        np.testing.assert_array_equal(last.result(LOOPS[reading.map](a, b, reading.spec)), y)


@settings(max_examples=100, deadline=None)
@given(convolutions())
def test_reading__gives_the_convolution_back(convolution):
    try:
        found = readings(convolution)
    except jconvt.ArgumentError:
        return
    lhs, rhs = operands(convolution)
    for reading in found:
        back = reading.convolution()
        assert readings(back)  # also with the least padding
        np.testing.assert_array_equal(expected(back, lhs, rhs), expected(convolution, lhs, rhs))
