"""Zarr v3 arrays that are written block by block, and know which blocks they have: for ``upsample_volume.py``.

A block is a chunk, which TensorStore writes to a new file, syncs, and renames: it is there as a whole or not at all.
So the chunks that are there are the record of what is done, and no other record can contradict them.
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
"""Where a store has the settings that it was made with."""


@contextlib.contextmanager
def reported(problem: str, fix: str) -> Iterator[None]:
    """Tells in the words of ``ArgumentError`` what fails: TensorStore raises ``ValueError`` for whatever it is."""
    try:
        yield
    except jconvt.ArgumentError:  # it says all this already
        raise
    except (ValueError, OSError, EOFError) as error:
        raise jconvt.ArgumentError(problem, got=str(error).partition(" [tensorstore_spec")[0], fix=fix) from error


def opened(path: pathlib.Path) -> ts.TensorStore:
    """The array at ``path``, to be read."""
    if not (path / "zarr.json").is_file():
        raise jconvt.ArgumentError(
            "there is no volume",
            got=f"{path}, which has no zarr.json",
            legal="the folder of a Zarr v3 array",
            fix="name another one, or make one there with --make 64x64x64",
        )
    with reported(f"{path} cannot be opened", "pass the folder of a Zarr v3 array that TensorStore can read"):
        return ts.open(_place(path), open=True, read=True).result()


def reopened(path: pathlib.Path, settings: Mapping[str, Any]) -> ts.TensorStore | None:
    """The array at ``path``, to go on with, or None where there is none.

    Raises:
      ArgumentError: what is there was made with other settings, or is something else.
    """
    fix = f"go on with the settings of before, name another place, or delete {path}"
    if not (path / "zarr.json").exists():
        with reported(f"{path} cannot be listed", fix):
            if path.exists() and _files(path):
                raise jconvt.ArgumentError(
                    "there is something else already", got=f"files in {path}", legal="a new folder", fix=fix
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
    """A new array of float32, ``(depth, height, width, channels)``, whose chunks are blocks of all channels."""
    metadata = {
        # Said, so that a block is one chunk: TensorStore would divide a large one into chunks of its own.
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "attributes": {_ATTRIBUTE: dict(settings)},
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [*block, shape[-1]]}},
        "data_type": "float32",
        "dimension_names": ["depth", "height", "width", "channels"],
        "shape": list(shape),
    }
    with reported(f"{path} cannot be made", "free space, or pass another place, which may be written"):
        return ts.open({**_place(path), "metadata": metadata}, create=True, open=True).result()


def block_size(store: ts.TensorStore) -> tuple[int, ...]:
    """Depth, height and width of the chunks."""
    layout: Any = store.chunk_layout
    return layout.write_chunk.shape[:3]


def regions(store: ts.TensorStore) -> list[Region]:
    """What each chunk holds of the array."""
    each = zip(store.shape[:3], block_size(store), strict=True)
    sides = [[slice(start, min(start + step, size)) for start in range(0, size, step)] for size, step in each]
    return list(itertools.product(*sides))


def missing(store: ts.TensorStore) -> list[Region]:
    """The regions that have not been written, in order."""
    asked = [(region, store[region].storage_statistics(query_not_stored=True)) for region in regions(store)]
    return [region for region, found in asked if found.result().not_stored]


def is_unfinished(store: ts.TensorStore) -> bool:
    """Whether it was made here, and not to the end. In others' arrays chunks of zeros may be left out."""
    return _ATTRIBUTE in _attributes(store) and bool(missing(store))


def fingerprint(path: pathlib.Path) -> str:
    """Changes when a file of the array is written: made from the files' names, sizes and times."""
    digest = hashlib.sha256()
    for name in _files(path):
        found = (path / name).stat()
        digest.update(f"{name} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _place(path: pathlib.Path) -> dict[str, Any]:
    kvstore = {"driver": "file", "path": f"{path.absolute()}/"}
    # A chunk of zeros is written as others are: else it would be missing for ever.
    return {"driver": "zarr3", "kvstore": kvstore, "store_data_equal_to_fill_value": True}


def _files(path: pathlib.Path) -> list[str]:
    """What is in a store, but for what a write that was killed left there."""
    return sorted(key.decode() for key in ts.KvStore.open(_place(path)["kvstore"]).result().list().result())


def _attributes(store: ts.TensorStore) -> dict[str, Any]:
    return store.spec().to_json().get("metadata", {}).get("attributes", {})
