"""Explanations as matplotlib figures."""

import functools
import pathlib
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import jconvt
from jconvt import explain
from jconvt._explain.formatting import format_number, pixel_tint, typeset
from jconvt._testing import example

pytest.importorskip("matplotlib")

from jconvt._explain import canvas, figures

VIEWS = ["stamps", "dilated", "gradient", "overlap", "all"]


def words_of(drawn):
    return [element.text.strip() for element in ElementTree.fromstring(drawn).iter() if (element.text or "").strip()]


@pytest.fixture(scope="module")
def drawn():
    """Each view of the example as SVG, with the sum of the default cell."""
    corner = explain(example.INPUT, example.FILTERS, **example.ARGUMENTS)
    return functools.cache(corner.svg)


@pytest.mark.parametrize("view", VIEWS)
def test_svg__holds_the_numbers(corner, other, drawn, view):
    for explanation, cell, svg in ((corner, (2, 2), drawn(view)), (other, 4, other.svg(view, 4))):
        together = "".join(words_of(svg))
        for number in explanation.overlap.flat if view == "overlap" else explanation.input.flat:
            assert typeset(format_number(number)) in together
        for part, _ in explanation.spelled(cell):
            assert typeset(part).strip() in together
    assert drawn(view) == corner.svg(view, (2, 2))


def test_svg__has_every_stamp(corner, drawn):
    words = words_of(drawn("stamps"))
    for stamp in corner.stamps.values():
        for product in stamp[stamp != 0]:
            assert typeset(str(int(product))) in words
    assert words.count("67") == 2  # in its stamp and in the sum, and no third time


def test_svg__each_pixel_keeps_its_colour(corner, drawn):
    # In the input; in the stamp's nine cells; in the nine outputs that it reaches. C has nine cells, and so has its
    # transpose; the dilated view has one pixel and nine outputs.
    for view, cells in (("stamps", 1 + 9 + 9), ("dilated", 1 + 9), ("gradient", 9 + 9 + 1 + 9)):
        for pixel in corner.stamps:
            assert drawn(view).count(f"fill: {pixel_tint(pixel)}") == cells, view


def test_svg__complex_factors_have_parentheses():
    why = explain(np.full((1, 1, 1), 1 + 2j, np.complex64), np.full((3, 1, 1), 3j, np.complex64), padding="VALID")
    assert "(1+2i) \N{MULTIPLICATION SIGN} kernel" in why.svg()


def test_draw__largest_operands_fit(monkeypatch):
    monkeypatch.setattr(canvas, "Rectangle", lambda *args, **style: None)  # sizes need no rectangles, which take long
    monkeypatch.setattr(canvas.Canvas, "_add", lambda self, shape: None)
    rng = np.random.default_rng(0)
    why = explain(rng.standard_normal((1, 6, 5, 1)), rng.standard_normal((6, 7, 1, 1)), strides=2)
    for view in VIEWS:
        width, height = why.figure(view).get_size_inches() * 100
        assert 600 < width < 3000
        assert 400 < height < 3000


def test_draw__partly_leaves_later_outputs_blank(corner):
    for cell, blank in (((0, 0), 24), ((4, 4), 0)):
        words = [text.get_text() for text in figures.draw(corner, "dilated", cell, partly=True).axes[0].texts]
        every = [text.get_text() for text in figures.draw(corner, "dilated", cell).axes[0].texts]
        assert len(every) - len(words) == blank


@pytest.mark.parametrize("view", ["stamp", "", None, 3, ["stamps"], "none"])
def test_figure__unknown_view_raises(corner, view):
    with pytest.raises(jconvt.ArgumentError, match=r"(?s)unknown view.*'stamps', 'dilated', 'gradient'"):
        corner.figure(view)


def test_figure__the_readmes_picture(tmp_path):
    script = pathlib.Path(__file__).parents[2] / "docs" / "picture.py"
    space = {"__file__": str(tmp_path / "docs" / "picture.py"), "__name__": "picture"}
    (tmp_path / "docs" / "_static").mkdir(parents=True)
    exec(compile(script.read_text(), str(script), "exec"), space)
    space["main"]()
    assert (tmp_path / "docs" / "_static" / "stamps.png").stat().st_size > 50_000
