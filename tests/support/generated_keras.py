"""The generated models in Keras: functional models, some with inner models, and their files."""

import random
import warnings
from typing import Any

import keras
import numpy as np

from tests.support.generated_models import LENGTH, UNITS, Generated, Residual, Unit, run

KERAS_UNITS = [(kind, options) for kind, options in UNITS if options.get("groups", 1) in (1, 4)]  # TensorFlow on CPU
FORMATS = ("keras", "weights.h5", "h5")


def keras_layer(unit: Unit, name: str | None) -> keras.layers.Layer:
    """Return the layer. Keras has no weight norm."""
    layers, options = keras.layers, {"name": name}
    convolution = {"kernel_size": unit.kernel, "padding": "same", "use_bias": unit.bias}
    layer = {
        "conv": lambda: (
            layers.Conv1D(unit.outputs, dilation_rate=unit.dilation, **convolution, **options)
            if unit.groups == 1
            else layers.DepthwiseConv1D(dilation_rate=unit.dilation, **convolution, **options)
        ),
        "conv_transpose": lambda: layers.Conv1DTranspose(unit.outputs, strides=unit.stride, **convolution, **options),
        "dense": lambda: layers.Dense(unit.outputs, **options),
        "batch_norm": lambda: layers.BatchNormalization(epsilon=1e-5, **options),
        "layer_norm": lambda: layers.LayerNormalization(epsilon=1e-5, **options),
        "prelu": lambda: layers.PReLU(shared_axes=[1] if unit.slopes > 1 else [1, 2], **options),
    }[unit.kind]()
    if unit.wrapper == "spectral_norm" and unit.groups == 1:  # a file does not tell the class of a wrapped layer
        return layers.SpectralNormalization(layer, name=name and f"{name}_norm")
    return layer


def keras_model(model: Generated, seed: int) -> tuple[keras.Model, dict[str, Unit]]:
    """Return a functional model, and the layers by the beginning of their paths in a file."""
    draw = random.Random(seed)
    keras.utils.clear_session()
    is_named = draw.random() < 0.5
    layers = {unit: keras_layer(unit, "_".join(path) if is_named else None) for path, unit in reversed(model.sources)}
    paths: dict[str, Unit] = {}
    numbers = iter(range(100))

    def activate(x: Any) -> Any:
        return keras.layers.LeakyReLU(negative_slope=0.01)(x) if seed % 2 else keras.ops.leaky_relu(x, 0.01)

    def call(steps: tuple[Unit | Residual, ...], x: Any, prefix: str = "") -> Any:
        def apply(unit: Unit, x: Any) -> Any:
            if unit in inner:
                *first, last = inner[unit]
                block = keras.Input(x.shape[1:])
                y = call(tuple(first), block, f"{unit.kind}.")
                paths[f"{unit.kind}.{layers[last].name}"] = last
                return keras.Model(block, layers[last](y), name=unit.kind)(x)
            paths[f"{prefix}{layers[unit].name}"] = unit
            return layers[unit](x)

        inner: dict[Unit, tuple[Unit, ...]] = {}
        changed: list[Unit | Residual] = []
        for step in steps:
            if isinstance(step, Residual) and draw.random() < 0.3:
                block = Unit(f"block{next(numbers)}", 4, 4)
                inner[block] = step.branch
                step = Residual((block,), step.shortcut, step.is_shortcut_first)
            changed.append(step)
        return run(changed, apply, activate, x)

    x = keras.Input((LENGTH, 4))
    return keras.Model(x, call(model.steps, x)), paths


def randomize(module: keras.Model, seed: int) -> None:
    """Give all variables random numbers."""
    generator = np.random.default_rng(seed)
    for variable in module.variables:
        numbers = generator.normal(size=variable.shape)
        variable.assign(np.abs(numbers) + 0.5 if "variance" in variable.path else numbers)


def output(module: keras.Model, x: np.ndarray) -> np.ndarray:
    """Return the output for ``(n, length, channels)``."""
    return np.asarray(module(x, training=False))


def save(module: keras.Model, path: str) -> None:
    """Save the model, or only its weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the older format is one
        module.save_weights(path) if path.endswith(".weights.h5") else module.save(path)
