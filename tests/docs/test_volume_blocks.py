"""Blocks of a volume are computed from the pixels that they need, also on several devices, and equal one call."""

import doctest
import importlib
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jconvt

pytest.importorskip("tensorstore")

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def volume_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield importlib.import_module("volume_blocks")


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
def test_window__has_exactly_the_pixels_that_its_outputs_need(volume_blocks, n, k, s, padding, multiple, data):
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
    if k >= s and multiple == 1:  # and no others
        spoiled = [np.where(np.arange(last - first) == end, 99, pixels) for end in (0, last - first - 1)]
        assert all((stamped(each, taps, part) != whole[start:stop]).any() for each in spoiled)


def test_window__doctests(volume_blocks):
    failed, tried = doctest.testmod(volume_blocks)
    assert tried
    assert not failed


SWEEP = """
import itertools, sys
import jax, numpy as np, tensorstore as ts
jax.config.update("jax_platforms", "cpu")
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
    if (k, s, devices) == (4, 2, 4):
        program = up.compile((64, 16, 16)).compiled.as_text()
        assert "collective-permute" in program
        assert not [name for name in ("all-gather", "all-reduce", "all-to-all") if name in program]
"""


def test_blocks__on_devices_equal_one_call():
    done = subprocess.run([sys.executable, "-c", SWEEP, EXAMPLES], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    counts = [int(count) for count in re.findall(r"(\d+) blocks", done.stdout)]
    assert len(counts) == 8
    assert min(counts) >= 2
