"""The example that upsamples a volume block by block: equal to one call, and it goes on where it was stopped."""

import doctest
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
from hypothesis import given
from hypothesis import strategies as st

import jconvt

pytest.importorskip("matplotlib")
ts = pytest.importorskip("tensorstore")

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"
PROGRAM = EXAMPLES / "upsample_volume.py"
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def volume_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        import volume_blocks
    return volume_blocks


def stamped(x: np.ndarray, taps: np.ndarray, axis: jconvt.Axis) -> np.ndarray:
    """The definition, along one axis: each pixel stamps the taps on a canvas, whose ends are cropped."""
    canvas = np.zeros(axis.full_size(len(x)) + max(0, -axis.hi), int)
    for place, pixel in enumerate(x):
        for tap, value in enumerate(taps):
            canvas[place * axis.stride + tap * axis.dilation] += pixel * value
    return canvas[axis.lo : axis.lo + axis.output_size(len(x))]


@given(
    st.integers(1, 12),
    st.integers(1, 6),
    st.integers(1, 4),
    st.sampled_from(["SAME", "VALID"]),
    st.integers(1, 4),
    st.data(),
)
def test_window_has_the_pixels_that_its_outputs_need(volume_blocks, n, k, s, padding, multiple, data):
    (axis,) = jconvt.Spec.from_tensorflow((1, n, 1), (k, 1, 1), strides=s, padding=padding).axes
    x, taps = RNG.integers(-9, 10, n), RNG.integers(1, 10, k)
    whole = stamped(x, taps, axis)
    start = data.draw(st.integers(0, len(whole) - 1))
    stop = data.draw(st.integers(start + 1, len(whole)))
    first, last, part = volume_blocks.window(axis, start, stop, multiple)
    far = 100
    pixels = np.pad(x, far)[far + first : far + last]
    assert (last - first) % multiple == 0
    assert part.lo >= 0
    assert part.hi > -s
    np.testing.assert_array_equal(stamped(pixels, taps, part), whole[start:stop])
    if k >= s and multiple == 1:  # and no pixel more
        spoiled = [np.where(np.arange(last - first) == end, 99, pixels) for end in (0, last - first - 1)]
        assert all((stamped(each, taps, part) != whole[start:stop]).any() for each in spoiled)


def test_window_as_documented(volume_blocks):
    failed, tried = doctest.testmod(volume_blocks)
    assert tried
    assert not failed


SWEEP = """
import itertools, sys
import jax, numpy as np, tensorstore as ts
jax.config.update("jax_num_cpu_devices", 4)
sys.path.insert(0, sys.argv[1])
import jconvt
from jax.sharding import AxisType
from volume_blocks import Upsampling

rng = np.random.default_rng(0)
for k, s, padding, sizes, groups, channels, devices, times in (
    (4, 2, "SAME", (9, 7, 6), 1, (1, 1), 4, (1, 2, 3)),
    (4, 2, "VALID", (5, 6, 7), 1, (2, 3), 3, (1, 3, 2)),
    (3, 2, "SAME", (11, 4, 5), 2, (2, 2), 4, (1, 2, 2)),
    (6, 3, "VALID", (3, 3, 3), 1, (1, 1), 4, (1, 1, 1)),
    (2, 3, "VALID", (7, 4, 3), 1, (1, 1), 3, (1, 2, 1)),
    (1, 3, "SAME", (5, 3, 3), 1, (1, 1), 2, (1, 1, 2)),
    (7, 2, "SAME", (4, 5, 3), 1, (1, 1), 4, (1, 1, 2)),
    (3, 1, "SAME", (10, 4, 5), 3, (3, 6), 4, (1, 3, 2)),
):
    x = rng.integers(-9, 10, (*sizes, channels[0])).astype(np.float32)
    filters = rng.integers(-9, 10, (k, k, k, channels[1] // groups, channels[0])).astype(np.float32)
    call = dict(strides=s, padding=padding, groups=groups)
    expected = np.asarray(jconvt.conv3d_transpose(x[None], filters, **call))[0]
    spec = jconvt.Spec.from_tensorflow((1, *x.shape), filters.shape, **call)
    mesh = jax.make_mesh((devices,), ("depth",), (AxisType.Auto,), devices=jax.devices()[:devices])
    up = Upsampling(spec, filters, mesh)
    block = tuple(each * least for each, least in zip(times, up.least_block))
    sides = [range(0, size, step) for size, step in zip(expected.shape, block)]
    regions = [
        tuple(slice(a, min(a + step, size)) for a, step, size in zip(start, block, expected.shape))
        for start in itertools.product(*sides)
    ]
    found = np.full_like(expected, np.nan)
    for region, part in zip(regions, up.compile(block).blocks(ts.array(x), regions), strict=True):
        assert part.shape == (*block, channels[1])
        found[region] = part[tuple(slice(side.stop - side.start) for side in region)]
    np.testing.assert_array_equal(found, expected, err_msg=str((k, s, padding)))
    print(k, s, padding, len(regions), "blocks")
"""


