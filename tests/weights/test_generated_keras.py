"""Random models of Keras: a loaded model has the same output, and so has a file for Keras; or an error says why not."""

import contextlib

import numpy as np
import pytest

from jconvt import ArgumentError, weights

pytest.importorskip("keras")
pytest.importorskip("equinox")
pytest.importorskip("flax")

from tests.support import generated_jax, generated_keras, generated_models

SEEDS = generated_models.seeds(24)


def model_of(seed):
    return generated_models.generate(seed, generated_keras.KERAS_UNITS)


def name_map(checkpoint, units, model):
    """The targets' paths by Keras's. An inner model may contain a layer that is called outside, too."""
    found = {}
    for path, layer in checkpoint.layers.items():
        for name, unit in units.items():
            target = ".".join(model.targets[unit])
            if f"{path}.".startswith(f"{name}.") and layer.kind != "other" and target not in found.values():
                found[path] = target
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_into__equal_output_or_an_error(seed, tmp_path):
    model = model_of(seed)
    module, units = generated_keras.keras_model(model, seed)
    generated_keras.randomize(module, seed)
    x = generated_models.example(seed)
    wanted = generated_keras.output(module, x)
    file = tmp_path / f"model.{generated_keras.FORMATS[seed % 3]}"
    generated_keras.save(module, str(file))
    checkpoint = weights.read(file)
    target = generated_jax.build(model)

    def close(found):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())

    close(target.load(checkpoint, x, names=name_map(checkpoint, units, model)).output(x))
    with contextlib.suppress(ArgumentError):
        close(target.load(checkpoint, x).output(x))


@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")
@pytest.mark.parametrize("seed", SEEDS)
def test_write__equal_output_or_an_error(seed, tmp_path):
    model = model_of(seed)
    original = generated_jax.build(model, has_wrappers=True).randomized(seed)
    x = generated_models.example(seed)
    checkpoint = original.save()
    wanted = original.output(x)
    module, units = generated_keras.keras_model(model, seed)
    like, file = (tmp_path / f"{name}.{generated_keras.FORMATS[seed % 2]}" for name in ("like", "new"))
    generated_keras.save(module, str(like))

    def close():
        module.load_weights(file)
        np.testing.assert_allclose(
            generated_keras.output(module, x), wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max()
        )

    targets = {target: source for source, target in name_map(weights.read(like), units, model).items()}
    names = {path: targets[each] for path in checkpoint.layers for each in targets if f"{path}.".startswith(f"{each}.")}
    is_strict = not model.has("spectral_norm")  # whose vector stays
    weights.write(file, checkpoint, like=like, names=names, strict=is_strict)
    close()
    with contextlib.suppress(ArgumentError):
        weights.write(file, checkpoint, like=like)
        close()
    file = tmp_path / "new.weights.h5"
    with contextlib.suppress(ArgumentError, ValueError):  # Keras's own, for other shapes
        weights.write(file, checkpoint)
        close()
