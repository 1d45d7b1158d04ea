"""Small decoders of each framework: the files that they save are what the tests of ``jconvt.weights`` read."""

import functools
import zipfile

import numpy as np
import pytest

from jconvt import ArgumentError, weights

STRIDE, PADDING, ADDED = 2, 1, 1
"""Of the transposed convolutions: with a kernel of 4 the canvas is doubled, as with one of 3 and one more."""


def images(rank, channels, seed=0):
    """Inputs, channels last."""
    return np.random.default_rng(seed).normal(size=(2, *(4, 5, 3)[:rank], channels)).astype(np.float32)


def first(array):
    """Channels last to channels first."""
    return np.moveaxis(np.asarray(array), -1, 1)


def last(array):
    """Channels first to channels last."""
    return np.moveaxis(np.asarray(array), 1, -1)


def _fill(tensors, torch):
    """Numbers other than zeros and ones everywhere, variances above zero."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            tensor.data.normal_(generator=generator)
            tensor.data.mul_(0.5).add_(0 if tensor.ndim > 1 else 0.1)
            if "var" in name:
                tensor.data.abs_().add_(0.5)


def torch_decoder(rank, groups=1):
    """Even and odd kernels, with a bias and without; a grouped convolution; both norms; a layer over the channels."""
    torch = pytest.importorskip("torch")
    nn = torch.nn
    up, conv, norm = (getattr(nn, f"{name}{rank}d") for name in ("ConvTranspose", "Conv", "BatchNorm"))
    model = nn.Sequential(
        up(6, 8, 4, STRIDE, PADDING, groups=groups),
        norm(8),
        nn.ReLU(),
        conv(8, 4, 3, padding=1, groups=2),
        nn.GroupNorm(2, 4, eps=1e-6),
        up(4, 4, 3, STRIDE, PADDING, output_padding=ADDED, groups=groups, bias=False),
    ).eval()
    _fill(model.state_dict(), torch)
    return model


def torch_answer(model, x):
    """What the decoder makes of images with the channels last."""
    import torch

    with torch.no_grad():
        return last(model(torch.from_numpy(np.ascontiguousarray(first(x)))).numpy())


def crops(kernel, added=0):
    """PyTorch's padding as ``jax.lax``'s."""
    return (kernel - 1 - PADDING, kernel - 1 - PADDING + added)


def linen_decoder(rank, **options):
    """The same decoder in ``flax.linen``, which has no grouped transposed convolutions."""
    nn = pytest.importorskip("flax.linen")
    up = functools.partial(nn.ConvTranspose, strides=(STRIDE,) * rank, **options)
    return nn.Sequential(
        [
            up(8, (4,) * rank, padding=[crops(4)] * rank),
            nn.BatchNorm(use_running_average=True),
            nn.relu,
            nn.Conv(4, (3,) * rank, feature_group_count=2),
            nn.GroupNorm(2),
            up(4, (3,) * rank, padding=[crops(3, ADDED)] * rank, use_bias=False),
        ]
    )


def nnx_decoder(rank, **options):
    """The same decoder in ``flax.nnx``."""
    nnx = pytest.importorskip("flax.nnx")
    rngs = nnx.Rngs(0)
    up = functools.partial(nnx.ConvTranspose, strides=(STRIDE,) * rank, rngs=rngs, **options)
    return nnx.Sequential(
        up(6, 8, (4,) * rank, padding=[crops(4)] * rank),
        nnx.BatchNorm(8, use_running_average=True, rngs=rngs),
        nnx.relu,
        nnx.Conv(8, 4, (3,) * rank, feature_group_count=2, rngs=rngs),
        nnx.GroupNorm(4, 2, rngs=rngs),
        up(4, 4, (3,) * rank, padding=[crops(3, ADDED)] * rank, use_bias=False),
    )


def equinox_decoder(rank, groups=1):
    """The same decoder in Equinox, for one image, channels first; and its state."""
    eqx = pytest.importorskip("equinox")
    import jax

    nn, own = eqx.nn, {"key": jax.random.key(0), "dtype": np.float32}

    def build():
        return nn.Sequential(
            [
                nn.ConvTranspose(rank, 6, 8, 4, STRIDE, padding=PADDING, groups=groups, **own),
                nn.BatchNorm(8, axis_name="batch", mode="ema", dtype=np.float32),
                nn.Lambda(jax.nn.relu),
                nn.Conv(rank, 8, 4, 3, padding=1, groups=2, **own),
                nn.GroupNorm(2, 4, eps=1e-6, dtype=np.float32),
                nn.ConvTranspose(rank, 4, 4, 3, STRIDE, ADDED, PADDING, groups=groups, use_bias=False, **own),
            ]
        )

    return nn.make_with_state(build)()


def keras_decoder(rank):
    """A decoder of Keras's: an inner model, layers without weights, and a layer that would run code."""
    keras = pytest.importorskip("keras")
    layers = keras.layers
    up, conv = getattr(layers, f"Conv{rank}DTranspose"), getattr(layers, f"Conv{rank}D")
    sizes = (4, 5, 3)[:rank]
    inner = keras.Sequential(
        [
            keras.Input((*(2 * n for n in sizes), 8)),
            conv(4, 3, padding="same", groups=2, name="mix"),
            layers.BatchNormalization(name="scale"),
        ],
        name="inner",
    )
    model = keras.Sequential(
        [
            keras.Input((*sizes, 6)),
            up(8, 4, strides=STRIDE, padding="same", name="up1"),
            layers.ReLU(),
            inner,
            layers.Lambda(lambda x: x * 1.0),
            up(4, 3, strides=STRIDE, padding="valid", use_bias=False),
            layers.Dense(3, name="pixels"),
            layers.LayerNormalization(epsilon=0.1),
        ]
    )
    generator = np.random.default_rng(0)
    model.set_weights(
        [
            (np.abs(numbers) + 0.5 if "variance" in weight.path else numbers).astype(np.float32)
            for weight in model.weights
            for numbers in [generator.normal(scale=0.5, size=weight.shape)]
        ]
    )
    return model


def keras_linen(rank):
    """The decoder of Keras's in ``flax.linen``."""
    nn = pytest.importorskip("flax.linen")

    class Inner(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Conv(4, (3,) * rank, feature_group_count=2)(x)
            return nn.BatchNorm(use_running_average=True, epsilon=1e-3)(x)

    return nn.Sequential(
        [
            nn.ConvTranspose(8, (4,) * rank, strides=(STRIDE,) * rank),
            nn.relu,
            Inner(),
            nn.ConvTranspose(4, (3,) * rank, strides=(STRIDE,) * rank, padding="VALID", use_bias=False),
            nn.Dense(3),
            nn.LayerNorm(epsilon=0.1, use_fast_variance=False),
        ]
    )


def rezipped(source, target, change):
    """A copy of a zip archive with its members, as a dictionary, changed by ``change``."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target


def refused(path, *parts):
    """Asserts that the file is refused, for these reasons."""
    with pytest.raises(ArgumentError) as caught:
        weights.read(path)
    text = str(caught.value)
    for part in (str(path), "cannot be read as", "got:", "legal:", "fix:", *parts):
        assert part in text, text
