"""Untrusted HDF5 files: their datasets must be in the file itself, uncompressed, and no larger than the file."""

import math
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import IO, Any

from .._errors import require
from .untrusted import ByteBudget, corrupt

_FORMAT = "HDF5 file"
_DEEPEST, _MOST_OBJECTS = 64, 1_000_000
_SECONDS, _BYTES_PER_SECOND, _MEMORY = 30, 2**24, 2**30


def check(path: pathlib.Path, content: IO[bytes]) -> None:
    """Raise an error for a file on which the HDF5 library crashes or hangs, by reading it in another process first.

    ``content`` is the HDF5 file that ``path`` is or contains. Its position is reset to the start.
    """
    require("h5py", f"reading {path}")
    size = path.stat().st_size
    command = [sys.executable, "-P", str(pathlib.Path(__file__).with_name("_hdf5_probe.py")), str(_MEMORY + 4 * size)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    options: dict[str, Any] = {"timeout": _SECONDS + size / _BYTES_PER_SECOND, "env": environment}
    try:
        found = subprocess.run(command, input=content.read(), capture_output=True, **options)
    except subprocess.TimeoutExpired:
        raise corrupt(path, _FORMAT, "the HDF5 library timed out (corrupt or cyclic structure)") from None
    content.seek(0)
    if found.returncode:
        message = found.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        crash = f"the HDF5 library crashed with status {found.returncode} (corrupt structure)"
        raise corrupt(path, _FORMAT, message[:200] if found.returncode == 1 and message else crash)


def datasets(path: pathlib.Path, file: Any) -> dict[str, Any]:
    """Return the datasets of an open file by name, or raise if one of them is not safe to read.

    A file may link to other files, and may declare petabytes that it does not have.
    """
    h5py = require("h5py", f"reading {path}")
    budget = ByteBudget(path, _FORMAT, path.stat().st_size)
    found: dict[str, Any] = {}
    for name, dataset in _walk(path, file, h5py, "", 0, set()):
        found[name] = dataset
        if dataset.is_virtual or dataset.external:
            raise corrupt(path, _FORMAT, f"dataset {name}, whose numbers are in other files")
        if dataset.id.get_create_plist().get_nfilters():
            fix = "decompress it with h5repack -f NONE"
            raise corrupt(path, _FORMAT, f"dataset {name}, which is compressed", fix)
        if dataset.shape is None or dataset.dtype.hasobject:
            continue  # it has no numbers, and is not read
        size = math.prod(dataset.shape) * dataset.dtype.itemsize
        budget.spend(f"dataset {name}", size)
        if dataset.id.get_storage_size() < size:
            raise corrupt(path, _FORMAT, f"dataset {name} of shape {dataset.shape}, whose numbers are missing")
    return found


def _walk(
    path: pathlib.Path, group: Any, h5py: Any, prefix: str, depth: int, seen: set[Any]
) -> Iterator[tuple[str, Any]]:
    if depth > _DEEPEST:
        raise corrupt(path, _FORMAT, f"groups nested more than {_DEEPEST} deep")
    for name in group:
        link = group.get(name, getlink=True)
        if type(link) is not h5py.HardLink:
            raise corrupt(path, _FORMAT, f"{type(link).__name__} {prefix}{name}: a link out of the tree of groups")
        item = group[name]
        if item.id in seen or len(seen) > _MOST_OBJECTS:
            raise corrupt(path, _FORMAT, f"{prefix}{name}, which has two names")
        seen.add(item.id)
        if isinstance(item, h5py.Dataset):
            yield prefix + name, item
        elif isinstance(item, h5py.Group):
            yield from _walk(path, item, h5py, f"{prefix}{name}/", depth + 1, seen)
        else:
            raise corrupt(path, _FORMAT, f"{prefix}{name}, which is neither a group nor a dataset")
