"""Safetensors files: a header with names, dtypes and shapes, and the arrays."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._errors import require
from ..checkpoint import Checkpoint
from ..layouts import FRAMEWORKS
from . import state_dict
from .state_dict import Arrays
from .untrusted import parsing

_DTYPES = ("BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "BF16", "F32", "F64", "C64")
_METADATA = "jconvt"  # the entry of the metadata for kinds, groups and order


def read(path: pathlib.Path) -> tuple[Arrays, str | None, dict[str, Any]]:
    """Return a file's arrays, and the framework and the annotations of its metadata, if ``write`` wrote it."""
    safetensors = require("safetensors", f"reading {path}")
    arrays, unread = {}, {}
    with parsing(path, "safetensors file"), safetensors.safe_open(str(path), framework="np") as file:
        for name in file.keys():  # noqa: SIM118 (no dict)
            described = file.get_slice(name)
            if described.get_dtype() in _DTYPES:
                arrays[name] = np.array(file.get_tensor(name), order="C")
            else:
                unread[name] = f"dtype {described.get_dtype()}, shape {tuple(described.get_shape())}"
        return Arrays(arrays, unread), *_parse_metadata(file.metadata())


def write(path: pathlib.Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint's arrays, with kinds, groups and order as metadata."""
    safetensors = require("safetensors.numpy", f"writing {path}")
    # The library writes each array's memory from its first element on, and ignores its strides.
    arrays = {name: np.array(array, order="C") for name, array in state_dict.arrays(checkpoint.layers).items()}
    annotations = {}
    for name, layer in checkpoint.layers.items():
        entry = {"kind": layer.kind, "groups": layer.groups, "transpose_kernel": layer.transpose_kernel or None}
        annotations[name] = {key: value for key, value in entry.items() if value is not None}
    metadata = {_METADATA: json.dumps({"framework": checkpoint.framework, "layers": annotations})}
    metadata |= {"format": "pt"} if checkpoint.framework == "torch" else {}
    path.write_bytes(safetensors.save(arrays, metadata))


def _parse_metadata(metadata: Mapping[str, str] | None) -> tuple[str | None, dict[str, Any]]:
    """Return the framework and annotations that ``write`` wrote, or nothing for another program's metadata."""
    try:
        found = json.loads((metadata or {}).get(_METADATA, "{}"))
        framework, annotations = found.get("framework"), found.get("layers", {})
        is_valid = all(isinstance(entry, dict) for entry in annotations.values()) and framework in FRAMEWORKS
    except (ValueError, AttributeError, RecursionError):
        return None, {}
    return (framework, annotations) if is_valid else (None, {})
