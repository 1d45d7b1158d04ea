"""Train an autoencoder of digits once with each method: ``python examples/train_autoencoder.py``.

Flax and optax train a convolutional autoencoder on scikit-learn's digits. Each method of jconvt uses the same initial
parameters and the same batches, so all losses must be equal up to rounding, which grows from step to step. Only the
times differ. The methods run interleaved, step by step, so that other load on the machine affects all of them. Orbax
saves the parameters, and the restored parameters produce the reconstructions in the picture. It needs the extra
``jconvt[examples]``.
"""

import argparse
import pathlib
import time
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
import orbax.checkpoint as ocp
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.datasets import load_digits

from jconvt.linen import ConvTranspose

matplotlib.use("Agg")
import matplotlib.pyplot as plt

METHODS = ("auto", "dilated", "vjp", "polyphase", "gemm")
BATCH = 64
SHOWN = 12
TOLERANCE = 1e-3
"""The relative tolerance of the losses: the methods add in different orders, and training amplifies the rounding."""


class Autoencoder(nn.Module):
    """Map ``(n, 8, 8, 1)`` to the same shape, through 16 numbers per image."""

    method: str
    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for features in (self.width, 2 * self.width):
            x = nn.relu(nn.Conv(features, (3, 3), (2, 2))(x))
        x = nn.Dense(16)(x.reshape(len(x), -1))
        x = nn.relu(nn.Dense(2 * 2 * 2 * self.width)(x)).reshape(len(x), 2, 2, -1)
        up = partial(ConvTranspose, kernel_size=(4, 4), strides=(2, 2), method=self.method)
        return up(1)(nn.relu(up(self.width)(x)))


def draw(path: pathlib.Path, digits: dict[str, Any], losses: dict[str, list[float]], times: dict[str, float]) -> None:
    figure = plt.figure(figsize=(11, 5.6), layout="constrained")
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 1.4))[:, 0]
    top.suptitle("Digits, and what the trained autoencoder makes of 16 numbers for each", weight="bold")
    for line, (title, images) in zip(top.subplots(2, SHOWN), digits.items(), strict=True):
        line[0].set_ylabel(title, size=9)
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image[..., 0], "gray_r", vmin=0, vmax=1)
            axis.set(xticks=(), yticks=())
    left, right = bottom.subplots(1, 2)
    for number, (method, curve) in enumerate(losses.items()):  # narrow lines over wide ones, so that all are visible
        left.plot(range(1, len(curve) + 1), curve, label=method, linewidth=14 - 3 * number)
    left.set(title="The loss: five methods, one curve", xlabel="step", ylabel="mean squared error", yscale="log")
    left.legend()
    bars = right.barh(list(times), list(times.values()), color=[f"C{number}" for number in range(len(times))])
    right.bar_label(bars, fmt="%.2f ms", padding=4)
    right.set(title="The time of a step, median", xlabel="milliseconds", xlim=(0, 1.2 * max(times.values())))
    right.invert_yaxis()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train an autoencoder of digits once with each method.")
    parser.add_argument("--steps", type=int, default=400, help="steps of training")
    parser.add_argument("--width", type=int, default=32, help="channels of the first level")
    parser.add_argument("--output", type=pathlib.Path, default="build/examples/train_autoencoder.png")
    options = parser.parse_args()

    pixels, _ = load_digits(return_X_y=True)
    images = jnp.asarray(pixels.reshape(-1, 8, 8, 1) / 16, jnp.float32)
    shown, images = images[:SHOWN], images[SHOWN:]
    optimizer = optax.sgd(optax.cosine_decay_schedule(0.5, options.steps), momentum=0.9)

    @partial(jax.jit, static_argnames="method")
    def step(state: Any, batch: jax.Array, method: str) -> tuple[Any, jax.Array]:
        parameters, memory = state

        def error(parameters: Any) -> jax.Array:
            rebuilt: Any = Autoencoder(method, options.width).apply(parameters, batch)
            return jnp.mean((rebuilt - batch) ** 2)

        loss, gradient = jax.value_and_grad(error)(parameters)
        updates, memory = optimizer.update(gradient, memory)
        return (optax.apply_updates(parameters, updates), memory), loss

    start = Autoencoder("auto", options.width).init(jax.random.key(0), images[:1])
    states = {method: (start, optimizer.init(start)) for method in METHODS}
    losses: dict[str, list[float]] = {method: [] for method in METHODS}
    times: dict[str, list[float]] = {method: [] for method in METHODS}
    random = np.random.default_rng(0)
    for _ in track(range(options.steps), "training five times"):
        batch = images[random.choice(len(images), BATCH)]
        for method in random.permutation(METHODS).tolist():
            began = time.perf_counter()
            states[method], loss = jax.block_until_ready(step(states[method], batch, method))
            times[method].append(1000 * (time.perf_counter() - began))
            losses[method].append(float(loss))

    medians = {method: float(np.median(each[1:])) for method, each in times.items()}
    table = Table("method", "first loss", "last loss", "first step, compiled, ms", "step, median, ms")
    for method in METHODS:
        first, last = losses[method][0], losses[method][-1]
        table.add_row(method, f"{first:.6f}", f"{last:.6f}", f"{times[method][0]:.0f}", f"{medians[method]:.2f}")
    Console().print(table)
    curves = np.array(list(losses.values()))
    spread = (np.ptp(curves, axis=0) / curves.mean(axis=0)).max()
    print(f"largest relative difference of the losses, over all steps: {spread:.1e}")
    if spread > TOLERANCE:
        raise SystemExit(f"the methods disagree by more than {TOLERANCE}")

    folder = options.output.with_suffix(".orbax").absolute()
    trained, _ = states["auto"]
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder, trained, force=True)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(folder, jax.tree.map(ocp.utils.to_shape_dtype_struct, start))
    equal = jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), trained, restored))
    print(f"restored parameters equal to the trained ones: {equal}")
    model = Autoencoder("auto", options.width)
    draw(options.output, {"digits": shown, "rebuilt": model.apply(restored, shown)}, losses, medians)
    print(f"picture: {options.output}")


if __name__ == "__main__":
    main()
