"""How an explanation is shown: in the terminal, in figures and animations, and as a page's data."""

import html.parser
import importlib.util
import io
import itertools
import json
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from rich.console import Console

import jconvt
from jconvt import explain
from jconvt._explain import page, palette, text
from jconvt._testing import example

NAUGHTY = "</script><script>alert(1)</script><!-- & \"quoted\" 'too' {{data}} \\u003c"


@pytest.fixture
def corner():
    return explain(example.INPUT, example.FILTERS, **example.ARGUMENTS)


@pytest.fixture
def other():
    """One dimension, a dilated kernel, gaps, what is no number, and a name that breaks out of careless pages."""
    x, w = np.array([3, np.nan, -1, 0.25], np.float32), np.array([1, -2, np.inf], np.float32)
    return explain(x.reshape(1, 4, 1), w.reshape(3, 1, 1), strides=3, padding="VALID", dilations=2, name=NAUGHTY)


def printed(explanation, views=tuple(text.VIEWS), cells=((2, 2),), colours=None, width=100):
    console = Console(file=io.StringIO(), width=width, force_terminal=colours is not None, color_system=colours)
    console.print(text.render(explanation, views, cells))
    return console.file.getvalue()


def test_the_terminal_shows_sums_and_stamps(corner):
    shown = printed(corner)
    assert "out[2,2] = -67*-9 + -77*-7 + -117*-3 + -127*-1 = 1620" in shown
    assert "[ 1620]" in shown
    for line in ("[ 603]", "[ 539]", "[ 351]", "[  127]", "[ -67][   0][ -77]", "[-9][-7][-3][-1]"):
        assert line in shown
    assert "Without the flip, out[0,0] would be -67*-9 = 603." in shown
    assert " 1  1  2  1  1 " in shown
    assert "The library computes the same." in shown


def test_the_terminal_has_each_pixels_colour(corner):
    shown = printed(corner, ["stamps"], [(0, 0), (2, 2)], "truecolor")
    for pixel in corner.stamps:
        tint = palette.tint(palette.COLOURS[palette.colour(pixel)])
        red, green, blue = (int(tint[i : i + 2], 16) for i in (1, 3, 5))
        # The input, the stamp's heading, its nine numbers, the sum, and a share of the output.
        assert shown.count(f"48;2;{red};{green};{blue}m") > 8
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "out[0,0] = -67*-1 = 67" in plain


def test_the_terminal_shows_what_is_no_number(other):
    shown = printed(other, cells=[(4,)])
    assert "out[4] = 3*inf + NaN*-2 + " not in shown  # no tap lands there from NaN: only those that do are listed
    assert other.sentence(4) in shown
    assert "NaN" in shown
    assert NAUGHTY[:30] in shown


def test_a_narrow_terminal_breaks_no_grid(corner):
    lines = printed(corner, ["dilated"], width=60).splitlines()
    rows = [line for line in lines if re.fullmatch(r" +(\[ *-?\d+\]| *-?\d+ *)+ *", line)]
    assert [len(re.findall(r"-?\d+", row)) for row in rows].count(7) == 7


def test_a_library_that_is_wrong_is_announced(corner, monkeypatch):
    monkeypatch.setitem(vars(corner), "agrees", False)
    assert "DISAGREES" in printed(corner)
    assert "disagrees" in page.html(corner)


draws = pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed")


