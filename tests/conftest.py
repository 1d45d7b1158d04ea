"""Strict numerics for every test: no silent promotion of dtypes or ranks, and 64-bit numbers where asked for."""

import os

import jax
import pytest

# TensorFlow's own kernels on every CPU: those of oneDNN, which some CPUs get, check fewer sizes.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


@pytest.fixture(autouse=True, scope="module")
def _strict_numerics():
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield
