"""Train a small generator for a few steps, in one process or in several.

    python tests/support/generator_training.py ADDRESS PROCESSES PROCESS FILE

runs one of several processes, and writes its results to FILE.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jconvt

SHARDINGS = {
    "batch": (AxisType.Explicit, 1),
    "rows, explicit": (AxisType.Explicit, 2),  # the first mesh axis, so that the halo crosses two processes
    "rows, automatic": (AxisType.Auto, 2),
}
"""The type of the mesh axes, and the number of devices that shard the rows; the others shard the batch."""

STEPS, RATE = 3, 0.05


def train(case: str | None = None) -> dict[str, np.ndarray]:
    """Return the loss of each step and the final kernels. A sharding uses all devices of all processes."""
    rng = np.random.default_rng(7)
    seeds, images = rng.normal(size=(16, 4, 4, 6)), rng.normal(size=(16, 16, 16, 3))
    kernels = [rng.normal(size=(4, 4, 5, 6)) / 8, rng.normal(size=(5, 5, 3, 5)) / 8]
    if case is None:
        return _trained(*map(jnp.asarray, (seeds, images)), [*map(jnp.asarray, kernels)])
    kind, rows = SHARDINGS[case]
    mesh = jax.make_mesh((rows, jax.device_count() // rows), ("rows", "batch"), axis_types=(kind, kind))
    sharded = NamedSharding(mesh, PartitionSpec("batch", "rows"))
    replicated = NamedSharding(mesh, PartitionSpec())

    def put(a: np.ndarray, sharding: NamedSharding) -> jax.Array:
        return jax.make_array_from_callback(a.shape, sharding, lambda index: a[index])

    with jax.set_mesh(mesh):
        return _trained(put(seeds, sharded), put(images, sharded), [put(w, replicated) for w in kernels], replicated)


def _trained(
    seeds: jax.Array, images: jax.Array, kernels: list[jax.Array], replicated: NamedSharding | None = None
) -> dict[str, np.ndarray]:
    step, losses = jax.jit(_step, out_shardings=replicated), []
    for _ in range(STEPS):
        kernels, value = step(kernels, seeds, images)
        losses.append(float(value))
    return {"losses": np.array(losses)} | {f"kernel {number}": np.asarray(w) for number, w in enumerate(kernels)}


def _step(kernels: list[jax.Array], seeds: jax.Array, images: jax.Array) -> tuple[list[jax.Array], jax.Array]:
    def loss(kernels: list[jax.Array]) -> jax.Array:
        first, second = kernels
        hidden = jnp.tanh(jconvt.conv2d_transpose(seeds, first, strides=2, precision="highest"))
        return ((jconvt.conv2d_transpose(hidden, second, strides=2, precision="highest") - images) ** 2).mean()

    value, gradients = jax.value_and_grad(loss)(kernels)
    return [w - RATE * gradient for w, gradient in zip(kernels, gradients, strict=True)], value


def _main(address: str, processes: str, process: str, file: str) -> None:
    jax.config.update("jax_enable_x64", True)
    jax.distributed.initialize(address, int(processes), int(process), initialization_timeout=60)
    found = {f"{case} {name}": value for case in SHARDINGS for name, value in train(case).items()}
    found["devices"] = np.array([jax.process_count(), jax.device_count(), jax.local_device_count()])
    np.savez(file, **found)


if __name__ == "__main__":
    _main(*sys.argv[1:])
