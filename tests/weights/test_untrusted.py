"""Untrusted files: ``jconvt.weights`` raises one clear error, runs no code, opens no other file, and saves memory."""

import collections
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile

import pytest

from jconvt import ArgumentError, weights
from tests.support import decoders
from tests.support.decoders import assert_rejected, rezipped

pytest.importorskip("h5py")
pytest.importorskip("safetensors")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


# PyTorch


@pytest.fixture
def state_dict(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(decoders.torch_decoder(2).state_dict(), tmp_path / "good.pt")
    return tmp_path / "good.pt"


class Touch:
    """A pickle of it makes a file when it is loaded."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("protocol", [2, 4])
def test_torch__code_in_a_pickle_is_not_run(protocol, state_dict, tmp_path):
    marker = tmp_path / "marker"
    content = pickle.dumps({"a.weight": Touch(marker)}, protocol=protocol)

    def change(members):
        members["good/data.pkl"] = content

    bad = rezipped(state_dict, tmp_path / "bad.pt", change)
    assert_rejected(bad, "a.weight (posix.mkdir)", "nothing in it is run", "torch.save(model.state_dict(), path)")
    (tmp_path / "old.pt").write_bytes(content)
    assert_rejected(tmp_path / "old.pt", "a pickle that torch.save did not write")
    (tmp_path / "old").write_bytes(content)
    assert_rejected(tmp_path / "old", "a pickle that torch.save did not write")
    assert not marker.exists()
    pickle.loads(content)
    assert marker.exists()  # so the test can fail


@pytest.mark.parametrize("legacy", [False, True])
def test_torch__code_beside_a_state_dict_is_not_run(legacy, tmp_path):
    torch = pytest.importorskip("torch")
    marker = tmp_path / "marker"
    content = {"net": torch.nn.Linear(2, 3).state_dict(), "config": Touch(marker), "epoch": [Touch(marker)]}
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    assert list(weights.read(tmp_path / "a.pt").layers) == [""]
    assert not marker.exists()


def test_torch__whole_models_raise(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.Linear(2, 3), tmp_path / "model.pt")
    assert_rejected(tmp_path / "model.pt", "torch.nn.modules.linear.Linear", "torch.save(model.state_dict(), path)")
    torch.save({"model": torch.nn.Linear(2, 3), "epoch": 3}, tmp_path / "model.pt")
    assert_rejected(tmp_path / "model.pt", "a dictionary of model (torch.nn.modules.linear.Linear), epoch")
    torch.save([torch.zeros(3)], tmp_path / "e.pt")
    assert_rejected(tmp_path / "e.pt", "an object of type list")


HOSTILE = [
    b"c__builtin__\nbytearray\n\x8a\x06\x00\x00\x00\x00\x00\x10\x85R",  # a call that would take much memory
    b"".join([b")q\x00", *(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(100))]),  # tuples that take forever to hash
    b"".join([b"}q\x00", *(b"}q%cU\x01ah%csU\x01bh%cs" % (i + 1, i, i) for i in range(100))]),  # 2**100 paths
    b"}q\x01U\x01ah\x01s",  # a dictionary within itself
    b"(" * 10**5 + b"t" * 10**5,  # 100,000 levels
    b"}" * 10**5 + b"U\x01aNs" + b"U\x01a0" * 10,
    b"\x962\x00\x00\x00\x00\x00\x00\x7f",  # a bytearray of more bytes than there are
    b"X\xff\xff\xff\x7fa",
    b"r\xff\xff\xff\xff",  # a memo of 2**32 entries
    b"\x82\x01",  # an extension's code
    b"N2",
    b"t",
    b"s",
]


@pytest.mark.parametrize("value", HOSTILE, ids=[str(i) for i in range(len(HOSTILE))])
def test_torch__hostile_pickle_raises(value, state_dict, tmp_path):
    def change(members):
        members["good/data.pkl"] = b"\x80\x02}X\x01\x00\x00\x00a" + value + b"s."

    assert_rejected(rezipped(state_dict, tmp_path / "bad.pt", change))


LONG = b"X\x40\x42\x0f\x00" + b"a" * 10**6
MANY_FROM_LONG = {
    "a name of 2000000 characters": LONG + b"q\x00h\x00\x93",
    "a key of 1000002 characters": b"}" + LONG + b"}U\x01bctorch._utils\n_rebuild_sparse_tensor\n)Rss",
}


@pytest.mark.parametrize(("text", "value"), MANY_FROM_LONG.items())
def test_torch__texts_that_multiply_raise(text, value, state_dict, tmp_path):
    """A text that the pickle has once would be copied to each name that begins with it."""

    def change(members):
        members["good/data.pkl"] = b"\x80\x02}X\x01\x00\x00\x00a" + value + b"s."

    assert_rejected(rezipped(state_dict, tmp_path / "bad.pt", change), text)


def test_torch__tensors_larger_than_the_file_raise(tmp_path):
    torch = pytest.importorskip("torch")
    whole = torch.zeros(1000)
    torch.save({f"{i}.weight": whole[i:] for i in range(500)}, tmp_path / "b.pt")
    assert_rejected(tmp_path / "b.pt", "all arrays together more than the file's")


def test_torch__tensors_out_of_their_storage_raise(tmp_path):
    torch = pytest.importorskip("torch")
    for shape, strides in (((5, 5), (5, 2)), ((2**62, 4), (0, 1)), ((4, -1), (1, 1)), ((2, 2), (-1, 1))):
        good = {"a.weight": torch.zeros(5, 5)}
        torch.save(good, tmp_path / "good.pt")

        def change(members, shape=shape, strides=strides):
            for old, new in (((5, 5), shape), ((5, 1), strides)):
                encoded = pickle.dumps(old, protocol=2)[2:-3]
                assert encoded in members["good/data.pkl"]
                members["good/data.pkl"] = members["good/data.pkl"].replace(encoded, pickle.dumps(new, 2)[2:-3])

        bad = rezipped(tmp_path / "good.pt", tmp_path / "bad.pt", change)
        if shape[0] == 2**62:
            assert "is not read" in str(weights.read(bad))
        else:
            assert_rejected(bad)


def test_torch__short_storage_raises(state_dict, tmp_path):
    def change(members):
        for name in members:
            if "/data/" in name:
                members[name] = members[name][:4]

    assert_rejected(rezipped(state_dict, tmp_path / "bad.pt", change))


# Archives


@pytest.fixture
def keras_file(tmp_path):
    model = decoders.keras_decoder(1)
    model.save(tmp_path / "good.keras")
    return tmp_path / "good.keras"


def test_archive__unsafe_members_raise(keras_file, tmp_path):
    bomb = tmp_path / "bomb.keras"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * 10**8)
    assert_rejected(bomb, "'config.json' is compressed", "zip -0")
    for name in ("../escape", "/etc/escape", "a/../../escape", "..\\escape", "C:\\escape"):

        def change(members, name=name):
            members[name] = b"x"

        assert_rejected(rezipped(keras_file, tmp_path / "bad.keras", change), "outside the archive's folder")

    def without(members):
        del members["model.weights.h5"]

    assert_rejected(rezipped(keras_file, tmp_path / "bad.keras", without), "no member model.weights.h5")
    with zipfile.ZipFile(tmp_path / "twice.keras", "w") as archive:
        archive.writestr("config.json", "{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("config.json", "[]")
    assert_rejected(tmp_path / "twice.keras", "two members of the name 'config.json'")


def test_archive__overlapping_members_raise(tmp_path):
    """Several entries of the directory for the same bytes: together, the members are larger than the file."""
    path = tmp_path / "a.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", b" " * 10000)
        for i in range(20):
            info = zipfile.ZipInfo(f"copy{i}")
            info.file_size = info.compress_size = 10000
            info.header_offset = info.CRC = 0
            archive.filelist.append(info)
        archive._didModify = True
    assert_rejected(path, "more than the file has")


@pytest.mark.parametrize(
    "config",
    [b"", b"{", b"[" * 10**6, b'{"config": {"layers": [1]}}', b'{"config": {"layers": [{"config": 3}]}}', b"\xff"],
)
def test_keras__corrupt_configuration_raises(config, keras_file, tmp_path):
    def change(members):
        members["config.json"] = config

    assert_rejected(rezipped(keras_file, tmp_path / "bad.keras", change))


def test_keras__wrong_values_in_the_configuration_are_ignored(keras_file, tmp_path):
    """Layers that do not exist, and values of a wrong type."""

    def change(members):
        config = json.loads(members["config.json"])
        for layer in config["config"]["layers"]:
            layer["config"] |= {"strides": "x", "groups": 1, "epsilon": [], "use_bias": [], "output_padding": {}}
        config["config"]["layers"].append({"class_name": "Conv9D", "config": {"name": "../../x"}})
        members["config.json"] = json.dumps(config).encode()

    found = weights.read(rezipped(keras_file, tmp_path / "bad.keras", change))
    assert found.layers["up1"].spec is None
    assert found.layers["up1"].kind == "other"


def test_keras__lambda_is_not_built(keras_file, tmp_path):
    """The code of a Lambda is not decoded, and no class is imported."""
    marker = tmp_path / "marker"
    code = f"__import__('os').mkdir({str(marker)!r})"

    def change(members):
        config = json.loads(members["config.json"])
        (layer,) = [each for each in config["config"]["layers"] if each["class_name"] == "Lambda"]
        layer["config"]["function"] = {"class_name": "__lambda__", "config": {"code": code}}
        layer["module"] = "antigravity"
        members["config.json"] = json.dumps(config).encode()

    before = set(sys.modules)
    bad = rezipped(keras_file, tmp_path / "bad.keras", change)
    assert list(weights.read(bad).layers) == list(weights.read(keras_file).layers)
    assert not marker.exists()
    assert "antigravity" not in set(sys.modules) - before


# safetensors


def safetensors(path, header, data=b"", size=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if size is None else size) + text + data)
    return path


def entry(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    ("header", "data", "size"),
    [
        ({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, b"x" * 12, None),
        ({"a": entry([2], 0, 8), "b": entry([2], 0, 8)}, b"x" * 8, None),
        ({"a": entry([2], 0, 8)}, b"x" * 4, None),
        ({"a": entry([2], 0, 8)}, b"x" * 12, None),
        ({"a": entry([3], 0, 8)}, b"x" * 8, None),
        ({"a": entry([2**40, 2**40], 0, 8)}, b"x" * 8, None),
        ({"a": entry([-2], 0, 8)}, b"x" * 8, None),
        ({"a": entry([2], 0, 8, "F128")}, b"x" * 8, None),
        ({}, b"", 2**63),
        ({}, b"", 2**40),
        (b"[" * 10**5, b"", None),
        (b"\xff\xfe", b"", None),
    ],
)
def test_safetensors__corrupt_header_raises(header, data, size, tmp_path):
    assert_rejected(safetensors(tmp_path / "a.safetensors", header, data, size))


# ONNX


def onnx_model(path, tensor):
    import onnx
    from onnx import TensorProto, helper

    info = helper.make_tensor_value_info
    x, y = info("x", TensorProto.FLOAT, [1, 4, 5, 5]), info("y", TensorProto.FLOAT, None)
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"])
    path.write_bytes(helper.make_model(helper.make_graph([node], "g", [x], [y], [tensor])).SerializeToString())
    assert onnx.load(str(path), load_external_data=False).graph.node
    return path


def tensor(dims=(4, 2, 3, 3), raw=None, external=None, kind=1):
    from onnx import TensorProto

    made = TensorProto(name="w", data_type=kind, dims=dims)
    if raw is not None:
        made.raw_data = raw
    if external is not None:
        made.data_location = TensorProto.EXTERNAL
        for key, value in external.items():
            made.external_data.add(key=key, value=str(value))
    return made


def test_onnx__external_data_outside_the_folder_raises(tmp_path):
    pytest.importorskip("onnx")
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"x" * 288)
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "inner").symlink_to(tmp_path)
    (folder / "good").write_bytes(b"\0" * 300)
    os.mkfifo(folder / "pipe")
    for location in (
        *(
            "../secret",
            str(tmp_path / "secret"),
            "link",
            "inner/secret",
            "",
            ".",
            "missing",
            "pipe",
            "good/../../secret",
        ),
        *("good\0", "..\\secret", "inner/../good"),
    ):
        bad = onnx_model(folder / "a.onnx", tensor(external={"location": location}))
        assert_rejected(bad, "" if "\0" in location else "which is not a file in the model's folder")
    for numbers in (
        {"offset": "x"},
        {"offset": 10**30},
        {"length": -288},
    ):
        assert_rejected(onnx_model(folder / "a.onnx", tensor(external={"location": "good", **numbers})))
    for numbers in ({"offset": 13}, {"offset": -1}, {"length": 400}, {"length": 10}):
        assert_rejected(onnx_model(folder / "a.onnx", tensor(external={"location": "good", **numbers})), "bytes from")
    fine = onnx_model(folder / "a.onnx", tensor(external={"location": "good", "offset": 12}))
    assert weights.read(fine).layers["w"].shape == (4, 2, 3, 3)


def test_onnx__corrupt_tensors_raise(tmp_path):
    pytest.importorskip("onnx")
    for made in (
        tensor(raw=b"x" * 100),
        tensor(raw=b"x" * 400),
        tensor((10**6, 10**6, 3, 3), b"x" * 288),
        tensor((-4, 2, 3, 3), b"x" * 288),
        tensor((-4, -2, 3, 3), b"x" * 288),
        tensor((2**62, 4, 3, 3), b"x" * 288),
        tensor(),
        tensor(raw=b"x" * 288, kind=99),
        tensor(raw=b"x" * 288, kind=8),
        tensor((0, 2**62, 3, 3), b"x"),
    ):
        assert_rejected(onnx_model(tmp_path / "a.onnx", made))
    (tmp_path / "empty.onnx").write_bytes(b"")
    assert_rejected(tmp_path / "empty.onnx", "a model without nodes")


# All of them


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A folder with a small file of each format."""
    torch, _ = pytest.importorskip("torch"), pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("good")
    arrays = {"up.weight": torch.ones(4, 2, 3, 3), "up.bias": torch.ones(2)}
    torch.save(collections.OrderedDict(arrays), folder / "a.pt")
    found = weights.read(folder / "a.pt", kinds={"up": "conv_transpose"})
    weights.write(folder / "a.safetensors", found)
    weights.write(folder / "a.weights.h5", found)
    onnx_model(folder / "a.onnx", tensor(raw=b"\0" * 288))
    with zipfile.ZipFile(folder / "a.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"config": {"layers": []}}))
        archive.write(folder / "a.weights.h5", "model.weights.h5")
    return folder


FORMATS = ("a.keras", "a.onnx", "a.pt", "a.safetensors", "a.weights.h5")


@pytest.mark.parametrize("name", FORMATS)
def test_read__truncated_file_raises(name, good, tmp_path):
    content = (good / name).read_bytes()
    assert weights.read(good / name).layers
    lengths = {0, 1, 7, 8, 20, 100, len(content) // 3, len(content) // 2, len(content) - 30, len(content) - 1}
    for length in sorted(lengths):
        (tmp_path / name).write_bytes(content[:length])
        assert_rejected(tmp_path / name)


FLIPS = """
import io, os, pathlib, random, resource, signal, sys, traceback, types
from jconvt import ArgumentError, ArgumentTypeError, weights
from jconvt.weights.formats import _hdf5_probe, hdf5

def run(command, input, timeout, **_):
    # The probe, forked: to start Python for every file would take most of the time.
    end, start = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(int(timeout))
        os.dup2(start, 2)
        sys.argv, sys.stdin = command[2:], types.SimpleNamespace(buffer=io.BytesIO(input))
        try:
            _hdf5_probe.main()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(1)
    os.close(start)
    with open(end, "rb") as pipe:
        text = pipe.read()
    return types.SimpleNamespace(returncode=os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), stderr=text)

hdf5.subprocess.run, hdf5._SECONDS = run, 1  # a hang takes this long
resource.setrlimit(resource.RLIMIT_DATA, (4 * 2**30,) * 2)
for path in map(pathlib.Path, sys.argv[2:]):
    content, generator, rejected = path.read_bytes(), random.Random(0), 0
    bad = pathlib.Path(sys.argv[1]) / path.name
    for i in range(100 if path.suffix == ".h5" else 400):  # a fork for each of these
        changed = bytearray(content)
        for _ in range(generator.choice([1, 1, 3, 20])):
            changed[generator.randrange(len(changed))] ^= generator.choice([1, 128, 255, generator.randrange(1, 256)])
        bad.write_bytes(changed)
        try:
            found = weights.read(bad)
            assert sum(a.nbytes for l in found.layers.values() for a in l.arrays.values()) <= len(content)
        except (ArgumentError, ArgumentTypeError) as error:
            assert all(part in str(error) for part in ("got:", "legal:", "fix:")), error
            rejected += 1
    assert rejected, path
    print(path.name, flush=True)
"""


def test_read__flipped_bytes_never_crash(good, tmp_path):
    """In another process, as a library could crash, loop, or take much memory."""
    command = [sys.executable, "-W", "ignore", "-c", FLIPS, str(tmp_path), *(str(good / name) for name in FORMATS)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert found.returncode == 0, found.stderr[-2000:]
    assert tuple(found.stdout.split()) == FORMATS


@pytest.mark.parametrize(
    ("code", "seconds", "text"),
    [("while True: pass", 0.1, "the HDF5 library timed out"), ("os.abort()", 60, "the HDF5 library crashed")],
)
def test_hdf5__library_that_crashes_or_hangs_raises(code, seconds, text, good, tmp_path, monkeypatch):
    from jconvt.weights.formats import hdf5

    (tmp_path / "_hdf5_probe.py").write_text(f"import os\n{code}")
    monkeypatch.setattr(hdf5, "__file__", str(tmp_path / "hdf5.py"))
    monkeypatch.setattr(hdf5, "_SECONDS", seconds)
    for name in ("a.weights.h5", "a.keras"):
        assert_rejected(good / name, text)


@pytest.mark.parametrize("name", FORMATS)
def test_read__other_format_raises(name, good, tmp_path):
    keras = ("a.keras", "a.weights.h5")
    for other in FORMATS:
        if other != name and not (name in keras and other in keras):  # the content decides between Keras's formats
            (tmp_path / name).write_bytes((good / other).read_bytes())
            assert_rejected(tmp_path / name)


def test_write__corrupt_template_keeps_the_target(good, tmp_path):
    found = weights.read(good / "a.weights.h5")
    (tmp_path / "like.weights.h5").write_bytes((good / "a.weights.h5").read_bytes()[:1000])
    (tmp_path / "out.weights.h5").write_bytes(b"mine")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(ArgumentError, match=r"like\.weights\.h5 cannot be read"):
        weights.write(tmp_path / "out.weights.h5", found, like=tmp_path / "like.weights.h5")
    assert (tmp_path / "out.weights.h5").read_bytes() == b"mine"
    assert sorted(os.listdir(tmp_path)) == before


def test_read__pipe_or_device_raises(tmp_path):
    os.mkfifo(tmp_path / "a.pt")
    (tmp_path / "b.pt").symlink_to("/dev/zero")
    for name in ("a.pt", "b.pt"):
        with pytest.raises(ArgumentError, match="not a regular file"):
            weights.read(tmp_path / name)
