"""``python -m benchmarks models``: each step on the smallest network, in this process and in one of its own."""

import json

import jax
import jax.numpy as jnp
import pytest

from benchmarks import plot
from benchmarks.cli import main
from benchmarks.models import NETWORKS, command, convolutions, measuring, report
from jconvt import _accelerate

NAME = "flax-dcgan-discriminator"


@pytest.fixture(autouse=True)
def _defaults():
    """JAX as other libraries expect it."""
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.default_prng_impl("threefry2x32"),
    ):
        yield


def _here(names, function, quick, absent, console):
    """Measure in this process, which has imported what another one would have to."""
    for name in names:
        yield name, function(name, quick)


def test_models__writes_tables_page_and_plot(monkeypatch, capsys, tmp_path):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(command, "_each", _here)
    monkeypatch.setattr(jax, "clear_caches", lambda: None)
    assert main(["models", NAME, "--quick", "--output", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    (path,) = tmp_path.glob("models-*.json")
    content = json.loads(path.read_text())
    assert content["absent"] == {}
    programs = content["networks"][NAME]
    assert {name: each["convolutions"] for name, each in programs.items()} == {"inference": 4, "training": 11}
    for each in programs.values():
        assert each["status"] == "timed"
        assert 0 <= each["replaced"] <= each["convolutions"]
        assert each["difference"] <= 1e-4
        assert each["contenders"].keys() >= {"plain", "accelerated"}
        assert all(len(found["times"]) == 2 for found in each["contenders"].values())
        assert each["contenders"]["accelerated"]["compile_seconds"] > 0
    page, picture = path.with_suffix(".md").read_text(), path.with_suffix(".svg")
    assert page.count(f"| {NAME} |") == 2
    assert picture.name in page
    assert "</svg>" in picture.read_text()
    assert NAME in shown


def test_models__a_network_whose_results_differ_is_wrong(monkeypatch):
    """With twice the outputs under ``accelerate``."""
    monkeypatch.setattr(jax, "clear_caches", lambda: None)
    network = NETWORKS[NAME].build(quick=True)

    class Doubled:
        parameters, state, batch = network.parameters, network.state, network.batch

        def inference(self, *operands):
            return network.inference(*operands) * (2 if _accelerate.REPLACES_CONVOLUTIONS.value else 1)

    found = measuring._measure(Doubled(), "inference", {}, quick=True)
    assert found["status"] == "wrong"
    assert found["difference"] == pytest.approx(1, rel=1e-3)


def test_models__gradients_are_compared(monkeypatch):
    """The parameters after a step at the large rate show an error of a gradient that the loss does not."""
    network = NETWORKS[NAME].build(quick=True)
    operands = measuring._operands(network, "training", measuring._CHECKED_RATE)
    loss, parameters, state = jax.jit(network.training)(*operands)
    # The parameters before the step are smaller than its rounding.
    assert measuring._difference(parameters, jax.tree.map(jnp.add, parameters, network.parameters)) < 1e-5
    wrong = dict(parameters, Conv_1={"kernel": parameters["Conv_1"]["kernel"] * 1.5})
    assert measuring._largest_difference((loss, parameters, state), (loss, parameters, state)) == 0
    assert measuring._largest_difference((loss, parameters, state), (loss, wrong, state)) == pytest.approx(
        0.5, rel=1e-3
    )
    assert not measuring._difference(jnp.ones(3), jnp.full(3, jnp.nan)) <= 1


def test_models__convolutions_are_distinct_measured_and_summarized(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(command, "_each", _here)
    monkeypatch.setattr(measuring, "PROGRAMS", ("inference",))
    monkeypatch.setattr(_accelerate, "_seen", {})
    assert main(["models", "--convolutions", NAME, "--quick", "--output", str(tmp_path)]) == 0
    (path,) = tmp_path.glob("convolutions-*.json")
    measured = json.loads(path.read_text())["convolutions"]
    assert len(measured) == 4
    for each in measured:
        assert each["networks"] == {NAME: 1}
        assert {"XLA", each["chosen"]} <= each["seconds"].keys() <= each["predicted"].keys()
        assert convolutions.cost(each) >= 1
    assert path.with_suffix(".md").read_text().count(f"| {NAME} |") == 4
    assert "of 4 convolutions are replaced" in " ".join(capsys.readouterr().out.split())


def test_models__summary_counts_wrong_choices():
    def convolution(chosen, count, **seconds):
        return {"chosen": chosen, "seconds": seconds, "networks": {"some": count}}

    measured = [
        convolution("F native", 1, XLA=2.0, **{"F native": 1.0}),
        convolution("F native", 2, XLA=1.0, **{"F native": 4.0}),
        convolution("XLA", 3, XLA=2.0, **{"F native": 1.0}),
    ]
    text = convolutions.summary(measured)
    assert "2 of 3 convolutions are replaced, 1 of them although XLA is faster (by a factor of 4.00 at worst)" in text
    assert "1 of the 1 that are left to XLA would be faster" in text
    assert "1 predictions name the fastest way" in text
    assert "take 15,000 ms as chosen, 10,000 ms by XLA, and 6,000 ms at best" in text


def test_models__a_missing_library_and_a_failure_are_named(monkeypatch, capsys, tmp_path):
    """In a process of its own, where a network cannot be built."""
    monkeypatch.setitem(NETWORKS, NAME, NETWORKS[NAME])
    monkeypatch.setattr(measuring, "measure", _fail)
    assert main(["models", NAME, "--quick", "--output", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert f"Left out: {NAME}: ModuleNotFoundError: No module named 'absent'" in shown
    assert "Nothing was measured." in shown


def _fail(name, quick):
    raise ModuleNotFoundError("No module named 'absent'")


def test_report__wrong_programs_and_absent_torch_are_named():
    programs = {
        "inference": {"status": "wrong", "detail": "results differ", "without_torch": "PyTorch lacks it"},
        "training": {"status": "wrong", "detail": "results differ", "without_torch": "PyTorch lacks it"},
    }
    content = {"absent": {"haiku-resnet18": "ImportError: no"}, "networks": {NAME: programs}}
    assert [*report.failures(content)] == [
        "Left out: haiku-resnet18: ImportError: no",
        f"Wrong: {NAME}, inference: results differ",
        f"Wrong: {NAME}, training: results differ",
        f"Left out: PyTorch's {NAME}: PyTorch lacks it",
    ]
    assert report.rows(content) == []


def test_plot__has_a_colour_for_each_kind_of_dot():
    pytest.importorskip("matplotlib")
    dots = [plot.Dot("training", "a", "JAX", 2.0), plot.Dot("training", "a", "PyTorch", None)]
    assert "</svg>" in plot.of_dots(dots, "title", "label")


def test_models__unknown_name_ends_with_2(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["models", "nonsense"])
    assert stopped.value.code == 2
    assert "no network is called 'nonsense'; choose from keras-resnet50" in capsys.readouterr().err


def _built(name, build):
    try:
        return build(NETWORKS[name])
    except ImportError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", NETWORKS)
def test_networks__outputs_have_the_shape_of_the_target(name):
    network = _built(name, lambda entry: entry.build(quick=True))
    outputs = jax.eval_shape(network.inference, network.parameters, network.state, network.batch)
    loss, *_ = jax.eval_shape(network.training, *measuring._operands(network, "training", 1.0))
    assert (outputs.shape, loss.shape) == (network.target.shape, ())


@pytest.mark.parametrize("name", NETWORKS)
def test_networks__torch_has_outputs_of_the_same_shape(name):
    pytest.importorskip("torch")
    built = _built(name, lambda entry: entry.torch(quick=True))
    if built is None:
        assert name == "keras-xception-unet"
        return
    module, batch, target = built
    assert module(batch).shape == target.shape


def test_networks__parameters_of_haiku_hide_no_layer():
    """No gradient is zero everywhere: a wrong convolution would not show."""
    network = _built("haiku-resnet18", lambda entry: entry.build(quick=True))
    _, gradients, _ = jax.jit(network.training)(*measuring._operands(network, "training", measuring._CHECKED_RATE))
    assert all(bool(jnp.any(each != 0)) for each in jax.tree.leaves(gradients))
