"""Convolutions of ``jax.lax`` for property tests: any that it accepts, with operands and JAX's result."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

import jconvt
from jconvt._conventions.dimension_numbers import Dimensions
from jconvt._core.recognition import Convolution, readings


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


def readable():
    """Those of ``convolutions`` that are one of the maps."""
    return convolutions().filter(_is_readable)


def _is_readable(convolution):
    try:
        return bool(readings(convolution))
    except jconvt.ArgumentError:
        return False


def operands(convolution, dtype="float64", largest=9):
    """Integers, so that sums in any order are equal. XLA's CPU library has errors in float32, and none in float64."""
    rng = np.random.default_rng(0)
    shapes = convolution.lhs_shape, convolution.rhs_shape
    return [rng.integers(-largest, largest + 1, shape).astype(jnp.dtype(dtype)) for shape in shapes]


def expected(convolution, lhs, rhs):
    """The result of JAX."""
    return jax.jit(lambda lhs, rhs: jax.lax.conv_general_dilated(lhs, rhs, **convolution.arguments()))(lhs, rhs)
