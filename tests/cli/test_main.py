"""The command line as a whole: commands and options, what it imports, and how it fails."""

import os
import pathlib
import subprocess
import sys

import pytest

from jconvt import __version__
from jconvt.__main__ import main
from jconvt._cli.main import COMMANDS

LAYER = ["--input", "4x4", "--kernel", "3", "--stride", "2"]


def run(*command, **options):
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=300, **options)


def test_main__without_a_command_lists_all(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


def test_main__version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert (stopped.value.code, capsys.readouterr().out) == (0, f"jconvt {__version__}\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_main__help_of_each_command(capsys, command):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert f"usage: jconvt {command}" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [["nonsense"], ["check", "--method", "nonsense"], ["demo", "--nonsense"]])
def test_main__unknown_arguments_end_with_2(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 2
    assert "nonsense" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [
        ["translate", "--from", "torch", "--to", "keras", *LAYER, "--out", "1"],
        ["convert", "in.pt", "out.pt", "--part"],
        ["explain", "--out", "4"],
        ["choose", *LAYER, "--out", "1"],
        ["check", "--qui"],
        ["bench", "--chan", "8x8"],
        ["--vers"],
    ],
)
def test_main__abbreviated_options_are_unknown(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 2
    assert "unrecognized arguments" in capsys.readouterr().err


WITHOUT_A_DEVICE = """
import os, sys
os.environ["JAX_PLATFORMS"] = "nonexistent"
from jconvt.__main__ import main

def status(*argv):
    try:
        return main(argv)
    except SystemExit as stopped:
        return stopped.code

layer = ["--input", "4x4", "--kernel", "3", "--stride", "2"]
found = [
    status("translate", "--from", "torch", "--to", "keras", *layer),
    status("choose", *layer, "--platform", "tpu"),
]
assert not {"jconvt._explain", "jconvt.weights", "jconvt._testing", "jconvt._cli.demo"} & {*sys.modules}, sys.modules
found += [status("explain", "--help"), status("convert", "missing.pt", "out.pt")]
assert not {"torch", "tensorflow", "flax", "matplotlib", "jconvt._testing.check"} & {*sys.modules}, sys.modules
from jax._src import xla_bridge
assert not xla_bridge._backends
print(found + [status(*argv) for argv in (["demo"], ["check"], ["bench"], ["explain"], ["choose", *layer])])
"""


def test_main__only_commands_that_compute_touch_a_device():
    done = run("-c", WITHOUT_A_DEVICE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str([0, 0, 0, 2, 2, 2, 2, 2, 2])
    for command in ("demo", "check", "bench", "explain", "choose"):
        assert f"jconvt {command}: JAX finds no device" in done.stderr
    assert "missing.pt" in done.stderr
    assert "Traceback" not in done.stderr


WITHOUT_RICH = """
import sys
import jconvt
assert not {"rich", "jconvt._cli.main"} & {*sys.modules}
sys.modules["rich"] = None
import jconvt.__main__
sys.exit(jconvt.__main__.main(["demo"]))
"""


def test_main__only_the_command_line_needs_rich():
    done = run("-c", WITHOUT_RICH)
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'jconvt[cli]'" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="there is no full device here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_main__output_that_cannot_be_written(unbuffered):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "jconvt", "explain"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )
    assert (done.returncode, done.stderr) == (2, "jconvt: cannot write the output: No space left on device\n")
