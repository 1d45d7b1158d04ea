"""``jconvt choose`` and ``jconvt bench``."""

import pytest

import jconvt
from jconvt.__main__ import main
from jconvt._cli import bench
from jconvt._core import selection
from jconvt._core.selection import methods_in_use
from jconvt._methods import METHODS


@pytest.fixture
def short(monkeypatch):
    """Measure for as short a time as possible."""
    monkeypatch.setattr(selection, "_BUDGET", 0.0)
    monkeypatch.setattr(selection, "_MEASURED", selection._Measured())


SPEC = jconvt.Spec.from_tensorflow((8, 4, 4, 16), (5, 5, 8, 16), strides=2)


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_choose__shows_what_the_function_returns(capsys, platform, dtype):
    options = "--input 4x4 --kernel 5 --channels 16x8 --batch 8 --stride 2 --padding same"
    assert main(["choose", *options.split(), "--platform", platform, "--dtype", dtype]) == 0
    expected = jconvt.choose(SPEC, (8, 4, 4, 16), (5, 5, 8, 16), platform=platform, dtype=dtype)
    assert capsys.readouterr().out == f"{expected}\n"


def test_choose__shows_what_several_devices_change(capsys):
    options = "--input 4x4 --kernel 5 --channels 16x8 --batch 8 --stride 2 --platform cpu --devices 4"
    assert main(["choose", *options.split()]) == 0
    expected = jconvt.choose(SPEC, (8, 4, 4, 16), (5, 5, 8, 16), platform="cpu", devices=4)
    assert capsys.readouterr().out == f"{expected}\n"


@pytest.mark.parametrize("option", ["--convention", "--from"])
def test_choose__reads_the_arguments_of_any_framework(capsys, option):
    spec = jconvt.Spec.from_torch((1, 8, 16, 16), (8, 2, 4, 3), stride=(2, 1), padding=1, groups=2)
    options = "--input 16x16 --kernel 4x3 --channels 8x4 --stride 2x1 --padding 1 --groups 2 --platform cpu"
    assert main(["choose", option, "torch", *options.split()]) == 0
    expected = jconvt.choose(spec, (1, 8, 16, 16), (4, 3, 2, 8), data_format="NCHW", platform="cpu")
    assert capsys.readouterr().out == f"{expected}\n"


@pytest.mark.usefixtures("short")
def test_choose__measures(capsys):
    assert main(["choose", "--input", "4", "--kernel", "3", "--stride", "2", "--measure"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("measured times, relative:") == 3
    assert f"on {jconvt.choose(SPEC, (8, 4, 4, 16), (5, 5, 8, 16)).platform}:" in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--kernel 3", "the following arguments are required: --input"),
        ("--input 4x4 --kernel 3x3x3", "--kernel has the wrong number"),
        ("--input 4 --kernel 3 --convention keras --groups 2", "keras"),
        ("--input 4 --kernel 3 --channels 3x3 --groups 2", "divide the input channels"),
        ("--input 4 --kernel 3 --platform abacus", "invalid choice: 'abacus'"),
        ("--input 4 --kernel 3 --dtype float5", "invalid choice: 'float5'"),
        ("--input 4 --kernel 3 --platform tpu --measure", "measure=True times programs on the default device"),
    ],
)
def test_choose__wrong_options(capsys, options, message):
    try:
        status = main(["choose", *options.split()])
    except SystemExit as stopped:
        status = stopped.code
    shown = capsys.readouterr()
    assert (status, shown.out) == (2, "")
    assert message in shown.err


@pytest.mark.usefixtures("short")
def test_bench__times_one_layer(capsys):
    options = "--convention torch --input 4 --kernel 3 --stride 2 --channels 2x2 --dtype bfloat16"
    assert main(["bench", *options.split()]) == 0
    shown = capsys.readouterr().out
    header, *rows = [line.split() for line in shown.splitlines() if line.strip()][:6]
    assert header == ["milliseconds", *(name for name in methods_in_use() if METHODS[name].how)]
    assert {"dilated", "vjp", "polyphase", "gemm"} < {*header}
    assert [" ".join(row[:2]) for row in rows[1:]] == [
        "this layer",
        "transposed convolution",
        "forward convolution",
        "kernel gradient",
    ]
    assert rows[-1].count("-") == 1  # polyphase has no kernel gradient of its own
    assert all(float(cell.replace(",", "")) > 0 for row in rows[2:] for cell in row[2:] if cell != "-")


def test_bench__times_built_in_layers(monkeypatch, capsys):
    """Predicted times take the place of measured ones: the layers are too large to measure in a test."""

    def predict(arguments, measure):
        assert measure
        return choice(arguments, platform="cpu")

    choice = bench.choose.choice
    monkeypatch.setattr(bench.choose, "choice", predict)
    assert main(["bench"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in bench.LAYERS)
    assert shown.count("kernel gradient") == len(bench.LAYERS)


def test_bench__one_of_input_and_kernel_raises(capsys):
    assert main(["bench", "--kernel", "3"]) == 2
    assert "a layer needs both --input and --kernel" in capsys.readouterr().err
