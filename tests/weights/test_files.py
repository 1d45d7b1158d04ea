"""Files that ``jconvt.weights`` writes: exact in a round trip, loaded by the frameworks, complete or not written."""

import io
import json
import os
import re
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from jconvt import ArgumentError, ArgumentTypeError, weights
from jconvt.weights import Checkpoint, Layer
from tests.support import decoders

pytest.importorskip("h5py")
pytest.importorskip("safetensors")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FRAMEWORKS = ("torch", "keras", "flax", "equinox")


def numbers(shape, dtype):
    return np.random.default_rng(len(shape) + sum(shape)).normal(size=shape).astype(dtype)


def checkpoint(framework, dtype=np.float32, rank=2, groups=2):
    """Layers of every kind, in a framework's layout, made from PyTorch's."""
    kernel = (5, 4, 3)[:rank]
    layers = {
        "up": {"kernel": numbers((6, 2, *kernel), dtype), "bias": numbers((2 * groups,), dtype)},
        "mix": {"kernel": numbers((4, 6 // groups, *kernel), dtype)},
        "norm": {role: numbers((4,), dtype) for role in ("scale", "bias", "mean", "var")},
        "out": {"kernel": numbers((3, 4), dtype), "bias": numbers((3,), dtype)},
    }
    kinds = dict(zip(layers, ("conv_transpose", "conv", "norm", "dense"), strict=True))
    found = {
        name: Layer(kinds[name], arrays, "torch", groups if name in ("up", "mix") else None)
        for name, arrays in layers.items()
    }
    return weights.convert(Checkpoint(found, "torch"), framework)[0]


def most_groups(framework):
    """The number of groups that a transposed convolution of the framework may have in these tests."""
    return 1 if framework == "keras" else 2


def assert_same(found, wanted):
    assert list(found.layers) == list(wanted.layers)
    for path, layer in wanted.layers.items():
        other = found.layers[path]
        assert (other.kind, other.groups, other.framework) == (layer.kind, layer.groups, layer.framework)
        assert list(other.arrays) == list(layer.arrays)
        for role, array in layer.arrays.items():
            assert other.arrays[role].dtype == array.dtype
            np.testing.assert_array_equal(other.arrays[role], array)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, jnp.bfloat16])
def test_safetensors__round_trip_is_exact(framework, dtype, tmp_path):
    wanted = checkpoint(framework, dtype, groups=most_groups(framework))
    weights.write(tmp_path / "a.safetensors", wanted)
    assert_same(weights.read(tmp_path / "a.safetensors"), wanted)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("middle", FRAMEWORKS)
def test_convert__round_trip_is_exact(rank, groups, middle):
    wanted = checkpoint("torch", rank=rank, groups=groups)
    if groups > most_groups(middle):
        with pytest.raises(ArgumentError, match="keras has no groups in transposed convolutions, but layer 'up' has"):
            weights.convert(wanted, middle)
        return
    converted, report = weights.convert(wanted, middle)
    assert_same(weights.convert(converted, "torch")[0], wanted)
    assert converted.layers["up"].shape == report.rows[0].target_shape
    for path in ("up", "mix", "out"):
        np.testing.assert_array_equal(converted.layers[path].filters, wanted.layers[path].filters)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, jnp.bfloat16])
