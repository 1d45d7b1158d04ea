"""Layers are not paired by order where the file has no order, and arrays that no layer owns are not dropped."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jconvt import ArgumentError, weights
from jconvt.weights import Checkpoint, Layer

nn, nnx = pytest.importorskip("flax.linen"), pytest.importorskip("flax.nnx")
pytest.importorskip("h5py")
pytest.importorskip("safetensors")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
X = np.random.default_rng(0).normal(size=(1, 4, 4, 3)).astype(np.float32)
TARGET = nn.Sequential([nn.ConvTranspose(3, (3, 3), strides=(2, 2), transpose_kernel=True) for _ in range(2)])


def up(name):
    keras = pytest.importorskip("keras")
    return keras.layers.Conv2DTranspose(3, 3, 2, padding="same", bias_initializer="normal", name=name)


def test_keras__custom_model_has_no_order(tmp_path):
    keras = pytest.importorskip("keras")

    class Decoder(keras.Model):
        def __init__(self):
            super().__init__()
            self.z_first, self.a_second = up("one"), up("two")

        def call(self, x):
            return self.a_second(self.z_first(x))

    model = Decoder()
    wanted = model(X)
    model.save(tmp_path / "model.keras")
    checkpoint = weights.read(tmp_path / "model.keras", kinds={"*": "conv_transpose"})
    for by_order in (False, True):
        with pytest.raises(
            ArgumentError, match=r"leave a choice .*\n(.*\n)*.* by_order=True does not help, as .*has no order"
        ):
            weights.into_linen(checkpoint, TARGET, X, by_order=by_order)
    variables, report = weights.into_linen(checkpoint, TARGET, X, names={"one": "layers_0", "two": "layers_1"})
    np.testing.assert_allclose(TARGET.apply(variables, X), np.asarray(wanted), rtol=1e-4, atol=1e-5)
    assert report.notes == ()
    back, like = weights.from_linen(variables, TARGET, X), tmp_path / "model.keras"
    with pytest.raises(ArgumentError, match="by_order=True does not help"):
        weights.write(tmp_path / "new.keras", back, like=like, by_order=True)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_keras__frozen_layers_of_legacy_files_keep_their_position(tmp_path):
    keras = pytest.importorskip("keras")
    first, second = up("first"), up("second")
    first.trainable = False
    inner = keras.Sequential([keras.Input((4, 4, 3)), first, second], name="inner")
    model = keras.Sequential([keras.Input((4, 4, 3)), inner])
    model.save(tmp_path / "model.h5")
    variables, report = weights.into_linen(weights.read(tmp_path / "model.h5"), TARGET, X, by_order=True)
    assert [row.source for row in report.rows] == ["inner.first", "inner.second"]
    np.testing.assert_allclose(TARGET.apply(variables, X), np.asarray(model(X)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_keras__other_classes_are_of_kind_other(suffix, tmp_path):
    keras = pytest.importorskip("keras")
    layers = keras.layers
    inputs = keras.Input((7,))
    x = layers.Embedding(10, 4)(inputs)
    x = layers.MultiHeadAttention(2, 3)(x, x)
    x = layers.PReLU()(layers.SimpleRNN(3, return_sequences=True)(x))
    model = keras.Model(inputs, layers.SeparableConv1D(2, 3)(x))
    model.save(tmp_path / f"model{suffix}")
    checkpoint = weights.read(tmp_path / f"model{suffix}")
    assert {layer.kind for layer in checkpoint.layers.values()} == {"other"}
    assert len(checkpoint.layers) == 8


def test_write__weights_for_keras_need_an_order(tmp_path):
    layers = {name: Layer("conv", {"kernel": np.zeros((3, 3, 2, 2))}, "keras", 1) for name in ("b", "a")}
    with pytest.raises(ArgumentError, match="has no order of layers"):
        weights.write(tmp_path / "new.weights.h5", Checkpoint(layers, "keras", ordered=False))
    with pytest.raises(
        ArgumentError, match=r"pairs layers of one class by order, and 'b' and 'a' .*\n(.*\n)*.*by_order=True"
    ):
        weights.write(tmp_path / "new.weights.h5", Checkpoint(layers, "keras"))
    assert not list(tmp_path.iterdir())
    weights.write(tmp_path / "new.weights.h5", Checkpoint(layers, "keras"), by_order=True)


class Words(nn.Module):
    @nn.compact
    def __call__(self, x):
        gain = self.param("gain", nn.initializers.ones, (4,), jnp.float32)
        return nn.Dense(2)(nn.Embed(10, 4, name="embed")(x) * gain.reshape(1, 1, 4))


def test_write__unowned_arrays_are_listed(tmp_path):
    eqx = pytest.importorskip("equinox")
    tokens, key = jnp.zeros((1, 3), int), jax.random.key(0)
    embed, dense = nnx.Embed(10, 4, rngs=nnx.Rngs(0)), nnx.Linear(4, 2, rngs=nnx.Rngs(0))
    embedding, linear = eqx.nn.Embedding(10, 4, key=key), eqx.nn.Linear(4, 2, key=key)
    for checkpoint, listed in (
        (
            weights.from_linen(Words().init(key, tokens), Words(), tokens),
            ("embed (other: embedding)", " (other: gain)"),
        ),
        (weights.from_nnx(nnx.Sequential(embed, dense)), ("layers.0 (other: embedding)",)),
        (weights.from_equinox(eqx.nn.Sequential([embedding, linear])), ("layers.0 (other: weight)",)),
    ):
        report = weights.write(tmp_path / "new.safetensors", checkpoint, "keras")
        assert report.unused == listed
        assert len(report.rows) == 1


def test_from_linen__scanned_layers_are_of_kind_other():
    class Step(nn.Module):
        @nn.compact
        def __call__(self, carry, _):
            return nn.ConvTranspose(3, (3, 3))(carry), None

    stack = nn.scan(Step, variable_axes={"params": 0}, split_rngs={"params": True}, length=2)()
    checkpoint = weights.from_linen(stack.init(jax.random.key(0), X, None), stack, X, None)
    assert checkpoint.layers["ConvTranspose_0"].kind == "other"


def test_from_linen__layer_with_a_shared_scope_is_found():
    class Outer(nn.Module):
        def setup(self):
            self.up = nn.ConvTranspose(3, (3, 3))
            nn.share_scope(self, self.up)

        def __call__(self, x):
            return self.up(x)

    checkpoint = weights.from_linen(Outer().init(jax.random.key(0), X), Outer(), X)
    assert checkpoint.layers[""].kind == "conv_transpose"
