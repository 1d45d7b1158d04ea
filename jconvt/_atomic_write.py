"""Files that are replaced as a whole, or not at all."""

import contextlib
import errno
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A new, empty file beside ``path``: it takes the place of ``path``, or is gone on an error.

    Raises:
      OSError: ``path`` is there and no regular file, or it cannot be replaced.
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
        if error.filename == str(temporary):  # a name that nobody gave
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacement(path: pathlib.Path) -> Iterator[IO[str]]:
    """A text file that takes the place of ``path`` once all of it is written, and is gone if it never is.

    If it cannot be written, the program ends with status 2, and says so.
    """
    try:
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            yield file
    except OSError as error:
        print(f"jconvt: cannot write {path}: {error.strerror}", file=sys.stderr)
        raise SystemExit(2) from error