def test_blocks_on_devices_are_equal_to_one_call():
    done = subprocess.run([sys.executable, "-c", SWEEP, EXAMPLES], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    counts = [int(count) for count in re.findall(r"(\d+) blocks", done.stdout)]
    assert len(counts) == 8
    assert min(counts) >= 2


def array(path: pathlib.Path, **options) -> "ts.TensorStore":
    place = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}}
    return ts.open(place, open=not options, create=bool(options), **options).result()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A volume of integers, filters that mix its two channels into three, one call's result, and the program's."""
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
    """A copy of all that, with the times of the files."""
    return shutil.copytree(finished, tmp_path / "files")


def command(files: pathlib.Path, *more: str) -> list[str]:
    """With a budget that makes hundreds of blocks."""
    places = [files / "volume.zarr", files / "result.zarr", "--filters", files / "filters.npy"]
    options = ["--output", files / "picture.png", "--devices", "3", "--budget", "0.03", *more]
    return [sys.executable, *map(str, (PROGRAM, *places, *options))]


def run(arguments: list[str], status: int = 0, **options) -> subprocess.CompletedProcess:
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


def chunks(files: pathlib.Path) -> dict[pathlib.Path, int]:
    """The blocks of the result that are there, and when each was written."""
    found = (files / "result.zarr" / "c").rglob("*")
    return {path: path.stat().st_mtime_ns for path in found if path.is_file() and not path.name.endswith("lock")}


def counted(output: str) -> list[int]:
    """How many blocks there are in all, were there before, and were written."""
    (line,) = re.findall(r"upsampling: (\d+) blocks, (\d+) were there, (\d+) written now", output)
    return [int(count) for count in line]


def equal_to_one_call(files: pathlib.Path) -> None:
    found = array(files / "result.zarr").read().result()
    np.testing.assert_array_equal(found, np.load(files / "expected.npy"))


def stopped_by(number: int, files: pathlib.Path, blocks: int) -> tuple[int, str]:
    """Starts the program, and sends it a signal once it has written so many blocks more."""
    before = len(chunks(files))
    with subprocess.Popen(command(files), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and len(chunks(files)) < before + blocks:
            time.sleep(0.001)
        process.send_signal(number)
        _, said = process.communicate(timeout=300)
    return process.returncode, said


def test_goes_on_after_it_was_stopped_and_killed(files):
    shutil.rmtree(files / "result.zarr")
    status, said = stopped_by(signal.SIGINT, files, 3)
    assert (status, said) == (130, "upsample_volume: stopped; the same command goes on here\n")
    status, _ = stopped_by(signal.SIGKILL, files, 3)
    assert status == -signal.SIGKILL
    before = chunks(files)
    assert len(before) >= 6

    # What a kill in the middle of a write leaves behind: a part of a block, under a name of its own.
    written = sorted(before)[-1]
    before.pop(written)
    written.rename(written.with_name(f"{written.name}.__lock"))
    os.truncate(written.with_name(f"{written.name}.__lock"), 1000)

    total, there, now = counted(run(command(files)).stdout)
    after = chunks(files)
    assert there == len(before)
    assert now == total - there > 0
    assert len(after) == total
    assert {path: after[path] for path in before} == before  # none of them was written again
    equal_to_one_call(files)


def lose(files: pathlib.Path, count: int) -> None:
    """Deletes so many blocks, far from each other."""
    for path in sorted(chunks(files))[::7][:count]:
        path.unlink()


LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Runs a command that may write no file larger than the limit. Python ignores the signal, so the write fails."""


