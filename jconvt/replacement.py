"""Files that are replaced as a whole, or not at all."""

import contextlib
import errno
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def replacement(path: pathlib.Path) -> Iterator[IO[str]]:
    """A file that takes the place of ``path`` once all of it is written, and is gone if it never is.

    If it cannot be written, the program ends with status 2, and says so.
    """
    target = path.resolve()
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        if target.exists() and not target.is_file():
            raise OSError(errno.EINVAL, "not a regular file")
        with temporary.open("x", encoding="utf-8") as file:
            yield file
        temporary.replace(target)
    except OSError as error:
        print(f"jconvt: cannot write {path}: {error.strerror}", file=sys.stderr)
        raise SystemExit(2) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
