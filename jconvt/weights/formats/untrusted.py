"""Untrusted files: one error for every fault, a limit on memory, and archives that are checked before they are read."""

import contextlib
import pathlib
import zipfile
from collections.abc import Iterator

from ...errors import ArgumentError, ArgumentTypeError

_MOST_MEMBERS = 1_000_000


def corrupt(path: pathlib.Path, format: str, found: object, fix: str = "download or save it again") -> ArgumentError:
    """Return the error for a file that is not a complete file of its format, or is not safe to read."""
    return ArgumentError(f"{path} cannot be read as {format}", got=found, legal=f"a whole {format}", fix=fix)


@contextlib.contextmanager
def parsing(path: pathlib.Path, format: str) -> Iterator[None]:
    """Turn every exception of the libraries that parse the file into the error for a corrupt file."""
    try:
        yield
    except (ArgumentError, ArgumentTypeError, ModuleNotFoundError):
        raise
    except Exception as error:  # each library has its own exceptions, and a corrupt file can raise any of them
        text = (str(error).strip() or type(error).__name__).partition("\n")[0][:200]
        raise corrupt(path, format, text) from error


class ByteBudget:
    """The bytes that the arrays of a file may have in total: the file's size, as no format here compresses.

    Each array is counted before it is allocated, so a small file cannot ask for much memory.
    """

    def __init__(self, path: pathlib.Path, format: str, size: int):
        self._path, self._format, self._size, self._left = path, format, size, size

    def spend(self, name: str, size: int) -> None:
        """Count ``size`` bytes for the array ``name``."""
        self._left -= size
        if size < 0 or self._left < 0:
            found = f"{name} has {size} bytes, and all arrays together more than the file's {self._size}"
            raise corrupt(self._path, self._format, found)


def members(path: pathlib.Path, archive: zipfile.ZipFile, format: str) -> dict[str, zipfile.ZipInfo]:
    """Return a zip archive's members by name, or raise an error unless all are uncompressed and inside of it."""
    infos, found, left = archive.infolist(), {}, path.stat().st_size
    if len(infos) > _MOST_MEMBERS:
        raise corrupt(path, format, f"{len(infos)} members")
    for info in infos:
        name = info.filename
        if name in found:
            raise corrupt(path, format, f"two members of the name {name!r}")
        if name.startswith(("/", "\\")) or ".." in pathlib.PurePosixPath(name.replace("\\", "/")).parts or ":" in name:
            raise corrupt(path, format, f"a member outside the archive's folder: {name!r}")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            fix = "save it again with its framework, which does not compress; or zip it again with zip -0"
            raise corrupt(path, format, f"member {name!r} is compressed or encrypted", fix)
        left -= info.file_size
        if left < 0 or info.file_size != info.compress_size:
            raise corrupt(path, format, f"member {name!r} of {info.file_size} bytes, more than the file has")
        found[name] = info
    return found
