"""Zarr v3 arrays that are written in blocks, and record which blocks exist: for ``upsample_volume.py``.

A block is a chunk. TensorStore writes it to a new file, syncs, and renames the file, so a chunk exists completely or
not at all. The existing chunks are therefore the only record of progress.
"""

import contextlib
import hashlib
import itertools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorstore as ts

import jconvt

Region = tuple[slice, ...]

_ATTRIBUTE = "upsample_volume"
"""The attribute of a store that holds its settings."""


@contextlib.contextmanager
def reported(problem: str, fix: str) -> Iterator[None]:
    """Raise failures of TensorStore, which are all ``ValueError``, as an ``ArgumentError``."""
    try:
        yield
    except jconvt.ArgumentError:  # already complete
        raise
    except (ValueError, OSError, EOFError) as error:
        raise jconvt.ArgumentError(problem, got=str(error).partition(" [tensorstore_spec")[0], fix=fix) from error


def opened(path: pathlib.Path) -> ts.TensorStore:
    """Open the array at ``path`` for reading."""
    if not (path / "zarr.json").is_file():
        raise jconvt.ArgumentError(
            "there is no volume",
            got=f"{path}, which has no zarr.json",
            legal="the folder of a Zarr v3 array",
            fix="pass another path, or make a volume there with --make 64x64x64",
        )
    with reported(f"{path} cannot be opened", "pass the folder of a Zarr v3 array that TensorStore can read"):
        return ts.open(_place(path), open=True, read=True).result()


def reopened(path: pathlib.Path, settings: Mapping[str, Any]) -> ts.TensorStore | None:
    """Open the array at ``path`` to continue, or return None if there is none.

    Raises:
      ArgumentError: the array was made with other settings, or ``path`` contains other files.
    """
    fix = f"use the previous settings, pass another path, or delete {path}"
    if not (path / "zarr.json").exists():
        with reported(f"{path} cannot be listed", fix):
            if path.exists() and _files(path):
                raise jconvt.ArgumentError(
                    "the folder already contains other files", got=f"files in {path}", legal="a new folder", fix=fix
                )
        return None
    with reported(f"{path} cannot be opened", fix):
        store = ts.open(_place(path), open=True).result()
    before = _attributes(store).get(_ATTRIBUTE, {})
    differ = [name for name in sorted({*before, *settings}) if before.get(name) != settings.get(name)]
    if differ:
        raise jconvt.ArgumentError(
            f"{path} was made with other settings",
            got="; ".join(f"{name} was {before.get(name)}, and is now {settings.get(name)}" for name in differ),
            legal="the same settings and the same volume as before",
            fix=fix,
        )
    return store


def created(
    path: pathlib.Path, settings: Mapping[str, Any], shape: Sequence[int], block: Sequence[int]
) -> ts.TensorStore:
    """Create a float32 array, ``(depth, height, width, channels)``, whose chunks are blocks with all channels."""
    metadata = {
        # Explicit codecs, so that a block is one chunk: by default TensorStore divides large ones.
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "attributes": {_ATTRIBUTE: dict(settings)},
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [*block, shape[-1]]}},
        "data_type": "float32",
        "dimension_names": ["depth", "height", "width", "channels"],
        "shape": list(shape),
    }
    with reported(f"{path} cannot be made", "free space, or pass another path that is writable"):
        return ts.open({**_place(path), "metadata": metadata}, create=True, open=True).result()


def block_size(store: ts.TensorStore) -> tuple[int, ...]:
    """Return the depth, height and width of the chunks."""
    layout: Any = store.chunk_layout
    return layout.write_chunk.shape[:3]


def regions(store: ts.TensorStore) -> list[Region]:
    """Return the region of each chunk."""
    each = zip(store.shape[:3], block_size(store), strict=True)
    sides = [[slice(start, min(start + step, size)) for start in range(0, size, step)] for size, step in each]
    return list(itertools.product(*sides))


def missing(store: ts.TensorStore) -> list[Region]:
    """Return the regions that have not been written, in order."""
    asked = [(region, store[region].storage_statistics(query_not_stored=True)) for region in regions(store)]
    return [region for region, found in asked if found.result().not_stored]


def is_unfinished(store: ts.TensorStore) -> bool:
    """Return whether this module created the array, and chunks are missing. Other writers may omit chunks of zeros."""
    return _ATTRIBUTE in _attributes(store) and bool(missing(store))


def fingerprint(path: pathlib.Path) -> str:
    """Return a hash of the names, sizes and times of the array's files. It changes if a file is written."""
    digest = hashlib.sha256()
    for name in _files(path):
        found = (path / name).stat()
        digest.update(f"{name} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _place(path: pathlib.Path) -> dict[str, Any]:
    kvstore = {"driver": "file", "path": f"{path.absolute()}/"}
    # Store chunks of zeros like others: otherwise they would always be missing.
    return {"driver": "zarr3", "kvstore": kvstore, "store_data_equal_to_fill_value": True}


def _files(path: pathlib.Path) -> list[str]:
    """List the files of a store, without the temporary files of killed writes."""
    return sorted(key.decode() for key in ts.KvStore.open(_place(path)["kvstore"]).result().list().result())


def _attributes(store: ts.TensorStore) -> dict[str, Any]:
    return store.spec().to_json().get("metadata", {}).get("attributes", {})
