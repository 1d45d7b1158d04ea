"""What is said of a file that is not what it should be."""

import contextlib
import pathlib
from collections.abc import Iterator

from ..errors import ArgumentError, ArgumentTypeError


def broken(path: pathlib.Path, what: str, found: object, fix: str = "download or save the file again") -> ArgumentError:
    """The error for a file that cannot be trusted to be ``what``."""
    return ArgumentError(f"{path} cannot be read as {what}", got=found, legal=f"a whole {what}", fix=fix)


@contextlib.contextmanager
def reading(path: pathlib.Path, what: str) -> Iterator[None]:
    """Says whatever goes wrong inside, in a library that reads the file, as one clear error."""
    try:
        yield
    except (ArgumentError, ArgumentTypeError, ModuleNotFoundError):
        raise
    except Exception as error:  # each library has its own, and a broken file brings out any of them
        text = (str(error).strip() or type(error).__name__).partition("\n")[0][:200]
        raise broken(path, what, text) from error


class Budget:
    """How many bytes the arrays of a file may have together: no more than the file, which has them uncompressed.

    It is asked before anything is allocated, so that a small file cannot ask for much memory.
    """

    def __init__(self, path: pathlib.Path, what: str, size: int):
        self._path, self._what, self._left, self._size = path, what, size, size

    def spend(self, name: str, size: int) -> None:
        """Counts ``size`` bytes of the array ``name``."""
        self._left -= size
        if size < 0 or self._left < 0:
            raise broken(
                self._path,
                self._what,
                f"{name} would have {size} bytes, and all arrays together more than the file's {self._size}",
            )
