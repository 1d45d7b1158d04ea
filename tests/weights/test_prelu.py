"""PReLU in every framework: equal to the live one, never a norm, and an error where Flax cannot have the slopes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jconvt import ArgumentError, weights
from jconvt.__main__ import main
from jconvt.weights import Checkpoint, Layer

torch = pytest.importorskip("torch")
eqx = pytest.importorskip("equinox")
pytest.importorskip("flax")
pytest.importorskip("h5py")
pytest.importorskip("safetensors")

from flax import linen as nn  # noqa: E402
from flax import nnx  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

X = np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype(np.float32)  # channels last


def close(found, wanted):
    np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), rtol=1e-6, atol=1e-6)


def torch_prelu(slopes, path):
    """The checkpoint of PyTorch's PReLU, and what it computes of ``X``."""
    layer = torch.nn.Sequential(torch.nn.PReLU(len(slopes)))
    layer[0].weight.data = torch.tensor(slopes, dtype=torch.float32)
    torch.save(layer.state_dict(), path)
    answer = layer(torch.tensor(np.moveaxis(X, -1, 1))).detach().numpy()
    return weights.read(path), np.moveaxis(answer, 1, -1)


def assert_into_flax(checkpoint, answer):
    module = nn.Sequential([nn.PReLU()])
    variables, report = weights.into_linen(checkpoint, module, X)
    close(module.apply(variables, X), answer)
    assert variables["params"]["layers_0"]["negative_slope"].shape == ()
    assert report.unused == report.missing == ()
    model = nnx.Sequential(nnx.PReLU())
    weights.into_nnx(checkpoint, model)
    close(model(jnp.asarray(X)), answer)
    assert model.layers[0].negative_slope.shape == ()


@pytest.mark.parametrize("slopes", [[0.7], [0.7, 0.7, 0.7]])
def test_prelu__torch_with_one_slope_into_flax(slopes, tmp_path):
    checkpoint, answer = torch_prelu(slopes, tmp_path / "a.pt")
    assert_into_flax(checkpoint, answer)


def test_prelu__several_slopes_do_not_fit_flax(tmp_path):
    checkpoint, _ = torch_prelu([0.1, 0.2, 0.3], tmp_path / "a.pt")
    for call in (
        lambda: weights.into_linen(checkpoint, nn.Sequential([nn.PReLU()]), X),
        lambda: weights.into_nnx(checkpoint, nnx.Sequential(nnx.PReLU())),
    ):
        with pytest.raises(ArgumentError, match=r"negative_slope of layer '0'.*\n.*\(3,\).*\n.*\n.*one slope for all"):
            call()


def test_prelu__whether_slopes_fit_depends_on_their_numbers():
    """Of two vectors of one shape, only that with equal numbers fits Flax's PReLU."""
    model = nnx.Sequential(nnx.RMSNorm(3, rngs=nnx.Rngs(0)), nnx.PReLU())
    for order in (("norm", "act"), ("act", "norm")):
        vectors = {"norm": np.arange(3.0), "act": np.full(3, 0.7)}
        weights.into_nnx(weights.from_state_dict({f"{name}.weight": vectors[name] for name in order}), model)
        close(model.layers[0].scale[...], vectors["norm"])
        close(model.layers[1].negative_slope[...], 0.7)


@pytest.mark.parametrize("slopes", [[0.7], [0.1, 0.2, 0.3]])
def test_prelu__torch_into_equinox_and_back(slopes, tmp_path):
    checkpoint, answer = torch_prelu(slopes, tmp_path / "a.pt")
    model = eqx.nn.Sequential([eqx.nn.PReLU(np.ones((3, 1, 1), np.float32))])
    model, _ = weights.into_equinox(checkpoint, model)
    close(jnp.moveaxis(jax.vmap(model[0])(jnp.moveaxis(X, -1, 1)), 1, -1), answer)
    weights.write(tmp_path / "b.pt", weights.from_equinox(model), names={"layers.0": "0"})
    found = torch.load(tmp_path / "b.pt", weights_only=True)
    close(found["0.weight"], np.broadcast_to(np.float32(slopes), (3,)))


def test_prelu__slopes_of_each_position_are_not_a_layer():
    model = eqx.nn.Sequential([eqx.nn.PReLU(np.ones((3, 4), np.float32))])
    assert weights.from_equinox(model).layers["layers.0"].kind == "other"


