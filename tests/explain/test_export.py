"""Explanations as files, and without matplotlib."""

import itertools
import re
import subprocess
import sys

import numpy as np
import pytest

import jconvt
from jconvt import explain


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_save__pictures(corner, tmp_path, ending):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"picture.{ending.upper()}"
    corner.save(path, "overlap", (0, 0))
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending]
    assert path.read_bytes().startswith(start)
    assert [*tmp_path.iterdir()] == [path]


def test_save__an_animation_has_a_frame_for_each_output(tmp_path):
    pytest.importorskip("matplotlib")
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


def test_save__pictures_are_in_english(corner, tmp_path):
    corner.save(tmp_path / "page.html", language="zh")
    assert "每个数从何而来" in (tmp_path / "page.html").read_text(encoding="utf-8")
    with pytest.raises(jconvt.ArgumentError, match="pictures are in English only"):
        corner.save(tmp_path / "picture.png", language="zh")


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
def test_save__unwritable_path_raises(corner, tmp_path, monkeypatch, path, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.html").mkdir()
    with pytest.raises((jconvt.ArgumentError, jconvt.ArgumentTypeError)) as error:
        corner.save(path)
    assert re.search(message, str(error.value), re.S), error.value
    assert [entry.name for entry in tmp_path.rglob("*")] == ["taken.html"]


@pytest.mark.parametrize("ending", ["html", "png", "svg", "gif"])
def test_save__errors_keep_the_old_file(corner, tmp_path, ending):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"old.{ending}"
    path.write_text("old")
    with pytest.raises(jconvt.ArgumentError, match=r"no such output cell|unknown view"):
        corner.save(path, *(("nothing",) if ending == "gif" else (None, (9, 9))))
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]


def test_save__without_matplotlib_the_error_names_the_extra(tmp_path):
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
