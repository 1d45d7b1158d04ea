"""``python -m benchmarks device`` on the CPU: stopped, continued, and without other libraries."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import hypothesis
import pytest

from benchmarks import workloads
from benchmarks.cli import main
from benchmarks.device import choosing, command, page, record, testing, training, worker
from benchmarks.device.stage import Stage
from benchmarks.device.stages import STAGES
from jconvt._geometry.maps import Map

ROOT = pathlib.Path(__file__).parents[2]


def start(folder, minutes=1.0, **environment):
    """Start a rehearsal in a process of its own: a few small items of each stage."""
    options = ["--quick", "--minutes", str(minutes), "--output", str(folder)]
    # One device, and none of the options that make this suite's programs compile faster.
    clean = {name: value for name, value in os.environ.items() if name not in ("JAX_NUM_CPU_DEVICES", "XLA_FLAGS")}
    return subprocess.Popen([sys.executable, "-m", "benchmarks", "device", *options], cwd=ROOT, env=clean | environment)


def results(folder):
    return {name: record.read(page.path(folder, name)).results for name in STAGES}


def test_device__stopped_in_the_middle_and_completed_without_torch_and_flax(tmp_path, capsys):
    missing = tmp_path / "missing"
    for name in ("torch", "flax"):
        (missing / name).mkdir(parents=True)
        error = f"No module named {name!r}"
        (missing / name / "__init__.py").write_text(f"raise ModuleNotFoundError({error!r}, name={name!r})")
    environment = {"PYTHONPATH": f"{missing}{os.pathsep}{ROOT}"}
    folder = tmp_path / "results"

    first = start(folder, minutes=5, **environment)
    while first.poll() is None and not record.read(page.path(folder, "timing")).results:
        time.sleep(0.1)
    first.send_signal(signal.SIGTERM)
    assert first.wait(20) == 130
    stopped, text = results(folder), (folder / "device.md").read_text()
    assert stopped["check"]
    assert stopped["timing"]
    assert not stopped["training"]
    assert "**Not finished.**" in text
    assert not json.loads((folder / "device.json").read_text())["finished"]

    for _ in range(5):  # the second run completes it in its minute, unless other programs take the cores
        later = start(folder, **environment)
        assert later.wait(120) in (0, 3)
        if later.returncode == 0:
            break
    found, content = results(folder), json.loads((folder / "device.json").read_text())
    for name in STAGES:  # nothing is computed twice
        assert found[name].items() >= stopped[name].items()
        lines = page.path(folder, name).read_text().splitlines()
        items = [json.loads(line)["item"] for line in lines if '"item"' in line]
        assert len(items) == len(set(items))
    assert content["finished"]
    assert "Not finished" not in (folder / "device.md").read_text()
    statuses = {each["status"] for each in found["check"].values()}
    assert statuses - {"unsupported"} == {"passed"}  # the compiled kernels have no integers
    assert {each["outcome"] for each in found["tests"].values()} == {"passed", "skipped"}
    assert set(found["timing"]["rivals"]["absent"]) == {"torch", "torch-last"}
    assert found["training"] == {"Flax": {"detail": "No module named 'flax'"}}
    assert all({*Map} == each["maps"].keys() for each in found["choosing"].values())
    assert all(each["forward"]["calls"] for each in found["lowering"].values())
    assert main(["fit", str(folder)]) == 0
    assert "Fitted: nothing" in capsys.readouterr().out
    assert json.loads((folder / "fitted_costs.json").read_text()).keys() >= {"cpu"}


@pytest.fixture
def one_stage(monkeypatch):
    """Let the command run only one stage, which is a short script."""

    def register(script, statuses=(0,)):
        def process(name, path, seconds, quick):
            header = (
                f"import os, pathlib, time; from benchmarks.device import record; path = pathlib.Path({str(path)!r})"
            )
            return [sys.executable, "-c", f"{header}\nif True:\n{script}"]

        stage = Stage("check", "One stage", 1, lambda results: [str(results)], process=process, statuses=statuses)
        for name in [*STAGES]:
            monkeypatch.delitem(STAGES, name)
        monkeypatch.setitem(STAGES, "check", stage)
        monkeypatch.setattr(command, "_machine", lambda output, quick: MACHINE)

    return register


MACHINE = {"machine": {"device": "toy"}, "versions": {}, "jconvt": "0", "commit": None, "date": "2026-01-01"}


def run(folder, minutes=1.0):
    status = main(["device", "--minutes", str(minutes), "--output", str(folder)])
    return status, record.read(folder / "check.jsonl")


def test_device__a_crash_costs_one_item(tmp_path, one_stage):
    one_stage("""
    record.append(path, total=2)
    done = record.read(path).results
    for item in {"bad": 0, "good": 0}.keys() - done.keys() if done else ["bad"]:
        record.append(path, trying=item)
        if item == "bad":
            print("the library aborts", flush=True)
            os.abort()
        record.append(path, item=item, result={})
    """)
    status, found = run(tmp_path)
    assert status == 0
    assert found.results["good"] == {}
    assert found.results["bad"]["detail"] == f"ended the process with status {-signal.SIGABRT}: the library aborts"


def test_device__an_item_that_hangs_is_stopped_and_not_tried_again(tmp_path, one_stage, monkeypatch):
    monkeypatch.setattr(command, "_HANGS", 1.0)
    monkeypatch.setattr(command, "_LEAST_SECONDS", 0.5)
    one_stage("""
    record.append(path, total=2)
    for item in [each for each in ("hangs", "good") if each not in record.read(path).results]:
        record.append(path, trying=item)
        time.sleep(60 if item == "hangs" else 0)
        record.append(path, item=item, result={})
    """)
    status, found = run(tmp_path, minutes=0.05)
    assert status == 3
    assert found.results.keys() == {"hangs"}
    assert found.results["hangs"]["detail"].startswith("stopped after")
    assert run(tmp_path, minutes=0.2) == (0, record.read(tmp_path / "check.jsonl"))


def test_device__a_stage_that_cannot_start_says_why_and_is_tried_in_the_next_run(tmp_path, one_stage):
    one_stage("""
    if not (path.parent / "repaired").exists(): raise SystemExit("no such library")
    record.append(path, total=1)
    record.append(path, item="only", result={})
    """)
    _, found = run(tmp_path)
    assert found.broken == "status 1: no such library"
    assert "Did not run: status 1: no such library" in (tmp_path / "device.md").read_text()
    (tmp_path / "repaired").touch()
    status, found = run(tmp_path)
    assert (status, found.broken, found.results) == (0, None, {"only": {}})


def test_device__a_crash_after_the_last_item_does_not_hide_the_results(tmp_path, one_stage):
    one_stage("""
    done = record.read(path).results
    if done:
        raise SystemExit("no such library")
    record.append(path, total=2)
    record.append(path, item="only", result={})
    os.abort()
    """)
    status, found = run(tmp_path)
    assert (status, found.results, found.broken) == (0, {"only": {}}, "status 1: no such library")
    text = (tmp_path / "device.md").read_text()
    assert "{'only': {}} **Did not go on: status 1: no such library.** **1 of 2 are missing.**" in text


def test_device__other_results_in_the_folder_are_kept(tmp_path, monkeypatch, capsys):
    (tmp_path / "device.json").write_text(json.dumps(MACHINE | {"quick": False, "versions": {"jax": "0.1"}}))
    before = (tmp_path / "device.json").read_bytes()
    described = subprocess.CompletedProcess([], 0, stdout=json.dumps(MACHINE | {"versions": {"jax": "0.2"}}))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: described)
    with pytest.raises(SystemExit, match="2"):
        main(["device", "--output", str(tmp_path)])
    error = capsys.readouterr().err
    assert "versions {'jax': '0.1'}, not {'jax': '0.2'}; choose another --output" in error
    assert [each.name for each in tmp_path.iterdir()] == ["device.json"]
    assert (tmp_path / "device.json").read_bytes() == before


@pytest.mark.parametrize("text", ["{", "[]", '{"other": 1}', '{"date": "2026-01-01"}'])
def test_device__a_file_of_another_program_is_kept(tmp_path, monkeypatch, capsys, text):
    (tmp_path / "device.json").write_text(text)
    described = subprocess.CompletedProcess([], 0, stdout=json.dumps(MACHINE))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: described)
    with pytest.raises(SystemExit, match="2"):
        main(["device", "--output", str(tmp_path)])
    assert "choose another --output" in capsys.readouterr().err
    assert (tmp_path / "device.json").read_text() == text


def test_device__a_machine_that_does_not_answer(tmp_path, monkeypatch, capsys):
    def run(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(SystemExit, match="2"):
        main(["device", "--output", str(tmp_path)])
    assert "JAX finds no device: it did not start within 120 seconds" in capsys.readouterr().err


def test_device__a_killed_command_leaves_no_process(tmp_path):
    first = start(tmp_path, minutes=5)
    while not record.read(page.path(tmp_path, "check")).results:
        assert first.poll() is None
        time.sleep(0.1)
    first.kill()
    first.wait(20)
    paths = [pathlib.Path(f"/proc/{number}/cmdline") for number in os.listdir("/proc") if number.isdigit()]
    running = [path for path in paths if str(tmp_path).encode() in read(path)]
    assert running
    deadline = time.monotonic() + 20
    while any(str(tmp_path).encode() in read(path) for path in running):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def read(path):
    try:
        return path.read_bytes()
    except OSError:  # the process has ended
        return b""


def test_page__a_strange_result_does_not_hide_the_others(tmp_path):
    record.append(page.path(tmp_path, "timing"), total=1)
    record.append(page.path(tmp_path, "timing"), item="x", result={"standings": 1})
    record.append(page.path(tmp_path, "lowering"), item="tiny, float32", result={"detail": "broke"})
    page.write(tmp_path, MACHINE)
    text = (tmp_path / "device.md").read_text()
    assert "no summary could be made: TypeError" in text
    assert "| tiny | float32 | broke |" in text


@pytest.mark.parametrize("minutes", ["-1", "nan", "inf", "many"])
def test_device__needs_a_number_of_minutes(capsys, minutes):
    with pytest.raises(SystemExit, match="2"):
        main(["device", "--minutes", minutes])
    assert "--minutes" in capsys.readouterr().err


def test_record__survives_a_torn_line(tmp_path):
    path = tmp_path / "stage.jsonl"
    assert record.read(path) == record.Record(None, {}, None)
    record.append(path, total=2)
    record.append(path, trying="one")
    with path.open("a") as file:
        file.write('{"item": "one", "resu')
    assert record.read(path).trying == "one"
    record.append(path, item="one", result={"error": float("inf")})
    record.append(path, trying="two")
    expected = record.Record(2, {"one": {"error": None}}, "two", frozenset({"two"}))
    assert record.read(path) == expected
    with path.open("ab") as file:
        file.write(b'5\nnull\n[1]\n{"item": "x"}\n{"item": ["x"], "result": {}}\n{"item": "x", "result": 1}\n\xff\xfe')
    assert record.read(path) == expected


def test_worker__a_failure_is_a_result(tmp_path, monkeypatch, capsys):
    stage = Stage("toy", "Toy", 1, list, lambda quick: {"bad": lambda: 1 / 0, "good": lambda: {"value": 1}})
    monkeypatch.setitem(STAGES, "toy", stage)
    worker.work("toy", tmp_path / "toy.jsonl", 10.0, True)
    assert record.read(tmp_path / "toy.jsonl").results == {
        "bad": {"status": "failed", "detail": "ZeroDivisionError: division by zero"},
        "good": {"value": 1},
    }


def test_worker__an_item_that_was_stopped_comes_last(tmp_path, monkeypatch):
    order = []
    items = {name: lambda name=name: {"number": order.append(name)} for name in ("slow", "one", "two")}
    monkeypatch.setitem(STAGES, "toy", Stage("toy", "Toy", 1, list, lambda quick: items))
    record.append(tmp_path / "toy.jsonl", trying="slow")
    worker.work("toy", tmp_path / "toy.jsonl", 10.0, True)
    assert order == ["one", "two", "slow"]


def test_tests__the_most_telling_first_and_few_examples(tmp_path, monkeypatch):
    paths = ["core/test_toy_method.py", "core/test_version_span.py", "core"]  # pytest itself starts with all of core
    monkeypatch.setattr(testing, "_PATHS", paths)
    assert [testing._rank(f"tests/{path}::test") for path in [*paths, "core/test_spec.py", "cli"]] == [0, 1, 2, 2, 3]

    @hypothesis.settings(max_examples=300, deadline=5)
    @hypothesis.given(hypothesis.strategies.integers())
    def test(number):
        numbers.append(number)

    numbers = []
    testing._draw_few_examples(test)
    testing._draw_few_examples(test_record__survives_a_torn_line)  # it has no examples
    test()
    assert 0 < len(numbers) <= 5


@pytest.mark.parametrize("name", ["generator", "unet"])
def test_training__the_losses_of_both_libraries_agree(name):
    pytest.importorskip("flax.linen")
    item = f"{name}, float32"
    result = training.STAGE.plan(True)[item]()
    assert result["candidates"].keys() == {"jconvt", "flax"}
    assert item in "\n".join(training.STAGE.section({item: result}))


def test_choosing__a_run_that_is_stopped_early_can_be_fitted():
    layers = [item.removesuffix(", float32") for item in choosing.STAGE.plan(False) if item.endswith(", float32")][:14]
    known = workloads.load() | {each.name: each for each in choosing._MORE}
    groups = [known[layer].groups for layer in layers]
    assert groups.count(1) >= 7
    assert len(groups) - groups.count(1) >= 6
