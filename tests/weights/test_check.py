"""``check=(inputs, output)``: a loaded model has the output of the original one, or nothing is handed out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jconvt import ArgumentError, ArgumentTypeError, weights
from tests.support import decoders

torch = pytest.importorskip("torch")
eqx, nn, nnx = (pytest.importorskip(name) for name in ("equinox", "flax.linen", "flax.nnx"))

X = decoders.images(2, 6)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """The checkpoint of a decoder with batch normalisation, and its output, channels last."""
    model, path = decoders.torch_decoder(2), tmp_path_factory.mktemp("check") / "model.pt"
    torch.save(model.state_dict(), path)
    return weights.read(path), decoders.torch_answer(model, X)


def into_linen(checkpoint, **options):
    return weights.into_linen(checkpoint, decoders.linen_decoder(2), X, **options)[1]


def into_nnx(checkpoint, model=None, **options):
    return weights.into_nnx(checkpoint, model or decoders.nnx_decoder(2), **options)


def into_equinox(checkpoint, check, **options):
    """One example, channels first."""
    model, state = decoders.equinox_decoder(2)
    x, output = check
    check = tuple(decoders.first(each)[0] for each in (x, output))
    return weights.into_equinox(checkpoint, model, state=state, check=check, **options)[1]


LIBRARIES = pytest.mark.parametrize("into", [into_linen, into_nnx, into_equinox])


@LIBRARIES
def test_check__equal_outputs(into, original):
    checkpoint, output = original
    report = into(checkpoint, check=(X, output))
    assert 0 < report.difference < 1e-5
    assert f"checked: the outputs differ by {report.difference:.1e} of the largest number" in str(report)
    with pytest.raises(ArgumentError, match=r"\n  legal: 0 or less"):
        into(checkpoint, check=(X, output), tolerance=0)
    for tolerance in ("0.1", -1, float("nan")):
        with pytest.raises(ArgumentTypeError, match="tolerance must be a number"):
            into(checkpoint, check=(X, output), tolerance=tolerance)


@LIBRARIES
def test_check__other_outputs_raise(into, original):
    checkpoint, output = original
    changed = output.copy()
    changed[0, 0, 0, 0] += np.abs(output[0]).max() / 10
    with pytest.raises(ArgumentError) as caught:
        into(checkpoint, check=(X, changed))
    text = str(caught.value)
    assert text.startswith("the loaded model does not give the reference output\n  got:   a largest difference of 0.")
    assert "\n  legal: 0.000345 or less\n  fix:   look at strides, paddings" in text
    assert into(checkpoint, check=(X, changed), tolerance=0.2).difference == pytest.approx(0.1, rel=0.2)
    with pytest.raises(ArgumentError, match=r"0\.05 or less"):
        into(checkpoint, check=(X, changed), tolerance=0.05)
    for wrong in (np.where(output > 0, output, np.nan), np.where(output > 0, output, np.inf)):
        with pytest.raises(ArgumentError, match="a largest difference of inf"):
            into(checkpoint, check=(X, wrong))
    for wrong in (output * np.nan, output * 0):
        with pytest.raises(ArgumentError, match=r"the reference output says nothing[\s\S]*pass other inputs"):
            into(checkpoint, check=(X, wrong))
    with pytest.raises(ArgumentError, match=r"another shape .*\n.*\n.*\n  fix:   pass the output as the model has it"):
        into(checkpoint, check=(X, output[:, 1:]))


def test_check__model_is_unchanged_after_an_error(original):
    checkpoint, output = original
    model = decoders.nnx_decoder(2)
    before = nnx.state(model)
    with pytest.raises(ArgumentError, match="does not give the reference"):
        into_nnx(checkpoint, model, check=(X, output + 1))
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), nnx.state(model), before))


class Trained(nnx.Module):
    """A model in training mode, of two inputs."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.up = nnx.Linear(3, 3, rngs=rngs)
        self.norm, self.dropout = nnx.BatchNorm(3, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x, y):
        return self.dropout(self.norm(self.up(x) + y)), y


def test_check__nnx_runs_in_evaluation_mode(tmp_path):
    source = torch.nn.ModuleDict({"up": torch.nn.Linear(3, 3), "norm": torch.nn.BatchNorm1d(3)}).eval()
    source["norm"].running_mean.fill_(2.0)
    torch.save(source.state_dict(), tmp_path / "model.pt")
    x, y = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    with torch.no_grad():
        output = source["norm"](source["up"](torch.from_numpy(x)) + torch.from_numpy(y)).numpy()
    model = Trained()
    report = weights.into_nnx(weights.read(tmp_path / "model.pt"), model, check=((x, y), (output, y)))
    assert report.difference < 1e-5
    assert not model.norm.use_running_average
    assert not model.dropout.deterministic


def test_check__linen_gets_the_keywords_of_its_call(tmp_path):
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return nn.Dropout(0.5, deterministic=not train)(nn.Dense(3)(x))

    source = torch.nn.Sequential(torch.nn.Linear(3, 3))
    torch.save(source.state_dict(), tmp_path / "model.pt")
    x = np.ones((2, 3), np.float32)
    output = source(torch.from_numpy(x)).detach()  # a tensor
    checkpoint = weights.read(tmp_path / "model.pt")
    assert weights.into_linen(checkpoint, Model(), x, train=False, check=(x, output))[1].difference < 1e-5


def test_check__tolerance_fits_the_coarsest_dtype(original):
    checkpoint, output = original
    with jax.numpy_dtype_promotion("standard"):
        report = into_nnx(checkpoint, decoders.nnx_decoder(2, param_dtype=jnp.bfloat16), check=(X, output))
    assert 1e-3 < report.difference < 0.05


def test_check__crossed_pairs_by_order_are_named(tmp_path):
    source = torch.nn.ModuleDict({"a": torch.nn.Linear(3, 3), "b": torch.nn.Linear(3, 3)})
    torch.save(source.state_dict(), tmp_path / "model.pt")
    rngs = nnx.Rngs(0)
    model, x = nnx.Sequential(nnx.Linear(3, 3, rngs=rngs), nnx.Linear(3, 3, rngs=rngs)), np.ones((2, 3), np.float32)
    checkpoint, tensor = weights.read(tmp_path / "model.pt"), torch.from_numpy(x)
    right, crossed = source["b"](source["a"](tensor)).detach(), source["a"](source["b"](tensor)).detach()
    report = weights.into_nnx(checkpoint, model, by_order=True, check=(x, right))
    assert "guess" not in str(report)  # the outputs prove it
    with pytest.raises(
        ArgumentError, match=r"look at the pair 'a', 'layers\.0' by order, the pair 'b', 'layers\.1' by order"
    ):
        weights.into_nnx(checkpoint, model, by_order=True, check=(x, crossed))


def test_check__is_a_pair(original):
    for check in ((X,), X):
        with pytest.raises(ArgumentTypeError, match=r"pass check=\(inputs, output\)"):
            into_linen(original[0], check=check)
