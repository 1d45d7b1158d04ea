"""Learn an unknown upsampling kernel from an image before and after: ``python examples/learn_upsampling.py``.

An unknown kernel has doubled the resolution of an image. A transposed convolution is linear in its kernel, so gradient
descent on the squared error recovers the kernel, to float32 precision.
"""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import jconvt

KERNEL_SHAPE = (4, 4, 1, 1)
REPORTS = 10


def synthetic_image(size: int, key: jax.Array) -> jax.Array:
    """Return waves plus noise, ``(1, size, size, 1)``, with mean 0 and variance 1. The noise adds all frequencies."""
    row, column = jnp.mgrid[:size, :size]
    waves = jnp.sin(0.31 * row + 0.11 * column) + jnp.cos(0.07 * row * column / size - 0.5 * column)
    image = waves + jax.random.normal(key, (size, size))
    return ((image - image.mean()) / image.std()).reshape(1, size, size, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Learn an unknown upsampling kernel.")
    parser.add_argument("--method", choices=("auto", "dilated", "vjp"), default="auto", help="jconvt's method")
    parser.add_argument("--size", type=int, default=48, help="height and width of the low-resolution image")
    parser.add_argument("--steps", type=int, default=100, help="steps of gradient descent")
    parser.add_argument("--rate", type=float, default=0.5, help="learning rate")
    options = parser.parse_args()

    upsample = partial(jconvt.conv2d_transpose, strides=2, method=options.method)
    image_key, kernel_key = jax.random.split(jax.random.key(0))
    low = synthetic_image(options.size, image_key)
    unknown = jax.random.normal(kernel_key, KERNEL_SHAPE)
    high = upsample(low, unknown)

    def loss(kernel: jax.Array) -> jax.Array:
        return jnp.mean((upsample(low, kernel) - high) ** 2)

    @jax.jit
    def descend(kernel: jax.Array, steps: int) -> jax.Array:
        return jax.lax.fori_loop(0, steps, lambda _, k: k - options.rate * jax.grad(loss)(k), kernel)

    kernel = jnp.zeros(KERNEL_SHAPE)
    columns = TextColumn("descending"), BarColumn(), TextColumn("{task.completed} of {task.total} steps")
    with Progress(*columns, TimeElapsedColumn()) as progress:
        task = progress.add_task("descending", total=options.steps)
        progress.console.print(f"low {low.shape} to high {high.shape}, method {options.method}")
        progress.console.print(f"step {0:5d}   loss {loss(kernel):.3e}")
        for report in range(REPORTS):
            done, until = (options.steps * part // REPORTS for part in (report, report + 1))
            kernel = descend(kernel, until - done)
            progress.update(task, completed=until)
            progress.console.print(f"step {until:5d}   loss {loss(kernel):.3e}")
    print(f"largest error of the recovered kernel: {jnp.abs(kernel - unknown).max():.1e}")


if __name__ == "__main__":
    main()
