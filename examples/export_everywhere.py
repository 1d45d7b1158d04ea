"""Export once for CPU, GPU and TPU, and for all sizes: ``python examples/export_everywhere.py``.

Exporting for an accelerator does not require one. Batch, height and width are symbolic in the exported program. The
gradient is exported in the same way.
"""

import argparse

import jax
import jax.numpy as jnp
from jax import export

import jconvt

PLATFORMS = ("cpu", "cuda", "tpu")
FILTERS = jax.random.normal(jax.random.key(0), (4, 4, 2, 3))


def upsample(x: jax.Array, filters: jax.Array) -> jax.Array:
    return jconvt.conv2d_transpose(x, filters, strides=2)


def gradient(x: jax.Array, filters: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the gradient of the sum of squares with respect to the input and the kernel."""
    return jax.grad(lambda *operands: jnp.sum(upsample(*operands) ** 2), argnums=(0, 1))(x, filters)


def shape(text: str) -> tuple[int, ...]:
    """Parse ``"2x5x6"`` as ``(2, 5, 6)``."""
    batch, height, width = map(int, text.split("x"))
    return batch, height, width


def main() -> None:
    parser = argparse.ArgumentParser(description="Export once for CPU, GPU and TPU.")
    parser.add_argument(
        "shapes", nargs="*", type=shape, default=[(1, 16, 16), (4, 9, 31)], metavar="BATCHxHEIGHTxWIDTH"
    )
    options = parser.parse_args()

    symbolic = jax.ShapeDtypeStruct((*export.symbolic_shape("batch, height, width"), 3), jnp.float32)
    for function in (upsample, gradient):
        exported = export.export(jax.jit(function), platforms=PLATFORMS)(symbolic, FILTERS)
        program = exported.serialize()
        loaded = export.deserialize(program)
        print(f"{function.__name__}: {len(program)} bytes for {', '.join(loaded.platforms)}")
        print("  takes   ", *(aval.str_short() for aval in loaded.in_avals))
        print("  returns ", *(aval.str_short() for aval in loaded.out_avals))
        for sizes in options.shapes:
            x = jax.random.normal(jax.random.key(1), (*sizes, 3))
            results, expected = (jax.tree.leaves(call(x, FILTERS)) for call in (loaded.call, function))
            difference = max(jnp.abs(r - e).max() / jnp.abs(e).max() for r, e in zip(results, expected, strict=True))
            shapes = " ".join(str(result.shape) for result in results)
            print(f"  {x.shape} -> {shapes}, relative difference from the direct call {difference:.1e}")


if __name__ == "__main__":
    main()
