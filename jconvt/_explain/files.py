"""An explanation as a file: a page, a picture, or an animation, by the ending of its name."""

import os
import pathlib
from typing import IO, Any

from .._atomic_write import replacing
from ..errors import ArgumentError, ArgumentTypeError
from .explanation import Explanation

_PICTURES = (".png", ".svg", ".pdf")
ENDINGS = (".html", *_PICTURES, ".gif")


def save(explanation: Explanation, path: str | os.PathLike[str], view: str | None, cell: Any) -> None:
    """Writes ``path``, or leaves it as it was."""
    try:
        target = pathlib.Path(path)
    except TypeError:
        raise ArgumentTypeError(
            "path must be the name of a file", got=f"path = {path!r}", legal="a string or a path", fix="pass a string"
        ) from None
    try:
        os.fsencode(target)
        named = "\0" not in str(target)
    except UnicodeEncodeError:
        named = False
    if not named:
        raise ArgumentError(
            "path cannot be the name of a file",
            got=f"path = {str(path)!r}",
            legal="characters that the system has in names",
            fix="pass another path",
        )
    ending = target.suffix.lower()
    if ending not in ENDINGS:
        raise ArgumentError(
            "the ending of the file does not say what to write",
            got=f"path = {str(path)!r}",
            legal=", ".join(ENDINGS),
            fix="end it in .html for a page, .png, .svg or .pdf for a picture, .gif for an animation",
        )
    try:
        with replacing(target) as temporary, temporary.open("wb") as file:
            _write(explanation, file, ending, view, cell)
    except OSError as error:
        raise ArgumentError(
            "the file cannot be written",
            got=f"path = {str(path)!r}: {error.strerror or error}",
            legal="a file in a directory that exists and can be written to",
            fix="make the directory, or pass another path",
        ) from error


def _write(explanation: Explanation, file: IO[bytes], ending: str, view: str | None, cell: Any) -> None:
    if ending == ".html":
        file.write(explanation.html(cell).encode())
    elif ending == ".svg":
        file.write(explanation.svg(view or "stamps", cell).encode())
    elif ending == ".gif":
        view = view or "dilated"
        explanation.figure(view)  # what is wrong with it shows here
        from . import animation

        animation.write(explanation, file, view)
    else:
        figure = explanation.figure(view or "stamps", cell)
        metadata = {"Software": None} if ending == ".png" else {"CreationDate": None}
        figure.savefig(file, format=ending[1:], metadata=metadata)
