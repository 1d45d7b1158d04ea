"""The command line, and that it sees a method that is wrong."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from jconvt import __version__
from jconvt.__main__ import main
from jconvt._cli import demo
from jconvt._methods import MAPS, METHODS, dilated, vjp
from jconvt._testing import check, goldens


def flipped(x, w, spec, *rest):
    return vjp.transposed_convolution(x, jnp.flip(w, range(spec.rank)), spec, *rest)


def shifted(x, w, spec, layout, *rest):
    y = dilated.transposed_convolution(x, w, spec, layout, *rest)
    return jnp.roll(y, 1, layout.spatial_axes[-1])


def halved(x, w, spec, layout, dtype, precision):
    """What a TPU does to float32 where no precision is asked for."""
    x, w = (jax.lax.reduce_precision(array, exponent_bits=8, mantissa_bits=7) for array in (x, w))
    return vjp.transposed_convolution(x, w, spec, layout, dtype, precision)


@pytest.fixture
def replace(monkeypatch):
    """Puts another function in a method's place; compiled calls of the method are forgotten before and after."""

    def put(method, function, among=METHODS):
        monkeypatch.setitem(among, method, function)
        jax.clear_caches()

    yield put
    monkeypatch.undo()
    jax.clear_caches()


def run(*command):
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=300)


def test_demo(capsys):
    assert main(["demo"]) == 0
    shown, errors = capsys.readouterr()
    for number in ("67 = -67 * -1", "603 = -67 * -9", "1620", "-1016", "= 808"):
        assert number in shown
    for text in (
        "auto",
        *METHODS,
        goldens.manifest()["tensorflow"],
        "JAX " + jax.__version__,
        jax.devices()[0].platform,
    ):
        assert text in shown
    assert "DISAGREES" not in shown
    assert errors == ""


def test_demo_measures_every_method():
    shown = demo.run()
    assert [result.method for result in shown.results] == ["auto", *METHODS]
    assert all(result.microseconds > 0 and result.output.shape == (5, 5) for result in shown.results)
    assert (shown.spread, shown.gradient.gradient_error) == (0, 0)
    assert shown.gradient.forward_product == shown.gradient.transpose_product != 0


def test_check(capsys, tmp_path):
    path = tmp_path / "summary.json"
    assert main(["check", "--quick", "--json", str(path)]) == 0
    shown, errors = capsys.readouterr()
    assert errors == ""
    assert all(text in shown for text in METHODS)
    assert "Not supported here: vjp, int32" in shown
    report = json.loads(path.read_text())
    assert [entry.name for entry in tmp_path.iterdir()] == ["summary.json"]
    assert shown.splitlines()[-1].strip() == f"{report['passed']} checks passed, 0 failed"
    assert report["passed"] == sum(row["passed"] for row in report["rows"]) > 100
    assert report["device"]["jax"] == jax.__version__
    assert {entry["status"] for entry in report["exceptions"]} == {"unsupported"}


def test_quick_keeps_every_kind_method_and_dtype():
    def rows(checks):
        return {(each.kind, each.method, each.dtype) for each in checks}

    full, quick = check.plan(), check.plan(quick=True)
    assert rows(full) == rows(quick)
    assert {each.kind for each in full} == set(check.KINDS)
    assert len(quick) < len(full) / 6
    assert {each.method for each in check.plan(["vjp", "auto"])} == {"vjp", "auto"}


@pytest.mark.parametrize(
    ("method", "wrong", "right"),
    [("vjp", flipped, {"gradient"}), ("dilated", shifted, set())],  # JAX derives what is not written for a method
)
def test_wrong_method_is_found(replace, capsys, tmp_path, method, wrong, right):
    replace(method, wrong)
    assert main(["demo"]) == 1
    assert "DISAGREES" in capsys.readouterr().out
    path = tmp_path / "summary.json"
    assert main(["check", "--quick", "--method", method, "--method", "reference", "--json", str(path)]) == 1
    shown = capsys.readouterr().out
    assert f"method='{method}'" in shown
    assert ", 0 failed" not in shown
    report = json.loads(path.read_text())
    assert {row["kind"] for row in report["rows"] if row["failed"]} == set(check.KINDS) - right
    assert {row["method"] for row in report["rows"] if row["failed"]} == {method}
    call = next(entry["reproduce"] for entry in report["exceptions"] if entry["status"] == "failed")
    assert eval(call, {"jconvt": sys.modules["jconvt"]}).status == "failed"


