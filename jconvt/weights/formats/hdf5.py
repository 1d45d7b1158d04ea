"""Untrusted HDF5 files: their datasets must be in the file itself, uncompressed, and no larger than the file."""

import contextlib
import math
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import IO, Any

from .._errors import require
from .untrusted import ByteBudget, CorruptError, parsing

_FORMAT = "HDF5 file"
_DEEPEST, _MOST_OBJECTS = 64, 1_000_000
_SECONDS, _BYTES_PER_SECOND, _MEMORY = 30, 2**24, 2**30


@contextlib.contextmanager
def opened(path: pathlib.Path, content: IO[bytes]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Open the HDF5 file that ``path`` is or contains, and yield it with its datasets by name."""
    h5py, size = require("h5py", f"reading {path}"), path.stat().st_size
    with parsing(path, _FORMAT):
        _probe(content.read(), size)
    content.seek(0)
    with h5py.File(content, "r") as file:
        with parsing(path, _FORMAT):
            datasets = dict(_walk(h5py, file, "", set()))
            _check(datasets, size)
        yield file, datasets


def _probe(content: bytes, size: int) -> None:
    """Raise an error for a file on which the HDF5 library crashes or hangs, by reading it in another process first."""
    command = [sys.executable, "-P", str(pathlib.Path(__file__).with_name("_hdf5_probe.py")), str(_MEMORY + 4 * size)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    options: dict[str, Any] = {"timeout": _SECONDS + size / _BYTES_PER_SECOND, "env": environment}
    try:
        found = subprocess.run(command, input=content, capture_output=True, **options)
    except subprocess.TimeoutExpired:
        raise CorruptError("the HDF5 library timed out (corrupt or cyclic structure)") from None
    if found.returncode:
        message = found.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        crash = f"the HDF5 library crashed with status {found.returncode} (corrupt structure)"
        raise CorruptError(message[:200] if found.returncode == 1 and message else crash)


def _check(datasets: dict[str, Any], size: int) -> None:
    """Raise an error if a dataset has its numbers in another file, or declares petabytes that it does not have."""
    budget = ByteBudget(size)
    for name, dataset in datasets.items():
        if dataset.is_virtual or dataset.external:
            raise CorruptError(f"dataset {name}, whose numbers are in other files")
        if dataset.id.get_create_plist().get_nfilters():
            raise CorruptError(f"dataset {name}, which is compressed", "decompress it with h5repack -f NONE")
        if dataset.shape is None or dataset.dtype.hasobject:
            continue  # it has no numbers, and is not read
        needed = math.prod(dataset.shape) * dataset.dtype.itemsize
        budget.spend(f"dataset {name}", needed)
        if dataset.id.get_storage_size() < needed:
            raise CorruptError(f"dataset {name} of shape {dataset.shape}, whose numbers are missing")


def _walk(h5py: Any, group: Any, prefix: str, seen: set[Any]) -> Iterator[tuple[str, Any]]:
    """Yield every dataset with its name, or raise an error if the groups are not a tree."""
    if prefix.count("/") > _DEEPEST:
        raise CorruptError(f"groups nested more than {_DEEPEST} deep")
    for name in group:
        link = group.get(name, getlink=True)
        if type(link) is not h5py.HardLink:
            raise CorruptError(f"{type(link).__name__} {prefix}{name}: a link out of the tree of groups")
        item = group[name]
        if item.id in seen or len(seen) > _MOST_OBJECTS:
            raise CorruptError(f"{prefix}{name}, which has two names")
        seen.add(item.id)
        if isinstance(item, h5py.Dataset):
            yield prefix + name, item
        elif isinstance(item, h5py.Group):
            yield from _walk(h5py, item, f"{prefix}{name}/", seen)
        else:
            raise CorruptError(f"{prefix}{name}, which is neither a group nor a dataset")
