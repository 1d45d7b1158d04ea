"""Reading and writing files of weights. The file name's suffix selects the format, or else the content does."""

import dataclasses
import os
import pathlib
import zipfile
from collections.abc import Collection, Mapping
from typing import Any

from .._atomic_write import replacing
from ..errors import ArgumentError, ArgumentTypeError
from ._errors import check_choice, listed
from .checkpoint import Checkpoint, check_checkpoint
from .conversion import convert
from .formats import keras, keras_writing, onnx, safetensors, sharded, state_dict, torch
from .formats.state_dict import Arrays, Kinds
from .formats.untrusted import parsing
from .layouts import FRAMEWORKS, TARGETS
from .names import Names
from .report import Report

_SUFFIXES = {".keras": "keras", ".h5": "h5", ".hdf5": "h5", ".pt": "torch", ".pth": "torch"}
_SUFFIXES |= {".safetensors": "safetensors", ".json": "index", ".onnx": "onnx"}
FORMATS = ("keras", "h5", "torch", "safetensors", "index", "onnx")
_WRITTEN = ("torch", "safetensors", "keras", "h5")
_FRAMEWORKS = {"keras": ("keras",), "h5": ("keras",), "torch": ("torch",)}
"""The frameworks whose layouts a format can store, if not all."""


def read(
    path: str | os.PathLike[str],
    *,
    key: str | None = None,
    format: str | None = None,
    framework: str | None = None,
    kinds: Mapping[str, str] | None = None,
    groups: Mapping[str, int] | int | None = None,
) -> Checkpoint:
    """Read the layers of a file.

    Args:
      path: a file of Keras, PyTorch, safetensors or ONNX, or the index of a sharded one. Its suffix is the format, or
        else its content: ``.bin``, ``.ckpt``, ``.th``, ``.tar``, and no suffix at all.
      key: the state_dict to read, of several in a PyTorch file: "params_ema", or "model.generator" for one within
        another.
      format: "keras", "h5", "torch", "safetensors", "index" (of a sharded file) or "onnx", where the name is wrong.
      framework: the framework that a safetensors file's arrays are from: "torch" unless the file says otherwise,
        "keras", "flax" or "equinox".
      kinds: kinds that the file does not contain, by pattern of the path: ``{"decoder.up*": "conv_transpose"}``. A
        state_dict does not say which convolutions are transposed; a model that it is loaded into says it too.
      groups: the number of groups, by pattern of the path too; one number is used for all transposed convolutions whose
        groups the file does not contain.

    Returns:
      A ``Checkpoint`` of NumPy arrays, in the dtypes of the file. PyTorch's weight norm, spectral norm and pruning are
      applied: the layer has the kernel that the module computes with in evaluation. An array of a dtype that NumPy does
      not have is left out, and its layer says so.

    Raises:
      ArgumentError: the file is not a complete file of its format, is not safe to read, or has several state_dicts.
      ModuleNotFoundError: a package that the format needs is not installed.
      OSError: the file does not exist, or cannot be opened.
    """
    path = _path(path)
    format = format if format is None else _format(path, format, FORMATS)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ArgumentError(f"{path} is not a regular file", got=str(path), legal="a file", fix="pass a file's path")
    if (path / "saved_model.pb").exists() or path.suffix == ".index":
        got, legal = path.name, "a file of Keras, PyTorch, safetensors or ONNX"
        fix = "open it with tf.train.load_checkpoint, and pass its arrays to weights.from_state_dict(state, 'keras')"
        raise ArgumentError("SavedModels and checkpoints of TensorFlow are not read", got=got, legal=legal, fix=fix)
    path.open("rb").close()  # raises the same OSError for every format
    format = format or _SUFFIXES.get(path.suffix.lower()) or _format(path, _content_format(path), FORMATS)
    if framework is not None and format not in ("safetensors", "index"):
        got, problem = f"framework = {framework!r}, format = {format!r}", "framework is known from the format"
        raise ArgumentError(problem, got=got, legal="framework with a safetensors file", fix="leave framework out")
    if key is not None and format != "torch":
        got, problem = f"key = {key!r}, format = {format!r}", "key is for the state_dicts of a PyTorch file"
        raise ArgumentError(problem, got=got, legal="key with a PyTorch file", fix="leave key out")
    return _read(path, format, framework, key, kinds).told(kinds, groups)


def _read(path: pathlib.Path, format: str, framework: str | None, key: str | None, kinds: Kinds) -> Checkpoint:
    if format not in ("torch", "safetensors", "index"):
        return (onnx if format == "onnx" else keras).read(path)
    stored, annotations = None, {}
    if format == "torch":
        arrays = torch.read(path, key)
    elif format == "safetensors":
        arrays, stored, annotations = safetensors.read(path)
    else:
        arrays = sharded.read(path, _read_shard)
    framework = framework or stored or "torch"
    check_choice("framework", "framework", framework, FRAMEWORKS)
    found = state_dict.checkpoint(arrays, framework, str(path), kinds, annotations)
    return dataclasses.replace(found, ordered=format == "torch" or bool(annotations))


