"""Inputs for the tests of layers, and many layers in one compiled program."""

import jax
import numpy as np
from hypothesis import Phase


def integers(shape, dtype=np.float64):
    """Integers that depend only on the shape."""
    return np.random.default_rng(len(repr(shape))).integers(-9, 10, shape).astype(dtype)


def whole(_, shape, dtype=np.float64, **__):
    """An initialiser that returns integers, so that no order of their sums rounds."""
    return integers(shape, dtype)


WHOLE = {"kernel_init": whole, "bias_init": whole, "param_dtype": np.float64}
"""Arguments of a Flax layer whose parameters are such integers."""


def all_compiled(calls, inputs):
    """The result of each call of its input, from one program: compiling it is much faster than many small ones."""
    return jax.jit(lambda inputs: [call(x) for call, x in zip(calls, inputs, strict=True)])(inputs)


UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
"""Phases for tests that draw many layers at once: each names the layer that fails, and shrinking would compile anew."""
