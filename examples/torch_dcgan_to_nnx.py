"""Port a DCGAN generator and its weights from PyTorch to NNX: ``python examples/torch_dcgan_to_nnx.py``.

The generator (arXiv 1511.06434) turns random vectors into images with five transposed convolutions. PyTorch trains it
for a few steps and saves its ``state_dict``. The same layers with ``jconvt.nnx.ConvTranspose`` load the weights from
the file: kernels are transposed and flipped, and statistics are assigned to their norms. The generated images are the
same. It needs the extra ``jconvt[examples]``.
"""

import argparse
import pathlib
from functools import partial

import matplotlib
import numpy as np
import torch
from flax import nnx
from rich.progress import track
from sklearn.datasets import load_sample_image

from jconvt import weights
from jconvt.nnx import ConvTranspose

matplotlib.use("Agg")
import matplotlib.pyplot as plt

LATENT = 100
FACTORS = (8, 4, 2, 1)
"""The output channels of each layer except the last one, as multiples of ``width``."""


def torch_generator(width: int) -> torch.nn.Sequential:
    """Build a generator from ``(n, LATENT, 1, 1)`` to ``(n, 3, 64, 64)``."""
    layers: list[torch.nn.Module] = []
    channels, stride, padding = LATENT, 1, 0
    for factor in FACTORS:
        layers += [
            torch.nn.ConvTranspose2d(channels, factor * width, 4, stride, padding, bias=False),
            torch.nn.BatchNorm2d(factor * width),
            torch.nn.ReLU(),
        ]
        channels, stride, padding = factor * width, 2, 1
    return torch.nn.Sequential(*layers, torch.nn.ConvTranspose2d(channels, 3, 4, 2, 1, bias=False), torch.nn.Tanh())


def nnx_generator(width: int) -> nnx.Sequential:
    """Build the same layers with channels last: ``(n, 1, 1, LATENT)`` to ``(n, 64, 64, 3)``. Padding is PyTorch's."""
    rngs = nnx.Rngs(0)
    up = partial(ConvTranspose, kernel_size=(4, 4), use_bias=False, use_consistent_padding=True, rngs=rngs)
    layers = []
    channels, stride, padding = LATENT, 1, 0
    for factor in FACTORS:
        layers += [
            up(channels, factor * width, strides=stride, padding=padding),
            nnx.BatchNorm(factor * width, use_running_average=True, rngs=rngs),
            nnx.relu,
        ]
        channels, stride, padding = factor * width, 2, 1
    return nnx.Sequential(*layers, up(channels, 3, strides=2, padding=1), nnx.tanh)


def tiles() -> np.ndarray:
    """Return six parts of scikit-learn's photographs, ``(6, 64, 64, 3)``, from -1 to 1."""
    corners = {"china.jpg": ((60, 200), (170, 0), (170, 380)), "flower.jpg": ((60, 220), (0, 0), (160, 330))}
    parts = [
        load_sample_image(name)[top : top + 256, left : left + 256]
        for name, places in corners.items()
        for top, left in places
    ]
    return np.stack([part.reshape(64, 4, 64, 4, 3).mean((1, 3)) / 127.5 - 1 for part in parts]).astype(np.float32)


def trained(width: int, steps: int, vectors: torch.Tensor, images: torch.Tensor) -> torch.nn.Sequential:
    """Train a generator to map each vector to one image. This takes seconds; a GAN takes hours."""
    torch.manual_seed(0)
    model = torch_generator(width)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    losses = []
    for _ in track(range(steps), "training in PyTorch"):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(vectors), images)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(f"loss {losses[0]:.3f} before, {losses[-1]:.3f} after {steps} steps")
    return model.eval()


def draw(path: pathlib.Path, rows: dict[str, np.ndarray]) -> None:
    count = len(next(iter(rows.values())))
    figure, axes = plt.subplots(len(rows), count, figsize=(1.55 * count + 0.5, 5.4), layout="constrained")
    for line, (title, images) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(title, size=11)
        for axis, image in zip(line, images, strict=True):
            axis.imshow(np.clip(image, 0, 1))
            axis.set(xticks=(), yticks=())
    figure.suptitle("A DCGAN generator trained in PyTorch, its weights read into NNX: the same images", weight="bold")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description="Port a DCGAN generator from PyTorch to NNX.")
    parser.add_argument("--width", type=int, default=32, help="channels before the last layer")
    parser.add_argument("--steps", type=int, default=150, help="steps of training in PyTorch")
    parser.add_argument("--output", type=pathlib.Path, default="build/examples/torch_dcgan_to_nnx.png")
    options = parser.parse_args()

    images = tiles()
    vectors = np.random.default_rng(0).normal(size=(len(images), LATENT)).astype(np.float32)
    columns = torch.from_numpy(vectors[:, :, None, None])  # channels first, and one pixel
    source = trained(options.width, options.steps, columns, torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    saved = options.output.with_suffix(".pt")
    torch.save(source.state_dict(), saved)
    target = nnx_generator(options.width)
    print(weights.into_nnx(weights.read(saved), target))

    with torch.no_grad():
        theirs = source(columns).numpy().transpose(0, 2, 3, 1)
    ours = np.asarray(target(vectors[:, None, None, :]))
    difference = np.abs(ours - theirs)
    print(f"images {ours.shape}")
    print(f"largest relative difference of the images: {difference.max() / np.abs(theirs).max():.1e}")
    rows = {
        "PyTorch": (theirs + 1) / 2,
        "NNX with jconvt": (ours + 1) / 2,
        r"difference $\times$ $10^6$": difference * 1e6,
    }
    draw(options.output, rows)
    print(f"picture: {options.output}")


if __name__ == "__main__":
    main()
