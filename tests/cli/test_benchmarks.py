"""The commands of ``python -m benchmarks``, in a checkout, and every other library that it measures."""

import dataclasses
import importlib.util
import json
import pathlib
import subprocess
import sys

import jax
import pytest

from benchmarks import baselines, matmul_peak, measurement, scaling, suite, workloads
from benchmarks.cli import main
from benchmarks.problem import PASSES, Problem
from jconvt._core import selection
from tests.support import mutations

ROOT = pathlib.Path(__file__).parents[2]
BASELINES = [name for names in baselines.NAMES.values() for name in names]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """JAX as other libraries expect it, short measurements, and caches kept for later tests in this process."""
    monkeypatch.setattr(jax, "clear_caches", lambda: None)
    monkeypatch.setattr(matmul_peak, "sizes", lambda: (64,))
    monkeypatch.setattr(selection, "_BUDGET", 0.0)
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def test_compare__writes_what_show_shows(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("flax")
    names = ["auto", "gemm", "lax", "flax"]
    chosen = [argument for name in names for argument in ("--contender", name)]
    assert main(["--workload", "tiny", "--quick", "--dtype", "float32", "--output", str(tmp_path), *chosen]) == 0
    shown = capsys.readouterr().out
    (path,) = tmp_path.glob("*.json")
    content = json.loads(path.read_text())
    assert content["finished"]
    assert content["machine"]["processor"]
    assert content["versions"].keys() >= {"python", "jax", "jaxlib", "numpy", "flax"}
    assert [(each["workload"], each["pass"]) for each in content["problems"]] == [
        ("tiny", "forward"),
        ("tiny", "gradient"),
    ]
    for problem in content["problems"]:
        assert {each["contender"]: each["status"] for each in problem["standings"]} == dict.fromkeys(names, "timed")
    assert content["absent"] == {}
    assert content["peaks"]["float32"]["jax"] > 0
    page, picture = path.with_suffix(".md").read_text(), path.with_suffix(".svg").read_text()
    assert page.count("| tiny |") == page.count("| geometric mean |") == 2
    assert path.with_suffix(".svg").name in page
    assert "</svg>" in picture
    assert "geometric mean" in shown
    assert main(["show", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["forward,", "float32"]
    assert (path.with_suffix(".md").read_text(), path.with_suffix(".svg").read_text()) == (page, picture)


@pytest.mark.parametrize(
    "path",
    sorted(path for kind in ("amd", "models") for path in (ROOT / "benchmarks" / "results").glob(f"{kind}-*.json")),
    ids=lambda path: path.stem,
)
def test_show__published_results_make_the_published_page(capsys, tmp_path, path):
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    assert main(["show", str(copy)]) == 0
    assert copy.with_suffix(".md").read_text() == path.with_suffix(".md").read_text()


@pytest.fixture(scope="module")
def candidates():
    """Every library that is installed."""
    return baselines.find(BASELINES)[0]


@pytest.mark.parametrize("name", ["dcgan-3", "stylegan2-up", "bilinear-x2", "vnet-k4", "hifigan-up1"])
def test_baselines__are_right_on_every_kind_of_layer(candidates, name):
    _, workload = next(scaling.sizes(workloads.load()[name], "batch"))
    channels = 8 if workload.groups > 1 else 4
    workload = dataclasses.replace(
        workload, batch=2, input_channels=channels, output_channels=8, groups=min(workload.groups, 8)
    )
    lacking = {"bilinear-x2": {"flax"}, "hifigan-up1": {"torch-last"}}.get(name, set())
    for step in PASSES:
        results = measurement.measure(Problem(workload, step, "float32"), candidates, rounds=1)
        expected = {each: "unsupported" if each in lacking else "timed" for each in candidates}
        assert {result.candidate: result.status for result in results} == expected, results


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--workload", "nonsense"], "nonsense"),
        (["show", "missing.json"], "missing.json"),
        (["--output", "README.md/results", "--workload", "tiny"], "cannot write to README.md/results"),
        (["--tpu-compile", "--output", "README.md/results"], "cannot write to README.md/results"),
        (["--tpu-compile", "--topology", "v1"], "v1"),
        (["methods", "--dtype", "tf32"], "a CPU has no tf32"),
        (["methods", "--method", "reference"], "invalid choice: 'reference'"),
        (["methods", "--json", "README.md/figures.json"], "cannot write README.md/figures.json"),
    ],
)
def test_main__bad_arguments_end_with_2_before_any_work(monkeypatch, capsys, arguments, text):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(suite, "peaks", lambda *arguments: pytest.fail("work was done"))
    try:
        status = main(arguments)
    except SystemExit as stopped:
        status = stopped.code
    shown = capsys.readouterr()
    assert (status, shown.out) == (2, "")
    assert text in shown.err


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is not None, reason="TPU's compiler is installed")
def test_main__tables_of_a_tpu_need_its_compiler(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "--tpu-compile", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (2, "")
    assert "the TPU compiler is not installed" in done.stderr
    assert "Traceback" not in done.stderr


def test_methods__shows_and_writes_every_problem(capsys, tmp_path):
    path = tmp_path / "figures.json"
    methods = ["--method", "auto", "--method", "gemm"]
    assert main(["methods", "--workload", "tiny", "--quick", "--json", str(path), *methods]) == 0
    shown, errors = capsys.readouterr()
    assert errors == ""
    for text in ("forward, float32", "gradient, bfloat16", "tiny", "auto", "gemm"):
        assert text in shown
    content = json.loads(path.read_text())
    assert content["finished"]
    assert content["peaks"].keys() == {"float32", "bfloat16", "float16"}
    assert all(each.keys() == {"jax"} for each in content["peaks"].values())
    assert len(content["problems"]) == 6
    for problem in content["problems"]:
        assert problem["workload"] == "tiny"
        assert [each["contender"] for each in problem["standings"]] == ["auto", "gemm"]
        for each in problem["standings"]:
            assert each["status"] == "timed"
            assert len(each["times"]) in (2, 3)  # a slow one stops after two rounds
            assert each["compile_seconds"] > 0
            assert each["temporary_bytes"] >= 0


def test_methods__reports_a_wrong_method(monkeypatch, capsys):
    wrong = mutations.register(monkeypatch, mutations.flipped, "vjp")
    options = ["--quick", "--pass", "forward", "--dtype", "float32", "--method", wrong]
    assert main(["methods", "--workload", "tiny", *options]) == 1
    assert f"Wrong: {wrong} on tiny, forward, float32: off by" in capsys.readouterr().out


def test_methods__interrupt_keeps_what_was_measured(monkeypatch, capsys, tmp_path):
    measure = measurement.measure

    def interrupted(problem, *arguments, **options):
        if problem.step == "gradient":
            raise KeyboardInterrupt
        return measure(problem, *arguments, **options)

    monkeypatch.setattr(measurement, "measure", interrupted)
    path = tmp_path / "figures.json"
    arguments = ["methods", "--workload", "tiny", "--quick", "--dtype", "float32", "--json", str(path)]
    assert main([*arguments, "--method", "auto"]) == 130
    content = json.loads(path.read_text())
    assert (content["finished"], [problem["pass"] for problem in content["problems"]]) == (False, ["forward"])
    assert "forward, float32" in capsys.readouterr().out


def test_scaling__shows_both_series(monkeypatch, capsys):
    monkeypatch.setattr(scaling, "_STEPS", 2)
    monkeypatch.setattr(scaling, "_MOST", 4)
    assert main(["scaling", "--quick", "--workload", "tiny", "--pass", "forward", "--method", "gemm"]) == 0
    rows = [line.split()[:3] for line in capsys.readouterr().out.splitlines() if "tiny" in line]
    assert rows == [["tiny", "forward", "pixels"], ["tiny", "forward", "batch"]]


def test_choices__compares_predictions_with_measurements(capsys, tmp_path):
    path = tmp_path / "choices.md"
    assert main(["choices", "--workload", "tiny", "--dtype", "float32", "--page", str(path)]) == 0
    rows = [line.strip("| ").split(" | ") for line in path.read_text().splitlines() if line.startswith("| tiny")]
    assert [row[2] for row in rows] == ["transposed convolution", "forward convolution", "kernel gradient"]
    for *_, predicted, fastest, cost in rows:
        assert float(cost) >= 1
        assert (predicted == fastest) <= (float(cost) == 1)
    assert "of 3 predictions name the fastest method" in capsys.readouterr().out
