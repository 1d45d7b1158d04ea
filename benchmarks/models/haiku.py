"""Haiku's own networks."""

# pyright: reportAttributeAccessIssue=false, reportMissingImports=false
# Where Haiku is missing, pyright takes this module for it.

from typing import Any

import haiku
import jax

from .network import Network, normal

_CLASSES = 1000


def resnet18(batch: int, side: int) -> Network:
    return _network(haiku.nets.ResNet18, batch, side)


def mobilenet_v1(batch: int, side: int) -> Network:
    return _network(haiku.nets.MobileNetV1, batch, side)


def _network(build: Any, batch: int, side: int) -> Network:
    transformed = haiku.without_apply_rng(
        haiku.transform_with_state(lambda images, training: build(num_classes=_CLASSES)(images, training))
    )
    images = normal(1, batch, side, side, 3)
    parameters, state = jax.jit(transformed.init, static_argnums=2)(jax.random.key(0), images, True)
    parameters = jax.tree.map(_nonzero, parameters)
    return Network(transformed.apply, parameters, state, images, normal(2, batch, _CLASSES))


def _nonzero(parameter: jax.Array) -> jax.Array:
    """Return random values for a parameter that is zero: it would hide errors of the layers before it."""
    return parameter if parameter.any() else 0.1 * normal(3, *parameter.shape)