def test_wrong_gradient_is_found(replace):
    case = check.Check("gradient", "2d", "vjp", "float32")
    assert check.perform(case).status == "passed"
    replace("vjp", lambda *arguments: 2 * vjp.forward_convolution(*arguments), MAPS["forward_convolution"])
    assert check.perform(case).status == "failed"


def test_wrong_rounding_is_found(replace):
    case = check.Check("result", "2d", "vjp", "float32")
    assert check.perform(case).status == "passed"
    replace("vjp", halved)
    assert check.perform(case).status == "failed"


@pytest.mark.parametrize("result", [jnp.nan, jnp.inf])
def test_not_a_number_is_a_failure(replace, result):
    replace("vjp", lambda *arguments: vjp.transposed_convolution(*arguments) + result)
    for kind in ("result", "adjoint"):
        assert check.perform(check.Check(kind, "2d", "vjp", "float32")).status == "failed"


@pytest.mark.parametrize(
    ("error", "dtype", "status"),
    [
        (NotImplementedError("no such unit"), "complex64", "unsupported"),
        (NotImplementedError("no such unit"), "bfloat16", "failed"),
        (ValueError("a defect"), "complex64", "failed"),
    ],
)
def test_only_an_optional_dtype_may_be_unsupported(replace, error, dtype, status):
    def refuse(*arguments):
        raise error

    replace("vjp", refuse)
    outcome = check.perform(check.Check("result", "2d", "vjp", dtype))
    assert (outcome.status, outcome.detail) == (status, f"{type(error).__name__}: {error}")


def test_interrupted_check_leaves_the_old_file(monkeypatch, tmp_path):
    def interrupt(each):
        raise KeyboardInterrupt

    path = tmp_path / "summary.json"
    path.write_text("old")
    monkeypatch.setattr(check, "perform", interrupt)
    assert main(["check", "--quick", "--json", str(path)]) == 130
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("summary.json", "old")]


@pytest.mark.parametrize("name", [".", "missing/summary.json"])
def test_unwritable_path_is_refused_before_any_work(monkeypatch, capsys, tmp_path, name):
    monkeypatch.setattr(check, "perform", lambda each: pytest.fail("work was done"))
    with pytest.raises(SystemExit) as stopped:
        main(["check", "--json", str(tmp_path / name)])
    assert stopped.value.code == 2
    assert f"cannot write {tmp_path / name}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("argv", [["nonsense"], ["check", "--method", "nonsense"], ["demo", "--nonsense"]])
def test_unknown_arguments(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 2
    assert "nonsense" in capsys.readouterr().err


def test_help_and_version(capsys):
    assert main([]) == 0
    assert "demo" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert (stopped.value.code, capsys.readouterr().out) == (0, f"jconvt {__version__}\n")


def test_demo_as_a_module():
    done = run("-m", "jconvt", "demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1620" in done.stdout


def test_check_as_a_module():
    done = run("-m", "jconvt", "check", "--quick", "--method", "reference")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(" checks passed, 0 failed\n")


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="there is no full device here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["demo", "explain"])
def test_output_that_cannot_be_written(command, unbuffered):
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        found = subprocess.run(
            [sys.executable, "-m", "jconvt", command], stdout=full, stderr=subprocess.PIPE, text=True, env=environment
        )
    assert (found.returncode, found.stderr) == (2, "jconvt: cannot write the output: No space left on device\n")


def test_rich_is_needed_by_the_command_line_alone():
    done = run("-c", "import jconvt, sys; print({'rich', 'jconvt._cli.main'} & {*sys.modules})")
    assert (done.returncode, done.stdout) == (0, "set()\n")
    done = run("-c", "import sys; sys.modules['rich'] = None; import jconvt.__main__ as m; sys.exit(m.main(['demo']))")
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'jconvt[cli]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_device():
    start = (
        "import os, sys; os.environ['JAX_PLATFORMS'] = 'none'; import jconvt.__main__ as m; sys.exit(m.main(['demo']))"
    )
    done = run("-c", start)
    assert (done.returncode, done.stdout) == (2, "")
    assert "JAX finds no device" in done.stderr
