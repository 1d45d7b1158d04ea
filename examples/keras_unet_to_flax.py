"""Port a U-Net and its weights from Keras to Flax: ``python examples/keras_unet_to_flax.py``.

TensorFlow trains a small U-Net to find discs in noise, and Keras saves it. The same network in Flax uses
``jconvt.linen.ConvTranspose`` in place of ``Conv2DTranspose``, and loads the trained weights from the file. Both then
return the same masks, as the picture shows. It needs the extra ``jconvt[examples]``.
"""

import argparse
import os
import pathlib

os.environ["KERAS_BACKEND"] = "tensorflow"  # before Keras is imported

import flax.linen as nn
import jax
import jax.numpy as jnp
import keras
import matplotlib
import numpy as np
from rich.progress import track

from jconvt import weights
from jconvt.linen import ConvTranspose

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SIZE = 32
SHOWN = 3


def discs(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy images of three discs each, and the masks of the discs, each ``(count, SIZE, SIZE, 1)``."""
    random = np.random.default_rng(seed)
    row, column = np.mgrid[:SIZE, :SIZE]
    masks = np.zeros((count, SIZE, SIZE, 1), np.float32)
    for mask in masks:
        for y, x, radius in random.uniform((4, 4, 2), (SIZE - 4, SIZE - 4, 6), (3, 3)):
            mask[(row - y) ** 2 + (column - x) ** 2 < radius**2] = 1
    return masks + random.normal(0, 0.6, masks.shape).astype(np.float32), masks


def keras_unet(width: int) -> keras.Model:
    """Build a U-Net with two levels. Its layers have the same names as the Flax modules."""
    layers = keras.layers

    def block(x, features, name, strides=1):
        x = layers.Conv2D(features, 3, strides, padding="same", name=f"{name}_conv")(x)
        return layers.ReLU()(layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x))

    image = x = keras.Input((SIZE, SIZE, 1))
    whole = x = block(x, width, "whole")
    half = x = block(x, 2 * width, "half", 2)
    x = block(x, 4 * width, "quarter", 2)
    for features, skip, name in ((2 * width, half, "up_half"), (width, whole, "up_whole")):
        x = layers.Conv2DTranspose(features, 4, 2, padding="same", name=name)(x)
        x = block(layers.Concatenate()([skip, x]), features, f"{name}_mix")
    return keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid", name="mask")(x))


class FlaxUNet(nn.Module):
    """The same network."""

    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        def block(x, features, name, strides=1):
            x = nn.Conv(features, (3, 3), strides, name=f"{name}_conv")(x)
            return nn.relu(nn.BatchNorm(use_running_average=True, epsilon=1e-3, name=f"{name}_norm")(x))

        whole = x = block(x, self.width, "whole")
        half = x = block(x, 2 * self.width, "half", 2)
        x = block(x, 4 * self.width, "quarter", 2)
        for features, skip, name in ((2 * self.width, half, "up_half"), (self.width, whole, "up_whole")):
            x = ConvTranspose(features, (4, 4), (2, 2), name=name)(x)
            x = block(jnp.concatenate([skip, x], axis=-1), features, f"{name}_mix")
        return nn.sigmoid(nn.Conv(1, (1, 1), name="mask")(x))


def draw(path: pathlib.Path, images, masks, ours, theirs) -> None:
    titles = "input", "discs to find", "Keras on TensorFlow", "Flax with jconvt", "difference"
    figure, axes = plt.subplots(SHOWN, 5, figsize=(10, 2 * SHOWN + 0.6), layout="constrained", squeeze=False)
    differences = np.abs(ours - theirs)
    for row, panels in enumerate(zip(images, masks, theirs, ours, differences, strict=True)):
        for column, (axis, panel) in enumerate(zip(axes[row], panels, strict=True)):
            limits = ((-1, 2), (0, 1), (0, 1), (0, 1), (0, max(differences.max(), 1e-7)))[column]
            axis.imshow(panel[..., 0], "magma" if column == 4 else "gray", vmin=limits[0], vmax=limits[1])
            axis.set(xticks=(), yticks=(), title=titles[column] if row == 0 else "")
    figure.colorbar(axes[0, 4].images[0], ax=axes[:, 4], shrink=0.8)
    figure.suptitle("A U-Net trained in TensorFlow, its weights read into Flax", weight="bold")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description="Port a U-Net from Keras to Flax.")
    parser.add_argument("--steps", type=int, default=120, help="steps of training in TensorFlow")
    parser.add_argument("--width", type=int, default=8, help="channels of the first level")
    parser.add_argument("--output", type=pathlib.Path, default="build/examples/keras_unet_to_flax.png")
    options = parser.parse_args()

    keras.utils.set_random_seed(0)
    source = keras_unet(options.width)
    source.compile(keras.optimizers.Adam(3e-3), "binary_crossentropy")
    losses = [
        float(source.train_on_batch(*discs(16, seed), return_dict=True)["loss"])
        for seed in track(range(options.steps), "training in TensorFlow")
    ]
    print(f"loss {losses[0]:.3f} before, {losses[-1]:.3f} after {options.steps} steps")

    options.output.parent.mkdir(parents=True, exist_ok=True)
    saved = options.output.with_suffix(".keras")
    source.save(saved)
    images, masks = discs(SHOWN, options.steps)
    target = FlaxUNet(options.width)
    variables, report = weights.into_linen(weights.read(saved), target, images)
    print(report)

    theirs = np.asarray(source(images, training=False))
    ours = np.asarray(target.apply(variables, images))
    print(f"largest relative difference of the outputs: {np.abs(ours - theirs).max() / np.abs(theirs).max():.1e}")
    draw(options.output, images, masks, ours, theirs)
    print(f"picture: {options.output}")


if __name__ == "__main__":
    main()
