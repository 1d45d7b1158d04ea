"""Keras's files, written: a template with its numbers replaced, or weights that ``model.load_weights`` takes."""

import dataclasses
import io
import pathlib
import shutil
import zipfile
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..errors import ArgumentError
from . import keras_files
from .archive import members
from .broken import reading
from .conversion import convert
from .fitting import fit
from .frameworks import OTHER
from .layer import Checkpoint, Layer
from .packages import package
from .pairing import Names
from .report import Report


def write_like(path: pathlib.Path, checkpoint: Checkpoint, like: pathlib.Path, names: Names, strict: bool) -> Report:
    """Writes a copy of the file ``like`` in which the layers have the checkpoint's numbers."""
    h5py = package("h5py", f"writing {path}", "'jconvt[weights]'")
    with reading(like, "Keras file"), keras_files.opened(like) as (file, config):
        found = keras_files.scan(like, file, config)
    if not keras_files.ordered(found, config):
        checkpoint = dataclasses.replace(checkpoint, ordered=False)
    targets = {name: each.layer for name, each in found.items() if each.layer.kind != OTHER}
    others = [name for name, each in found.items() if each.layer.kind == OTHER]
    fitted = fit(checkpoint, targets, others, names, strict)
    numbers = {
        place: fitted.arrays[name][role]
        for name, each in found.items()
        if name in fitted.arrays
        for role, place in each.places.items()
    }
    if not zipfile.is_zipfile(like):
        shutil.copyfile(like, path)
        with h5py.File(path, "r+") as file:
            _replace(file, numbers)
        return fitted.report
    with zipfile.ZipFile(like) as source, zipfile.ZipFile(path, "w") as target:
        for name in members(like, source, "Keras file"):
            content = source.read(name)
            if name == keras_files.WEIGHTS:
                held = io.BytesIO(content)
                with h5py.File(held, "r+") as file:
                    _replace(file, numbers)
                content = held.getvalue()
            target.writestr(name, content)
    return fitted.report


def _replace(file: Any, numbers: dict[str, np.ndarray]) -> None:
    for place, array in numbers.items():
        file[place][...] = _written(array.reshape(file[place].shape))


def _written(array: np.ndarray) -> np.ndarray:
    """The array as HDF5 takes it: bfloat16 as opaque bytes, as Keras writes it."""
    return array.view("V2") if array.dtype == jnp.bfloat16 else array


def write_weights(path: pathlib.Path, checkpoint: Checkpoint, names: Names) -> Report:
    """Writes the layers' weights under the names of their classes, counted in the checkpoint's order."""
    h5py = package("h5py", f"writing {path}", "'jconvt[weights]'")
    converted, report = convert(checkpoint, "keras", names)
    counts: dict[str, int] = {}
    with h5py.File(path, "w") as file:
        for name, layer in converted.layers.items():
            group = _class(name, layer)
            number = counts[group] = counts.get(group, -1) + 1
            if number and not checkpoint.ordered:
                raise ArgumentError(
                    f"{checkpoint.source} does not say in which order its layers are, by which Keras tells them apart",
                    got=f"{name!r} is not the only {group}",
                    legal="one layer of each class, or a file that has an order",
                    fix="pass like='model.weights.h5', saved by the model, and names={old: new}",
                )
            variables = file.create_group(f"layers/{group}{f'_{number}' if number else ''}/vars")
            variables.attrs["name"] = name
            roles = [role for role in ("kernel", "scale", "bias", "mean", "var") if role in layer.arrays]
            for i, role in enumerate(roles):
                dataset = variables.create_dataset(str(i), data=_written(layer.arrays[role]))
                if layer.arrays[role].dtype == jnp.bfloat16:
                    dataset.attrs["dtype"] = "bfloat16"
    return report


def _class(name: str, layer: Layer) -> str:
    rank = layer.layout.rank if "kernel" in layer.arrays else 0
    groups = layer.groups or 1
    if layer.kind == "dense":
        return "dense"
    if layer.kind == "conv" and rank <= 3:
        return f"conv{rank}d"
    if layer.kind == "conv_transpose" and rank <= 3 and groups == 1:
        return f"conv{rank}d_transpose"
    if layer.kind == "norm" and "mean" in layer.arrays:
        return "batch_normalization"
    raise ArgumentError(
        f"there is no class of Keras's for layer {name!r}, or it is not known which",
        got=f"{layer.kind}, {layer.shape}, groups {groups}",
        legal="convolutions of up to three axes, dense layers and batch normalisations; transposed convolutions "
        "without groups",
        fix="say the kind of an unknown one by kinds; for another norm, pass like='model.keras', saved by the model",
    )
