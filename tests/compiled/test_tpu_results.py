"""The stored results of the TPU compiler: ``auto`` is no worse than ``jax.lax``, and the documentation agrees."""

import dataclasses
import json
import pathlib

import pytest

from benchmarks import workloads
from tests.support import tpu_limits

pytest.importorskip("benchmarks", reason="not in sys.path: run python -m pytest in a checkout")
from benchmarks import tpu, tpu_program, tpu_report

ROOT = pathlib.Path(__file__).parents[2]
PATH, DEVICES = ROOT / "benchmarks" / "results" / "tpu.json", ROOT / "docs" / "devices.md"

EXCEPTIONS = {
    ("v4", "bfloat16", "fcn32s-score", "T"): {"memory"},
    ("v5e", "float32", "fcn32s-score", "T"): {"memory"},
    ("v5p", "bfloat16", "bilinear-x2", "T"): {"memory"},
    ("v5p", "bfloat16", "fcn32s-score", "T"): {"memory"},
    ("v5p", "bfloat16", "fcn8s-score", "T"): {"memory"},
    ("v5p", "bfloat16", "hifigan-up1", "T"): {"memory"},
}
"""The limits that ``auto`` exceeds: the phases or stamps (for bilinear, the filters) do not fit in on-chip memory."""


@pytest.fixture(scope="module")
def cases():
    """The rows of each topology, dtype, workload and map, by method."""
    rows = tpu_report.read(PATH, json.loads(PATH.read_text())["versions"])
    found = {}
    for row in rows:
        found.setdefault(row.key[:-1], {})[row.method] = row
    return found


def test_results__have_every_layer(cases):
    complete = {case for case, found in cases.items() if found.keys() >= {"jax.lax", "auto"}}
    for name in workloads.load():
        assert complete >= {("v5e", dtype, name, map) for dtype in ("float32", "bfloat16") for map in tpu_report.MAPS}
        maps = "T" if name == "vnet-k4" else "TF"  # its gradient compiles for minutes
        assert complete >= {(topology, "bfloat16", name, map) for topology in ("v4", "v5p", "v6e") for map in maps}
    for topology in ("v4", "v5p", "v6e"):
        assert sum(case[0] == topology and case[3] == "G" for case in complete) >= 3


def test_auto__no_worse_than_jax_lax(cases):
    missed = {
        case: goals
        for case, found in cases.items()
        if "auto" in found
        and (goals := tpu_limits.missed(found["auto"].figures, found["jax.lax"].figures, found["auto"].useful_flops))
    }
    assert missed == EXCEPTIONS


def test_documentation__lists_the_exceptions(cases):
    lines = [line.strip(" |").split(" | ") for line in DEVICES.read_text().splitlines() if line.startswith("  | `")]
    assert len(lines) == len(EXCEPTIONS)
    for layer, chip, *columns in lines:
        case = (*chip.split(", "), layer.strip("`"), "T")
        assert case in EXCEPTIONS
        auto, rival = (cases[case][method].figures for method in ("auto", "jax.lax"))
        star = "*" if auto.unpriced or rival.unpriced else ""
        memories = [f"{figures.temporary / 1e6:.2f}" for figures in (auto, rival)]
        assert columns == [*memories, f"{auto.cycles / rival.cycles:.3f}{star}"]
    ratios = {case: found["auto"].figures.cycles / found["jax.lax"].figures.cycles for case, found in cases.items()}
    assert max(ratios.values()) <= 1.03
    assert [case for case, ratio in ratios.items() if ratio > 1.02] == [("v5e", "bfloat16", "fsrcnn-x3", "G")]


def test_auto__chooses_as_when_it_was_measured(cases):
    for (_, dtype, name, map), found in cases.items():
        if "auto" in found:
            assert found["auto"].chosen == tpu.choice(dtype, workloads.load()[name], map), (dtype, name, map)


RIVAL = tpu_program.Figures(cycles=1000, unpriced={}, flops=100.0, bytes=1e4, temporary=64, peak=256)


@pytest.mark.parametrize(
    ("changes", "goals"),
    [
        ({}, set()),
        ({"cycles": 1030}, {"time"}),
        ({"temporary": 65}, {"memory"}),
        ({"flops": 200.0}, {"FLOPs"}),
        ({"flops": 180.0, "cycles": 100}, set()),
        ({"unpriced": {"reshape": 1}}, set()),  # as many FLOPs and bytes
        ({"unpriced": {"reshape": 1}, "bytes": 2e4}, {"time"}),
        ({"unpriced": {"reshape": 1}, "bytes": 2e4, "cycles": 950}, set()),  # the bytes take 40 cycles
        ({"unpriced": {"reshape": 1}, "bytes": 2e4, "cycles": 970}, {"time"}),
    ],
)
def test_limits__can_be_exceeded(changes, goals):
    assert tpu_limits.missed(dataclasses.replace(RIVAL, **changes), RIVAL, 80) == goals
