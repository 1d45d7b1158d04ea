"""Layers in pairs: by names, by equal paths, by shapes that leave no choice; by order only on request."""

import dataclasses

import numpy as np
import pytest

from jconvt import ArgumentError, Spec
from jconvt.weights import Checkpoint, Layer
from jconvt.weights.names import keys
from jconvt.weights.pairing import pair

SEEDS = iter(range(10**9))


def layer(kind="dense", shape=(3, 3), framework="torch", **more):
    """A layer with numbers that no other has."""
    role = "scale" if kind == "norm" else "kernel"
    return Layer(kind, {role: np.random.default_rng(next(SEEDS)).normal(size=shape)}, framework, **more)


def layers(paths, **more):
    return {path: layer(**more) for path in paths.split()}


def paired(sources, targets, names=None, ordered=True, **options):
    """Return the pairs as text."""
    found = pair(Checkpoint(sources, "torch", ordered, "the file"), targets, names, **options)
    return " ".join(f"{source}-{target}:{rule}" for source, target, rule in found)


def message(sources, targets, names=None, ordered=True, **options):
    with pytest.raises(ArgumentError) as caught:
        pair(Checkpoint(sources, "torch", ordered, "the file"), targets, names, **options)
    return str(caught.value)


MIXED = {"a": layer(), "b": layer("norm", (3,)), "c": layer("unknown", (3, 3, 3))}
TARGETS = {"x": layer(), "y": layer("norm", (3,)), "z": layer("conv", (3, 3, 3))}


def test_pair__one_layer_of_each_shape():
    assert paired(MIXED, TARGETS) == "a-x:shape b-y:shape c-z:shape"
    assert paired(MIXED, TARGETS, ordered=False) == paired(MIXED, TARGETS)
    assert paired(MIXED, dict(reversed(TARGETS.items()))) == "c-z:shape b-y:shape a-x:shape"
    mixed = {"x": TARGETS["x"], "b": TARGETS["y"], "z": TARGETS["z"]}
    assert paired(MIXED, mixed, {"c": "z"}) == "a-x:shape b-b:path c-z:name"
    assert paired(MIXED, mixed, {"c": "z"}.get) == "a-x:shape b-b:path c-z:name"
    other = {"o": Layer("other", {"value": np.ones(2)}, "torch"), **MIXED}
    assert paired(other, TARGETS) == paired(MIXED, TARGETS)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("convs1.1 up.0 up.1", "convs1_1 up.layers.0 up_layers_1"),
        ("convs1.1 0.1", "convs1.layers_1 layers_0.layers_1"),
        ("convs1.layers.1 up.0.conv", "convs1_1 up_0.conv"),
        ("module.up.0 module.out", "up_0 out"),
        ("generator.up.0 generator.out disc.in", "up.layers.0 out"),
        ("module.0 module.2", "layers_0 layers_2"),
        ("_orig_mod.up.module.conv out", "up.conv out"),
        ("up.0 up.1 out", "net.up.layers.0 net.up.layers.1 net.out"),
        ("a_1_2 a.1.bn", "a.1.2 a_1.bn"),
    ],
)
def test_keys__equal_for_the_paths_of_one_layer(source, target):
    sources, targets = source.split(), target.split()
    if "up_layers_1" in targets:  # two names in one part are not split
        targets[-1] = "up.layers_1"
    ours, theirs = keys(sources, targets, lambda source, target: True)
    assert [ours[path] for path in sources][: len(targets)] == [theirs[path] for path in targets]


def test_keys__no_key_is_given_twice():
    ours, theirs = keys(["0", "layers.0"], ["layers.0", "1"], lambda source, target: True)
    assert ours["layers.0"] == theirs["layers.0"] != ours["0"]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("a b", "x y"),  # no equal path
        ("0 2 4", "0 1 2"),  # a list without the activations: 0 and 2 are others
        ("0 2 out", "0 1 2"),
        ("0 1 2", "0 2 out"),
        ("conv1 conv2 conv3", "conv0 conv1 conv2"),  # counted from 0
        ("conv2d conv2d_1", "conv2d_1 conv2d_2"),  # counted in the session
        ("a b c", "a b x"),  # one has another name, so the other names may be of other layers too
        ("a b c", "b x c"),
        ("up.0 up.1 rgb", "up_0 up_1 out"),
        ("ema.a ema.b net.a net.b", "a b"),  # two models in one file
        ("enc.a enc.b dec.a dec.c", "a b"),  # the target may be a decoder that has another name for c
        ("ups.0 ups.1", "0 1"),  # equal numbers, of another module
        ("a b", "x"),
        ("a", "x y"),
    ],
)
@pytest.mark.parametrize("ordered", [False, True])
def test_pair__a_choice_raises(source, target, ordered):
    text = message(layers(source), layers(target), ordered=ordered)
    assert text.startswith("paths and shapes leave a choice between layers of the file and of the target\n")
    for path in (*source.split(), *target.split()):
        assert path in text


