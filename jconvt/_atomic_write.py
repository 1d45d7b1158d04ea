"""Files that are replaced completely, or not at all."""

import contextlib
import errno
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a new, empty file beside ``path``, which replaces ``path`` afterwards. An exception deletes it.

    Raises:
      OSError: ``path`` exists and is not a regular file, or it cannot be replaced.
    """
    target = path.resolve()
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    try:
        temporary.open("x").close()
        yield temporary
        temporary.replace(target)
    except OSError as error:
        if error.filename == str(temporary):  # the caller does not know this name
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacement(path: pathlib.Path) -> Iterator[IO[str]]:
    """Yield a text file that replaces ``path`` when it is complete. An exception deletes it.

    If it cannot be written, the program prints why and exits with status 2.
    """
    try:
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            yield file
    except OSError as error:
        print(f"jconvt: cannot write {path}: {error.strerror}", file=sys.stderr)
        raise SystemExit(2) from error
