"""Write a page, a picture or an animation to a file; the ending of its name selects which."""

import os
import pathlib
from typing import IO, Any

import numpy as np

from .._atomic_write import replacing
from ..errors import ArgumentError, ArgumentTypeError
from . import page
from .products import ProductTable

_ENDINGS = (".html", ".png", ".svg", ".pdf", ".gif")
_MOST_FRAMES = 49  # of more outputs, an animation shows every second, third, ...


def save(table: ProductTable, path: str | os.PathLike[str], view: str | None, cell: Any, language: str) -> None:
    """Write ``path``; on errors the old file stays."""
    target = _checked(path)
    if language != "en" and target.suffix.lower() != ".html":
        got, fix = f"language = {language!r} for {target.name}", "leave it out, or save a page, which ends in .html"
        raise ArgumentError("pictures are in English only", got=got, legal="'en'", fix=fix)
    try:
        with replacing(target) as temporary, temporary.open("wb") as file:
            _write(table, file, target.suffix.lower(), view, cell, language)
    except OSError as error:
        got = f"path = {str(path)!r}: {error.strerror or error}"
        legal, fix = "a file in a directory that exists and is writable", "make the directory, or pass another path"
        raise ArgumentError("the file cannot be written", got=got, legal=legal, fix=fix) from error


def _checked(path: str | os.PathLike[str]) -> pathlib.Path:
    try:
        target = pathlib.Path(path)
        if b"\0" in os.fsencode(target):
            raise ValueError
    except TypeError:
        problem, legal = "path must be the name of a file", "a string or a path"
        raise ArgumentTypeError(problem, got=f"path = {path!r}", legal=legal, fix="pass a string") from None
    except ValueError:  # of which an error of the encoding is one
        problem, legal = "path cannot be the name of a file", "characters that the system allows in names"
        raise ArgumentError(problem, got=f"path = {str(path)!r}", legal=legal, fix="pass another path") from None
    if target.suffix.lower() not in _ENDINGS:
        problem, legal = "the ending of the file does not say what to write", ", ".join(_ENDINGS)
        fix = "end it in .html for a page, .png, .svg or .pdf for a picture, .gif for an animation"
        raise ArgumentError(problem, got=f"path = {str(path)!r}", legal=legal, fix=fix)
    return target


def _write(table: ProductTable, file: IO[bytes], ending: str, view: str | None, cell: Any, language: str) -> None:
    if ending == ".html":
        file.write(page.html(table, cell, language).encode())
        return
    from . import figures  # imports matplotlib

    if ending == ".svg":
        file.write(figures.svg(table, view or "stamps", cell).encode())
    elif ending == ".gif":
        _write_animation(table, file, view or "dilated")
    else:
        metadata = {"Software": None} if ending == ".png" else {"CreationDate": None}
        figures.draw(table, view or "stamps", cell).savefig(file, format=ending[1:], metadata=metadata)


def _write_animation(table: ProductTable, file: IO[bytes], view: str) -> None:
    """Write a GIF that repeats: the window slides from output to output, or the marked cell does."""
    from PIL import Image

    from . import figures

    images, cells = [], list(np.ndindex(table.output.shape))
    for cell in cells[:: -(-len(cells) // _MOST_FRAMES)]:
        figure: Any = figures.draw(table, view, cell, partly=view == "dilated")
        figure.set_dpi(60)
        figure.canvas.draw()
        images.append(Image.fromarray(np.asarray(figure.canvas.buffer_rgba()), "RGBA"))
    frames = []
    for image in images:  # they differ in size, since sums take different numbers of lines
        frame = Image.new("RGB", (max(each.width for each in images), max(each.height for each in images)), "white")
        frame.paste(image, mask=image)
        frames.append(frame.quantize(256, dither=Image.Dither.NONE))
    durations = [900] * (len(frames) - 1) + [3000]  # milliseconds
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0, disposal=1)
