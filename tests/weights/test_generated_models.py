"""Random models: a loaded model has the same output, or loading raises; it never has another output without an error.

``JCONVT_MODELS=500`` tests that many models, and ``JCONVT_MODELS=500:20000`` those from the first to the last seed.
"""

import contextlib
import os

import numpy as np
import pytest

from jconvt import ArgumentError, weights

torch = pytest.importorskip("torch")
pytest.importorskip("equinox")
pytest.importorskip("flax")

from tests.support import generated_jax, generated_models, generated_torch  # noqa: E402

FIRST, _, LAST = os.environ.get("JCONVT_MODELS", "48").rpartition(":")


@pytest.mark.parametrize("seed", range(int(FIRST or 0), int(LAST)))
def test_into__equal_output_or_an_error(seed, tmp_path):
    model = generated_models.generate(seed)
    module, layers = generated_torch.torch_model(model, seed)
    torch.save(module.state_dict(), tmp_path / "model.pt")
    checkpoint = weights.read(tmp_path / "model.pt")
    x = np.random.default_rng(seed).normal(size=(2, generated_models.LENGTH, 4)).astype(np.float32)
    wanted = generated_torch.torch_output(model, layers, torch.from_numpy(x).transpose(1, 2)).transpose(1, 2).numpy()

    def close(found):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())

    close(generated_jax.load(model, checkpoint, x, names=model.names))  # the models are the same
    with contextlib.nullcontext() if model.must_load else contextlib.suppress(ArgumentError):
        close(generated_jax.load(model, checkpoint, x))