@draws
class TestFigures:
    @pytest.mark.parametrize("view", ["stamps", "dilated", "gradient", "overlap", "all"])
    def test_svg_holds_the_numbers(self, corner, other, view):
        for explanation, cell in ((corner, (2, 2)), (other, 4)):
            drawn = explanation.svg(view, cell)
            words = [element.text for element in ElementTree.fromstring(drawn).iter() if element.text]
            together = "".join(words)
            named = explanation.input.ravel() if view != "overlap" else explanation.overlap.ravel()
            for number in named:
                assert jconvt._explain.written.typeset(jconvt._explain.written.number(number)) in together
            for part, _ in explanation.spelled(cell):
                assert jconvt._explain.written.typeset(part).strip() in together
            assert drawn == explanation.svg(view, cell)

    def test_every_stamp_is_drawn(self, corner):
        words = [e.text.strip() for e in ElementTree.fromstring(corner.svg()).iter() if e.text and e.text.strip()]
        for stamp in corner.stamps.values():
            for product in stamp[stamp != 0]:
                assert str(int(product)).replace("-", "\N{MINUS SIGN}") in words
        assert words.count("67") == 2  # in its stamp and in the sum, and no third time

    def test_colours_stay_with_their_pixels(self, corner):
        # In the input; in the stamp's nine cells; in the nine outputs that they land on. C has nine, and so has its
        # transpose; the dilated view has the pixel alone.
        for view, cells in (("stamps", 1 + 9 + 9), ("dilated", 1 + 9), ("gradient", 9 + 9 + 1 + 9)):
            drawn = corner.svg(view)
            for pixel in corner.stamps:
                assert drawn.count(f"fill: {palette.tint(palette.COLOURS[palette.colour(pixel)])}") == cells, view

    @pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
    def test_pictures_are_written(self, corner, tmp_path, ending):
        path = tmp_path / f"picture.{ending.upper()}"
        corner.save(path, "overlap", (0, 0))
        start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending]
        assert path.read_bytes().startswith(start)
        assert [*tmp_path.iterdir()] == [path]

    def test_an_animation_has_a_frame_for_each_output(self, tmp_path):
        from PIL import Image

        why = explain(np.ones((1, 2, 1)), np.array([1.0, 2, 3]).reshape(3, 1, 1), strides=2, padding="VALID")
        why.save(tmp_path / "walk.gif")
        with Image.open(tmp_path / "walk.gif") as image:
            assert (image.n_frames, image.info["loop"]) == (5, 0)
            frames = []
            for number in range(image.n_frames):
                image.seek(number)
                frames.append(np.asarray(image.convert("RGB")))
        assert all((one != other).any() for one, other in itertools.pairwise(frames))

    def test_large_ones_are_drawn_too(self):
        rng = np.random.default_rng(0)
        why = explain(rng.standard_normal((1, 6, 5, 1)), rng.standard_normal((6, 7, 1, 1)), strides=2)
        for view in ("stamps", "dilated", "gradient", "overlap", "all"):
            width, height = why.figure(view).get_size_inches() * 100
            assert 600 < width < 3000
            assert 400 < height < 3000

    @pytest.mark.parametrize("view", ["stamp", "", None, 3])
    def test_an_unknown_view_is_refused(self, corner, view):
        with pytest.raises(jconvt.ArgumentError, match=r"(?s)unknown view.*'stamps', 'dilated', 'gradient'"):
            corner.figure(view)

    def test_the_readmes_picture_is_drawn_by_its_script(self, tmp_path):
        script = pathlib.Path(__file__).parents[2] / "docs" / "picture.py"
        space = {"__file__": str(tmp_path / "docs" / "picture.py"), "__name__": "picture"}
        (tmp_path / "docs" / "_static").mkdir(parents=True)
        exec(compile(script.read_text(), str(script), "exec"), space)
        space["main"]()
        assert (tmp_path / "docs" / "_static" / "stamps.png").stat().st_size > 50_000


def test_without_matplotlib_the_error_says_what_to_install(tmp_path):
    code = f"""
import sys
sys.modules["matplotlib"] = None
import jconvt
from jconvt._testing import example
why = jconvt.explain(example.INPUT, example.FILTERS, **example.ARGUMENTS)
why.save({str(tmp_path / "page.html")!r})
png, gif = {str(tmp_path / "x.png")!r}, {str(tmp_path / "x.gif")!r}
for ask in (why.figure, why.svg, lambda: why.save(png), lambda: why.save(gif)):
    try:
        ask()
    except ModuleNotFoundError as error:
        print(error)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == ["figures need the package matplotlib: pip install 'jconvt[plot]'"] * 4
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


class Page(html.parser.HTMLParser):
    """What a browser makes of a page: its elements, and the text of those that hold scripts."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.texts, self.attributes = [], [], []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [value for name, value in attrs if name in ("src", "href", "action")]
        self.texts.append("")

    def handle_data(self, data):
        if self.texts:
            self.texts[-1] += data

    @property
    def data(self):
        return json.loads(next(text for text in self.texts if text.startswith('{"input"')))


def test_the_pages_data_are_the_numbers(corner):
    data = Page(corner.html((0, 2))).data
    (pair,) = data["pairs"]
    minus = str.maketrans("\N{MINUS SIGN}", "-")
    for name in ("input", "kernel", "output"):
        values = getattr(corner, name)
        assert [float(number.translate(minus)) for number in pair[name]] == values.ravel().tolist()
        assert data[name] == list(values.shape)
    for cell, each in zip(np.ndindex(5, 5), pair["sums"], strict=True):
        products = [
            (tuple(map(int, np.unravel_index(pixel, (2, 2)))), tuple(map(int, np.unravel_index(tap, (3, 3)))), product)
            for pixel, tap, product in each["terms"]
        ]
        assert [(p, t, float(n.translate(minus))) for p, t, n in products] == list(corner.products(cell))
        spelled = "".join(part for part, _ in each["parts"])
        assert spelled.translate(minus).replace(" \N{MULTIPLICATION SIGN} ", "*") == corner.sentence(cell)
    assert data["zeroPixels"] == corner.zero_filled_pixels.ravel().tolist()
    assert data["windowTaps"] == corner.window_taps.ravel().tolist()
    assert data["cell"] == 2


