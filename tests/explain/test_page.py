"""The data and the markup of an explanation's page; ``test_page_in_browser`` runs its script."""

import html.parser
import importlib.resources
import json
import re

import numpy as np
import pytest

import jconvt
from jconvt import explain
from jconvt._explain.formatting import COLOURS, WORDS_ON_LIGHT, tint
from jconvt._explain.words import LANGUAGES, words


class Page(html.parser.HTMLParser):
    """The elements of a page as a browser reads them, and the text in each."""

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


def test_html__data_are_the_numbers(corner):
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


def test_html__has_every_pair_of_channels_or_a_note():
    x, w = np.arange(8.0).reshape(1, 2, 4), np.arange(16.0).reshape(2, 2, 4)
    data = Page(explain(x, w, groups=2, pair=(2, 3)).html()).data
    assert [each["name"] for each in data["pairs"]][data["pair"]] == "input 2, output 3"
    assert len(data["pairs"]) == 8
    many = explain(np.ones((1, 6, 6, 8)), np.ones((4, 4, 8, 8)), strides=2, pair=(3, 4))
    data = Page(many.html()).data
    assert [each["name"] for each in data["pairs"]] == ["input 3, output 4"]
    assert data["notes"][-1] == "This page has one of 64 pairs."


def test_html__a_name_cannot_break_out(other, naughty):
    source = other.html()
    read = Page(source)
    assert read.tags.count("script") == 2
    assert read.attributes == ["data:,"]
    assert naughty in read.texts[read.tags.index("title")]
    assert {"NaN", "inf"} < {*read.data["pairs"][0]["kernel"], *read.data["pairs"][0]["input"]}
    assert "alert(1)</script>" not in source
    assert "http:" not in source
    assert "https:" not in source
    frame = Page(other._repr_html_())
    assert frame.tags == ["iframe"]
    assert "</iframe>" not in other._repr_html_()[:-9]


def test_html__a_note_cannot_break_out(corner, monkeypatch, naughty):
    monkeypatch.setattr(jconvt.Explanation, "remarks", lambda *_: [naughty])
    read = Page(corner.html())
    assert read.tags.count("script") == 2
    assert read.data["pairs"][0]["notes"] == [naughty]


def test_html__announces_a_wrong_library(corner, monkeypatch):
    monkeypatch.setitem(vars(corner), "agrees", False)
    assert "disagrees" in corner.html()


def test_html__complex_factors_have_parentheses():
    why = explain(np.full((1, 1, 1), 1 + 2j, np.complex64), np.full((3, 1, 1), 3j, np.complex64), padding="VALID")
    pair = Page(why.html()).data["pairs"][0]
    assert (pair["factors"], pair["taps"], pair["input"]) == (["(1+2i)"], ["(0+3i)"] * 3, ["1+2i"])


def placeholders(text):
    return sorted(re.findall(r"\{\w+\}", text))


def test_words__languages_have_the_same_keys_and_places():
    english, *others = map(words, LANGUAGES)
    page = "".join(
        importlib.resources.files("jconvt._explain").joinpath(name).read_text()
        for name in ("page.html", "page.js", "page.py", "products.py")
    )
    for other in others:
        assert other.keys() == english.keys()
        for key, text in english.items():
            assert placeholders(other[key]) == placeholders(text), key
            assert other[key] != text
    assert [key for key in english if key not in page] == []


@pytest.mark.parametrize("language", ["de", "zh-CN", None, ["en"]])
def test_language__unknown_raises(corner, language):
    with pytest.raises(jconvt.ArgumentError, match="do not have this language"):
        corner.html(language=language)


def schemes():
    """Return the variables of the style, for light and for dark screens."""
    style = importlib.resources.files("jconvt._explain").joinpath("page.css").read_text()
    return [dict(re.findall(r"--(\w+): (#\w+);", rule)) for rule in re.findall(r":root \{(.*?)\}", style)]


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot((0.2126, 0.7152, 0.0722), linear))


def contrast(one, other):
    """WCAG 2's contrast of two colours, from 1 to 21."""
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_style__words_are_legible_on_every_ground():
    assert round(contrast("#000000", "#ffffff"), 9) == 21
    for variables in schemes():
        tints = [variables[f"tint{n}"] for n in range(len(COLOURS))]
        for ground in (*tints, *(variables[name] for name in ("ground", "card", "empty", "window"))):
            assert contrast(variables["ink"], ground) >= 4.5, ground
        for number in range(len(COLOURS)):
            assert contrast(variables[f"word{number}"], variables["card"]) >= 4.5, number
        for ground in ("ground", "card", "empty"):
            assert contrast(variables["faint"], variables[ground]) >= 4.5, ground


def test_style__pixels_have_the_colours_of_figures():
    light, dark = schemes()
    for number, (colour, word) in enumerate(zip(COLOURS, WORDS_ON_LIGHT, strict=True)):
        assert light[f"line{number}"] == dark[f"line{number}"] == colour
        assert (light[f"word{number}"], light[f"tint{number}"]) == (word, tint(colour))
        assert dark[f"tint{number}"] == tint(colour, 0.55, dark["card"])
