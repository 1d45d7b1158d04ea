"""The slopes of PReLU: one for each channel, or one for all of them, which is the only form in Flax."""

import dataclasses

import numpy as np

from .checkpoint import Layer

FIX = "Flax's PReLU has one slope for all channels: write a module with these slopes, jnp.where(x < 0, slopes * x, x)"


def are_per_channel(shape: tuple[int, ...], channels_first: bool) -> bool:
    """Whether slopes of this shape differ at most between channels, which are the first or the last axis.

    >>> are_per_channel((1, 1, 8), channels_first=False), are_per_channel((28, 28, 8), channels_first=False)
    (True, False)
    """
    return all(size == 1 for size in (shape[1:] if channels_first else shape[:-1]))


def are_equal(slopes: np.ndarray) -> bool:
    """Whether there are slopes, and all are equal."""
    return slopes.size > 0 and bool((slopes == slopes.flat[0]).all())


def fitted(source: Layer, target: Layer) -> Layer:
    """Return the source with slopes of the target's shape, if they are equal or the shape has no others."""
    slopes, shape = source.arrays["negative_slope"], tuple(target.arrays["negative_slope"].shape)
    if are_equal(slopes):
        return dataclasses.replace(source, arrays={"negative_slope": np.full(shape, slopes.flat[0], slopes.dtype)})
    return source
