"""Files as they are released: several state_dicts in one, other values beside them, other names, shards."""

import collections
import datetime
import json
import pathlib
import re
import zipfile

import numpy as np
import pytest

from jconvt import ArgumentError, weights
from tests.support.decoders import assert_rejected, rezipped

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

UP = torch.nn.Sequential(torch.nn.ConvTranspose2d(4, 3, 4, 2, 1)).state_dict()


def other():
    return {name: tensor + 1 for name, tensor in UP.items()}


def assert_up(checkpoint, state=UP):
    assert list(checkpoint.layers) == ["0"]
    np.testing.assert_array_equal(checkpoint.layers["0"].arrays["kernel"], state["0.weight"].numpy())
    np.testing.assert_array_equal(checkpoint.layers["0"].arrays["bias"], state["0.bias"].numpy())


SEVERAL = [
    ({"generator": UP, "mpd": other(), "steps": 5}, "generator", "mpd"),
    ({"params": UP, "params_ema": other()}, "params", "params_ema"),
    ({"g_ema": UP, "g": other(), "d": UP, "latent_avg": torch.zeros(4)}, "g_ema", "g"),
    ({"model": {"generator": UP, "discriminator": other()}}, "model.generator", "model.discriminator"),
    ({"a": UP, "model": {"module.net": other()}}, "a", "model.module.net"),
    ({**UP, "ema": other()}, "", "ema"),
]


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(("content", "first", "second"), SEVERAL, ids=[first or "root" for _, first, _ in SEVERAL])
def test_read__key_chooses_one_of_several(content, first, second, legacy, tmp_path):
    path = tmp_path / "a.pt"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    assert_up(weights.read(path, key=first))
    assert_up(weights.read(path, key=second), other())
    assert weights.read(path, key=second).notes == ()
    message = rf"several state_dicts\n  got:   .*{first!r} \(\d tensors\).*{second!r} \(2 t.*\n.*\n  fix:   pass key='"
    with pytest.raises(ArgumentError, match=message):
        weights.read(path)
    with pytest.raises(ArgumentError, match=rf"no state_dict at key='steps'\n  got: .*{second!r}"):
        weights.read(path, key="steps")


class Config:
    """A class that the reader cannot import."""


HARMLESS = {
    "size": torch.Size([1, 2]),
    "dtype": torch.float16,
    "device": torch.device("cpu"),
    "steps": 10**30,
    "loss": np.float64(0.3),
    "rng": np.random.RandomState(0).get_state(),
    "logging": {"mean_fg_dice": [np.float64(0.3)], "when": datetime.datetime(2024, 5, 6)},
    "config": Config(),
    "path": pathlib.Path("runs/1"),
    "axes": [(0, 1, 2)] * 3,
    "names": {"a", "b"},
    "frozen": frozenset({1}),
    "text": b"bytes",
    "tables": collections.defaultdict(list, {"a": [1]}),
    "nothing": None,
    "complex": 1j,
    "best_score": torch.tensor(0.5),
    "optimizer": torch.optim.Adam([torch.nn.Parameter(torch.ones(3, 3))]).state_dict(),
    "lists": [UP],
}


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("legacy", [False, True])
def test_read__harmless_values_are_passed_over(legacy, protocol, tmp_path):
    options = {"pickle_protocol": protocol, "_use_new_zipfile_serialization": not legacy}
    torch.save({"state_dict": UP, **HARMLESS}, tmp_path / "a.pt", **options)
    found = weights.read(tmp_path / "a.pt")
    assert_up(found)
    assert found.notes[0].startswith("read from key='state_dict'; not read: size, dtype, device, steps, ")
    assert f"note: {found.notes[0]}" in str(found)
    _, report = weights.convert(found.told({"0": "conv_transpose"}), "keras")
    assert report.notes == found.notes
    torch.save({**UP, **{key: value for key, value in HARMLESS.items() if key != "best_score"}}, tmp_path / "b.pt")
    assert_up(weights.read(tmp_path / "b.pt"))


def test_read__parameters_and_subclasses_of_tensors_are_tensors(tmp_path):
    named = torch.nn.Parameter(UP["0.weight"].clone())
    named.note = "an attribute"
    torch.save({"0.weight": named, "0.bias": torch.nn.Parameter(UP["0.bias"])}, tmp_path / "a.pt")
    assert_up(weights.read(tmp_path / "a.pt"))


def test_read__views_have_their_offsets_and_strides(tmp_path):
    whole = torch.arange(48.0).reshape(2, 4, 6)
    torch.save({"a.weight": whole[1].t(), "b.weight": whole[0, 1:, ::2], "c.weight": whole[:, :, 0]}, tmp_path / "a.pt")
    found = {path: layer.arrays["kernel"] for path, layer in weights.read(tmp_path / "a.pt").layers.items()}
    np.testing.assert_array_equal(found["a"], whole[1].T)
    np.testing.assert_array_equal(found["b"], whole[0, 1:, ::2])
    np.testing.assert_array_equal(found["c"], whole[:, :, 0])


