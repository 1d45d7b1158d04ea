"""Random models: a loaded model has the same output, or loading raises; it never has another one without an error."""

import contextlib

import numpy as np
import pytest

from jconvt import ArgumentError

pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("equinox")
pytest.importorskip("flax")
pytest.importorskip("onnx")

from tests.support import generated_jax, generated_models, generated_torch


def raises_if(condition):
    return contextlib.suppress(ArgumentError) if condition else contextlib.nullcontext()


@pytest.mark.parametrize("seed", generated_models.seeds(500))
def test_into__equal_output_or_an_error(seed, tmp_path):
    model = generated_models.generate(seed)
    module = generated_torch.torch_model(model, seed)
    x = generated_models.example(seed)
    wanted = generated_torch.output(module, x)
    formats = generated_torch.FORMATS[: 3 if model.has("spectral_norm") else 4]  # whose export to ONNX has no operator
    format = formats[seed % len(formats)]
    checkpoint = generated_torch.saved(module, model, format, tmp_path)
    # PyTorch's exporter merges norms with convolutions, and does not compute all kernels.
    is_changed = format == "onnx" and model.has("batch_norm", "weight_norm")

    def close(found):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())

    target = generated_jax.build(model)
    with raises_if(is_changed):  # the models are the same
        close(target.load(checkpoint, x, names=generated_torch.names(checkpoint, model)).output(x))
    with raises_if(is_changed or not model.must_load or format == "onnx"):
        close(target.load(checkpoint, x).output(x))
