"""Files of weights, by their format: what their name ends in."""

import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from .._atomic_write import replacing
from ..errors import ArgumentError, ArgumentTypeError
from . import keras_files, keras_writing, onnx_files, safetensors_files, torch_files
from .conversion import convert
from .frameworks import TARGETS
from .layer import Checkpoint, listed
from .pairing import Names
from .report import Report

_SUFFIXES = {
    ".keras": "keras",
    ".h5": "h5",
    ".hdf5": "h5",
    ".pt": "torch",
    ".pth": "torch",
    ".safetensors": "safetensors",
    ".onnx": "onnx",
}
_READERS: dict[str, Callable[[pathlib.Path], Checkpoint]] = {
    "keras": keras_files.read,
    "h5": keras_files.read,
    "torch": torch_files.read,
    "onnx": onnx_files.read,
}
_OWN = {"keras": "keras", "h5": "keras", "torch": "torch"}
"""The framework of a format that has one."""


def read(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    framework: str | None = None,
    kinds: Mapping[str, str] | None = None,
    groups: Mapping[str, int] | int | None = None,
) -> Checkpoint:
    """The layers of a file.

    Args:
      path: a ``.keras``, ``.h5``, ``.pt``, ``.pth``, ``.safetensors`` or ``.onnx`` file.
      format: "keras", "h5", "torch", "safetensors" or "onnx", if the name does not end in one of these.
      framework: whose arrays a safetensors file has: "torch" unless it says otherwise, "keras", "flax" or "equinox".
      kinds: what the file does not tell, by pattern of the path: ``{"decoder.up*": "conv_transpose"}``. Of a state_dict
        and of safetensors it is not known which convolutions are transposed ones; the model that they are loaded into
        tells it, too.
      groups: likewise, the number of groups; one number is that of all convolutions.

    Returns:
      A ``Checkpoint``, whose arrays are NumPy's, in the dtypes of the file.

    Raises:
      ArgumentError: the file is no whole file of its format, or holds what is not safe to read.
      ModuleNotFoundError: a package that the format needs is not installed.
      OSError: the file is not there, or cannot be opened.
    """
    path = _path(path)
    format = _format(path, format, (*_READERS, "safetensors"))
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ArgumentError(f"{path} is no regular file", got=str(path), legal="a file", fix="pass the path of one")
    with path.open("rb"):  # says what the libraries would say otherwise, each in its own way
        pass
    if framework is not None and format != "safetensors":
        raise ArgumentError(
            "the format says whose arrays the file has",
            got=f"framework = {framework!r}, of a file in the format {format!r}",
            legal="framework of a safetensors file",
            fix="leave it out",
        )
    found = safetensors_files.read(path, framework) if format == "safetensors" else _READERS[format](path)
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
) -> Report:
    """Writes a checkpoint in a framework's layout, to a file that is there as a whole or not at all.

    Args:
      path: ends in ``.pt`` or ``.pth`` (a state_dict), ``.safetensors``, ``.weights.h5`` (which Keras's
        ``model.load_weights`` takes), ``.h5`` or ``.keras``. A file that is there is replaced.
      checkpoint: what ``read`` or one of ``from_linen``, ``from_nnx`` and ``from_equinox`` gave.
      to: "torch", "keras", "flax" or "equinox": whose layout a safetensors file has. The other formats have their own.
      format: "torch", "safetensors", "keras" or "h5", if the name does not end in one of these.
      names: new paths, as ``{old: new}`` or a function; with ``like``, paths of that file.
      like: a file of Keras's, of which a copy is written with the checkpoint's numbers. A ``.keras`` file needs one, as
        it has the model's configuration, too.
      strict: with ``like``, whether all of its layers have to be found.

    Returns:
      A ``Report``.

    Raises:
      ArgumentError: something does not fit, or cannot be written in that format.
      ModuleNotFoundError: a package that the format needs is not installed.
      OSError: the file cannot be written.
    """
    path = _path(path)
    format = _format(path, format, ("torch", "safetensors", "keras", "h5"))
    if not isinstance(checkpoint, Checkpoint):
        raise ArgumentTypeError(
            "checkpoint is no checkpoint",
            got=f"checkpoint of type {type(checkpoint).__name__}",
            legal="what read, from_linen, from_nnx or from_equinox gave",
            fix="pass one of these",
        )
    own = _OWN.get(format)
    if to is None:
        to = own or checkpoint.framework
    if to not in TARGETS or (own is not None and to != own):
        raise ArgumentError(
            "a file of this format has not that framework's arrays",
            got=f"to = {to!r}, for {path.name}",
            legal=f"to = {own!r}" if own else f"to = one of {', '.join(TARGETS)}",
            fix="write a .safetensors file, which can have those of all of them; or pass another to",
        )
    _check_like(path, format, like)
    with replacing(path) as temporary:
        if like is not None:
            return keras_writing.write_like(temporary, checkpoint, _path(like), names, strict)
        if format == "h5":
            return keras_writing.write_weights(temporary, checkpoint, names)
        converted, report = convert(checkpoint, to, names)
        (torch_files if format == "torch" else safetensors_files).write(temporary, converted)
        return report


def _check_like(path: pathlib.Path, format: str, like: Any) -> None:
    if like is None:
        if format == "keras":
            raise ArgumentError(
                "a .keras file has a configuration, which a checkpoint has not",
                got=f"{path.name}, and no file like it",
                legal="like='model.keras', saved by a model with these layers",
                fix="pass one, or write a .weights.h5 file for model.load_weights",
            )
        return
    if format not in ("keras", "h5") or _format(_path(like), None, tuple(_READERS)) != format:
        raise ArgumentError(
            "like is a file of Keras's of the same format",
            got=f"like = {str(like)!r}, for {path.name}",
            legal=f"a {'.keras' if format == 'keras' else '.h5'} file for a file that ends so",
            fix="give both files the same ending, or leave like out",
        )


def _path(path: Any) -> pathlib.Path:
    try:
        return pathlib.Path(path)
    except TypeError:
        raise ArgumentTypeError(
            "path is no path",
            got=f"path of type {type(path).__name__}",
            legal="a string or a pathlib.Path",
            fix="pass the name of a file",
        ) from None


def _format(path: pathlib.Path, format: str | None, legal: tuple[str, ...]) -> str:
    found = _SUFFIXES.get(path.suffix.lower()) if format is None else format
    if found not in legal:
        endings = [suffix for suffix, each in _SUFFIXES.items() if each in legal]
        raise ArgumentError(
            "unknown format of weights",
            got=f"{path.name}" if format is None else f"format = {format!r}",
            legal=f"a name that ends in {listed(endings)}; or format, one of {', '.join(legal)}",
            fix="give the file such a name, or pass format",
        )
    return found
