"""Random models of Flax and Equinox: PyTorch, and other libraries, compute the same with their weights, or raise."""

import random

import numpy as np
import pytest

from jconvt import weights

pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("equinox")
pytest.importorskip("flax")

from tests.support import generated_jax, generated_models, generated_torch
from tests.weights.test_generated_models import raises_if


def owner(path, targets):
    """The layer at a path, or in a wrapper at that path."""
    return next((unit for unit, target in targets.items() if f"{path}.".startswith(f"{'.'.join(target)}.")), None)


@pytest.mark.parametrize("seed", generated_models.seeds(200))
def test_from__equal_output_or_an_error(seed, tmp_path):
    model = generated_models.generate(seed)
    original = generated_jax.build(model, has_wrappers=True).randomized(seed)
    x = generated_models.example(seed)
    checkpoint = original.save()
    wanted = original.output(x)

    def close(found):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())

    units = {path: owner(path, model.targets) for path in checkpoint.layers}
    assert set(units.values()) == set(model.targets)
    file = tmp_path / ("model.pt", "model.safetensors")[seed % 2]
    names = {path: ".".join(model.source_of[unit]) for path, unit in units.items()}
    weights.write(file, checkpoint, "torch", names=names)
    close(generated_torch.load(file, model, x))

    draw = random.Random(seed)
    library, layout = draw.choice(generated_models.LIBRARIES), draw.choice(weights.TARGETS)
    other = model.on(library)
    target = generated_jax.build(other)
    has_slopes = library != "equinox" and model.has(4)  # which Flax's PReLU does not have
    names = {path: ".".join(other.targets[unit]) for path, unit in units.items()}
    with raises_if(has_slopes):
        close(target.load(checkpoint, x, names=names).output(x))
    is_equal = model.must_load and not model.has("weight_norm", "spectral_norm")
    with raises_if(has_slopes or not is_equal):
        close(target.load(checkpoint, x).output(x))
    has_groups = layout == "keras" and any(each.kind == "conv_transpose" and each.groups > 1 for each in other.targets)
    with raises_if(has_slopes or has_groups):  # through a file in some layout
        file = tmp_path / "other.safetensors"
        weights.write(file, checkpoint, layout, names=names)
        close(target.load(weights.read(file), x).output(x))
