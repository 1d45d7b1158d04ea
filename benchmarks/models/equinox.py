"""U-Net (arXiv 1505.04597) with Equinox's own layers, channels first."""

import itertools
from typing import Any

import equinox
import jax
import jax.numpy as jnp
from equinox import nn

from .network import Network, normal

_WIDTH, _DEPTH = 16, 4


class _Block(equinox.Module):
    convolutions: tuple[nn.Conv2d, nn.Conv2d]

    def __init__(self, channels: int, features: int, key: jax.Array):
        keys = jax.random.split(key)
        self.convolutions = (
            nn.Conv2d(channels, features, 3, padding=1, key=keys[0]),
            nn.Conv2d(features, features, 3, padding=1, key=keys[1]),
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        for convolution in self.convolutions:
            x = jax.nn.relu(convolution(x))
        return x


class _UNet(equinox.Module):
    down: list[_Block]
    up: list[tuple[nn.ConvTranspose2d, _Block]]
    last: nn.Conv2d
    pool: nn.MaxPool2d

    def __init__(self, key: jax.Array):
        keys = iter(jax.random.split(key, 3 * _DEPTH + 2))
        sizes = [3, *(_WIDTH << level for level in range(_DEPTH + 1))]
        self.down = [_Block(a, b, next(keys)) for a, b in itertools.pairwise(sizes)]
        self.up = [
            (nn.ConvTranspose2d(2 * size, size, 2, stride=2, key=next(keys)), _Block(2 * size, size, next(keys)))
            for size in reversed(sizes[1:-1])
        ]
        self.last = nn.Conv2d(_WIDTH, 3, 1, key=next(keys))
        self.pool = nn.MaxPool2d(2, 2)

    def __call__(self, x: jax.Array) -> jax.Array:
        skips = []
        for block in self.down[:-1]:
            skips.append(block(x))
            x = self.pool(skips[-1])
        x = self.down[-1](x)
        for transpose, block in self.up:
            x = block(jnp.concatenate([skips.pop(), transpose(x)]))
        return self.last(x)


def unet(batch: int, side: int) -> Network:
    parameters, static = equinox.partition(_UNet(jax.random.key(0)), equinox.is_array)

    def apply(parameters: Any, state: Any, images: jax.Array, training: bool) -> tuple[jax.Array, Any]:
        return jax.vmap(equinox.combine(parameters, static))(images), state

    return Network(apply, parameters, (), normal(1, batch, 3, side, side), normal(2, batch, 3, side, side))
