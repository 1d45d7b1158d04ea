"""Where checkerboards come from, and what helps: ``python examples/checkerboard.py``.

A kernel of ``k`` taps that moves by ``s`` reaches some output pixels more often than others, unless ``s`` divides ``k``.
That is half of the cure: the taps that reach neighbouring pixels are still different ones, and start with different
sums. ICNR (``jconvt.initializers.icnr``, arXiv 1707.02937) starts them equal. The picture has a map of the overlaps of
four kernels, and what three layers make of a smooth input before any training. It needs the extra ``jconvt[examples]``.
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
"""Layers of stride 2: the kernel size, and the start."""


def overlaps(k: int, s: int, size: int) -> jax.Array:
    """How many taps reach each output pixel: the transposed convolution of ones with ones. Borders are cut off."""
    counts = jconvt.conv2d_transpose(jnp.ones((1, size, size, 1)), jnp.ones((k, k, 1, 1)), strides=s)
    return counts[0, k:-k, k:-k, 0]


def hill(size: int) -> jax.Array:
    """A smooth image, ``(size, size, 1)``."""
    row, column = jnp.mgrid[:size, :size] / (size - 1) - 0.5
    return jnp.exp(-6 * ((row + 0.1) ** 2 + (column - 0.1) ** 2))[..., None]


def unevenness(k: int, kernel_init: nn.initializers.Initializer) -> tuple[nn.Module, dict, float]:
    """A layer, its variables, and how far apart its four phases are on a constant input, relative to the largest."""
    layer = ConvTranspose(1, (k, k), (2, 2), kernel_init=kernel_init, use_bias=False)
    answer, variables = layer.init_with_output(jax.random.key(7), jnp.ones((8, 8, 1)))
    inside = answer[4:-4, 4:-4, 0]
    return layer, variables, float(jnp.ptp(inside) / jnp.abs(inside).max())


def draw(path: pathlib.Path, maps: dict[str, jax.Array], images: dict[str, jax.Array]) -> None:
    figure, axes = plt.subplots(2, 4, figsize=(11, 6.2), layout="constrained")
    for axis, (title, counts) in zip(axes[0], maps.items(), strict=True):
        shown = axis.imshow(counts, "viridis", vmin=0, vmax=9)
        for (row, column), count in np.ndenumerate(counts):
            axis.text(column, row, f"{count:.0f}", ha="center", va="center", size=8, color="k" if count > 5 else "w")
        axis.set(title=title, xticks=(), yticks=())
    figure.colorbar(shown, ax=axes[0, -1], label="taps that reach a pixel")
    for axis, (title, image) in zip(axes[1], images.items(), strict=True):
        axis.imshow(image, "gray")
        axis.set(title=title, xticks=(), yticks=())
    figure.suptitle(
        "Overlaps of a k by k kernel with stride s (above), untrained layers of stride 2 (below)", weight="bold"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description="Where checkerboards come from, and what helps.")
    parser.add_argument("--size", type=int, default=24, help="height and width of the smooth input")
    parser.add_argument("--output", type=pathlib.Path, default="build/examples/checkerboard.png")
    options = parser.parse_args()

    maps = {}
    for k, s in PAIRS:
        counts = overlaps(k, s, 12)
        ratio = float(counts.max() / counts.min())
        print(f"k = {k}, s = {s}: from {counts.min():.0f} to {counts.max():.0f} taps a pixel, ratio {ratio:.2f}")
        maps[f"k = {k}, s = {s}: ratio {ratio:g}"] = counts[:8, :8]
    smooth = hill(options.size)
    images = {"input": smooth[..., 0]}
    for name, (k, kernel_init) in LAYERS.items():
        layer, variables, spread = unevenness(k, kernel_init)
        print(f"{name}: phases differ by {spread:.1%} on a constant input")
        images[f"{name}: phases differ by {spread:.0%}"] = layer.apply(variables, smooth)[4:-4, 4:-4, 0]
    draw(options.output, maps, images)
    print(f"picture: {options.output}")


if __name__ == "__main__":
    main()