@pytest.mark.parametrize("suffix", ["keras", "h5", "weights.h5"])
@pytest.mark.parametrize("shared", [[1, 2], [1, 2, 3], [1]])
def test_prelu__keras(suffix, shared, tmp_path):
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((5, 4, 3)), keras.layers.PReLU(shared_axes=shared, name="act")])
    path = tmp_path / f"a.{suffix}"
    alpha = np.random.default_rng(1).uniform(size=model.layers[0].alpha.shape).astype(np.float32)
    model.set_weights([alpha])
    answer = model(X)
    (model.save_weights if suffix == "weights.h5" else model.save)(path)
    checkpoint = weights.read(path)
    (layer,) = checkpoint.layers.values()
    if shared == [1]:
        assert layer.kind == "other"
        return
    assert (layer.kind, layer.arrays["negative_slope"].shape) == ("prelu", (alpha.size,))
    if alpha.size == 1:
        assert_into_flax(weights.Checkpoint({"0": layer}, "keras"), answer)
    converted, _ = weights.convert(checkpoint, "torch")
    weights.write(tmp_path / "b.safetensors", converted)
    (back,) = weights.read(tmp_path / "b.safetensors").layers.values()
    assert back.kind == "prelu"
    module = torch.nn.PReLU(alpha.size)
    module.weight.data = torch.tensor(back.arrays["negative_slope"])
    close(np.moveaxis(module(torch.tensor(np.moveaxis(X, -1, 1))).detach().numpy(), 1, -1), answer)
    # into a copy of the file
    model.set_weights([0 * alpha])
    (model.save_weights if suffix == "weights.h5" else model.save)(path)
    weights.write(tmp_path / f"new.{suffix}", converted, like=path)
    if suffix == "weights.h5":
        model.load_weights(tmp_path / f"new.{suffix}")
    else:
        model = keras.models.load_model(tmp_path / f"new.{suffix}", compile=False)
    close(model(X), answer)
    with pytest.raises(ArgumentError, match="Keras has no class for layer"):
        weights.write(tmp_path / "new.weights.h5", converted)  # the number of axes is unknown


def test_prelu__of_one_slope_into_a_copy_with_several(tmp_path):
    keras = pytest.importorskip("keras")
    checkpoint, answer = torch_prelu([0.7], tmp_path / "a.pt")
    model = keras.Sequential([keras.Input((5, 4, 3)), keras.layers.PReLU(shared_axes=[1, 2])])
    model.save(tmp_path / "a.keras")
    weights.write(tmp_path / "b.keras", checkpoint, like=tmp_path / "a.keras")
    close(keras.models.load_model(tmp_path / "b.keras")(X), answer)


def test_prelu__a_vector_is_a_norm_or_a_prelu(tmp_path):
    """PyTorch's RMSNorm has the same array as a PReLU with several slopes: the target or the user says it."""
    model = torch.nn.Sequential(torch.nn.PReLU(3), torch.nn.RMSNorm(3))
    model[1].weight.data = torch.tensor([1.0, 2.0, 3.0])
    torch.save(model.state_dict(), tmp_path / "a.pt")
    checkpoint = weights.read(tmp_path / "a.pt")
    assert [layer.kind for layer in checkpoint.layers.values()] == ["norm or prelu"] * 2
    for to in ("flax", "equinox", "keras"):
        with pytest.raises(ArgumentError, match=r"norms or PReLU.*\n.*0 \(3,\), 1 \(3,\)\n.*\n.*--kind '0=prelu'"):
            weights.convert(checkpoint, to)
    known = weights.read(tmp_path / "a.pt", kinds={"0": "prelu", "1": "norm"})
    found, _ = weights.convert(known, "flax")
    assert [list(layer.arrays) for layer in found.layers.values()] == [["negative_slope"], ["scale"]]
    weights.write(tmp_path / "a.safetensors", known)
    assert [layer.kind for layer in weights.read(tmp_path / "a.safetensors").layers.values()] == ["prelu", "norm"]
    norm = nn.Sequential([nn.RMSNorm()])
    variables, _ = weights.into_linen(checkpoint, norm, X, names={"1": "layers_0"})
    close(variables["params"]["layers_0"]["scale"], [1, 2, 3])


@pytest.mark.parametrize(
    ("kind", "arrays"),
    [("prelu", {"kernel": (3, 3)}), ("prelu", {"scale": (3,), "bias": (3,)}), ("norm", {"kernel": (3, 3)})],
)
def test_prelu__impossible_kinds_raise(kind, arrays):
    layer = Layer("norm", {role: np.ones(shape) for role, shape in arrays.items()}, "torch")
    with pytest.raises(ArgumentError, match=f"cannot be of kind '{kind}'"):
        Checkpoint({"a": layer}, "torch").told({"a": kind})


def test_prelu__round_trip_of_flax(tmp_path):
    module = nn.Sequential([nn.PReLU(negative_slope_init=0.3)])
    variables = module.init(jax.random.key(0), X)
    for checkpoint in (
        weights.from_linen(variables, module, X),
        weights.from_nnx(nnx.Sequential(nnx.PReLU(0.3))),
    ):
        weights.write(tmp_path / "a.safetensors", checkpoint, "torch")
        (layer,) = weights.read(tmp_path / "a.safetensors").layers.values()
        assert layer.shape == (1,)
        close(layer.arrays["negative_slope"], [0.3])
        weights.write(tmp_path / "a.safetensors", checkpoint)
        assert_into_flax(weights.read(tmp_path / "a.safetensors"), np.where(X < 0, np.float32(0.3) * X, X))


def test_convert__prelu_has_flax_own_name(tmp_path, capsys):
    from safetensors.numpy import load_file

    torch_prelu([0.7], tmp_path / "a.pt")
    assert main(["convert", str(tmp_path / "a.pt"), str(tmp_path / "o.safetensors"), "--to", "flax"]) == 0
    assert "prelu" in capsys.readouterr().out
    assert {name: array.shape for name, array in load_file(tmp_path / "o.safetensors").items()} == {
        "0.negative_slope": ()
    }
