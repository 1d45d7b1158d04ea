"""``jconvt explain``: what the command shows and writes, and the options and files that it rejects."""

import re

import numpy as np
import pytest

import jconvt
from jconvt import explain
from jconvt._cli import main


def command(*options):
    try:
        return main.main(["explain", *options])
    except SystemExit as stop:
        return stop.code


def test_explain__writes_the_page_in_a_language(tmp_path):
    pytest.importorskip("matplotlib")
    page_file, figure = tmp_path / "page.html", tmp_path / "figure.svg"
    assert command("--html", str(page_file), "--figure", str(figure), "--language", "zh") == 0
    assert '<html lang="zh-CN">' in page_file.read_text(encoding="utf-8")
    assert figure.exists()


def test_explain__shows_the_example(capsys):
    assert command() == 0
    shown = capsys.readouterr()
    assert "out[0,0] = -67*-1 = 67" in shown.out
    assert "out[2,2] = -67*-9 + -77*-7 + -117*-3 + -127*-1 = 1620" in shown.out
    assert shown.err == ""


@pytest.mark.parametrize("convention", jconvt._conventions.registry.CONVENTIONS)
def test_explain__shows_the_example_in_every_convention(capsys, convention):
    assert command("--convention", convention, "--cell", "0,0", "--view", "all") == 0
    shown = capsys.readouterr().out
    backwards = convention in ("lax", "flax")
    assert f"out[0,0] = -67*{'-9 = 603' if backwards else '-1 = 67'}" in shown
    assert ("stamps its kernels backwards" in shown.replace("\n ", "")) == backwards


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ("--input 4 --kernel 3 --stride 2 --cell 3", "out[3] = 2*2 = 4"),
        ("--input [1,2] --kernel [1,10] --cell 1", "out[1] = 1*10 + 2*1 = 12"),
        ("--input [[1,2],[3,NaN]] --kernel 1x1 --cell 1,1", "out[1,1] = NaN*1 = NaN"),
        ("--input 2x2 --kernel 2x2 --stride 2 --output-shape 3x3 --cell 2,2", "out[2,2] = 4*1 = 4"),
        ("--input 2x2 --kernel 2x2 --stride 2x1 --dilation 1x2 --padding valid --cell 0,2", "out[0,2] = 1*2 = 2"),
        ("--input 3 --kernel 2 --channels 2x4 --groups 2 --pair 1,2 --cell 0", "out[0] = 2*2 = 4"),
        (
            "--convention torch --input 3 --kernel 3 --stride 2 --padding 1 --output-padding 1 --cell 5",
            "out[5] = 3*3 = 9",
        ),
    ],
)
def test_explain__shows_a_call_stated_by_options(capsys, options, line):
    assert command(*options.split()) == 0
    assert line in capsys.readouterr().out


def test_explain__reads_arrays_and_writes_files(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    x, w = np.random.default_rng(0).integers(-9, 9, (2, 2, 3, 3, 2)).astype(np.float32)[0], np.ones((2, 2, 3, 2))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "w.npy", w.astype(np.float32))
    operands = ["--input", str(tmp_path / "x.npy"), "--kernel", str(tmp_path / "w.npy")]
    wanted = explain(x, w.astype(np.float32), image=1, pair=(1, 2))
    page_file, figure = tmp_path / "page.html", tmp_path / "figure.svg"
    options = ["--image", "1", "--pair", "1,2", "--cell", "0,0"]
    assert command(*operands, *options) == 0
    assert wanted.sentence((0, 0)) in capsys.readouterr().out
    assert command(*operands, *options, "--html", str(page_file), "--figure", str(figure), "--view", "gradient") == 0
    assert capsys.readouterr().out == f"wrote {page_file}\nwrote {figure}\n"
    assert page_file.read_text() == wanted.html((0, 0))
    assert figure.read_text() == wanted.svg("gradient", (0, 0))
    assert len([*tmp_path.iterdir()]) == 4


WRONG = [
    ("--input [[1,2],[3]] --kernel 2x2", "--input is no array of numbers.*quote the lists"),
    ("--input nothing.npy --kernel 2x2", "--input is no array.*No such file"),
    ("--input 2x2 --kernel [[1,'a']]", "--kernel is no array"),
    ("--input 3 --kernel {}", "--kernel is no array"),
    ("--input [null,1] --kernel 3", "--input is no array.*no nested list of numbers"),
    ('--input ["1"] --kernel 3', "--input is no array.*no nested list of numbers"),
    ("--input [true] --kernel 3", "--input is no array.*no nested list of numbers"),
    ("--input [1e39] --kernel 3", "--input is no array.*too large for float32"),
    ("--input 4 --kernel 3x3", "different numbers of axes.*1 spatial axes in --input, 2 in --kernel"),
    ("--input 4x4x4 --kernel 3x3x3", "one or two spatial axes"),
    ("--input 20x20 --kernel 3x3", "more than can be read"),
    ("--input 999999x999999 --kernel 3x3", r"more than can be read.*\(1, 999999, 999999, 1\)"),
    ("--input 4 --kernel 3 --channels 1x1 --groups 2", "groups does not divide"),
    ("--input 0 --kernel 3", "nothing to explain"),
    ("--stride 0", "strides.*0"),
    ("--cell 9,9", "no such output cell.*0 to 4 along axis 0"),
    ("--cell 1,a", "'1,a' is no index"),
    ("--pair 1,0", "no kernel leads"),
    ("--stride 2x2x2 --input 2x2 --kernel 2x2", "stride has the wrong number"),
    ("--convention torch --output-shape 5x5", "'output_shape' unknown"),
    ("--convention caffe", "invalid choice: 'caffe'"),
    ("--view side", "invalid choice: 'side'"),
    ("--html page.txt", "ending of the file.*page.txt.*.html"),
    ("--html no/such/place.html", "cannot be written.*No such file"),
    ("--figure picture.html", "ending of the file"),
    ("--html page.html --figure picture.jpg", "ending of the file.*picture.jpg"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_explain__wrong_option_ends_with_2(capsys, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    assert command(*options.split()) == 2
    shown = capsys.readouterr()
    assert re.search(message, shown.err, re.S), shown.err
    assert shown.out == ""
    assert "Traceback" not in shown.err
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("content", ["archive", "pickle", "nothing", "cut"])
def test_explain__file_without_an_array_ends_with_2(capsys, tmp_path, content):
    path = tmp_path / "x.npy"
    with path.open("wb") as file:
        if content == "archive":
            np.savez(file, a=1)
        elif content == "pickle":
            np.save(file, np.array([{}], object), allow_pickle=True)
        elif content == "cut":
            np.save(file, np.ones(9))
            file.truncate(file.tell() - 8)
    assert command("--input", str(path), "--kernel", "[1]") == 2
    assert "--input is no array of numbers" in capsys.readouterr().err


def test_explain__ends_with_1_if_the_library_is_wrong(capsys, monkeypatch):
    monkeypatch.setattr(jconvt.Explanation, "agrees", False)
    assert command() == 1
    assert "DISAGREES" in capsys.readouterr().out