def test_pair__error_has_candidates_and_the_line_to_paste():
    sources = {"rgb": layer(shape=(3, 4)), **layers("convs1.0 convs1.1")}
    targets = {"out": layer(shape=(3, 4)), **layers("Dense_0 Dense_1")}
    names = {"rgb": "out"}
    text = message(sources, targets, names)
    assert text == (
        "paths and shapes leave a choice between layers of the file and of the target\n"
        "  got:   candidates, side by side\n"
        "    source    target   kind   from    to\n"
        "    convs1.0  Dense_0  dense  (3, 3)  (3, 3)\n"
        "    convs1.1  Dense_1  dense  (3, 3)  (3, 3)\n"
        "  legal: one pairing\n"
        "  fix:   check these pairs, which are a guess, and pass them (check= compares outputs); "
        "or pass by_order=True (--by-order), if both sides are in the order of calls\n"
        "    names={\n"
        "        'rgb': 'out',\n"
        "        'convs1.0': 'Dense_0',\n"
        "        'convs1.1': 'Dense_1',\n"
        "    }"
    )
    pasted = eval(text.partition("names=")[2])
    assert paired(sources, targets, pasted) == "rgb-out:name convs1.0-Dense_0:name convs1.1-Dense_1:name"


@pytest.mark.parametrize(
    ("source", "target", "pairs"),
    [
        ("a b", "b a", "b-b:path a-a:path"),
        ("a b spare", "a b", "a-a:path b-b:path"),
        ("0 2 4", "layers_0 layers_2 layers_4", "0-layers_0:path 2-layers_2:path 4-layers_4:path"),
        ("gen.a gen.b disc.c", "a b", "gen.a-a:path gen.b-b:path"),
    ],
)
def test_pair__equal_paths(source, target, pairs):
    assert paired(layers(source), layers(target)) == pairs
    assert paired(layers(source), layers(target), by_order=True) == pairs


def test_pair__other_models_in_a_file_do_not_count_if_they_do_not_fit():
    others = layers("disc.a disc.b", shape=(3, 4))
    assert paired(layers("gen.a gen.b") | others, layers("a b")) == "gen.a-a:path gen.b-b:path"


def test_pair__only_the_undecided_group_needs_names():
    source = layers("convs1.0 convs1.1") | layers("rgb", shape=(3, 4)) | layers("a b c", shape=(4, 4))
    target = layers("convs1_1 convs1_0") | layers("out", shape=(3, 4)) | layers("c a x", shape=(4, 4))
    text = message(source, target)
    assert "convs1" not in text
    pasted = eval(text.partition("names=")[2])
    assert pasted == {"a": "a", "b": "x", "c": "c"}  # a guess with the equal names
    for names in (pasted, {"b": "x"}):
        found = paired(source, target, names)
        assert "convs1.1-convs1_1:path convs1.0-convs1_0:path rgb-out:shape" in found
        assert found.endswith(":path a-a:path b-x:name" if names is not pasted else ":name a-a:name b-x:name")


def test_pair__by_order_is_on_request():
    assert paired(layers("0 2 4"), layers("0 1 2"), by_order=True) == "0-0:order 2-1:order 4-2:order"
    assert paired(layers("a b"), layers("b x"), by_order=True) == "b-b:order a-x:order"
    for source, target in ("a b c", "x y"), ("a b", "x y z"):
        text = message(layers(source), layers(target), by_order=True)
        assert "does not help, as the two sides differ in order" in text
    assert "does not help, as the file has no order" in message(
        layers("a b"), layers("x y"), None, False, by_order=True
    )