def test_read__expanded_and_aliased_tensors_count_once(tmp_path):
    tied = torch.ones(50, 50)
    state = {**UP, "grid": torch.zeros(1, 1).expand(512, 512), **{f"{name}.weight": tied for name in "abcd"}}
    torch.save({**state, "small.bias": torch.ones(1).expand(3)}, tmp_path / "a.pt")
    found = weights.read(tmp_path / "a.pt")
    assert str(found.layers[""]) == "other: grid is not read ((512, 512) expanded from 1 numbers)"
    assert found.notes == ("one array with several names: a.weight = b.weight = c.weight = d.weight",)
    assert found.layers["a"].arrays["kernel"] is found.layers["d"].arrays["kernel"]
    np.testing.assert_array_equal(found.layers["small"].arrays["bias"], np.ones(3))
    _, report = weights.convert(found, "torch")
    assert report.unused == (": grid is not read ((512, 512) expanded from 1 numbers)",)


UNREAD = {
    "sparse": (lambda: torch.ones(3, 3).to_sparse(), "sparse_tensor"),
    "meta": (lambda: torch.ones(3, 3, device="meta"), "meta_tensor_no_storage"),
    "float8": (lambda: torch.ones(3, 3).to(torch.float8_e4m3fn), "dtype torch.float8_e4m3fn"),
    "quantised": (lambda: torch.quantize_per_tensor(torch.ones(3, 3), 0.1, 0, torch.qint8), "qtensor"),
}


@pytest.mark.parametrize("name", UNREAD)
@pytest.mark.filterwarnings("ignore")  # that quantised tensors are deprecated
def test_read__dtype_that_cannot_be_read_costs_its_layer(name, tmp_path):
    build, reason = UNREAD[name]
    torch.save({"a.weight": build(), "a.bias": torch.ones(3), **UP}, tmp_path / "a.pt")
    found = weights.read(tmp_path / "a.pt")
    assert (found.layers["a"].kind, found.layers["0"].kind) == ("other", "unknown")
    assert re.search(rf"\na +other +- +bias \(3,\), weight is not read \({reason}\)", str(found))
    _, report = weights.convert(found.told({"0": "conv_transpose"}), "flax")
    assert report.unused == (f"a (other: bias, weight is not read ({reason}))",)
    same = weights.from_state_dict({"a.weight": build(), "a.bias": torch.ones(3), **UP})
    assert same.layers["a"].kind == "other"
    assert list(same.layers["a"].unread) == ["weight"]


def test_read__layer_without_a_readable_bias_is_not_one_without_a_bias(tmp_path):
    torch.save({"a.weight": torch.ones(3, 3), "a.bias": torch.ones(3).to(torch.float8_e5m2), **UP}, tmp_path / "a.pt")
    assert weights.read(tmp_path / "a.pt").layers["a"].kind == "other"


def test_safetensors__dtype_that_cannot_be_read_costs_its_layer(tmp_path):
    from safetensors.torch import save_file

    save_file({"a.weight": torch.ones(3, 3).to(torch.float8_e4m3fn), "a.bias": torch.ones(3), **UP}, tmp_path / "a.st")
    found = weights.read(tmp_path / "a.st")
    assert str(found.layers["a"]) == "other: bias, weight is not read (dtype F8_E4M3, shape (3, 3))"
    np.testing.assert_array_equal(found.layers["0"].arrays["kernel"], UP["0.weight"])


NAMES = ("generator_v1", "pytorch_model.bin", "epoch=3.ckpt", "demucs.th", "latest.pth.tar")


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_read__content_shows_pytorchs_format(name, legacy, tmp_path):
    torch.save({"state_dict": UP}, tmp_path / name, _use_new_zipfile_serialization=not legacy)
    assert_up(weights.read(tmp_path / name))
    assert_up(weights.read(tmp_path / name, format="torch"))


def test_read__content_shows_other_formats(tmp_path):
    pytest.importorskip("h5py")
    found = weights.from_state_dict({"d.weight": np.ones((3, 4), np.float32)})
    for name in ("a.safetensors", "a.weights.h5"):
        weights.write(tmp_path / name, found)
    with zipfile.ZipFile(tmp_path / "c", "w") as archive:
        archive.writestr("config.json", json.dumps({"config": {"layers": []}}))
        archive.write(tmp_path / "a.weights.h5", "model.weights.h5")
    (tmp_path / "a.safetensors").rename(tmp_path / "a.bin")
    (tmp_path / "a.weights.h5").rename(tmp_path / "b")
    for name in ("a.bin", "b", "c"):
        (layer,) = weights.read(tmp_path / name).layers.values()
        assert layer.kind == "dense"
    for content in (b"", b"\x00" * 100, b"text", b"PK\x05\x06" + b"\x00" * 18, b"PK\x05\x06" + b"\xff" * 18):
        (tmp_path / "d").write_bytes(content)
        with pytest.raises(ArgumentError, match=r"d cannot be read as zip|unknown format of weights\n  got:   d\n"):
            weights.read(tmp_path / "d")


