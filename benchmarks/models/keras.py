"""Keras's applications, and a U-Net of the form that its documentation has. The backend must be JAX."""

from typing import Any

import jax
import keras
from keras import layers

from .network import Network, normal

_CLASSES = 1000


def resnet50(batch: int, side: int) -> Network:
    return _application(keras.applications.ResNet50, batch, side)


def mobilenet_v2(batch: int, side: int) -> Network:
    return _application(keras.applications.MobileNetV2, batch, side)


def efficientnet_v2(batch: int, side: int) -> Network:
    return _application(keras.applications.EfficientNetV2B0, batch, side, include_preprocessing=False)


def xception_unet(batch: int, side: int) -> Network:
    """Separable convolutions and residual connections: encoder and decoder, without connections between them."""
    inputs = keras.Input((side, side, 3))
    x = _normalized(layers.Conv2D(32, 3, strides=2, padding="same")(inputs))
    for filters in (64, 128, 256):
        x = _down(x, filters)
    for filters in (256, 128, 64, 32):
        x = _up(x, filters)
    model = keras.Model(inputs, layers.Conv2D(3, 3, padding="same")(x))
    return _network(model, batch, side, side, side, 3)


def _down(x: Any, filters: int) -> Any:
    residual = layers.Conv2D(filters, 1, strides=2, padding="same")(x)
    for _ in range(2):
        x = layers.BatchNormalization()(layers.SeparableConv2D(filters, 3, padding="same")(layers.ReLU()(x)))
    return layers.add([layers.MaxPooling2D(3, strides=2, padding="same")(x), residual])


def _up(x: Any, filters: int) -> Any:
    residual = layers.Conv2D(filters, 1, padding="same")(layers.UpSampling2D(2)(x))
    for _ in range(2):
        x = layers.BatchNormalization()(layers.Conv2DTranspose(filters, 3, padding="same")(layers.ReLU()(x)))
    return layers.add([layers.UpSampling2D(2)(x), residual])


def _normalized(x: Any) -> Any:
    return layers.ReLU()(layers.BatchNormalization()(x))


def _application(build: Any, batch: int, side: int, **options: Any) -> Network:
    options |= {"weights": None, "classifier_activation": None, "input_shape": (side, side, 3), "classes": _CLASSES}
    return _network(build(**options), batch, side, _CLASSES)


def _network(model: Any, batch: int, side: int, *outputs: int) -> Network:
    if keras.backend.backend() != "jax":
        raise ImportError(f"Keras's backend is {keras.backend.backend()}: set KERAS_BACKEND=jax")

    def apply(parameters: Any, state: Any, images: jax.Array, training: bool) -> tuple[jax.Array, Any]:
        return model.stateless_call(parameters, state, images, training=training)

    parameters = [each.value for each in model.trainable_variables]
    state = [each.value for each in model.non_trainable_variables]
    return Network(apply, parameters, state, normal(1, batch, side, side, 3), normal(2, batch, *outputs))
