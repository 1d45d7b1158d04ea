"""``python -m benchmarks`` as it is run: in a checkout, in a process of its own."""

import importlib.util
import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
RIVALS = ["tensorflow", "torch", "torch-last", "lax", "flax"]

for library in ("matplotlib", "flax"):
    pytest.importorskip(library)


def run(*command):
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_compare_and_show(tmp_path):
    names = ["auto", "gemm", "torch", "torch-last", "lax", "flax"]  # without TensorFlow, which takes long to import
    chosen = [argument for name in names for argument in ("--contender", name)]
    command = ["--workload", "tiny", "--quick", "--dtype", "float32", "--output", str(tmp_path), *chosen]
    shown = run("-m", "benchmarks", *command)
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
        statuses = {each["contender"]: each["status"] for each in problem["standings"]}
        assert {*statuses, *content["absent"]} == {*names}
        assert set(statuses.values()) == {"timed"}
    assert content["peaks"]["float32"]["jax"] > 0
    page, picture = path.with_suffix(".md").read_text(), path.with_suffix(".svg").read_text()
    assert page.count("| tiny |") == page.count("| geometric mean |") == 2
    assert path.with_suffix(".svg").name in page
    assert "</svg>" in picture
    assert "geometric mean" in shown
    again = run("-m", "benchmarks", "show", str(path))
    assert again.splitlines()[0].split() == ["forward,", "float32"]
    assert (path.with_suffix(".md").read_text(), path.with_suffix(".svg").read_text()) == (page, picture)


RIGHT = """
import dataclasses, sys
from benchmarks import bench, rivals, scaling, workloads
from benchmarks.problem import PASSES, Problem
contenders, missing = rivals.find(sys.argv[1:])
for name in ("dcgan-3", "stylegan2-up", "bilinear-x2", "vnet-k4", "hifigan-up1"):
    _, workload = next(scaling.sizes(workloads.load()[name], "batch"))
    channels = 8 if workload.groups > 1 else 4
    workload = dataclasses.replace(
        workload, batch=2, input_channels=channels, output_channels=8, groups=min(workload.groups, 8)
    )
    for step in PASSES:
        for standing in bench.measure(Problem(workload, step, "float32"), contenders, rounds=1):
            print(name, standing.contender, standing.status, standing.detail)
"""


@pytest.mark.parametrize("library", ["lax", "flax", "torch", "tensorflow"])
def test_rival_is_right_on_every_kind_of_layer(library):
    pytest.importorskip("jax" if library == "lax" else library)
    names = [name for name in RIVALS if name.startswith(library)]
    lines = [line.split(" ", 3) for line in run("-c", RIGHT, *names).splitlines()]
    assert len(lines) == 2 * 5 * len(names)
    lacking = {"flax": {("bilinear-x2", "flax")}, "torch": {("hifigan-up1", "torch-last")}}.get(library, set())
    assert {(name, rival) for name, rival, status, _ in lines if status == "unserved"} == lacking
    assert {status for *_, status, _ in lines} <= {"timed", "unserved"}, lines


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--workload", "nonsense"], "nonsense"),
        (["show", "missing.json"], "missing.json"),
        (["--output", "README.md/results", "--workload", "tiny"], "cannot write to README.md/results"),
        (["--tpu-compile", "--output", "README.md/results"], "cannot write to README.md/results"),
        (["--tpu-compile", "--topology", "v1"], "v1"),
    ],
)
def test_bad_arguments_are_refused(arguments, text):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is not None, reason="TPU's compiler is installed")
def test_tables_of_a_tpu_need_its_compiler(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "--tpu-compile", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (2, "")
    assert "the TPU compiler is not installed" in done.stderr
    assert "Traceback" not in done.stderr


def test_scaling():
    command = ("-m", "benchmarks", "scaling", "--quick", "--workload", "tiny", "--pass", "forward", "--method", "gemm")
    shown = run(*command)
    assert [line.split()[:3] for line in shown.splitlines() if "tiny" in line] == [
        ["tiny", "forward", "pixels"],
        ["tiny", "forward", "batch"],
    ]


def test_choices(tmp_path):
    path = tmp_path / "choices.md"
    command = ("-m", "benchmarks", "choices", "--workload", "tiny", "--dtype", "float32", "--page", str(path))
    shown = run(*command)
    rows = [line.strip("| ").split(" | ") for line in path.read_text().splitlines() if line.startswith("| tiny")]
    assert [row[2] for row in rows] == ["transposed convolution", "forward convolution", "kernel gradient"]
    for *_, predicted, fastest, cost in rows:
        assert float(cost) >= 1
        assert (predicted == fastest) <= (float(cost) == 1)
    assert "of 3 predictions name the fastest method" in shown
