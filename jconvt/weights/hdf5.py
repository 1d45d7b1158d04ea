"""HDF5 files of strangers: what is read lies in the file itself, uncompressed, and is no larger than the file."""

import math
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import IO, Any

from .broken import Budget, broken
from .packages import package

_DEEPEST = 64
_SECONDS, _BYTES_PER_SECOND, _MEMORY = 30, 2**24, 2**30
_MOST_OBJECTS = 1_000_000


def check(path: pathlib.Path, content: IO[bytes]) -> None:
    """Refuses a file on which the HDF5 library crashes or does not end, by trying it in another process.

    ``content`` is the HDF5 file, which ``path`` is or holds. It is left at its start.
    """
    package("h5py", f"reading {path}", "'jconvt[weights]'")
    size = path.stat().st_size
    command = [sys.executable, "-P", str(pathlib.Path(__file__).with_name("probe.py")), str(_MEMORY + 4 * size)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        found = subprocess.run(
            command,
            input=content.read(),
            capture_output=True,
            timeout=_SECONDS + size / _BYTES_PER_SECOND,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        raise broken(path, "HDF5 file", "a structure that the HDF5 library does not come to the end of") from None
    content.seek(0)
    if found.returncode:
        said = found.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        crashed = f"a structure that the HDF5 library crashes on, with status {found.returncode}"
        raise broken(path, "HDF5 file", said[:200] if found.returncode == 1 and said else crashed)


def datasets(path: pathlib.Path, file: Any) -> dict[str, Any]:
    """The datasets of an open file, by name, each once it is seen to be harmless to read.

    Links to other files and soft links are refused, and so are datasets whose numbers lie elsewhere, or nowhere: a
    file may declare petabytes that it does not have.
    """
    h5py = package("h5py", f"reading {path}", "'jconvt[weights]'")
    budget = Budget(path, "HDF5 file", path.stat().st_size)
    found: dict[str, Any] = {}
    for name, dataset in _walked(path, file, h5py, "", 0, set()):
        _check(path, name, dataset, budget)
        found[name] = dataset
    return found


def _walked(
    path: pathlib.Path, group: Any, h5py: Any, prefix: str, depth: int, seen: set[Any]
) -> Iterator[tuple[str, Any]]:
    if depth > _DEEPEST:
        raise broken(path, "HDF5 file", f"groups nested more than {_DEEPEST} deep")
    for name in group:
        link = group.get(name, getlink=True)
        if type(link) is not h5py.HardLink:
            raise broken(path, "HDF5 file", f"{type(link).__name__} {prefix}{name}: a link out of the tree of groups")
        item = group[name]
        if item.id in seen or len(seen) > _MOST_OBJECTS:
            raise broken(path, "HDF5 file", f"{prefix}{name}, which is there under two names")
        seen.add(item.id)
        if isinstance(item, h5py.Dataset):
            yield prefix + name, item
        elif isinstance(item, h5py.Group):
            yield from _walked(path, item, h5py, f"{prefix}{name}/", depth + 1, seen)
        else:
            raise broken(path, "HDF5 file", f"{prefix}{name}, which is neither a group nor a dataset")


def _check(path: pathlib.Path, name: str, dataset: Any, budget: Budget) -> None:
    if dataset.is_virtual or dataset.external:
        raise broken(path, "HDF5 file", f"dataset {name}, whose numbers lie in other files")
    if dataset.id.get_create_plist().get_nfilters():
        raise broken(path, "HDF5 file", f"dataset {name}, which is compressed", "decompress it with h5repack -f NONE")
    if dataset.shape is None or dataset.dtype.hasobject:
        return  # no numbers: such a dataset is not read
    size = math.prod(dataset.shape) * dataset.dtype.itemsize
    budget.spend(f"dataset {name}", size)
    if dataset.id.get_storage_size() < size:
        raise broken(path, "HDF5 file", f"dataset {name} of shape {dataset.shape}, with numbers that are not there")