@pytest.mark.parametrize("source", FRAMEWORKS)
def test_torch__round_trip_is_exact(source, dtype, tmp_path):
    torch = pytest.importorskip("torch")
    groups = most_groups(source)
    weights.write(tmp_path / "a.pt", checkpoint(source, dtype, groups=groups))
    found = weights.read(tmp_path / "a.pt", kinds={"up": "conv_transpose", "mix": "conv"}, groups={"mix": groups})
    assert_same(found, checkpoint("torch", dtype, groups=groups))
    state = torch.load(tmp_path / "a.pt", weights_only=True)
    assert list(state)[:3] == ["up.weight", "up.bias", "mix.weight"]
    assert state["up.weight"].dtype == {"float32": torch.float32, "float16": torch.float16}.get(
        np.dtype(dtype).name, torch.bfloat16
    )


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_keras__loads_a_copy_with_new_numbers(rank, tmp_path):
    """The numbers of one model, through PyTorch's layout, as weights of another model."""
    model, x = decoders.keras_decoder(rank), decoders.images(rank, 6)
    model.save(tmp_path / "model.keras")
    answer = model(x)
    weights.write(tmp_path / "model.safetensors", weights.read(tmp_path / "model.keras"), "torch")
    found = weights.read(tmp_path / "model.safetensors")
    assert found.framework == "torch"
    other = decoders.keras_decoder(rank)
    other.set_weights([0 * array for array in other.get_weights()])
    other.save(tmp_path / "empty.keras")
    other.save_weights(tmp_path / "empty.weights.h5")
    names = {a: b for a, b in zip(found.layers, weights.read(tmp_path / "empty.keras").layers, strict=True) if a != b}
    report = weights.write(tmp_path / "new.keras", found, names=names, like=tmp_path / "empty.keras")
    assert report.missing == report.unused == ()
    with_names = weights.write(
        tmp_path / "new.weights.h5", found, names=names, like=tmp_path / "empty.weights.h5", strict=False
    )
    assert len(with_names.missing) == 0
    keras = pytest.importorskip("keras")
    loaded = keras.models.load_model(tmp_path / "new.keras", safe_mode=False)
    np.testing.assert_array_equal(loaded(x), answer)
    other.load_weights(tmp_path / "new.weights.h5")
    np.testing.assert_array_equal(other(x), answer)


def test_keras__loads_a_legacy_copy_with_new_numbers(tmp_path):
    keras = pytest.importorskip("keras")
    model, x = decoders.keras_decoder(1), decoders.images(1, 6)
    model.save(tmp_path / "model.keras")
    answer = model(x)
    found = weights.read(tmp_path / "model.keras")
    model.set_weights([0 * array for array in model.get_weights()])
    model.save(tmp_path / "empty.h5")
    weights.write(tmp_path / "new.h5", found, like=tmp_path / "empty.h5")
    loaded = keras.models.load_model(tmp_path / "new.h5", safe_mode=False, compile=False)
    np.testing.assert_array_equal(loaded(x), answer)


def test_keras__loads_weights_without_a_template(tmp_path):
    keras = pytest.importorskip("keras")
    L = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4, 4, 6)),
            L.Conv2DTranspose(4, 3, strides=2),
            L.BatchNormalization(),
            L.ReLU(),
            L.Conv2D(4, 3, groups=2, use_bias=False),
            L.Conv2DTranspose(2, 4, dtype="bfloat16"),
            L.Dense(3),
        ]
    )
    model.set_weights([numbers(array.shape, array.dtype) for array in model.get_weights()])
    model.save(tmp_path / "model.keras")
    wanted = model.get_weights()
    found = weights.read(tmp_path / "model.keras")
    for path in ("new.weights.h5", "again.weights.h5"):
        weights.write(tmp_path / path, weights.convert(found, "equinox")[0])
    model.set_weights([0 * array for array in wanted])
    model.load_weights(tmp_path / "new.weights.h5")
    for array, other in zip(model.get_weights(), wanted, strict=True):
        np.testing.assert_array_equal(array, other)
    again = weights.read(tmp_path / "new.weights.h5")
    assert {path: layer.kind for path, layer in again.layers.items()} == {
        path: layer.kind for path, layer in found.layers.items()
    }


def test_safetensors__kinds_and_order_of_other_programs_are_unknown(tmp_path):
    from safetensors.numpy import save_file

    arrays = {"up.weight": numbers((6, 2, 3, 3), np.float32), "mix.weight": numbers((4, 6, 3, 3), np.float32)}
    save_file(arrays, tmp_path / "a.safetensors")
    found = weights.read(tmp_path / "a.safetensors")
    assert {layer.kind for layer in found.layers.values()} == {"unknown"}
    assert not found.ordered
    with pytest.raises(ArgumentError, match=r"stores the kernel.*\n.*\n.*\n  fix:   pass kinds="):
        weights.write(tmp_path / "b.safetensors", found, "flax")
    assert not (tmp_path / "b.safetensors").exists()
    annotated = weights.read(tmp_path / "a.safetensors", kinds={"u*": "conv_transpose", "*": "conv"}, groups={"up": 2})
    assert [layer.kind for layer in annotated.layers.values()] == ["conv", "conv_transpose"]
    same = found.told({"u*": "conv_transpose", "*": "conv"}, {"up": 2})
    assert [(each.kind, each.groups) for each in same.layers.values()] == [("conv", None), ("conv_transpose", 2)]
    weights.write(tmp_path / "b.safetensors", annotated, "flax")
    assert weights.read(tmp_path / "b.safetensors").layers["up"].shape == (3, 3, 3, 4)