def _read_shard(path: pathlib.Path) -> Arrays:
    is_safetensors = path.suffix == ".safetensors" or _content_format(path) == "safetensors"
    return safetensors.read(path)[0] if is_safetensors else torch.read(path)


def write(
    path: str | os.PathLike[str],
    checkpoint: Checkpoint,
    to: str | None = None,
    *,
    format: str | None = None,
    names: Names = None,
    like: str | os.PathLike[str] | None = None,
    strict: bool = True,
    by_order: bool = False,
) -> Report:
    """Write a checkpoint in a framework's layout. The file is written completely, or not at all.

    Args:
      path: the file, which is replaced if it exists: ``.pt``, ``.pth``, ``.safetensors``, ``.weights.h5`` (for Keras's
        ``model.load_weights``), ``.h5`` or ``.keras``.
      checkpoint: from ``read``, ``from_linen``, ``from_nnx`` or ``from_equinox``.
      to: "torch", "keras", "flax" or "equinox": the layout of a safetensors file. Other formats have only one.
      format: "torch", "safetensors", "keras" or "h5", if the name does not end in one of these suffixes.
      names: new paths, as ``{old: new}`` or a function; with ``like``, paths of that file.
      like: a Keras file to copy, with the checkpoint's numbers. A ``.keras`` file needs one, for its configuration.
      strict: with ``like``, whether all of its layers must be in the checkpoint.
      by_order: whether layers of a Keras file that paths and shapes do not pair are paired by order, which is a guess.

    Returns:
      A ``Report``.

    Raises:
      ArgumentError: something does not fit, or cannot be written in that format.
      ModuleNotFoundError: a package that the format needs is not installed.
      OSError: the file cannot be written.
    """
    path = _path(path)
    format = _format(path, format, _WRITTEN)
    check_checkpoint(checkpoint)
    legal = _FRAMEWORKS.get(format, TARGETS)
    to = to or (legal[0] if len(legal) == 1 else checkpoint.framework)
    if to not in legal:
        got, legal = f"to = {to!r}, for {path.name}", f"to = {' or '.join(map(repr, legal))}"
        fix = "write a .safetensors file, which stores every layout; or pass another to"
        raise ArgumentError("this format cannot store that framework's layout", got=got, legal=legal, fix=fix)
    _check_like(path, format, like)
    with replacing(path) as temporary:
        if like is not None:
            return keras_writing.write_like(temporary, checkpoint, _path(like), names, strict, by_order)
        if format == "h5":
            return keras_writing.write_weights(temporary, checkpoint, names, by_order)
        converted, report = convert(checkpoint, to, names)
        (torch if format == "torch" else safetensors).write(temporary, converted)
        return report


def _check_like(path: pathlib.Path, format: str, like: Any) -> None:
    """Raise an error unless ``like`` is a Keras file of this format, or ``None`` and not needed."""
    if like is None and format == "keras":
        problem = "a .keras file needs a model configuration, which a checkpoint does not have"
        legal, fix = "like='model.keras', saved by the model", "pass one, or write a .weights.h5 for model.load_weights"
        raise ArgumentError(problem, got=f"{path.name}, and no like", legal=legal, fix=fix)
    if like is not None and (format not in ("keras", "h5") or _format(_path(like), None, FORMATS) != format):
        got, legal = f"like = {str(like)!r}, for {path.name}", "a .keras file for a .keras file, .h5 for .h5"
        fix = "give both files the same suffix, or leave like out"
        raise ArgumentError("like must be a Keras file of the same format", got=got, legal=legal, fix=fix)


def _path(path: Any) -> pathlib.Path:
    try:
        return pathlib.Path(path)
    except TypeError:
        got, legal = f"path of type {type(path).__name__}", "a string or a pathlib.Path"
        raise ArgumentTypeError("path is not a path", got=got, legal=legal, fix="pass the name of a file") from None


def _format(path: pathlib.Path, format: str | None, legal: Collection[str]) -> str:
    found = format if format is not None else _SUFFIXES.get(path.suffix.lower(), "")
    if found not in legal:
        suffixes = [suffix for suffix, each in _SUFFIXES.items() if each in legal]
        got = path.name if not format else f"format = {format!r}"
        names = f"a name that ends in {listed(suffixes)}; or format, one of {', '.join(legal)}"
        fix = "rename the file, or pass format; or open it with its own library, and pass its arrays to from_state_dict"
        raise ArgumentError("unknown format of weights", got=got, legal=names, fix=fix)
    return found


def _content_format(path: pathlib.Path) -> str:
    """Return the format that the file's content shows, or nothing."""
    with path.open("rb") as file:
        head = file.read(9)
    if zipfile.is_zipfile(path):
        with parsing(path, "zip archive"), zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        return "keras" if keras.WEIGHTS in names else "torch" if any(".pkl" in name for name in names) else ""
    if head[8:] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return "safetensors"
    return "h5" if head.startswith(b"\x89HDF") else "torch" if head.startswith(b"\x80") else ""
