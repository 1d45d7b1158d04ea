"""Layers are not paired by order where the file has no order, and arrays that no layer owns are not dropped."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jconvt import ArgumentError, weights
from jconvt.weights import Checkpoint, Layer

nn, nnx, torch = (pytest.importorskip(name) for name in ("flax.linen", "flax.nnx", "torch"))
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


class Shortcut(nn.Module):
    """A residual block: the branch is called before the shortcut. With ``named``, layers have Keras's names."""

    named: bool

    @nn.compact
    def __call__(self, x):
        def conv(name, x):
            return nn.Conv(3, (3, 3), name=name if self.named else None)(x)

        return conv("second", nn.relu(conv("first", x))) + conv("shortcut", x)


def test_keras__functional_models_are_in_the_order_of_depth(tmp_path):
    keras = pytest.importorskip("keras")
    options = {"padding": "same", "bias_initializer": "normal"}
    first, second, shortcut = (keras.layers.Conv2D(3, 3, name=n, **options) for n in ("first", "second", "shortcut"))
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, keras.layers.add([second(keras.ops.relu(first(inputs))), shortcut(inputs)]))
    wanted = np.asarray(model(X))
    model.save(tmp_path / "model.keras")
    checkpoint = weights.read(tmp_path / "model.keras")
    with pytest.raises(ArgumentError, match=r"leave a choice .*\n(.*\n)*.*'first': 'Conv_0',\n"):
        weights.into_linen(checkpoint, Shortcut(False), X)
    variables, _ = weights.into_linen(checkpoint, Shortcut(True), X, check=(X, wanted))
    np.testing.assert_allclose(Shortcut(True).apply(variables, X), wanted, rtol=1e-4, atol=1e-5)


class Block(torch.nn.Module):
    """HiFi-GAN's residual block: the first convolutions are registered before the second ones, and called in turn."""

    def __init__(self):
        super().__init__()
        self.convs1 = torch.nn.ModuleList(torch.nn.Conv1d(4, 4, 3, dilation=d, padding=d) for d in (1, 3, 5))
        self.convs2 = torch.nn.ModuleList(torch.nn.Conv1d(4, 4, 3, padding=1) for _ in range(3))

    def forward(self, x):
        for first, second in zip(self.convs1, self.convs2, strict=True):
            x = second(torch.relu(first(torch.relu(x)))) + x
        return x


class LinenBlock(nn.Module):
    """The same block. With ``named``, its lists have PyTorch's names."""

    named: bool

    def setup(self):
        if self.named:
            self.convs1 = [nn.Conv(4, (3,), kernel_dilation=(d,)) for d in (1, 3, 5)]
            self.convs2 = [nn.Conv(4, (3,)) for _ in range(3)]
        else:
            self.all = [nn.Conv(4, (3,), kernel_dilation=(d,)) for d in (1, 1, 3, 1, 5, 1)]

    def __call__(self, x):
        pairs = zip(self.convs1, self.convs2, strict=True) if self.named else zip(*[iter(self.all)] * 2, strict=True)
        for first, second in pairs:
            x = second(nn.relu(first(nn.relu(x)))) + x
        return x


def test_torch__order_of_registration_is_not_that_of_calls(tmp_path):
    model, x = Block(), np.random.default_rng(0).normal(size=(2, 9, 4)).astype(np.float32)
    wanted = model(torch.from_numpy(x).transpose(1, 2)).transpose(1, 2).detach().numpy()
    torch.save(model.state_dict(), tmp_path / "model.pt")
    checkpoint = weights.read(tmp_path / "model.pt")
    _, report = weights.into_linen(checkpoint, LinenBlock(True), x, check=(x, wanted))
    assert {(row.source.replace(".", "_"), row.rule) for row in report.rows} == {
        (f"convs{i}_{j}", "path") for i in (1, 2) for j in range(3)
    }
    with pytest.raises(ArgumentError, match="leave a choice"):
        weights.into_linen(checkpoint, LinenBlock(False), x)
    with pytest.raises(ArgumentError, match=r"does not give .*\n(.*\n)*.*the pair 'convs1\.1', 'all_1' by order"):
        weights.into_linen(checkpoint, LinenBlock(False), x, by_order=True, check=(x, wanted))
    names = {f"convs{i + 1}.{j}": f"all_{2 * j + i}" for i in range(2) for j in range(3)}
    weights.into_linen(checkpoint, LinenBlock(False), x, names=names, check=(x, wanted))


def test_torch__sequences_have_equal_paths_and_other_layers_are_not_used(tmp_path):
    """The target is only the upsampling of SAM's mask decoder."""
    up = torch.nn.Sequential(
        torch.nn.ConvTranspose2d(8, 4, 2, 2), torch.nn.GELU(), torch.nn.ConvTranspose2d(4, 4, 2, 2), torch.nn.GELU()
    )
    model = torch.nn.ModuleDict({"mlp": torch.nn.Linear(4, 4), "output_upscaling": up})
    torch.save(model.state_dict(), tmp_path / "model.pt")

    class Decoder(nnx.Module):
        def __init__(self):
            rngs = nnx.Rngs(0)
            first, second = (nnx.ConvTranspose(n, 4, (2, 2), (2, 2), padding="VALID", rngs=rngs) for n in (8, 4))
            self.output_upscaling = nnx.Sequential(first, nnx.gelu, second, nnx.gelu)

        def __call__(self, x):
            return self.output_upscaling(x)

    x = np.random.default_rng(0).normal(size=(1, 3, 3, 8)).astype(np.float32)
    wanted = up(torch.from_numpy(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).detach().numpy()
    check = {"check": (x, wanted), "tolerance": 1e-2}  # NNX's gelu is an approximation
    report = weights.into_nnx(weights.read(tmp_path / "model.pt"), Decoder(), **check)
    assert [row.rule for row in report.rows] == ["path", "path"]
    assert report.unused == ("mlp (dense: kernel, bias)",)


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
