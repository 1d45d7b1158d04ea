"""The example that upsamples a volume: it equals one call, and continues where it was stopped."""

import importlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import jconvt

pytest.importorskip("matplotlib")
ts = pytest.importorskip("tensorstore")

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
PROGRAM = EXAMPLES / "upsample_volume.py"
RNG = np.random.default_rng(0)


def array(path: pathlib.Path, **options) -> "ts.TensorStore":
    place = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}}
    return ts.open(place, open=not options, create=bool(options), **options).result()


def test_volume_store__large_block_of_zeros_is_one_chunk(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(EXAMPLES)
    volume_store = importlib.import_module("volume_store")
    store = volume_store.created(tmp_path / "result.zarr", {}, (200, 150, 130, 1), (100, 150, 130))
    first, second = volume_store.regions(store)
    assert volume_store.missing(store) == [first, second]
    store[first].write(np.zeros((100, 150, 130, 1), np.float32)).result()
    assert volume_store.missing(store) == [second]
    (path,) = chunks(tmp_path)
    assert path.stat().st_size == 4 * 100 * 150 * 130


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A volume of integers, filters from two channels to three, the result of one call, and that of the program."""
    files = tmp_path_factory.mktemp("finished")
    x = RNG.integers(-9, 10, (23, 18, 13, 2)).astype(np.float32)
    filters = RNG.integers(-9, 10, (4, 4, 4, 3, 2)).astype(np.float32)
    array(files / "volume.zarr", dtype=ts.float32, shape=x.shape).write(x).result()
    np.save(files / "filters.npy", filters)
    np.save(files / "expected.npy", np.asarray(jconvt.conv3d_transpose(x[None], filters, strides=2))[0])
    assert counted(run(command(files)).stdout) == [len(chunks(files)), 0, len(chunks(files))]
    equal_to_one_call(files)
    return files


@pytest.fixture
def files(finished, tmp_path):
    """A copy of those files, with their times."""
    return shutil.copytree(finished, tmp_path / "files")


SMALL = "--budget", "0.015"
"""A budget that makes hundreds of blocks."""


def command(files: pathlib.Path, *more: str) -> list[str]:
    """The command line, with a budget that makes dozens of blocks."""
    places = [files / "volume.zarr", files / "result.zarr", "--filters", files / "filters.npy"]
    options = ["--output", files / "picture.png", "--devices", "3", "--budget", "0.03", *more]
    return [sys.executable, *map(str, (PROGRAM, *places, *options))]


def run(arguments: list[str], status: int = 0, **options) -> subprocess.CompletedProcess:
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


def chunks(files: pathlib.Path) -> dict[pathlib.Path, int]:
    """The written blocks of the result, with the time of each."""
    found = (files / "result.zarr" / "c").rglob("*")
    return {path: path.stat().st_mtime_ns for path in found if path.is_file() and not path.name.endswith("lock")}


def counted(output: str) -> list[int]:
    """The number of blocks in all, of those that were there before, and of those written now."""
    (line,) = re.findall(r"upsampling: of (\d+) blocks (\d+) were there, (\d+) written now", output)
    return [int(count) for count in line]


def equal_to_one_call(files: pathlib.Path) -> None:
    found = array(files / "result.zarr").read().result()
    np.testing.assert_array_equal(found, np.load(files / "expected.npy"))


def test_upsample_volume__interpolates_a_scan_without_channels(tmp_path):
    x = RNG.integers(-99, 100, (9, 20, 12)).astype(np.int16)
    array(tmp_path / "scan.zarr", dtype=ts.int16, shape=x.shape).write(x).result()
    output = run([sys.executable, str(PROGRAM), "scan.zarr", "--output", "picture.png"], cwd=tmp_path).stdout
    assert "volume scan.zarr: int16 (9, 20, 12), " in output
    assert counted(output) == [1, 0, 1]
    triangle = np.array([0.25, 0.75, 0.75, 0.25], np.float32)
    filters = np.einsum("i,j,k->ijk", triangle, triangle, triangle)[..., None, None]
    expected = jconvt.conv3d_transpose(x[None, ..., None].astype(np.float32), filters, strides=2)[0]
    np.testing.assert_array_equal(array(tmp_path / "scan_upsampled.zarr").read().result(), expected)
    height, width, _ = pytest.importorskip("matplotlib.image").imread(tmp_path / "picture.png").shape
    assert 300 <= height <= 1000
    assert 600 <= width <= 1500


def stopped_by(number: int, files: pathlib.Path, blocks: int) -> tuple[int, str]:
    """Start the program, and send it a signal after it has written this many more blocks."""
    before = len(chunks(files))
    with subprocess.Popen(
        command(files, *SMALL), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None and len(chunks(files)) < before + blocks:
            time.sleep(0.001)
        process.send_signal(number)
        _, said = process.communicate(timeout=300)
    return process.returncode, said


def test_upsample_volume__continues_after_signals(files):
    shutil.rmtree(files / "result.zarr")
    status, said = stopped_by(signal.SIGINT, files, 3)
    assert (status, said) == (130, "upsample_volume: stopped; the same command goes on from here\n")
    status, _ = stopped_by(signal.SIGKILL, files, 3)
    assert status == -signal.SIGKILL
    before = chunks(files)
    assert len(before) >= 6

    # A kill in the middle of a write leaves a part of a block, under another name.
    written = sorted(before)[-1]
    before.pop(written)
    written.rename(written.with_name(f"{written.name}.__lock"))
    os.truncate(written.with_name(f"{written.name}.__lock"), 1000)

    total, there, now = counted(run(command(files, *SMALL)).stdout)
    after = chunks(files)
    assert there == len(before)
    assert now == total - there > 0
    assert len(after) == total
    assert {path: after[path] for path in before} == before  # none of them was written again
    equal_to_one_call(files)


def lose(files: pathlib.Path, count: int) -> None:
    """Delete this many blocks, far from each other."""
    for path in sorted(chunks(files))[::7][:count]:
        path.unlink()


LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Runs a command that cannot write files above the limit. Python ignores the signal, so the write fails."""


def test_upsample_volume__continues_after_failed_writes(files):
    total = len(chunks(files))
    lose(files, 5)
    before = chunks(files)
    assert len(before) == total - 5
    block = next(iter(before)).stat().st_size
    said = run([sys.executable, "-c", LIMITED, str(block // 2), *command(files)], 2).stderr
    assert "upsample_volume: a block cannot be written\n" in said
    assert "fix:   free space, and run the same command again" in said
    assert chunks(files) == before
    assert counted(run(command(files)).stdout) == [total, total - 5, 5]
    equal_to_one_call(files)


FULL = """
rm -r "$1" && mkdir "$1" && mount -t tmpfs -o size=300k none "$1" && echo mounted || exit 0
shift; "$@"; echo "status $?"
mount -o remount,size=64m "$(dirname "$0")/result.zarr" && "$@"; echo "status $?"
cp -r "$(dirname "$0")/result.zarr" "$(dirname "$0")/kept.zarr"
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_upsample_volume__continues_after_a_full_disk(files):
    script = files / "full.sh"
    script.write_text(FULL)
    inside = ["unshare", "--map-root-user", "--mount", "sh", script, files / "result.zarr", *command(files)]
    done = subprocess.run(inside, capture_output=True, text=True, timeout=300)
    if "mounted" not in done.stdout:
        pytest.skip(f"no file system may be mounted: {done.stderr}")
    assert re.findall(r"^status (\d)$", done.stdout, re.MULTILINE) == ["2", "0"]
    assert "Traceback" not in done.stderr
    assert "No space left on device" in done.stderr
    assert "free space, and run the same command again" in done.stderr
    total, there, now = counted(done.stdout)
    assert there > 0
    assert now == total - there > 0
    (files / "kept.zarr").rename(files / "result.zarr")
    equal_to_one_call(files)


REJECTED = """
import contextlib, io, sys
sys.path.insert(0, sys.argv[1])
import upsample_volume
for line in sys.stdin:
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            status = upsample_volume.main(line.rstrip("\\n").split("|"))
        except SystemExit as exit:
            status = exit.code
    print("\\n>>", status, said.getvalue())
"""


def test_upsample_volume__rejects_bad_input_with_a_fix(files):
    made = run([sys.executable, str(PROGRAM), "made.zarr", "--make", "50x8x8", "--output", "made.png"], cwd=files)
    assert "making: of 2 blocks 0 were there, 2 written now" in made.stdout
    (files / "made.zarr" / "c" / "1" / "0" / "0" / "0").unlink()
    array(files / "plane.zarr", dtype=ts.float32, shape=(5, 6))
    array(files / "empty.zarr", dtype=ts.float32, shape=(5, 0, 6))
    array(files / "complex.zarr", dtype=ts.complex64, shape=(5, 5, 6))
    shutil.copytree(files / "volume.zarr", files / "changed.zarr")
    array(files / "changed.zarr")[3, 4, 5, 0].write(99).result()
    (files / "full").mkdir()
    (files / "full" / "file").write_text("mine")
    (files / "file").write_text("mine")
    (files / "nothing").touch()
    np.savez(files / "many.npz", np.zeros(3), np.zeros(4))
    np.save(files / "turned.npy", np.zeros((4, 4, 4, 2, 3)))
    np.save(files / "plane.npy", np.zeros((4, 4)))
    np.save(files / "objects.npy", np.array([{}]), allow_pickle=True)
    np.save(files / "negative.npy", -np.load(files / "filters.npy"))
    again = "volume.zarr|result.zarr|--filters|filters.npy"
    before = chunks(files)
    cases = {
        "nowhere.zarr": "there is no volume",
        "full": "there is no volume",
        "plane.zarr": "legal: real numbers, (depth, height, width) or",
        "empty.zarr": "this is not a volume",
        "complex.zarr": "complex64 (5, 5, 6)",
        "made.zarr": "run the command that makes it again",
        "made.zarr|--make|50x8x9": "or delete made.zarr",
        "volume.zarr|full": "the folder already contains other files",
        "volume.zarr|file": "file cannot be listed",
        "volume.zarr|file/deeper": "file/deeper cannot be made",
        "volume.zarr|volume.zarr": "was made with other settings",
        "volume.zarr|new.zarr|--budget|0.001": "MiB or more, for blocks of (8, 2, 2)",
        "volume.zarr|new.zarr|--budget|0": "invalid positive value",
        "volume.zarr|new.zarr|--make|5x6": "invalid shape value",
        "volume.zarr|new.zarr|--filters|nothing.npy": "nothing.npy cannot be read",
        "volume.zarr|new.zarr|--filters|objects.npy": "objects.npy cannot be read",
        "volume.zarr|new.zarr|--filters|file": "file cannot be read",
        "volume.zarr|new.zarr|--filters|nothing": "nothing cannot be read",
        "volume.zarr|new.zarr|--filters|many.npz": "does not contain one array",
        "volume.zarr|new.zarr|--filters|turned.npy": "filters",
        "volume.zarr|new.zarr|--filters|plane.npy": "filters",
        "volume.zarr|new.zarr|--kernel-size|5000": "the filters are larger than the budget",
        "volume.zarr|new.zarr|--kernel-size|0": "invalid count value",
        f"{again}|--padding|VALID": "padding was SAME, and is now VALID",
        f"{again}|--stride|3": "stride was 2, and is now 3",
        f"{again}|--budget|0.01": "pass a larger --budget",
        "volume.zarr|result.zarr|--filters|negative.npy": "filters was ",
        "changed.zarr|result.zarr|--filters|filters.npy": "volume was ",
    }
    asked = subprocess.run(
        [sys.executable, "-c", REJECTED, EXAMPLES],
        input="".join(f"{case}\n" for case in cases),
        capture_output=True,
        text=True,
        timeout=300,
        cwd=files,
    )
    assert asked.returncode == 0, asked.stderr
    _, *answers = asked.stdout.split("\n>> ")
    for (case, expected), answer in zip(cases.items(), answers, strict=True):
        assert answer.startswith("2 "), (case, answer)
        assert expected in answer, (case, answer)
        assert "fix:" in answer or "invalid" in answer, (case, answer)
    assert not (files / "new.zarr").exists()
    assert "pass the same --devices as before" in run(command(files, "--devices", "5"), 2).stderr
    assert chunks(files) == before