def test_write__other_layers_are_listed_or_kept_in_their_framework(tmp_path):
    torch = pytest.importorskip("torch")
    model = torch.nn.ModuleDict({"gru": torch.nn.GRU(2, 3), "up": torch.nn.ConvTranspose1d(2, 3, 2)})
    torch.save(model.state_dict(), tmp_path / "a.pt")
    found = weights.read(tmp_path / "a.pt", kinds={"up": "conv_transpose"})
    assert found.layers["gru"].kind == "other"
    report = weights.write(tmp_path / "b.safetensors", found, "flax")
    assert report.unused == ("gru (other: weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0)",)
    assert "not used: gru (other" in str(report)
    report = weights.write(tmp_path / "b.pt", found)
    assert report.unused == ()
    model.load_state_dict(torch.load(tmp_path / "b.pt", weights_only=True))


def test_torch__training_checkpoint_and_tied_weights(tmp_path):
    torch = pytest.importorskip("torch")
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(20, 20), "b": torch.nn.Linear(20, 20)})
    model["b"].weight = model["a"].weight
    saved = {"epoch": 3, "state_dict": model.state_dict(), "optimizer": {"state": {}, "lr": 0.1}}
    torch.save(saved, tmp_path / "a.pt")
    found = weights.read(tmp_path / "a.pt")
    assert list(found.layers) == ["a", "b"]
    assert found.layers["a"].arrays["kernel"] is found.layers["b"].arrays["kernel"]
    assert found.notes == (
        "read from key='state_dict'; not read: epoch, optimizer",
        "one array with several names: a.weight = b.weight",
    )


def test_keras__norms_and_groups_need_a_template(tmp_path):
    norm = Layer("norm", {"scale": np.ones(3, np.float32)}, "torch")
    with pytest.raises(ArgumentError, match=r"Keras has no class for layer 'n'.*\n.*\n.*\n  fix: .*like="):
        weights.write(tmp_path / "a.weights.h5", Checkpoint({"n": norm}, "torch"))
    with pytest.raises(ArgumentError, match=r"keras has no groups in transposed.*layer 'up'.*\n.*groups 2"):
        weights.write(tmp_path / "a.weights.h5", checkpoint("torch"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".weights.h5", ".keras"])
