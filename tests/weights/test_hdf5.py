"""Untrusted HDF5 files, also inside a ``.keras`` file: links, and numbers that are missing or in other files."""

import zipfile

import numpy as np
import pytest

from jconvt import ArgumentError, weights
from tests.support.decoders import assert_rejected

h5py = pytest.importorskip("h5py")

ONE = np.ones((3, 3, 2, 4), np.float32)


def hdf5(path, build):
    with h5py.File(path, "w") as file:
        build(file)
    return path


def _chunks(file):
    file.create_dataset("layers/conv2d/vars/0", shape=(10**6, 10**6, 3, 3), chunks=(100, 100, 1, 1), dtype="f4")


def _contiguous(file):
    file.create_dataset("layers/conv2d/vars/0", shape=(10**6, 10**6, 3, 3), dtype="f4")


def _compressed(file):
    file.create_dataset("layers/conv2d/vars/0", data=np.zeros((1000, 1000)), compression="gzip")


def _external_link(file):
    file["layers"] = h5py.ExternalLink("secret.h5", "/")


def _soft_loop(file):
    file["layers"] = h5py.SoftLink("/layers")


def _hard_loop(file):
    group = file.create_group("layers")
    group["again"] = group


def _external_storage(file):
    file.create_dataset("layers/conv2d/vars/0", shape=(100,), dtype="u1", external="secret.bin")


def _virtual(file):
    layout = h5py.VirtualLayout(shape=(100,), dtype="f4")
    layout[:] = h5py.VirtualSource("secret.h5", "numbers", shape=(100,))
    file.create_virtual_dataset("layers/conv2d/vars/0", layout)


def _named_type(file):
    file["layers"] = np.dtype("f4")


def _deep(file):
    group = file
    for _ in range(100):
        group = group.create_group("layers")


HDF5 = {
    _chunks: "bytes, and all arrays together more than the file's",
    _contiguous: "bytes, and all arrays together more than the file's",
    _compressed: "which is compressed",
    _external_link: "ExternalLink layers",
    _soft_loop: "SoftLink layers",
    _hard_loop: "layers/again, which has two names",
    _external_storage: "whose numbers are in other files",
    _virtual: "whose numbers are in other files",
    _named_type: "neither a group nor a dataset",
    _deep: "nested more than",
}


@pytest.mark.parametrize("build", HDF5, ids=lambda build: build.__name__)
@pytest.mark.parametrize("inside", [False, True])
def test_hdf5__unsafe_structure_raises(build, inside, tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["numbers"] = np.ones(100, np.float32)
    (tmp_path / "secret.bin").write_bytes(b"x" * 100)
    path = hdf5(tmp_path / "a.h5", build)
    if inside:
        with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
            archive.writestr("config.json", "{}")
            archive.write(path, "model.weights.h5")
        path = tmp_path / "a.keras"
    assert_rejected(path, HDF5[build])


def test_hdf5__missing_numbers_raise(tmp_path):
    """Small enough for the file, and not in it."""

    def build(file):
        file["layers/conv2d/vars/0"] = ONE
        file.create_dataset("layers/conv2d_1/vars/0", shape=(4, 4), chunks=(4, 4), dtype="f4")

    assert_rejected(hdf5(tmp_path / "a.h5", build), "whose numbers are missing")


def test_hdf5__texts_are_not_read(tmp_path):
    def build(file):
        file["layers/conv2d/vars/0"] = ONE
        file["layers/conv2d/vars/1"] = "text"
        file["layers/text/vars/0"] = "text"
        file["layers/none/vars/0"] = h5py.Empty("f4")

    with pytest.raises(ArgumentError):
        weights.read(hdf5(tmp_path / "a.h5", build))


def test_keras__legacy_names_outside_the_file_raise(tmp_path):
    def build(file):
        file.attrs["layer_names"] = ["a", "../b", "missing"]
        file["a/kernel:0"] = ONE
        file["a"].attrs["weight_names"] = ["../../secret", "kernel:0"]
        file["../b"] = 1

    assert_rejected(hdf5(tmp_path / "a.h5", build))
