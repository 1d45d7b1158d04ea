"""The numerics of every test: strict promotion, 64-bit numbers, products in full precision, and quick random keys."""

import os

import jax
import pytest

# Use TensorFlow's own kernels on every CPU: those of oneDNN, which some CPUs get, accept fewer sizes.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


@pytest.fixture(autouse=True, scope="module")
def _numerics():
    with (
        jax.enable_x64(True),
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
        jax.default_prng_impl("rbg"),  # it compiles much faster, and no test needs particular numbers
        jax.default_matmul_precision("highest"),  # by default GPUs multiply float32 as TF32, and TPUs as bfloat16
    ):
        yield