def test_write__failure_keeps_the_old_file(suffix, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    target = tmp_path / f"a{suffix}"
    target.write_text("mine")
    bad = Checkpoint({"a": Layer("unknown", {"kernel": np.ones((3, 3, 3), np.float32)}, "torch")}, "torch")
    with pytest.raises(ArgumentError):
        weights.write(target, bad, "flax" if suffix == ".safetensors" else None, names={"x": "y"})
    assert target.read_text() == "mine"
    assert os.listdir(tmp_path) == [target.name]
    monkeypatch.setattr(np, "array", lambda *arguments, **keywords: (_ for _ in ()).throw(OSError(28, "no space")))
    monkeypatch.setattr("h5py.File.create_group", lambda *arguments: (_ for _ in ()).throw(OSError(28, "no space")))
    if suffix != ".keras":
        good = Checkpoint({"a": Layer("dense", {"kernel": np.ones((3, 3), np.float32)}, "torch")}, "torch")
        with pytest.raises(OSError, match="no space"):
            weights.write(target, good)
    assert target.read_text() == "mine"
    assert os.listdir(tmp_path) == [target.name]


def test_write__unwritable_path_raises(tmp_path):
    good = checkpoint("torch")
    for target in (tmp_path / "missing" / "a.pt", tmp_path / "folder.safetensors", tmp_path / "folder.weights.h5"):
        if target.name.startswith("folder"):
            target.mkdir()
        with pytest.raises(OSError, match=r"No such file|not a regular file"):
            weights.write(target, good if "h5" not in target.name else checkpoint("torch", groups=1))
        assert not target.is_file()


ONE = Checkpoint({"a": Layer("dense", {"kernel": np.ones((3, 3), np.float32)}, "torch")}, "torch")
BAD = [
    (lambda p: weights.read(p / "a.npz"), "unknown format of weights", "a.npz", "to from_state_dict"),
    (lambda p: weights.read(3), "path is not a path", "type int", "the name of a file"),
    (lambda p: weights.read(io.BytesIO(b"")), "path is not a path", "type BytesIO", "pathlib.Path"),
    (lambda p: weights.read(p / "a.pt", format="gguf"), "unknown format", "format = 'gguf'", "pass format"),
    (lambda p: weights.read(p / "m.safetensors", framework="mxnet"), "unknown framework", "mxnet", "torch, keras"),
    (
        lambda p: weights.read(p / "m.weights.h5", framework="keras"),
        "known from the format",
        "'keras'",
        "leave framework out",
    ),
    (
        lambda p: weights.read(p / "m.safetensors", key="ema"),
        "key is for",
        "'ema', format = 'safetensors'",
        "leave key",
    ),
    (lambda p: weights.from_state_dict([]), "state is not a state_dict", "type list", "module.state_dict()"),
    (lambda p: weights.from_state_dict({}, "mxnet"), "unknown framework", "mxnet", "torch, keras"),
    (
        lambda p: weights.read(p / "m.safetensors", kinds={"up": "deconv"}),
        "unknown kind of layer",
        "'deconv'",
        "conv_transpose",
    ),
    (lambda p: weights.read(p / "m.safetensors", kinds={"upp": "conv"}), "no layer of", "'upp'", "up, mix, norm, out"),
    (
        lambda p: weights.read(p / "m.safetensors", kinds={"out": "conv"}),
        "cannot be of kind",
        "kernel (3, 4)",
        "3 axes",
    ),
    (lambda p: weights.read(p / "m.safetensors", groups=0), "groups is out of range", "= 0", "pass 1 or more"),
    (lambda p: weights.read(p / "m.safetensors", groups={"up": 2.5}), "must be an integer", "2.5", "integer"),
    (lambda p: weights.write(p / "a.onnx", checkpoint("torch")), "unknown format", "a.onnx", ".pt, .pth"),
    (lambda p: weights.write(p / "a.pt", {}), "checkpoint is not a Checkpoint", "type dict", "result of read"),
    (lambda p: weights.convert({}, "keras"), "checkpoint is not a Checkpoint", "type dict", "result of read"),
    (lambda p: weights.into_equinox({}, None), "checkpoint is not a Checkpoint", "type dict", "result of read"),
    (lambda p: weights.convert(ONE, "keras", names=3), "names is not a name map", "type int", "names={source"),
    (lambda p: weights.into_equinox(ONE, None, names=[]), "names is not a name map", "type list", "names={source"),
    (lambda p: ONE.told(kinds="conv"), "kinds is not a dictionary", "kinds = 'conv'", "kinds={'*': 'conv'}"),
    (lambda p: weights.from_state_dict({"net": {}, "i": 3}), "state has no arrays", "'net', 'i'", "pass state['net']"),
    (lambda p: weights.from_state_dict({"i": 3}), "state has no arrays", "'i'", "module.state_dict()"),
    (
        lambda p: weights.write(p / "a.pt", checkpoint("torch"), "flax"),
        "cannot store that framework's layout",
        "'flax'",
        "'torch'",
    ),
    (
        lambda p: weights.write(p / "a.safetensors", checkpoint("torch"), "onnx"),
        "cannot store that framework",
        "'onnx'",
        "flax",
    ),
    (lambda p: weights.write(p / "a.keras", checkpoint("torch")), "needs a model configuration", "a.keras", "like="),
    (
        lambda p: weights.write(p / "a.pt", checkpoint("torch"), like=p / "m.weights.h5"),
        "like must be a Keras file",
        "for a.pt",
        "leave like out",
    ),
    (
        lambda p: weights.write(p / "a.pt", checkpoint("torch"), names={"uo": "b"}),
        "names has a source that is not a layer",
        "'uo'",
        "{old: new}",
    ),
    (
        lambda p: weights.write(p / "a.pt", checkpoint("torch"), names={"up": "out"}),
        "one path to two layers",
        "'out', from up, out",
        "another path",
    ),
    (lambda p: weights.convert(checkpoint("torch"), "mxnet"), "unknown framework", "mxnet", "torch"),
    (
        lambda p: weights.convert(weights.read(p / "m.safetensors", groups={"up": 4}), "flax"),
        "groups of layer 'up' do not fit",
        "groups 4",
        "--groups",
    ),
]


@pytest.mark.parametrize(("call", *"abc"), BAD, ids=[str(i) for i in range(len(BAD))])
def test_files__wrong_arguments_raise(call, a, b, c, tmp_path):
    weights.write(tmp_path / "m.safetensors", checkpoint("torch"))
    weights.write(tmp_path / "m.weights.h5", checkpoint("torch", groups=1))
    np.savez(tmp_path / "a.npz", a=np.ones(3))
    with pytest.raises((ArgumentError, ArgumentTypeError)) as caught:
        call(tmp_path)
    for part in (a, b, c):
        assert part in str(caught.value)


def test_read__missing_file_raises(tmp_path):
    with pytest.raises(FileNotFoundError):
        weights.read(tmp_path / "a.pt")
    (tmp_path / "b.pt").mkdir()
    with pytest.raises(IsADirectoryError):
        weights.read(tmp_path / "b.pt")


@pytest.mark.parametrize(
    ("missing", "name", "install"),
    [
        ("h5py", "a.keras", "'jconvt[weights]'"),
        ("safetensors", "a.safetensors", "'jconvt[weights]'"),
        ("onnx", "a.onnx", "'jconvt[onnx]'"),
    ],
)
def test_read__missing_package_raises(missing, name, install, tmp_path, monkeypatch):
    (tmp_path / name).write_bytes(b"x")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ModuleNotFoundError, match=re.escape(f"needs the package {missing}: pip install {install}")):
        weights.read(tmp_path / name)


