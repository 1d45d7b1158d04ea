"""Explanations in the terminal."""

import io
import re

from rich.console import Console

from jconvt._explain import text
from jconvt._explain.formatting import pixel_tint


def printed(explanation, views=tuple(text.VIEWS), cells=((2, 2),), colours=None, width=100):
    console = Console(file=io.StringIO(), width=width, force_terminal=colours is not None, color_system=colours)
    console.print(text.render(explanation, views, cells))
    return console.file.getvalue()


def test_render__has_sums_and_stamps(corner):
    shown = printed(corner)
    assert "out[2,2] = -67*-9 + -77*-7 + -117*-3 + -127*-1 = 1620" in shown
    assert "[ 1620]" in shown
    for line in ("[ 603]", "[ 539]", "[ 351]", "[  127]", "[ -67][   0][ -77]", "[-9][-7][-3][-1]"):
        assert line in shown
    assert "Without the flip, out[0,0] would be -67*-9 = 603." in shown
    assert " 1  1  2  1  1 " in shown
    assert "The library computes the same." in shown


def test_render__has_each_pixels_colour(corner):
    shown = printed(corner, ["stamps"], [(0, 0), (2, 2)], "truecolor")
    for pixel in corner.stamps:
        tint = pixel_tint(pixel)
        red, green, blue = (int(tint[i : i + 2], 16) for i in (1, 3, 5))
        # The input, the stamp's heading, its nine numbers, the sum, and a share of the output.
        assert shown.count(f"48;2;{red};{green};{blue}m") > 8
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "out[0,0] = -67*-1 = 67" in plain


def test_render__has_nan_and_infinity(other, naughty):
    shown = printed(other, cells=[(4,)])
    assert "out[4] = 3*inf + NaN*-2 + " not in shown  # no tap lands there from NaN: only those that do are listed
    assert other.sentence(4) in shown
    assert "NaN" in shown
    assert naughty[:30] in shown


def test_render__narrow_terminal_keeps_grids_whole(corner):
    lines = printed(corner, ["dilated"], width=60).splitlines()
    rows = [line for line in lines if re.fullmatch(r" +(\[ *-?\d+\]| *-?\d+ *)+ *", line)]
    assert [len(re.findall(r"-?\d+", row)) for row in rows].count(7) == 7


def test_render__announces_a_wrong_library(corner, monkeypatch):
    monkeypatch.setitem(vars(corner), "agrees", False)
    assert "DISAGREES" in printed(corner)
