"""Show the causes of checkerboard artifacts, and remedies: ``python examples/checkerboard.py``.

With kernel size ``k`` and stride ``s``, some output pixels sum more products than others, unless ``s`` divides ``k``.
This is the first remedy, but not enough: each phase of the output uses different taps, whose sums differ at the start.
ICNR (``jconvt.initializers.icnr``, arXiv 1707.02937) makes them equal. The picture shows the overlaps of four kernels,
and the output of three untrained layers for a smooth input. It needs the extra ``jconvt[examples]``.
"""

import argparse
import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

import jconvt
from jconvt.initializers import icnr
from jconvt.linen import ConvTranspose

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PAIRS = ((3, 2), (4, 2), (5, 3), (6, 3))
NORMAL = nn.initializers.normal(1.0)
LAYERS = {
    "k = 3, normal": (3, NORMAL),
    "k = 4, normal": (4, NORMAL),
    "k = 4, ICNR": (4, icnr(2, NORMAL)),
}
"""Layers of stride 2: the kernel size, and the initializer."""


def overlaps(k: int, s: int, size: int) -> jax.Array:
    """Count the taps that reach each output pixel, as a transposed convolution of ones. Borders are dropped."""
    counts = jconvt.conv2d_transpose(jnp.ones((1, size, size, 1)), jnp.ones((k, k, 1, 1)), strides=s)
    return counts[0, k:-k, k:-k, 0]


def hill(size: int) -> jax.Array:
    """Return a smooth image, ``(size, size, 1)``."""
    row, column = jnp.mgrid[:size, :size] / (size - 1) - 0.5
    return jnp.exp(-6 * ((row + 0.1) ** 2 + (column - 0.1) ** 2))[..., None]


def untrained(smooth: jax.Array, k: int, kernel_init: nn.initializers.Initializer) -> tuple[jax.Array, jax.Array]:
    """Apply a layer to a smooth image and to ones. For ones, each phase of the output is the sum of its taps."""
    layer = ConvTranspose(1, (k, k), (2, 2), kernel_init=kernel_init, use_bias=False)
    answer, variables = layer.init_with_output(jax.random.key(4), smooth)
    constant = layer.apply(variables, jnp.ones_like(smooth))
    return answer[k:-k, k:-k, 0], jnp.asarray(constant)[k:-k, k:-k, 0]


def draw(path: pathlib.Path, maps: dict[str, jax.Array], images: dict[str, jax.Array]) -> None:
    figure, axes = plt.subplots(2, 4, figsize=(11, 6.8), layout="constrained")
    for axis, (title, counts) in zip(axes[0], maps.items(), strict=True):
        axis.imshow(counts, "viridis", vmin=0, vmax=4)
        for (row, column), count in np.ndenumerate(counts):
            axis.text(column, row, f"{count:.0f}", ha="center", va="center", size=8, color="k" if count > 2 else "w")
        axis.set(title=title, xticks=(), yticks=())
    for axis, (title, image) in zip(axes[1], images.items(), strict=True):
        axis.imshow(image, "gray")
        axis.set(title=title, xticks=(), yticks=())
    figure.suptitle("Above: how many taps reach each pixel. Below: untrained layers of stride 2", weight="bold")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description="Show the causes of checkerboard artifacts, and remedies.")
    parser.add_argument("--size", type=int, default=24, help="height and width of the smooth input")
    parser.add_argument("--output", type=pathlib.Path, default="build/examples/checkerboard.png")
    options = parser.parse_args()

    maps = {}
    for k, s in PAIRS:
        counts = overlaps(k, s, 12)
        ratio = float(counts.max() / counts.min())
        print(f"k = {k}, s = {s}: from {counts.min():.0f} to {counts.max():.0f} taps a pixel, ratio {ratio:.2f}")
        maps[f"k = {k}, s = {s}\nmost / fewest = {ratio:g}"] = counts[:8, :8]
    smooth = hill(options.size)
    images = {"input": smooth[..., 0]}
    for name, (k, kernel_init) in LAYERS.items():
        answer, sums = untrained(smooth, k, kernel_init)
        print(f"{name}: the taps of a phase sum to {sums.min():.4f} to {sums.max():.4f}")
        images[f"{name}\na phase sums to {sums.min():.1f} to {sums.max():.1f}"] = answer
    draw(options.output, maps, images)
    print(f"picture: {options.output}")


if __name__ == "__main__":
    main()
