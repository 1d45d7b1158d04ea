"""The animations: the window slides from output to output, or the marked cell does in another view."""

from typing import IO

import numpy as np
from PIL import Image

from . import figures
from .explanation import Explanation
from .views import Index

_MILLISECONDS, _AT_THE_END = 900, 3000
_MOST = 49  # frames: where there are more outputs, some are left out
_DPI = 60


def write(explanation: Explanation, file: IO[bytes], view: str) -> None:
    """A GIF that repeats for ever."""
    cells = list(np.ndindex(explanation.output.shape))
    shown = cells[:: -(-len(cells) // _MOST)]
    frames = [_frame(explanation, view, cell) for cell in shown]
    size = max(frame.width for frame in frames), max(frame.height for frame in frames)
    frames = [_on_white(frame, size).quantize(256, dither=Image.Dither.NONE) for frame in frames]
    durations = [_MILLISECONDS] * (len(frames) - 1) + [_AT_THE_END]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0, disposal=1)


def _frame(explanation: Explanation, view: str, cell: Index) -> Image.Image:
    figure = figures.draw(explanation, view, cell, partly=view == "dilated")
    figure.set_dpi(_DPI)
    figure.canvas.draw()
    return Image.fromarray(np.asarray(figure.canvas.buffer_rgba()), "RGBA")


def _on_white(frame: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Frames differ in how many lines a sum takes: all are as large as the largest."""
    ground = Image.new("RGB", size, "white")
    ground.paste(frame, mask=frame)
    return ground