def test_goes_on_after_writes_have_failed(files):
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
def test_goes_on_after_a_full_disk(files):
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


REFUSED = """
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


def test_bad_input_is_refused_and_told_what_to_do(files):
    made = run([sys.executable, str(PROGRAM), "made.zarr", "--make", "50x8x8", "--output", "made.png"], cwd=files)
    assert "making: 2 blocks, 0 were there, 2 written now" in made.stdout
    (files / "made.zarr" / "c" / "1" / "0" / "0" / "0").unlink()
    array(files / "plane.zarr", dtype=ts.float32, shape=(5, 6))
    array(files / "empty.zarr", dtype=ts.float32, shape=(5, 0, 6))
    array(files / "complex.zarr", dtype=ts.complex64, shape=(5, 5, 6))
    shutil.copytree(files / "volume.zarr", files / "changed.zarr")
    array(files / "changed.zarr")[3, 4, 5, 0].write(99).result()
    (files / "full").mkdir()
    (files / "full" / "file").write_text("mine")
    (files / "file").write_text("mine")
    np.save(files / "objects.npy", np.array([{}]), allow_pickle=True)
    np.save(files / "negative.npy", -np.load(files / "filters.npy"))
    again = "volume.zarr|result.zarr|--filters|filters.npy"
    before = chunks(files)
    cases = {
        "nowhere.zarr": "there is no volume",
        "full": "there is no volume",
        "plane.zarr": "legal: real numbers, (depth, height, width) or",
        "empty.zarr": "this is no volume",
        "complex.zarr": "complex64 (5, 5, 6)",
        "made.zarr": "run the command that makes it again",
        "made.zarr|--make|50x8x9": "or delete made.zarr",
        "volume.zarr|full": "there is something else already",
        "volume.zarr|file": "file cannot be listed",
        "volume.zarr|file/deeper": "file/deeper cannot be made",
        "volume.zarr|volume.zarr": "was made with other settings",
        "volume.zarr|new.zarr|--budget|1e-4": "MiB or more, which blocks of (8, 2, 2) take",
        "volume.zarr|new.zarr|--budget|0": "invalid positive value",
        "volume.zarr|new.zarr|--make|5x6": "invalid shape value",
        "volume.zarr|new.zarr|--filters|nothing.npy": "nothing.npy cannot be read",
        "volume.zarr|new.zarr|--filters|objects.npy": "objects.npy cannot be read",
        "volume.zarr|new.zarr|--filters|file": "file cannot be read",
        "volume.zarr|new.zarr|--kernel-size|0": "invalid count value",
        f"{again}|--padding|VALID": "padding was SAME, and is now VALID",
        f"{again}|--stride|3": "stride was 2, and is now 3",
        "volume.zarr|result.zarr|--filters|negative.npy": "filters was ",
        "changed.zarr|result.zarr|--filters|filters.npy": "volume was ",
    }
    asked = subprocess.run(
        [sys.executable, "-c", REFUSED, EXAMPLES],
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
    assert "pass as many --devices as before" in run(command(files, "--devices", "5"), 2).stderr
    assert "pass a larger --budget" in run(command(files, "--budget", "0.001"), 2).stderr
    assert chunks(files) == before
