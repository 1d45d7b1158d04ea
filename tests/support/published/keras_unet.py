"""A U-Net as Keras's users write it, as a functional model without names, and the same in Linen."""

import jax.numpy as jnp
from flax import linen as nn

import jconvt.linen

CHANNELS = (4, 6)


def keras_unet(keras):
    """The model. Its shortcuts make the order of layers in a file differ from the order of calls."""
    layers = keras.layers

    def block(x, channels):
        for _ in range(2):
            x = layers.Conv2D(channels, 3, padding="same", use_bias=False)(x)
            x = layers.Activation("relu")(layers.BatchNormalization()(x))
        return x

    inputs = x = keras.Input((16, 16, 3))
    skips = []
    for channels in CHANNELS:
        x = block(x, channels)
        skips.append(x)
        x = layers.MaxPooling2D(2)(x)
    x = block(x, 8)
    for channels, skip in zip(reversed(CHANNELS), reversed(skips), strict=True):
        x = layers.Conv2DTranspose(channels, 2, strides=2, padding="same")(x)
        x = block(layers.Concatenate()([x, skip]), channels)
    return keras.Model(inputs, layers.Conv2D(2, 1, activation="sigmoid")(x))


class LinenUNet(nn.Module):
    """The same network. Linen numbers the layers of a class in the order of calls, as Keras does."""

    @nn.compact
    def __call__(self, x):
        skips = []
        for channels in CHANNELS:
            x = self._block(x, channels)
            skips.append(x)
            x = nn.max_pool(x, (2, 2), (2, 2))
        x = self._block(x, 8)
        for channels, skip in zip(reversed(CHANNELS), reversed(skips), strict=True):
            x = jconvt.linen.ConvTranspose(channels, (2, 2), (2, 2))(x)
            x = self._block(jnp.concatenate([x, skip], -1), channels)
        return nn.sigmoid(nn.Conv(2, (1, 1))(x))

    def _block(self, x, channels):
        for _ in range(2):
            x = nn.Conv(channels, (3, 3), use_bias=False)(x)
            x = nn.relu(nn.BatchNorm(use_running_average=True, epsilon=1e-3)(x))
        return x


def linen_name(name):
    """The path in Linen of a layer that Keras named: ``conv2d_3`` is ``Conv_3``."""
    kind, _, number = name.rpartition("_") if name[-1].isdecimal() else (name, "", "0")
    return {"conv2d": "Conv", "conv2d_transpose": "ConvTranspose", "batch_normalization": "BatchNorm"}[
        kind
    ] + f"_{number}"