def test_a_page_holds_every_pair_of_channels_or_says_so():
    x, w = np.arange(8.0).reshape(1, 2, 4), np.arange(16.0).reshape(2, 2, 4)
    data = Page(explain(x, w, groups=2, pair=(2, 3)).html()).data
    assert [each["name"] for each in data["pairs"]][data["pair"]] == "input 2, output 3"
    assert len(data["pairs"]) == 8
    many = explain(np.ones((1, 6, 6, 8)), np.ones((4, 4, 8, 8)), strides=2, pair=(3, 4))
    data = Page(many.html()).data
    assert [each["name"] for each in data["pairs"]] == ["input 3, output 4"]
    assert data["notes"][-1] == "This page has one of 64 pairs."


def test_nothing_in_a_page_breaks_out_of_it(other):
    source = other.html()
    read = Page(source)
    assert read.tags.count("script") == 2
    assert read.attributes == ["data:,"]
    assert NAUGHTY in read.texts[read.tags.index("title")]
    assert {"NaN", "inf"} < {*read.data["pairs"][0]["kernel"], *read.data["pairs"][0]["input"]}
    assert "alert(1)</script>" not in source
    assert "http:" not in source
    assert "https:" not in source
    frame = Page(other._repr_html_())
    assert frame.tags == ["iframe"]
    assert "</iframe>" not in other._repr_html_()[:-9]


def test_words_can_be_read_on_every_ground():
    for scheme, words in ((page.LIGHT, palette.ON_LIGHT), (page.DARK, palette.ON_DARK)):
        variables = dict(re.findall(r"--(\w+): (#\w+);", page.colours().split("@media")[scheme is page.DARK]))
        tints = [variables[f"tint{n}"] for n in range(len(palette.COLOURS))]
        for ground in (*tints, *(variables[name] for name in ("ground", "card", "empty", "window"))):
            assert palette.contrast(variables["ink"], ground) >= 4.5, ground
        for word in words:
            assert palette.contrast(word, variables["card"]) >= 4.5, word
        for ground in ("ground", "card", "empty"):
            assert palette.contrast(variables["faint"], variables[ground]) >= 4.5, ground


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no/such/place/x.html", r"cannot be written.*No such file"),
        ("", r"ending of the file"),
        ("x.jpeg", r"ending of the file.*\.html, \.png, \.svg, \.pdf, \.gif"),
        ("taken.html", r"cannot be written.*not a regular file"),
        (3, r"path must be the name of a file"),
        ("x\0.html", r"path cannot be the name of a file"),
        ("\ud800.html", r"path cannot be the name of a file"),
    ],
)
def test_a_path_that_cannot_be_written_is_refused(corner, tmp_path, monkeypatch, path, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.html").mkdir()
    with pytest.raises((jconvt.ArgumentError, jconvt.ArgumentTypeError)) as error:
        corner.save(path)
    assert re.search(message, str(error.value), re.S), error.value
    assert [entry.name for entry in tmp_path.rglob("*")] == ["taken.html"]


def test_no_text_in_the_data_ends_their_element(corner, monkeypatch):
    monkeypatch.setattr(jconvt.Explanation, "notes", [NAUGHTY])
    read = Page(corner.html())
    assert read.tags.count("script") == 2
    assert read.data["pairs"][0]["notes"] == [NAUGHTY]


@draws
@pytest.mark.parametrize("ending", ["html", "png", "svg", "gif"])
def test_what_fails_leaves_the_old_file(corner, tmp_path, ending):
    path = tmp_path / f"old.{ending}"
    path.write_text("old")
    with pytest.raises(jconvt.ArgumentError, match=r"no such output cell|unknown view"):
        corner.save(path, *(("nothing",) if ending == "gif" else (None, (9, 9))))
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("view", [["stamps"], None, "none"])
def test_a_view_that_is_not_there_is_refused(corner, view):
    pytest.importorskip("matplotlib")
    with pytest.raises(jconvt.ArgumentError, match="unknown view"):
        corner.figure(view)


def test_complex_factors_stand_in_parentheses():
    why = explain(np.full((1, 1, 1), 1 + 2j, np.complex64), np.full((3, 1, 1), 3j, np.complex64), padding="VALID")
    pair = Page(why.html()).data["pairs"][0]
    assert (pair["factors"], pair["taps"], pair["input"]) == (["(1+2i)"], ["(0+3i)"] * 3, ["1+2i"])
    pytest.importorskip("matplotlib")
    assert "(1+2i) \N{MULTIPLICATION SIGN} kernel" in why.svg()
