"""Groups of transposed convolutions: those that a file does not tell are asked for, and wrong ones raise."""

import numpy as np
import pytest

from jconvt import ArgumentError, ArgumentTypeError, weights
from jconvt.__main__ import main
from jconvt.weights import Checkpoint, Layer

pytest.importorskip("safetensors")

DEPTHWISE = np.random.default_rng(0).normal(size=(4, 1, 3, 3)).astype(np.float32)


def checkpoint(kernel=DEPTHWISE, framework="torch", groups=None, kind="conv_transpose", **arrays):
    return Checkpoint({"up": Layer(kind, {"kernel": kernel, **arrays}, framework, groups)}, framework)


@pytest.mark.parametrize("to", ["flax", "equinox", "keras"])
def test_convert__unknown_groups_are_asked_for(to):
    with pytest.raises(ArgumentError) as caught:
        weights.convert(checkpoint(), to)
    for part in ("does not say the number of groups", "up (4, 1, 3, 3)", "up: 1, 2, 4 groups", "--groups 'up=NUMBER'"):
        assert part in str(caught.value)
    assert weights.convert(checkpoint().told(groups=1), to)[0].layers["up"].groups == 1


def test_convert__groups_of_flax_kernels_are_asked_for():
    kernel = np.zeros((3, 3, 1, 4))
    with pytest.raises(ArgumentError, match="does not say the number of groups"):
        weights.convert(checkpoint(kernel, "flax", bias=np.zeros(4)), "torch")
    found, _ = weights.convert(checkpoint(kernel, "flax", groups=4), "torch")
    assert found.layers["up"].shape == (4, 1, 3, 3)


@pytest.mark.parametrize(
    ("arrays", "groups"),
    [({"bias": np.zeros(4)}, 4), ({"bias": np.zeros(1)}, 1), ({"kernel": np.zeros((1, 6, 3, 3))}, 1)],
)
def test_convert__arrays_tell_the_groups(arrays, groups):
    found, _ = weights.convert(checkpoint(**arrays), "equinox")
    assert found.layers["up"].groups == groups


def test_convert__keras_has_one_group():
    assert weights.convert(checkpoint(np.zeros((3, 3, 4, 8)), "keras"), "torch")[0].layers["up"].groups == 1
    for groups, arrays in ((4, {}), (None, {"bias": np.zeros(4)})):
        with pytest.raises(ArgumentError, match=r"keras has no groups in transposed convolutions, but layer 'up' has"):
            weights.convert(checkpoint(groups=groups, **arrays), "keras")
    # A kernel of TensorFlow has the layout, and may have groups.
    found, _ = weights.convert(checkpoint(np.zeros((3, 3, 1, 4)), "keras", groups=4), "flax")
    assert found.layers["up"].shape == (3, 3, 1, 4)


@pytest.mark.parametrize("groups", [{"up": 3}, {"up": 2}, {"u*": 8}, 3])
def test_groups__numbers_that_do_not_fit_raise(groups):
    arrays = {} if groups in ({"up": 3}, 3) else {"bias": np.zeros(4)}
    with pytest.raises(ArgumentError, match="groups of layer 'up' do not fit its arrays"):
        checkpoint(**arrays).told(groups=groups)
    with pytest.raises(ArgumentError, match="groups of layer 'up' do not fit its arrays"):
        weights.convert(checkpoint(groups=3), "flax")
    with pytest.raises(ArgumentError, match=r"groups of layer 'up' do not fit.*\n.*an unknown number.*\n.*none"):
        weights.convert(checkpoint(bias=np.zeros(3)), "flax")


def test_groups__a_number_is_for_unknown_groups_of_transposed_convolutions():
    layers = {
        "known": Layer("conv_transpose", {"kernel": DEPTHWISE, "bias": np.zeros(4)}, "torch"),
        "unknown": Layer("conv_transpose", {"kernel": DEPTHWISE}, "torch"),
        "conv": Layer("conv", {"kernel": DEPTHWISE}, "torch"),
    }
    found = Checkpoint(layers, "torch").told(groups=2).layers
    assert {path: layer.groups for path, layer in found.items()} == {"known": 4, "unknown": 2, "conv": None}
    with pytest.raises(ArgumentTypeError, match="groups must be an integer"):
        Checkpoint(layers, "torch").told(groups=2.5)


def test_convert__depthwise_upsampling_of_torch(tmp_path, capsys):
    """CenterNet's upsampling has one group for each channel, and no bias."""
    torch, nn = pytest.importorskip("torch"), pytest.importorskip("flax.linen")
    from jconvt import linen

    model = torch.nn.Sequential(
        torch.nn.ConvTranspose2d(4, 4, 4, 2, 1, groups=4, bias=False),
        torch.nn.ConvTranspose2d(4, 6, 2, 2, bias=False),
    )
    torch.save(model.state_dict(), tmp_path / "in.pt")
    arguments = ["convert", str(tmp_path / "in.pt"), str(tmp_path / "out.safetensors"), "--to", "flax"]
    arguments += ["--kind", "*=conv_transpose"]
    assert main(arguments) == 2
    assert "does not say the number of groups" in capsys.readouterr().err
    assert not (tmp_path / "out.safetensors").exists()
    assert main([*arguments, "--groups", "0=4", "--groups", "1"]) == 0
    found = weights.read(tmp_path / "out.safetensors")
    assert [layer.groups for layer in found.layers.values()] == [4, 1]
    module = nn.Sequential(
        [
            linen.ConvTranspose(4, (4, 4), (2, 2), padding=1, use_consistent_padding=True, groups=4, use_bias=False),
            linen.ConvTranspose(6, (2, 2), (2, 2), padding=0, use_consistent_padding=True, use_bias=False),
        ]
    )
    x = np.random.default_rng(1).normal(size=(1, 3, 5, 4)).astype(np.float32)
    variables, _ = weights.into_linen(found, module, x, names={"0": "layers_0", "1": "layers_1"})
    answer = model(torch.tensor(np.moveaxis(x, -1, 1))).detach().numpy()
    np.testing.assert_allclose(module.apply(variables, x), np.moveaxis(answer, 1, -1), rtol=1e-5, atol=1e-5)
    assert main([*arguments[:4], "keras", "--kind", "*=conv_transpose", "--groups", "4"]) == 2
    assert "keras has no groups" in capsys.readouterr().err
