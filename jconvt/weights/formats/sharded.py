"""Sharded files: an index, as JSON, says which file beside it has each array. Hugging Face's libraries write them."""

import json
import pathlib
from collections.abc import Callable

from .._errors import listed
from .state_dict import Arrays
from .untrusted import CorruptError, parsing

_FORMAT = "index of sharded weights"


def read(path: pathlib.Path, read_shard: Callable[[pathlib.Path], Arrays]) -> Arrays:
    """Read the arrays that the index at ``path`` names, from files in its folder only."""
    arrays, unread, notes = {}, {}, []
    with parsing(path, _FORMAT):
        places = json.loads(path.read_bytes())["weight_map"]
        for shard in dict.fromkeys(places.values()):
            found = read_shard(_file(path, shard))
            wanted = [name for name in places if places[name] == shard]
            if missing := [name for name in wanted if name not in found.arrays and name not in found.unread]:
                raise CorruptError(f"{shard} without {listed(missing)}", "download all files again, of one version")
            arrays |= {name: found.arrays[name] for name in wanted if name in found.arrays}
            unread |= {name: found.unread[name] for name in wanted if name in found.unread}
            notes += found.notes
    return Arrays(arrays, unread, tuple(notes))


def _file(path: pathlib.Path, shard: str) -> pathlib.Path:
    """Return the shard's file, or raise an error unless it is in the folder of the index.

    It may be a link, as in Hugging Face's cache, but the index only has its name.
    """
    file = path.parent / shard
    if pathlib.PurePath(shard.replace("\\", "/")).name != shard or not file.is_file():
        found = f"a shard at {shard!r}, which is not a file in its folder"
        raise CorruptError(found, "download all files to one folder")
    return file
