"""``jconvt demo`` and ``jconvt check``, and that they find a method that is wrong."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from jconvt.__main__ import main
from jconvt._core.selection import methods_in_use
from jconvt._geometry.maps import Map
from jconvt._testing import check, goldens
from tests.support import mutations


def test_demo__shows_every_method(capsys):
    assert main(["demo"]) == 0
    shown, errors = capsys.readouterr()
    for number in ("67 = -67 * -1", "603 = -67 * -9", "1620", "-1016", "= 808"):
        assert number in shown
    device = f"platform {jax.devices()[0].platform}, device {jax.devices()[0].device_kind}, JAX {jax.__version__}"
    for text in ("auto", *methods_in_use(), goldens.manifest()["tensorflow"], device):
        assert text in shown
    assert shown.count("agrees") == 2
    assert "DISAGREES" not in shown
    assert errors == ""


def test_check__shows_and_writes_the_summary(capsys, tmp_path):
    path = tmp_path / "summary.json"
    assert main(["check", "--quick", "--method", "vjp", "--method", "reference", "--json", str(path)]) == 0
    shown, errors = capsys.readouterr()
    assert errors == ""
    assert "Unsupported here: vjp, int32" in shown
    report = json.loads(path.read_text())
    assert [entry.name for entry in tmp_path.iterdir()] == ["summary.json"]
    assert shown.splitlines()[-1].strip() == f"{report['passed']} checks passed, 0 failed"
    assert report["passed"] == sum(row["passed"] for row in report["rows"]) > 30
    assert {row["method"] for row in report["rows"]} == {"vjp", "reference"}
    assert report["device"]["jax"] == jax.__version__
    assert {entry["status"] for entry in report["exceptions"]} == {"unsupported"}


def test_check_plan__quick_keeps_every_kind_method_and_dtype():
    full, quick = check.plan(), check.plan(quick=True)
    assert {each.row for each in full} == {each.row for each in quick}
    assert {each.kind for each in full} == set(check.KINDS)
    assert {each.method for each in full} == {"auto", *methods_in_use()}
    assert len(quick) < len(full) / 6
    assert {each.method for each in check.plan(["vjp", "auto"])} == {"vjp", "auto"}


@pytest.fixture
def one_case(monkeypatch):
    """Let ``jconvt check`` make one check of each kind and method, so that little is compiled."""
    subjects = dict.fromkeys(check.KINDS, "2d") | {"golden": "example"}

    def plan(methods, quick):
        return [check.Check(kind, subjects[kind], method, "float32") for kind in check.KINDS for method in methods]

    monkeypatch.setattr(check, "plan", plan)


@pytest.mark.usefixtures("one_case")
@pytest.mark.parametrize(("mutation", "method"), [(mutations.flipped, "vjp"), (mutations.shifted, "dilated")])
def test_check__finds_a_wrong_method(monkeypatch, capsys, tmp_path, mutation, method):
    wrong = mutations.register(monkeypatch, mutation, method)
    assert main(["demo"]) == 1
    assert "DISAGREES" in capsys.readouterr().out
    path = tmp_path / "summary.json"
    assert main(["check", "--method", wrong, "--method", "gemm", "--json", str(path)]) == 1
    shown = capsys.readouterr().out
    assert f"method='{wrong}'" in shown
    assert "4 checks passed, 4 failed" in shown
    report = json.loads(path.read_text())
    assert {row["kind"] for row in report["rows"] if row["failed"]} == set(check.KINDS)
    assert {row["method"] for row in report["rows"] if row["failed"]} == {wrong}
    call = next(entry["reproduce"] for entry in report["exceptions"] if entry["status"] == "failed")
    assert eval(call, {"jconvt": sys.modules["jconvt"]}).status == "failed"


@pytest.mark.parametrize(
    ("kind", "mutation", "map"),
    [
        ("gradient", mutations.doubled, Map.FORWARD),
        ("gradient", mutations.doubled, Map.KERNEL_GRADIENT),
        ("result", mutations.rounded, Map.TRANSPOSE),
    ],
)
def test_check_perform__finds_a_wrong_map(monkeypatch, kind, mutation, map):
    wrong = mutations.register(monkeypatch, mutation, "vjp", map)
    assert check.perform(check.Check(kind, "2d", "vjp", "float32")).status == "passed"
    assert check.perform(check.Check(kind, "2d", wrong, "float32")).status == "failed"


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf])
def test_check_perform__not_a_number_fails(monkeypatch, value):
    def spoiled(compute, *arguments):
        return compute(*arguments) + value

    wrong = mutations.register(monkeypatch, spoiled, "vjp")
    for kind in ("result", "adjoint"):
        assert check.perform(check.Check(kind, "1d", wrong, "float32")).status == "failed"


@pytest.mark.parametrize(
    ("error", "dtype", "status"),
    [
        (NotImplementedError("no such unit"), "complex64", "unsupported"),
        (NotImplementedError("no such unit"), "bfloat16", "failed"),
        (ValueError("a defect"), "complex64", "failed"),
    ],
)
def test_check_perform__only_an_optional_dtype_may_be_unsupported(monkeypatch, error, dtype, status):
    def broken(compute, *arguments):
        raise error

    outcome = check.perform(check.Check("result", "1d", mutations.register(monkeypatch, broken, "vjp"), dtype))
    assert (outcome.status, outcome.detail) == (status, f"{type(error).__name__}: {error}")


def test_check__interrupted_leaves_the_old_file(monkeypatch, tmp_path):
    def interrupt(each):
        raise KeyboardInterrupt

    path = tmp_path / "summary.json"
    path.write_text("old")
    monkeypatch.setattr(check, "perform", interrupt)
    assert main(["check", "--quick", "--json", str(path)]) == 130
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("summary.json", "old")]


@pytest.mark.parametrize("name", [".", "missing/summary.json"])
def test_check__unwritable_path_raises_before_any_work(monkeypatch, capsys, tmp_path, name):
    monkeypatch.setattr(check, "perform", lambda each: pytest.fail("work was done"))
    with pytest.raises(SystemExit) as stopped:
        main(["check", "--json", str(tmp_path / name)])
    assert stopped.value.code == 2
    assert f"cannot write {tmp_path / name}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_check__as_a_module():
    command = [sys.executable, "-m", "jconvt", "check", "--quick", "--method", "reference"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(" checks passed, 0 failed\n")
