"""DCGAN (arXiv 1511.06434) and U-Net (arXiv 1505.04597) with Flax's own layers.

They normalize by the batch, in inference too.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ..device import models
from .network import Network, normal


class Discriminator(nn.Module):
    """DCGAN's discriminator: an image of 64x64 pixels becomes a number."""

    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.leaky_relu(nn.Conv(self.width, (5, 5), (2, 2))(x), 0.2)
        for factor in (2, 4, 8):
            x = nn.Conv(factor * self.width, (5, 5), (2, 2), use_bias=False)(x)
            x = nn.leaky_relu(nn.BatchNorm(use_running_average=False)(x), 0.2)
        return nn.Dense(1)(x.reshape(x.shape[0], -1))


def dcgan_generator(batch: int, width: int) -> Network:
    module = models.Generator(nn.ConvTranspose, width, jnp.float32)
    return _network(module, normal(1, batch, 100), normal(2, batch, 64, 64, 3))


def dcgan_discriminator(batch: int, width: int) -> Network:
    return _network(Discriminator(width), normal(1, batch, 64, 64, 3), normal(2, batch, 1))


def unet(batch: int, side: int) -> Network:
    module = models.UNet(nn.ConvTranspose, 16, jnp.float32, 4)
    return _network(module, normal(1, batch, side, side, 3), normal(2, batch, side, side, 3))


def _network(module: Any, batch: jax.Array, target: jax.Array) -> Network:
    def apply(parameters: Any, state: Any, batch: jax.Array, training: bool) -> tuple[jax.Array, Any]:
        outputs, changed = module.apply({"params": parameters, **state}, batch, mutable=list(state))
        return outputs, changed

    variables = jax.jit(module.init)(jax.random.key(0), batch)
    return Network(apply, variables.pop("params"), variables, batch, target)
