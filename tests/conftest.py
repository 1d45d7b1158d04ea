"""Strict numerics for every test: no silent promotion, 64-bit numbers where asked for, and products in full."""

import os

import jax
import pytest

# TensorFlow's own kernels on every CPU: those of oneDNN, which some CPUs get, check fewer sizes.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# What draws random numbers compiles much faster with this generator, and no test asks for certain numbers.
jax.config.update("jax_default_prng_impl", "rbg")


@pytest.fixture(autouse=True, scope="module")
def _strict_numerics():
    with (
        jax.enable_x64(True),
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
        jax.default_matmul_precision("highest"),  # GPUs multiply float32 as TF32 and TPUs as bfloat16 if not told
    ):
        yield