def test_pair__equal_paths_that_do_not_fit_never_cross():
    small, large = ({"shape": shape} for shape in ((3, 3), (3, 4)))
    swapped = {"a": layer(**large), "b": layer(**small)}
    # Every layer fits one other only, so no choice is left.
    assert paired({"a": layer(**small), "b": layer(**large)}, swapped) == "b-a:shape a-b:shape"
    # But here the target's layer is the one that was built wrongly.
    text = message({"a": layer(**small), "b": layer(**large)}, {"a": layer(**large)})
    assert "the kernel of layer 'a', for 'a' does not fit" in text
    assert "names={'b': 'a'}" in text


def test_pair__no_layer_takes_the_place_of_one_that_cannot_be_read():
    unread = Layer("other", {"bias": np.ones(3)}, "torch", unread={"weight": "dtype float8"})
    sources, targets = {"up": unread, "spare": layer()}, {"up": layer()}
    said = message(sources, targets)
    assert "layer 'up' has the path of 'up'" in said
    assert "weight is not read (dtype float8)" in said
    assert "names={'spare': 'up'}" in said
    assert paired(sources, targets, {"spare": "up"}) == "spare-up:name"
    assert paired({"up": unread}, targets) == ""


def test_pair__equal_numbers_are_interchangeable():
    shared = layer()
    assert paired({"a": shared, "b": shared}, layers("x")) == "a-x:shape"
    assert paired({"a": shared, "b": shared}, layers("x y")) == "a-x:shape b-y:shape"
    assert paired({"a": shared, "b": shared, "c": layer()}, layers("x y"), by_order=True) == "a-x:order c-y:order"
    message({"a": shared, "b": shared, "c": layer()}, layers("x y"))
    norms = {path: Layer("norm", {"scale": np.ones(3), "bias": np.zeros(3)}, "torch") for path in "abcd"}
    assert paired(norms, {path.upper(): norms[path] for path in norms}).count(":shape") == 4
    changed = dataclasses.replace(norms["a"], arrays={"scale": np.ones(3), "bias": np.ones(3)})
    message({**norms, "d": changed}, {path.upper(): norms[path] for path in norms})


def test_pair__unknown_kinds_fit_two():
    sources = {"a": layer("unknown", (3, 3, 3)), "b": layer("conv", (3, 3, 3))}
    assert paired(sources, {"x": layer("conv", (3, 3, 3)), "y": layer("conv_transpose", (3, 3, 3))}) == (
        "b-x:shape a-y:shape"
    )
    # The equal paths of `a` do not fit.
    sources = {"a": layer("conv", (3, 3, 3)), "b": layer("unknown", (3, 3, 3))}
    targets = {"a": layer("conv_transpose", (3, 3, 3)), "b": layer("conv", (3, 3, 3))}
    assert paired(sources, targets) == "b-a:shape a-b:shape"
    sources = {"a": layer("unknown", (3, 3, 3)), "b": layer("unknown", (3, 3, 3))}
    message(sources, {"x": layer("conv", (3, 3, 3)), "y": layer("conv_transpose", (3, 3, 3))})


def test_pair__geometry_and_epsilon_decide_if_both_sides_know_them():
    specs = [Spec.from_torch((1, 3, 8), (3, 3, 3), stride, groups=1) for stride in (1, 2, 3)]
    a, b, c = (layer("conv_transpose", (3, 3, 3), groups=1, spec=spec) for spec in specs)
    assert paired({"a": a, "b": b}, {"x": b, "y": a}) == "b-x:shape a-y:shape"
    message({"a": a, "b": b}, {"x": b, "y": c})
    message({"a": a, "b": b}, {"x": b, "y": dataclasses.replace(a, spec=None)} | {"z": a})
    norms = [layer("norm", (3,), epsilon=epsilon) for epsilon in (1e-3, 1e-5)]
    assert paired(dict(zip("ab", norms, strict=True)), dict(zip("yx", norms, strict=True))) == "a-y:shape b-x:shape"


@pytest.mark.parametrize(
    ("names", "problem", "got"),
    [
        ({"q": "x"}, "names has a source that is not a layer of the file", "'q'"),
        ({"a": "q"}, "names has a target that is not a layer of the target", "'q'"),
        ({"a": "x", "b": "x"}, "names gives one path to two layers", "'x', from a, b"),
        (lambda path: "x", "names gives one path to two layers", "'x', from a, b, c"),
    ],
)
def test_pair__wrong_name_map_raises(names, problem, got):
    text = message(MIXED, {"x": layer(), "y": layer("norm", (3,))}, names)
    assert problem in text
    assert f"got:   {got}" in text
