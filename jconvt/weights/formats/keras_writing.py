"""Writing Keras's files: a copy of a file with other numbers, or weights for ``model.load_weights``."""

import dataclasses
import io
import pathlib
import shutil
import zipfile
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from ...errors import ArgumentError
from .._errors import require
from ..checkpoint import Checkpoint, Layer
from ..conversion import convert
from ..layouts import OTHER, ROLES
from ..matching import fit
from ..names import Names
from ..report import Report
from . import keras


def write_like(
    path: pathlib.Path, checkpoint: Checkpoint, like: pathlib.Path, names: Names, strict: bool, by_order: bool
) -> Report:
    """Write a copy of the file ``like`` with the checkpoint's numbers."""
    h5py = require("h5py", f"writing {path}")
    stored, is_ordered = keras.scan(like)
    checkpoint = dataclasses.replace(checkpoint, ordered=checkpoint.ordered and is_ordered)
    targets = {name: each.layer for name, each in stored.items() if each.layer.kind != OTHER}
    unowned = [name for name in stored if name not in targets]
    fitted, report = fit(checkpoint, targets, unowned, names, strict, by_order)
    numbers = {dataset: fitted[name][role] for name in fitted for role, dataset in stored[name].datasets.items()}
    if not zipfile.is_zipfile(like):
        shutil.copyfile(like, path)
        _replace(h5py, path, numbers)
        return report
    with zipfile.ZipFile(like) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():  # they were checked when it was scanned
            content = io.BytesIO(source.read(name))
            if name == keras.WEIGHTS:
                _replace(h5py, content, numbers)
            target.writestr(name, content.getvalue())
    return report


def _replace(h5py: Any, content: Any, numbers: Mapping[str, np.ndarray]) -> None:
    with h5py.File(content, "r+") as file:
        for dataset, array in numbers.items():
            file[dataset][...] = _opaque(array.reshape(file[dataset].shape))


def _opaque(array: np.ndarray) -> np.ndarray:
    """Return the array as HDF5 stores it: bfloat16 as opaque bytes, as Keras writes it."""
    return array.view("V2") if array.dtype == jnp.bfloat16 else array


def write_weights(path: pathlib.Path, checkpoint: Checkpoint, names: Names, by_order: bool) -> Report:
    """Write the weights in groups named after their layers' classes, numbered in the checkpoint's order.

    Keras pairs the layers of one class by this order, so layers of one class and shape need ``by_order``.
    """
    h5py = require("h5py", f"writing {path}")
    converted, report = convert(checkpoint, "keras", names)
    counts: dict[str, int] = {}
    first: dict[object, str] = {}
    with h5py.File(path, "w") as file:
        for name, layer in converted.layers.items():
            group = _group(name, layer)
            number = counts[group] = counts.get(group, -1) + 1
            if number and not checkpoint.ordered:
                problem = f"{checkpoint.source} has no order of layers, by which Keras distinguishes those of a class"
                got, legal = f"{name!r} is not the only {group}", "one layer of each class, or a file with an order"
                fix = "pass like='model.weights.h5', saved by the model, and names={old: new}"
                raise ArgumentError(problem, got=got, legal=legal, fix=fix)
            other = first.setdefault((group, str(layer), layer.shape), name)
            if other != name and not by_order:
                problem = f"Keras pairs layers of one class by order, and {other!r} and {name!r} have the same shape"
                got, legal = f"two of {group}, kernel {layer.shape}", "by_order=True, or layers that differ"
                fix = "if Keras's model has this order, pass by_order=True (--by-order); else like= and names="
                raise ArgumentError(problem, got=got, legal=legal, fix=fix)
            variables = file.create_group(f"layers/{group}{f'_{number}' if number else ''}/vars")
            variables.attrs["name"] = name
            for i, role in enumerate(role for role in ROLES if role in layer.arrays):
                dataset = variables.create_dataset(str(i), data=_opaque(layer.arrays[role]))
                if layer.arrays[role].dtype == jnp.bfloat16:
                    dataset.attrs["dtype"] = "bfloat16"
    return report


def _group(name: str, layer: Layer) -> str:
    """Return Keras's name for the first layer of this layer's class."""
    rank, groups = len(layer.shape) - 2, layer.groups or 1
    names = {"conv": f"conv{rank}d", "conv_transpose": f"conv{rank}d_transpose", "dense": "dense"}
    if layer.kind in names and rank <= 3 and (groups == 1 or layer.kind == "conv"):
        return names[layer.kind]
    if layer.kind == "norm" and "mean" in layer.arrays:
        return "batch_normalization"
    problem, got = f"Keras has no class for layer {name!r}, or its kind is unknown", f"{layer.kind}, {layer.shape}"
    legal = "convolutions of up to 3 axes, without groups if transposed; dense layers; batch normalisations"
    fix = "pass the kind of an unknown layer in kinds; for others, pass like='model.keras', saved by the model"
    raise ArgumentError(problem, got=f"{got}, groups {groups}", legal=legal, fix=fix)
