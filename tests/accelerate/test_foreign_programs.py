"""Programs of others are the same as before where nothing is replaced, and correct where something is."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconvt
from jconvt import _native

NUMBERS = ("NHWC", "HWIO", "NHWC")
PROGRAM = """
import re, jax, jax.numpy as jnp, jconvt
from jax import export

def texts():
    found = []
    for dtype in ("float32", "complex64"):
        operands = jnp.ones((8, 64, 32, 32), dtype), jnp.ones((64, 64, 3, 3), dtype)
        for platforms in (("cpu",), ("cuda",), ("tpu",), ("cpu", "cuda"), ("cpu", "tpu")):
            step = jax.jit(lambda x, w: jax.lax.conv_general_dilated(x, w, (2, 2), "SAME"))
            found.append(step.trace(*operands).lower(lowering_platforms=platforms).as_text())
            found.append(str(export.export(step, platforms=platforms)(*operands).mlir_module()))
    return [re.sub(r"#loc.*\\n|loc\\(.*", "", text) for text in found]

before = texts()
jconvt.accelerate()
on = texts()
jconvt.accelerate(False)
assert texts() == before
print([(i, "custom_call" in b) for i, (a, b) in enumerate(zip(before, on)) if a != b])
"""


@pytest.mark.skipif(_native.native_status().instruction_set is None, reason="the compiled kernels are missing")
def test_lowering__for_several_platforms_and_of_complex_numbers_is_the_same():
    printed = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True).stdout
    # Of the float32 programs, those that are lowered for CPU and not exported.
    assert printed.strip() == "[(0, True), (6, True), (8, True)]"


def layer(x, w):
    return jax.lax.conv_general_dilated(x, w, (2, 2), "SAME", dimension_numbers=NUMBERS)


@pytest.mark.usefixtures("all_replaced")
def test_replaced__in_64_bits_within_a_program_of_32(seen):
    x, w = (np.random.default_rng(0).normal(size=shape).astype("float32") for shape in ((2, 8, 8, 4), (3, 3, 4, 8)))

    def narrow(x, w):
        with jax.enable_x64(True):
            return layer(x.astype("float64"), w.astype("float64")).astype("float32")

    expected = jax.jit(narrow)(x, w)
    with jconvt.accelerate():
        y = jax.jit(lambda x, w: narrow(x, w))(x, w)
    assert seen()[-1].method is not None
    np.testing.assert_allclose(y, expected, rtol=1e-6)


@pytest.mark.parametrize("method", ["dilated", "vjp", "polyphase"])
def test_methods__keep_their_convolutions(method, seen):
    x, w = jnp.ones((8, 16, 16, 32)), jnp.ones((4, 4, 32, 32))
    with jconvt.accelerate():
        text = jax.jit(lambda x, w: jconvt.conv2d_transpose(x, w, strides=2, method=method)).lower(x, w).as_text()
    assert "stablehlo.convolution" in text
    assert not seen()


def test_report__counts_equal_convolutions():
    x, w = jnp.ones((8, 16, 16, 32)), jnp.ones((3, 3, 32, 32))
    before = sum(each.times for each in jconvt.accelerate.report())
    with jconvt.accelerate():
        jax.jit(lambda x: layer(x, w) + layer(x + 1, w)).lower(x)
    assert sum(each.times for each in jconvt.accelerate.report()) - before == 2
