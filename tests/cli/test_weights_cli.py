"""``jconvt convert``."""

import os
import subprocess
import sys

import numpy as np
import pytest

from jconvt import ArgumentError, weights
from jconvt.__main__ import main
from jconvt.weights import Checkpoint, Layer
from tests.support import decoders

pytest.importorskip("h5py")
pytest.importorskip("safetensors")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def model(tmp_path):
    found = decoders.keras_decoder(2)
    found.save(tmp_path / "in.keras")
    return found


def test_convert__keras_to_torch(model, tmp_path, capsys):
    assert main(["convert", str(tmp_path / "in.keras"), str(tmp_path / "out.safetensors"), "--to", "torch"]) == 0
    shown = capsys.readouterr().out
    for part in (
        "up1",
        "conv_transpose",
        "(4, 4, 8, 6)",
        "(6, 8, 4, 4)",
        ".transpose",
        "6 layers converted, 0 not used",
    ):
        assert part in shown, shown
    assert "by name" not in shown
    found = weights.read(tmp_path / "out.safetensors")
    np.testing.assert_array_equal(found.layers["up1"].filters, np.asarray(model.layers[0].kernel))


def test_convert__names_kinds_and_groups(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    torch.save(decoders.torch_decoder(1, 2).state_dict(), tmp_path / "in.pt")
    options = ["--to", "flax", "--kind", "3=conv", "--kind", "*=conv_transpose", "--groups", "[35]=2", "--name", "0=up"]
    arguments = ["convert", str(tmp_path / "in.pt"), str(tmp_path / "out.safetensors"), *options]
    assert main(arguments) == 2  # the norms are no transposed convolutions
    assert "cannot be of kind 'conv_transpose'" in capsys.readouterr().err
    arguments[arguments.index("*=conv_transpose")] = "[05]=conv_transpose"
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "by name: up" in shown
    assert "not used: 1: num_batches_tracked" in shown
    found = weights.read(tmp_path / "out.safetensors")
    assert found.framework == "flax"
    assert {path: layer.groups for path, layer in found.layers.items() if layer.groups} == {"up": 2, "3": 2, "5": 2}


def test_convert__into_a_template(model, tmp_path, capsys):
    weights.write(tmp_path / "in.safetensors", weights.read(tmp_path / "in.keras"), "torch")
    arguments = ["convert", str(tmp_path / "in.safetensors"), str(tmp_path / "out.keras")]
    assert main(arguments) == 2
    assert "like='model.keras'" in capsys.readouterr().err
    assert main([*arguments, "--like", str(tmp_path / "in.keras")]) == 0
    x = decoders.images(2, 6)
    import keras

    loaded = keras.models.load_model(tmp_path / "out.keras", safe_mode=False)
    np.testing.assert_array_equal(loaded(x), model(x))
    capsys.readouterr()
    dense = {path: each for path, each in weights.read(tmp_path / "in.safetensors").layers.items() if path == "pixels"}
    weights.write(tmp_path / "in.safetensors", weights.Checkpoint(dense, "torch"))
    partly = [*arguments, "--like", str(tmp_path / "in.keras")]
    assert main(partly) == 2
    assert "layers of the target match none of" in capsys.readouterr().err
    assert main([*partly, "--partial"]) == 0
    assert "not filled: up1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("missing.keras", "out.pt", "missing.keras: No such file or directory"),
        ("in.npz", "out.pt", "unknown format of weights"),
        ("in.keras", "no/out.safetensors", "no/out.safetensors: No such file or directory"),
        ("in.keras", "out.npz", "unknown format of weights"),
        ("broken.keras", "out.safetensors", "broken.keras cannot be read as HDF5 file"),
        ("broken.pt", "out.safetensors", "broken.pt cannot be read as PyTorch state_dict"),
        ("broken.onnx", "out.safetensors", "broken.onnx cannot be read as ONNX model"),
    ],
)
def test_convert__one_clear_error(source, target, said, model, tmp_path, capsys):
    for name in ("broken.keras", "broken.pt", "broken.onnx"):
        (tmp_path / name).write_bytes(b"PK\3\4" + b"\xff" * 100)
    np.savez(tmp_path / "in.npz", a=np.ones(3))
    before = sorted(os.listdir(tmp_path))
    assert main(["convert", str(tmp_path / source), str(tmp_path / target)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("jconvt convert: ")
    assert said in error
    assert "Traceback" not in error
    assert sorted(os.listdir(tmp_path)) == before


def test_convert__key_and_format(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    torch.save({"params": {"a.weight": torch.zeros(2, 3)}, "ema": {"a.weight": torch.ones(2, 3)}}, tmp_path / "in.h5")
    arguments = ["convert", str(tmp_path / "in.h5"), str(tmp_path / "out.safetensors"), "--format", "torch"]
    assert main(arguments) == 2
    assert "'params' (1 tensors), 'ema' (1 tensors)" in capsys.readouterr().err
    assert main([*arguments, "--key", "ema"]) == 0
    assert weights.read(tmp_path / "out.safetensors").layers["a"].arrays["kernel"].all()
    assert main([*arguments[:-2], "--key", "ema"]) == 2  # the suffix says HDF5


def test_convert__weight_norm_and_notes(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    up = torch.nn.utils.parametrizations.weight_norm(torch.nn.ConvTranspose1d(8, 4, 8, 4))
    torch.save({"generator": torch.nn.Sequential(up).state_dict(), "steps": 5}, tmp_path / "g_02500000")
    arguments = ["convert", str(tmp_path / "g_02500000"), str(tmp_path / "out.safetensors"), "--to", "flax"]
    assert main([*arguments, "--kind", "0=conv_transpose"]) == 0
    assert "note: read from key='generator'; not read: steps" in capsys.readouterr().out
    found = weights.read(tmp_path / "out.safetensors").layers["0"]
    assert found.kind == "conv_transpose"
    wanted = up.weight.detach().numpy().transpose(2, 1, 0)
    np.testing.assert_allclose(found.filters, wanted, rtol=1e-6, atol=1e-7)


def test_convert__partial_needs_like(model, tmp_path, capsys):
    assert main(["convert", str(tmp_path / "in.keras"), str(tmp_path / "out.safetensors"), "--partial"]) == 2
    assert "--partial is only for a copy of another file" in capsys.readouterr().err
    assert not (tmp_path / "out.safetensors").exists()


def test_write__file_without_layers_is_not_written(tmp_path):
    other = weights.Layer("other", {"v": np.zeros(3)}, "torch")
    with pytest.raises(ArgumentError, match="has no layer of these kinds"):
        weights.write(tmp_path / "out.safetensors", weights.Checkpoint({"norm": other}, "torch"), "keras")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options", [["--kind", "a"], ["--groups", "a=0"], ["--groups", "a=x"], ["--name", "=b"], ["--par"]]
)
def test_convert__wrong_options_exit(options, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["convert", "in.keras", "out.pt", *options])
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_convert__by_order_is_on_request(tmp_path, capsys):
    keras = pytest.importorskip("keras")
    layers = [keras.layers.Conv1D(3, 3, name=name) for name in ("one", "two")]
    keras.Sequential([keras.Input((9, 3)), *layers]).save(tmp_path / "like.keras")
    found = {
        name: Layer("conv", {"kernel": np.full((3, 3, 3), i, np.float32)}, "keras", 1) for i, name in enumerate("ab")
    }
    for each in found.values():
        each.arrays["bias"] = np.zeros(3, np.float32)
    weights.write(tmp_path / "in.safetensors", Checkpoint(found, "keras"))
    for target, options in ("out.weights.h5", []), ("out.keras", ["--like", str(tmp_path / "like.keras")]):
        arguments = ["convert", str(tmp_path / "in.safetensors"), str(tmp_path / target), *options]
        assert main(arguments) == 2
        assert "(--by-order)" in capsys.readouterr().err
        assert main([*arguments, "--by-order"]) == 0
        shown = capsys.readouterr().out
        assert "2 layers converted" in shown
        assert ("guess: b -> two, by order" in shown) == bool(options)
        values = [layer.arrays["kernel"].max() for layer in weights.read(tmp_path / target).layers.values()]
        assert values == [0, 1]


def test_convert__uses_no_device(model, tmp_path):
    def convert(target):
        command = [sys.executable, "-m", "jconvt", "convert", str(tmp_path / "in.keras"), str(tmp_path / target)]
        environment = {**os.environ, "JAX_PLATFORMS": "none"}
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    found = convert("out.safetensors")
    assert found.returncode == 0, found.stderr
    assert "6 layers converted" in found.stdout
    found = convert("out.weights.h5")
    assert (found.returncode, found.stdout) == (2, "")  # a norm other than batch normalisation
    assert found.stderr.startswith("jconvt convert: Keras has no class for layer")
