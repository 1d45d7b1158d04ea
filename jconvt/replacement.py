"""Files that are replaced as a whole, or not at all."""

import contextlib
import errno
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def replaced(path: pathlib.Path, binary: bool = False) -> Iterator[IO]:
    """A file that takes the place of ``path`` once all of it is written, and is gone if it never is."""
    target = path.resolve()
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        if target.exists() and not target.is_file():
            raise OSError(errno.EINVAL, "not a regular file")
        with temporary.open("xb" if binary else "x", encoding=None if binary else "utf-8") as file:
            yield file
        temporary.replace(target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacement(path: pathlib.Path) -> Iterator[IO[str]]:
    """A file of a command, replaced as a whole. If it cannot be, the program ends with status 2, and says so."""
    try:
        with replaced(path) as file:
            yield file
    except OSError as error:
        print(f"jconvt: cannot write {path}: {error.strerror}", file=sys.stderr)
        raise SystemExit(2) from error
