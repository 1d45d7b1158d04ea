"""A DCGAN generator and a U-Net in Linen, with the class of the transposed convolutions as an argument."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


class Generator(nn.Module):
    """DCGAN's generator (arXiv 1511.06434): a vector becomes an image of 64x64 pixels."""

    transpose: Any
    width: int
    dtype: Any

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        options = {"dtype": self.dtype, "use_bias": False}
        x = nn.Dense(16 * 8 * self.width, **options)(z).reshape(-1, 4, 4, 8 * self.width)
        for factor in (4, 2, 1):
            x = nn.relu(nn.BatchNorm(use_running_average=False, dtype=self.dtype)(x))
            x = self.transpose(factor * self.width, (5, 5), (2, 2), **options)(x)
        x = nn.relu(nn.BatchNorm(use_running_average=False, dtype=self.dtype)(x))
        return jnp.tanh(self.transpose(3, (5, 5), (2, 2), **options)(x))


class UNet(nn.Module):
    """U-Net (arXiv 1505.04597) with padded convolutions: an image becomes an image of the same size."""

    transpose: Any
    width: int
    dtype: Any
    depth: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        skips = []
        for level in range(self.depth):
            x = self._block(x, self.width << level)
            skips.append(x)
            x = nn.max_pool(x, (2, 2), (2, 2))
        x = self._block(x, self.width << self.depth)
        for level in reversed(range(self.depth)):
            x = self.transpose(self.width << level, (2, 2), (2, 2), dtype=self.dtype)(x)
            x = self._block(jnp.concatenate([skips[level], x], -1), self.width << level)
        return nn.Conv(3, (1, 1), dtype=self.dtype)(x)

    def _block(self, x: jax.Array, features: int) -> jax.Array:
        for _ in range(2):
            x = nn.relu(nn.Conv(features, (3, 3), dtype=self.dtype)(x))
        return x
