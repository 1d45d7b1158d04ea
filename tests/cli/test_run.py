"""``jconvt run``: programs run as under Python, and their convolutions are replaced."""

import os
import pathlib
import subprocess
import sys
import textwrap

import pytest

import jconvt
from jconvt import _accelerate
from jconvt.__main__ import main

PROGRAM = """
import sys
import jax, numpy as np

def layer(lhs, rhs):
    return jax.lax.conv_general_dilated(lhs, rhs, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

if __name__ == "__main__":
    import sibling
    print(sys.argv, sys.path[0], __file__)
    print(jax.jit(layer)(np.ones((8, 32, 32, 64), "float32"), np.ones((3, 3, 64, 64), "float32"))[0, 0, 0, 0])
    sys.exit(sibling.STATUS)
"""


@pytest.fixture(autouse=True)
def program(tmp_path, monkeypatch):
    """A folder with a program and a module that it imports. The state of Python is restored."""
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "sibling.py").write_text("STATUS = 7\n")
    monkeypatch.setattr(sys, "argv", [*sys.argv])
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setattr(sys, "path", ["the first entry", *sys.path])
    monkeypatch.delitem(sys.modules, "sibling", raising=False)
    _accelerate._seen.clear()
    yield tmp_path / "program.py"
    sys.modules.pop("sibling", None)
    jconvt.accelerate(False)
    _accelerate._calls.clear()


def write(path, text):
    path.write_text(textwrap.dedent(text))
    return str(path)


def status(*argv):
    try:
        return main(["run", *argv])
    except SystemExit as stopped:
        return stopped.code


def test_run__double_dash_before_the_program(program):
    assert status("--", str(program), "x") == 7


def test_run__script(program, capsys):
    assert status("--report", str(program), "--report", "-m", "--", "x") == 7
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        f"{[str(program), '--report', '-m', '--', 'x']} {program.parent} {program}", "576.0"
    ]  # fmt: skip
    assert "(8,32,32,64)" in shown.err
    assert shown.err.endswith(" of 1 convolutions are computed by jconvt\n")


def test_run__module(program, capsys, monkeypatch):
    monkeypatch.chdir(program.parent)
    assert status("-m", "program", "--flag") == 7
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0] == f"{[str(program), '--flag']} {program.parent} {program}"
    assert not shown.err


def test_run__as_python_does(program):
    """The same program by Python, and by the command, in processes of their own."""
    command = [sys.executable, "-m", "jconvt", "run", "--report", program, "a"]
    python = subprocess.run([sys.executable, program, "a"], capture_output=True, text=True, timeout=300)
    found = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (found.returncode, found.stdout) == (python.returncode, python.stdout)
    assert "of 1 convolutions are computed by jconvt" in found.stderr
    assert not python.stderr


def test_run__exceptions_keep_their_traceback(tmp_path, capsys):
    path = write(tmp_path / "fails.py", "import os\nos.stat('/nonexistent')\n")
    assert status("--report", path) == 1
    shown = capsys.readouterr().err.splitlines()
    assert shown[0] == "Traceback (most recent call last):"
    assert shown[1] == f'  File "{path}", line 2, in <module>'
    assert "FileNotFoundError: [Errno 2] No such file or directory: '/nonexistent'" in shown
    assert shown[-1] == "0 of 0 convolutions are computed by jconvt"


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("raise ImportError('no')", 1),
        ("import jconvt; raise jconvt.ArgumentError('no')", 1),
        ("raise KeyboardInterrupt", 130),
        ("raise SystemExit", None),
        ("raise SystemExit('text')", "text"),
        ("1 +", 1),
        ("pass", 0),
    ],
)
def test_run__status(tmp_path, capsys, code, result):
    assert status("--report", write(tmp_path / "ends.py", code)) == result
    shown = capsys.readouterr().err
    assert "0 of 0 convolutions" in shown
    assert ("ends.py" in shown) == (result in (1, 130))
    assert "runpy" not in shown


def test_run__program_can_switch_it_off(tmp_path, capsys):
    path = write(
        tmp_path / "off.py", f"import jconvt\njconvt.accelerate(False)\n{PROGRAM.replace('sibling.STATUS', '0')}"
    )
    assert status("--report", path) == 0
    assert "0 of 0 convolutions" in capsys.readouterr().err


def test_run__arguments_and_handlers_at_exit_are_the_programs_own(tmp_path):
    code = """
        import atexit, pickle, sys
        def f(): pass
        atexit.register(lambda: print(len(pickle.dumps(f)) > 0, sys.modules["__main__"].f is f))
        print(sys.argv[1:], sys.argv[0])
    """
    write(tmp_path / "handlers.py", code)
    command = [sys.executable, "-m", "jconvt", "run", "handlers.py", "--", "a", "--"]
    path = [str(pathlib.Path(jconvt.__file__).parents[1])]
    found = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": os.pathsep.join(path)}, capture_output=True, text=True
    )
    assert found.stdout.splitlines() == ["['--', 'a', '--'] handlers.py", "True True"], found.stderr


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["nonexistent.py"], "there is no such program"),
        (["-m", "nonexistent"], "No module named nonexistent"),
        ([], "the following arguments are required: PROGRAM"),
        (["--repo", "x.py"], "unrecognized arguments"),
    ],
)
def test_run__wrong_arguments(argv, problem, capsys):
    assert status(*argv) == 2
    assert problem in capsys.readouterr().err