def test_torch__torchscript_is_named(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # that TorchScript is deprecated
        torch.jit.trace(torch.nn.ConvTranspose2d(4, 3, 3).eval(), torch.ones(1, 4, 5, 5)).save(str(tmp_path / "s.pt"))
    parts = ("a TorchScript program", "torch.save(torch.jit.load('s.pt').state_dict(), 'state_dict.pt')")
    assert_rejected(tmp_path / "s.pt", *parts)
    with zipfile.ZipFile(tmp_path / "s.pt") as source, zipfile.ZipFile(tmp_path / "s", "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    assert_rejected(tmp_path / "s", parts[0])


def test_torch__big_endian_numbers_raise(tmp_path):
    torch.save(UP, tmp_path / "good.pt")

    def change(members):
        members["good/byteorder"] = b"big"

    assert_rejected(rezipped(tmp_path / "good.pt", tmp_path / "bad.pt", change), "big-endian")


def test_torch__truncated_legacy_file_raises(tmp_path):
    torch.save({**UP, "a.weight": torch.ones(3, 3)}, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    content = (tmp_path / "a.pt").read_bytes()
    for length in (2, 20, 100, 200, len(content) // 2, len(content) - 1):
        (tmp_path / "b.pt").write_bytes(content[:length])
        assert_rejected(tmp_path / "b.pt")


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_read__sharded(suffix, tmp_path):
    from safetensors.torch import save_file

    save = save_file if suffix == "safetensors" else torch.save
    shards = {name: f"model-0000{i}-of-00002.{suffix}" for i, name in enumerate(("0.weight", "0.bias"))}
    for name, shard in shards.items():
        save({name: UP[name]}, tmp_path / shard)
    index = tmp_path / f"model.{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": shards}))
    found = weights.read(index)
    assert_up(found)
    assert (found.framework, found.ordered, found.notes) == ("torch", False, ())
    assert weights.read(index, framework="equinox").framework == "equinox"
    folder = tmp_path / "inner"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / shards["0.bias"])
    for place in (f"../{shards['0.bias']}", str(tmp_path / shards["0.bias"]), "link", "", ".", "missing", "a\0", 3, {}):
        (folder / "a.index.json").write_text(json.dumps({"weight_map": {"0.bias": place}}))
        assert_rejected(folder / "a.index.json")
    for text in ("{", "[]", "{}", '{"weight_map": 3}', "[" * 10**5):
        (folder / "a.index.json").write_text(text)
        assert_rejected(folder / "a.index.json")
    index.write_text(json.dumps({"weight_map": {"0.bias": shards["0.weight"]}}))
    assert_rejected(index, f"{shards['0.weight']} without 0.bias")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_from_state_dict__copies_tensors(dtype):
    model = torch.nn.Sequential(torch.nn.ConvTranspose2d(4, 3, 4, 2, 1), torch.nn.BatchNorm2d(3)).to(dtype)
    found = weights.from_state_dict(model.state_dict(), kinds={"0": "conv_transpose"})
    assert [(layer.kind, layer.groups) for layer in found.layers.values()] == [("conv_transpose", 1), ("norm", None)]
    before = model[0].weight.detach().float().numpy().copy()
    model[0].weight.data.zero_()
    np.testing.assert_array_equal(found.layers["0"].arrays["kernel"].astype(np.float32), before)
    assert found.layers["0"].arrays["kernel"].dtype.name == str(dtype).removeprefix("torch.")


def test_from_state_dict__of_arrays_and_tied_tensors():
    import jax.numpy as jnp

    state = {"up.kernel": jnp.ones((3, 3, 4, 8)), "up.bias": np.zeros(4), "steps": 3, "name": "a"}
    found = weights.from_state_dict(state, "keras", kinds={"up": "conv_transpose"})
    assert [(path, layer.kind, layer.shape) for path, layer in found.layers.items()] == [
        ("up", "conv_transpose", (3, 3, 4, 8))
    ]
    tied = torch.ones(3, 3)
    found = weights.from_state_dict({"a.weight": tied, "b.weight": tied, "c.weight": tied.clone()})
    assert found.notes == ("one array with several names: a.weight = b.weight",)
    assert found.layers["a"].arrays["kernel"] is found.layers["b"].arrays["kernel"]


def test_from_state_dict__of_tensorflows_files(tmp_path):
    """The way around for files that are not read, which their errors name."""
    tf = pytest.importorskip("tensorflow")
    model = tf.Module()
    model.up = tf.Module()
    model.up.kernel = tf.Variable(np.ones((4, 4, 3, 4), np.float32))
    tf.train.Checkpoint(up=model.up).write(str(tmp_path / "ckpt"))
    tf.saved_model.save(model, str(tmp_path / "saved"))
    for path in (tmp_path / "ckpt", tmp_path / "saved" / "variables" / "variables"):
        array = tf.train.load_checkpoint(str(path)).get_tensor("up/kernel/.ATTRIBUTES/VARIABLE_VALUE")
        found = weights.from_state_dict({"up.kernel": array}, "keras", kinds={"up": "conv_transpose"})
        assert found.layers["up"].filters.shape == (4, 4, 3, 4)
        with pytest.raises(ArgumentError, match=r"\n  got:   .*\.index\n.*\n.*to weights\.from_state_dict"):
            weights.read(path.with_name(f"{path.name}.index"))