def test_torch__is_needed_only_to_write(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    weights.write(tmp_path / "a.pt", checkpoint("torch"))
    monkeypatch.setitem(sys.modules, "torch", None)
    assert list(weights.read(tmp_path / "a.pt").layers) == ["up", "mix", "norm", "out"]
    with pytest.raises(ModuleNotFoundError, match="needs the package torch: pip install torch"):
        weights.write(tmp_path / "a.pt", checkpoint("torch"))


def test_import__brings_no_framework():
    script = """
import sys
import jconvt.weights
found = {name.partition('.')[0] for name in sys.modules}
print(sorted(found & {'h5py', 'safetensors', 'torch', 'onnx', 'keras', 'tensorflow', 'flax', 'equinox'}))
import jconvt
print(sorted(vars(jconvt).keys() & {'weights'}))
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split("\n")[0] == "[]"


def test_safetensors__untrusted_metadata_is_ignored(tmp_path):
    from safetensors.numpy import save

    arrays = {"a.weight": np.ones((3, 3, 3), np.float32), "b.weight": np.ones((3, 3), np.float32)}
    for text in (
        "[]",
        "null",
        "{",
        "[" * 10**5,
        json.dumps({"framework": "torch", "layers": {"a": 3}}),
        json.dumps({"framework": ["torch"], "layers": {}}),
        json.dumps({"framework": "torch", "layers": {"a": {"kind": "dense", "groups": "x"}, "b": {"kind": "conv"}}}),
        json.dumps({"framework": "torch", "layers": {"a": {"kind": [1], "groups": True}, "c": {"kind": "norm"}}}),
    ):
        (tmp_path / "a.safetensors").write_bytes(save(arrays, {"jconvt": text}))
        found = weights.read(tmp_path / "a.safetensors")
        assert {path: layer.kind for path, layer in found.layers.items()} == {"a": "unknown", "b": "dense"}
        assert all(layer.groups is None for layer in found.layers.values())


def test_safetensors__views_are_copied(tmp_path):
    """Safetensors writes memory, whatever the strides."""
    kernel = np.arange(24, dtype=np.float32).reshape(2, 3, 4).T
    found = Checkpoint({"a": Layer("conv", {"kernel": kernel}, "torch", 1)}, "torch")
    weights.write(tmp_path / "a.safetensors", found)
    np.testing.assert_array_equal(weights.read(tmp_path / "a.safetensors").layers["a"].arrays["kernel"], kernel)
