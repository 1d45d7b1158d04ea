"""``python -m benchmarks fit``: constants of the cost model from measurements with known constants."""

import json
import pathlib

import numpy as np
import pytest

import jconvt
from benchmarks import fit
from benchmarks.cli import main
from jconvt._core import fitted_costs, selection
from jconvt._geometry.maps import Map
from jconvt._methods import METHODS

ROOT = pathlib.Path(__file__).parents[2]
# Seconds of a call and of an operation that no platform has: "polyphase" is the fastest at many operations.
TRUE = {"polyphase": (5e-4, 1e-12), "gemm": (1e-6, 9e-12)}


def measurements():
    """Return the content of ``device.json`` for layers whose methods take the seconds of ``TRUE``."""
    found = {}
    for number in range(12):
        size = 4 + 5 * number
        layer = {
            **{"name": f"layer {number}", "source": "", "batch": 2, "padding": "SAME", "kernel": 4, "stride": 2},
            **{"input_sizes": [size] * 2, "output_sizes": [2 * size] * 2, "input_channels": 32, "output_channels": 16},
        }
        spec = jconvt.Spec.from_tensorflow((2, size, size, 32), (4, 4, 16, 32), strides=2)
        flops = jconvt.choose(spec, (2, size, size, 32), (4, 4, 16, 32)).sizes.flops
        seconds = {name: call + flop * flops for name, (call, flop) in TRUE.items()}
        maps = {map: {"predicted": "polyphase", "measured": seconds} for map in Map}
        found[str(number)] = {"layer": layer, "dtype": "float32", "platform": "cuda", "maps": maps}
    return {"stages": {"choosing": {"results": found}}}


def test_fit__finds_the_constants_and_says_how_good_they_are(tmp_path, capsys, monkeypatch):
    (tmp_path / "device.json").write_text(json.dumps(measurements()))
    monkeypatch.setattr(fitted_costs, "FILE", tmp_path / "installed.json")
    assert main(["fit", str(tmp_path), "--install"]) == 0
    shown = capsys.readouterr().out
    counts = [line.split(" of ")[0].split()[-1] for line in shown.splitlines() if " of 36" in line]
    assert counts == ["12", "36", "36"]
    assert "Fitted: dense, single\n" in shown
    written = json.loads((tmp_path / "installed.json").read_text())
    assert written == json.loads((tmp_path / "fitted_costs.json").read_text())
    for point in fit.read(measurements())[1]:
        found = fitted_costs.predict(written["cuda"], point.map, [*TRUE], point.problem)
        np.testing.assert_allclose([*found.values()], [point.seconds[name] for name in TRUE], rtol=1e-2)


def test_fit__installed_constants_decide(monkeypatch):
    _, points = fit.read(measurements())
    monkeypatch.setattr(fitted_costs, "load", lambda: {"cuda": fit.fit(points, {})})

    def supported(wanted, *_):
        return [name for name in TRUE if wanted in METHODS[name].how]

    monkeypatch.setattr(jconvt._core.selection, "supported", supported)
    for size, method in ((4, "gemm"), (59, "polyphase")):
        x, w = (2, size, size, 32), (4, 4, 16, 32)
        spec = jconvt.Spec.from_tensorflow(x, w, strides=2)
        assert jconvt.choose(spec, x, w, platform="cuda").method == method
    # Integers, grouped layers and half precision were not measured: the methods' own formulas predict.
    assert fitted_costs.load()["cuda"].keys() == {"dense, single"}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "benchmarks" / "results").glob("nvidia-*.json")), ids=lambda path: path.stem
)
def test_choose__predicts_a_measured_gpu_as_well_as_the_docs_say(path):
    platform, points = fit.read(json.loads(path.read_text()))

    def choose(point):
        return selection.select(point.map, point.problem, platform).method

    near, mean, worst = fit.quality(points, choose)
    said = " ".join((ROOT / "docs" / "devices.md").read_text().split())
    assert (
        f"{near} predictions name a method within a tenth of the fastest one's time; a predicted method takes "
        f"{float(mean):.2f} times the fastest one's time in the geometric mean, and {worst} at worst"
    ) in said


def test_fit__a_method_that_was_not_measured_leaves_the_formulas():
    _, points = fit.read(measurements())
    constants = fit.fit(points, {})
    assert fitted_costs.predict(constants, Map.FORWARD, [*TRUE], points[0].problem)
    assert fitted_costs.predict(constants, Map.FORWARD, [*TRUE, "vjp"], points[0].problem) is None


def test_fit__keeps_the_constants_of_few_layers():
    _, points = fit.read(measurements())
    before = {"dense, single": {"forward_convolution": {"gemm": [1.0, 0.0, 0.0, 0.0]}}}
    assert fit.fit(points[:12], before) == before


@pytest.mark.parametrize("text", ["", "{}", '{"stages": {"choosing": {"results": {}}}}', "[]"])
def test_fit__needs_measurements(tmp_path, capsys, text):
    (tmp_path / "device.json").write_text(text)
    assert main(["fit", str(tmp_path)]) == 2
    assert "run the command device" in capsys.readouterr().err
