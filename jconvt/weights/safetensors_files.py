"""Files of safetensors: a header with names, dtypes and shapes, and the numbers."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ArgumentError
from . import flat
from .broken import reading
from .frameworks import FRAMEWORKS
from .layer import Checkpoint
from .packages import package

_WHAT = "safetensors file"


def read(path: pathlib.Path, framework: str | None) -> Checkpoint:
    """The layers of a file whose arrays are ``framework``'s; if that is ``None``, whose it says, or PyTorch's."""
    safetensors = package("safetensors", f"reading {path}", "'jconvt[weights]'")
    with reading(path, _WHAT), safetensors.safe_open(str(path), framework="np") as file:
        own, told = flat.parsed(file.metadata())
        arrays = {}
        for name in file.keys():  # noqa: SIM118 (it is no dict)
            arrays[name] = np.array(file.get_tensor(name), order="C")
    framework = framework or own or "torch"
    if framework not in FRAMEWORKS:
        raise ArgumentError(
            "there is no such framework",
            got=f"framework = {framework!r}",
            legal=", ".join(FRAMEWORKS),
            fix="pass the one whose arrays the file has",
        )
    return Checkpoint(flat.layers(arrays, framework, told), framework, ordered=bool(told), source=str(path))


def write(path: pathlib.Path, checkpoint: Checkpoint) -> None:
    """Writes the checkpoint's arrays, with kinds and groups as metadata."""
    safetensors = package("safetensors.numpy", f"writing {path}", "'jconvt[weights]'")
    # What is written is the memory from the first number on, whatever the strides.
    arrays: Mapping[str, Any] = {
        name: np.array(array, order="C") for name, array in flat.arrays(checkpoint.layers).items()
    }
    path.write_bytes(safetensors.save(arrays, metadata=flat.metadata(checkpoint.layers, checkpoint.framework)))
