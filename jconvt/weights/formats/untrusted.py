"""Untrusted files: one error for every fault, a limit on memory, and archives that are checked before they are read."""

import contextlib
import pathlib
import zipfile
from collections.abc import Iterator

from ...errors import ArgumentError, ArgumentTypeError

_MOST_MEMBERS = 1_000_000


class CorruptError(Exception):
    """A file is not a complete file of its format, or is not safe to read. ``parsing`` adds its name and format."""

    def __init__(self, found: object, fix: str = "download or save it again"):
        super().__init__(found)
        self._fix = fix

    def of_file(self, path: pathlib.Path, format: str) -> ArgumentError:
        """Return the error to raise for the file at ``path``."""
        problem, legal = f"{path} cannot be read as {format}", f"a whole {format}"
        return ArgumentError(problem, got=self, legal=legal, fix=self._fix)


@contextlib.contextmanager
def parsing(path: pathlib.Path, format: str) -> Iterator[None]:
    """Turn every exception of the code that parses the file into the error for a corrupt file."""
    try:
        yield
    except (ArgumentError, ArgumentTypeError, ModuleNotFoundError):
        raise
    except CorruptError as error:
        raise error.of_file(path, format) from None
    except Exception as error:  # each library has its own exceptions, and a corrupt file can raise any of them
        text = (str(error).strip() or type(error).__name__).partition("\n")[0][:200]
        raise CorruptError(text).of_file(path, format) from error


class ByteBudget:
    """The bytes that the arrays of a file may have in total: the file's size, as no format here compresses.

    Each array is counted before it is allocated, so a small file cannot ask for much memory.
    """

    def __init__(self, size: int):
        self._size = self.left = size

    def spend(self, name: str, size: int) -> None:
        """Count ``size`` bytes for the array ``name``."""
        self.left -= size
        if size < 0 or self.left < 0:
            total = f"all arrays together more than the file's {self._size}"
            raise CorruptError(f"{name} has {size} bytes, and {total}")


def members(path: pathlib.Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return a zip archive's members by name, or raise an error unless all are uncompressed and inside of it."""
    infos, found, left = archive.infolist(), {}, path.stat().st_size
    if len(infos) > _MOST_MEMBERS:
        raise CorruptError(f"{len(infos)} members")
    for info in infos:
        name = info.filename
        if name in found:
            raise CorruptError(f"two members of the name {name!r}")
        if name.startswith(("/", "\\")) or ".." in pathlib.PurePosixPath(name.replace("\\", "/")).parts or ":" in name:
            raise CorruptError(f"a member outside the archive's folder: {name!r}")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            fix = "save it again with its framework, which does not compress; or zip it again with zip -0"
            raise CorruptError(f"member {name!r} is compressed or encrypted", fix)
        left -= info.file_size
        if left < 0 or info.file_size != info.compress_size:
            raise CorruptError(f"member {name!r} of {info.file_size} bytes, more than the file has")
        found[name] = info
    return found
