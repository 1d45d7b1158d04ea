"""Reading and writing files of weights. The file name's suffix selects the format."""

import os
import pathlib
from collections.abc import Collection, Mapping
from typing import Any

from .._atomic_write import replacing
from ..errors import ArgumentError, ArgumentTypeError
from ._errors import listed
from .checkpoint import Checkpoint
from .conversion import convert
from .formats import keras, keras_writing, onnx, safetensors, torch
from .layouts import TARGETS
from .names import Names
from .report import Report

_SUFFIXES = {".keras": "keras", ".h5": "h5", ".hdf5": "h5", ".pt": "torch", ".pth": "torch"}
_SUFFIXES |= {".safetensors": "safetensors", ".onnx": "onnx"}
_READERS = {"keras": keras.read, "h5": keras.read, "torch": torch.read, "onnx": onnx.read}
_WRITTEN = ("torch", "safetensors", "keras", "h5")
_FRAMEWORKS = {"keras": ("keras",), "h5": ("keras",), "torch": ("torch",)}
"""The frameworks whose layouts a format can store, if not all."""


def read(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    framework: str | None = None,
    kinds: Mapping[str, str] | None = None,
    groups: Mapping[str, int] | int | None = None,
) -> Checkpoint:
    """Read the layers of a file.

    Args:
      path: a ``.keras``, ``.h5``, ``.pt``, ``.pth``, ``.safetensors`` or ``.onnx`` file.
      format: "keras", "h5", "torch", "safetensors" or "onnx", if the name does not end in one of these suffixes.
      framework: the framework that a safetensors file's arrays are from: "torch" unless the file says otherwise,
        "keras", "flax" or "equinox".
      kinds: kinds that the file does not contain, by pattern of the path: ``{"decoder.up*": "conv_transpose"}``. A
        state_dict does not say which convolutions are transposed; a model that it is loaded into says it too.
      groups: the number of groups, by pattern of the path too; one number is used for all transposed convolutions whose
        groups the file does not contain.

    Returns:
      A ``Checkpoint`` of NumPy arrays, in the dtypes of the file.

    Raises:
      ArgumentError: the file is not a complete file of its format, or is not safe to read.
      ModuleNotFoundError: a package that the format needs is not installed.
      OSError: the file does not exist, or cannot be opened.
    """
    path = _path(path)
    format = _format(path, format, (*_READERS, "safetensors"))
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ArgumentError(f"{path} is not a regular file", got=str(path), legal="a file", fix="pass a file's path")
    path.open("rb").close()  # raises the same OSError for every format
    if framework is not None and format != "safetensors":
        got, problem = f"framework = {framework!r}, format = {format!r}", "framework is known from the format"
        raise ArgumentError(problem, got=got, legal="framework with a safetensors file", fix="leave framework out")
    found = safetensors.read(path, framework) if format == "safetensors" else _READERS[format](path)
    return found.told(kinds, groups)


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
    if not isinstance(checkpoint, Checkpoint):
        got, legal = f"checkpoint of type {type(checkpoint).__name__}", "a Checkpoint"
        fix = "pass the result of read, from_linen, from_nnx or from_equinox"
        raise ArgumentTypeError("checkpoint is not a Checkpoint", got=got, legal=legal, fix=fix)
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
    if like is not None and (format not in ("keras", "h5") or _format(_path(like), None, _READERS) != format):
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
        got = path.name if format is None else f"format = {format!r}"
        names = f"a name that ends in {listed(suffixes)}; or format, one of {', '.join(legal)}"
        raise ArgumentError("unknown format of weights", got=got, legal=names, fix="rename the file, or pass format")
    return found
