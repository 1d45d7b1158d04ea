"""Enlarge a photograph with a bilinear interpolation layer: ``python examples/bilinear_upsampling.py``.

Fully convolutional networks (arXiv 1411.4038) upsample with a transposed convolution that starts as bilinear
interpolation and is then trained. The layer has one group per channel, and a kernel with about twice as many taps as
the factor, which is a triangle along each axis. Inside the picture it equals ``jax.image.resize``. At the border it
also interpolates with pixels outside the image, which are zero. It needs the extra ``jconvt[examples]``.
"""

import argparse
import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from sklearn.datasets import load_sample_image

from jconvt.initializers import bilinear
from jconvt.linen import ConvTranspose

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def enlarge(image: jax.Array, factor: int, taps: int, kernel_init: nn.initializers.Initializer) -> jax.Array:
    """Enlarge ``(height, width, channels)`` by ``factor``, with a layer that does not mix channels."""
    channels = image.shape[-1]
    layer = ConvTranspose(
        channels, (taps, taps), (factor, factor), groups=channels, kernel_init=kernel_init, use_bias=False
    )
    enlarged, variables = layer.init_with_output(jax.random.key(0), image)
    (kernel,) = jax.tree.leaves(variables)
    print(f"{image.shape} to {enlarged.shape} by a kernel of {kernel.shape}")
    return enlarged


def shrunk(image: np.ndarray, factor: int) -> np.ndarray:
    """Return the mean of each block of ``factor`` by ``factor`` pixels. Incomplete blocks at the end are dropped."""
    height, width = (size // factor for size in image.shape[:2])
    whole = image[: height * factor, : width * factor]
    return whole.reshape(height, factor, width, factor, -1).mean(axis=(1, 3))


def psnr(image: jax.Array, original: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in decibels, for pixels from 0 to 1."""
    return float(-10 * jnp.log10(jnp.mean((image - original) ** 2)))


def draw(path: pathlib.Path, panels: dict[str, np.ndarray]) -> None:
    size = max(len(image) for image in panels.values())
    figure, axes = plt.subplots(1, len(panels), figsize=(3 * len(panels), 3.9), layout="constrained")
    for axis, (title, image) in zip(axes, panels.items(), strict=True):
        height, width = image.shape[:2]
        axis.imshow(np.clip(image, 0, 1), extent=(-width / 2, width / 2, -height / 2, height / 2))
        axis.set(xlim=(-size / 2, size / 2), ylim=(-size / 2, size / 2))
        axis.axis("off")
        axis.set_title(title, size=10)
    figure.suptitle("Enlarged by transposed convolutions: the kernel makes the difference", weight="bold")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description="Enlarge a photograph with a bilinear interpolation layer.")
    parser.add_argument("--photograph", choices=("china.jpg", "flower.jpg"), default="flower.jpg")
    parser.add_argument("--factor", type=int, default=4, help="the factor to enlarge by")
    parser.add_argument("--crop", type=int, default=160, help="height and width of the part to draw")
    parser.add_argument("--output", type=pathlib.Path, default="build/examples/bilinear_upsampling.png")
    options = parser.parse_args()

    factor = options.factor
    photograph = load_sample_image(options.photograph).astype(np.float32) / 255
    low = jnp.asarray(shrunk(photograph, factor))
    nearest = enlarge(low, factor, factor, nn.initializers.ones)
    taps = 2 * factor - factor % 2
    smooth = enlarge(low, factor, taps, bilinear())

    inside = slice(factor, -factor)
    for name, ours, method in (("nearest", nearest, "nearest"), ("bilinear", smooth, "linear")):
        resized = jax.image.resize(low, ours.shape, method)
        difference = jnp.abs(ours - resized)[inside, inside].max() / resized.max()
        print(f"{name}: relative difference from jax.image.resize inside {difference:.1e}")
    original = photograph[: smooth.shape[0], : smooth.shape[1]]
    scores = {name: psnr(image, original) for name, image in (("nearest", nearest), ("bilinear", smooth))}
    print(f"nearest {scores['nearest']:.1f} dB, bilinear {scores['bilinear']:.1f} dB from the original")

    top, left = ((size - options.crop) // 2 for size in original.shape[:2])
    part = slice(top, top + options.crop), slice(left, left + options.crop)
    panels = {
        "the photograph, a part": original[part],
        f"{factor} times smaller": low[tuple(slice(side.start // factor, side.stop // factor) for side in part)],
        f"{factor} taps of one: nearest\n{scores['nearest']:.1f} dB": nearest[part],
        f"{taps} taps of a triangle: bilinear\n{scores['bilinear']:.1f} dB": smooth[part],
    }
    draw(options.output, {title: np.asarray(image) for title, image in panels.items()})
    print(f"picture: {options.output}")


if __name__ == "__main__":
    main()
