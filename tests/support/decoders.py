"""Small decoders of each framework, whose files the tests of ``jconvt.weights`` read, and their outputs.

Each decoder is compiled once for all tests: only its numbers change.
"""

import functools
import zipfile

import numpy as np
import pytest

from jconvt import ArgumentError, weights

STRIDE, PADDING, ADDED = 2, 1, 1
"""The transposed convolutions double the size: a kernel of 4, or a kernel of 3 and one added row."""


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
    """Fill with numbers other than zeros and ones; variances are positive."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            tensor.data.normal_(generator=generator)
            tensor.data.mul_(0.5).add_(0 if tensor.ndim > 1 else 0.1)
            if "var" in name:
                tensor.data.abs_().add_(0.5)


def torch_decoder(rank, groups=1):
    """Even and odd kernels, with and without a bias; a grouped convolution; a batch norm and a group norm."""
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
    """Return the decoder's output for images with channels last."""
    import torch

    with torch.no_grad():
        return last(model(torch.from_numpy(np.ascontiguousarray(first(x)))).numpy())


def crops(kernel, added=0):
    """Return PyTorch's padding as ``jax.lax``'s."""
    return (kernel - 1 - PADDING, kernel - 1 - PADDING + added)


@functools.cache
def linen_decoder(rank, **options):
    """The same decoder in ``flax.linen``, which has no grouped transposed convolutions."""
    nn = pytest.importorskip("flax.linen")
    up = functools.partial(nn.ConvTranspose, strides=(STRIDE,) * rank, **options)
    return nn.Sequential(
        [
            up(8, (4,) * rank, padding=(crops(4),) * rank),
            nn.BatchNorm(use_running_average=True),
            nn.relu,
            nn.Conv(4, (3,) * rank, feature_group_count=2),
            nn.GroupNorm(2),
            up(4, (3,) * rank, padding=(crops(3, ADDED),) * rank, use_bias=False),
        ]
    )


def linen_answer(module, variables, x):
    """Return the module's output. A module is compiled when it is first called."""
    import jax

    _, compiled = _LINEN.setdefault(id(module), (module, jax.jit(module.apply)))
    return compiled(variables, x)


_LINEN = {}  # the modules are not hashable; a module that is kept here keeps its id


def nnx_decoder(rank, **options):
    """The same decoder in ``flax.nnx``."""
    nnx = pytest.importorskip("flax.nnx")
    rngs = nnx.Rngs(0)
    conv = {"kernel_init": nnx.initializers.zeros, "rngs": rngs}
    up = functools.partial(nnx.ConvTranspose, strides=(STRIDE,) * rank, **conv, **options)
    return nnx.Sequential(
        up(6, 8, (4,) * rank, padding=(crops(4),) * rank),
        nnx.BatchNorm(8, use_running_average=True, rngs=rngs),
        nnx.relu,
        nnx.Conv(8, 4, (3,) * rank, feature_group_count=2, **conv),
        nnx.GroupNorm(4, 2, rngs=rngs),
        up(4, 4, (3,) * rank, padding=(crops(3, ADDED),) * rank, use_bias=False),
    )


@functools.cache
def _compiled_nnx(rank, transpose_kernel):
    import jax
    from flax import nnx

    structure = nnx.graphdef(nnx_decoder(rank, transpose_kernel=transpose_kernel))
    return jax.jit(lambda state, x: nnx.merge(structure, state)(x))


def nnx_answer(model, x):
    """Return the output of a model of ``nnx_decoder``."""
    from flax import nnx

    last_layer = model.layers[-1]
    return _compiled_nnx(x.ndim - 2, last_layer.transpose_kernel)(nnx.state(model), x)


def equinox_decoder(rank, groups=1):
    """The same decoder in Equinox, for one image, channels first; and its state."""
    eqx = pytest.importorskip("equinox")
    import jax

    nn, options = eqx.nn, {"key": jax.random.key(0), "dtype": np.float32}

    def build():
        return nn.Sequential(
            [
                nn.ConvTranspose(rank, 6, 8, 4, STRIDE, padding=PADDING, groups=groups, **options),
                nn.BatchNorm(8, axis_name="batch", mode="ema", dtype=np.float32),
                nn.Lambda(jax.nn.relu),
                nn.Conv(rank, 8, 4, 3, padding=1, groups=2, **options),
                nn.GroupNorm(2, 4, eps=1e-6, dtype=np.float32),
                nn.ConvTranspose(rank, 4, 4, 3, STRIDE, ADDED, PADDING, groups=groups, use_bias=False, **options),
            ]
        )

    # Random numbers would take most of the time, and the tests load others.
    shapes = eqx.filter_eval_shape(nn.make_with_state(build))
    arrays, rest = eqx.partition(shapes, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
    return eqx.combine(jax.tree.map(lambda each: jax.numpy.zeros(each.shape, each.dtype), arrays), rest)


def equinox_answer(model, state, x):
    """Return the decoder's output for images with channels last."""
    import equinox as eqx

    return last(_compiled_equinox()(eqx.nn.inference_mode(model), state, first(x)))


@functools.cache
def _compiled_equinox():
    import equinox as eqx
    import jax

    return eqx.filter_jit(lambda model, state, x: jax.vmap(lambda each: model(each, state)[0], axis_name="batch")(x))


def keras_decoder(rank):
    """A Keras decoder with an inner model, layers without weights, and a layer that would run code."""
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


@functools.cache
def keras_linen(rank):
    """The Keras decoder in ``flax.linen``."""
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
    """A copy of a zip archive. ``change`` edits the dictionary of its members."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target


def assert_rejected(path, *parts):
    """Assert that reading the file raises one clear error with these parts."""
    with pytest.raises(ArgumentError) as caught:
        weights.read(path)
    text = str(caught.value)
    for part in (str(path), "cannot be read as", "got:", "legal:", "fix:", *parts):
        assert part in text, text
