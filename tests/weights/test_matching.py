"""Layers in pairs, and errors for layers that do not fit: both shapes, both paths, and the fix."""

import numpy as np
import pytest

from jconvt import ArgumentError, ArgumentTypeError, Spec, weights
from jconvt.weights import Checkpoint, Layer
from jconvt.weights.matching import fit


def layer(kind, shape, framework="torch", bias=None, groups=None, dtype=np.float32, **more):
    role = "scale" if kind == "norm" else "kernel"
    arrays = {role: np.zeros(shape, dtype)}
    if bias is not None:
        arrays["bias"] = np.zeros(bias, dtype)
    return Layer(kind, arrays, framework, groups, **more)


def message(source, target, names=None, error=ArgumentError, **options):
    checkpoint = Checkpoint({"decoder.up": source}, source.framework, source="the file")
    with pytest.raises(error) as caught:
        fit(checkpoint, {"up_0": target}, names=names, **options)
    return str(caught.value)


def test_fit__wrong_channels_raise_with_both_shapes():
    text = message(layer("conv_transpose", (8, 4, 3, 2), groups=1), layer("conv_transpose", (3, 2, 8, 5), "flax"))
    assert text == (
        "the kernel of layer 'decoder.up', for 'up_0' does not fit\n"
        "  got:   kernel (8, 4, 3, 2) (torch: conv_transpose), which becomes (3, 2, 8, 4)\n"
        "  legal: kernel (3, 2, 8, 5) (flax: conv_transpose)\n"
        "  fix:   no conversion fits: build the layer with the source's kernel size and numbers of channels, or pair "
        "another one, as names={source: target}"
    )


@pytest.mark.parametrize(
    ("source", "target", "fix"),
    [
        (
            layer("conv_transpose", (8, 4, 3, 2), groups=1),
            layer("conv_transpose", (3, 2, 4, 8), "flax"),
            "it fits with transpose_kernel=True in the layer",
        ),
        (
            layer("conv_transpose", (8, 4, 3, 2), groups=1),
            layer("conv_transpose", (3, 2, 8, 4), "flax", transpose_kernel=True),
            "it fits with transpose_kernel=False in the layer",
        ),
        (
            layer("conv_transpose", (8, 2, 3, 3), groups=1),
            layer("conv_transpose", (3, 3, 4, 4), "flax", groups=1),
            "it fits with groups=2 in the layer: kernel.transpose(2, 3, 1, 0).reshape(3, 3, 2, 2, 4)",
        ),
        (
            layer("conv_transpose", (3, 2, 4, 8), groups=1),
            layer("conv_transpose", (3, 2, 8, 4), "flax", groups=1),
            "it fits if the file has keras's layout, by kernel.transpose(0, 1, 3, 2)[::-1, ::-1]: "
            "pass framework='keras'",
        ),
        (
            layer("dense", (4, 3)),
            layer("dense", (4, 3), "keras"),
            "it fits if the file has keras's layout, by kernel: pass framework='keras'",
        ),
        (
            layer("conv_transpose", (8, 4, 3)),
            layer("conv_transpose", (3, 2, 8, 4), "flax"),
            "no conversion fits: they differ in their number of axes",
        ),
        (layer("conv", (8, 4, 3, 3)), layer("conv", (3, 3, 4, 9), "flax"), "no conversion fits: build the layer with"),
    ],
)
def test_fit__error_has_a_remedy(source, target, fix):
    text = message(source, target)
    for part in ("'decoder.up', for 'up_0'", str(source.shape), str(target.shape), f"fix:   {fix}"):
        assert part in text, text


UP = layer("conv_transpose", (8, 4, 3, 3), bias=(4,), groups=1)
BATCH_NORM = Layer("norm", {role: np.ones(3, np.float32) for role in ("scale", "bias", "mean", "var")}, "torch")


@pytest.mark.parametrize(
    ("source", "target", "parts"),
    [
        (
            UP,
            layer("conv", (3, 3, 4, 8), "flax"),
            ["is of another kind\n  got:   conv_transpose in the source, (8, 4, 3, 3)\n  legal: conv, (3, 3, 4, 8)"]
            + ["kinds={path: kind}"],
        ),
        (
            UP,
            layer("conv_transpose", (3, 3, 8, 4), "flax", groups=1),
            ["only the source has a bias", "build the layer with it (use_bias=True)"],
        ),
        (
            layer("conv_transpose", (8, 4, 3, 3), groups=1),
            layer("conv_transpose", (3, 3, 8, 4), "flax", bias=(4,), groups=1),
            ["only the target has a bias", "build the layer without it (use_bias=False)"],
        ),
        (
            UP,
            layer("conv_transpose", (3, 3, 4, 8), "flax", bias=(8,), groups=2),
            ["the groups of layer 'decoder.up', for 'up_0' differ", "build the layer with 1 groups"]
            + ["got:   groups 1 in the source, kernel (8, 4, 3, 3)"],
        ),
        (
            UP,
            layer("conv_transpose", (3, 3, 8, 4), "flax", bias=(5,), groups=1),
            ["the bias of layer 'decoder.up', for 'up_0' does not fit", "got:   bias of shape (4,)"]
            + ["legal: shape (5,)"],
        ),
        (
            BATCH_NORM,
            layer("norm", (3,), "flax", bias=(3,)),
            ["only the source has a mean", "pair a batch normalisation with one; in Equinox, pass its state"],
        ),
    ],
)
def test_fit__other_kinds_groups_and_arrays_raise(source, target, parts):
    text = message(source, target, {"decoder.up": "up_0"})
    for part in parts:
        assert part in text


def test_fit__integers_into_floats_raise():
    source = layer("dense", (4, 3), dtype=np.int8)
    text = message(source, layer("dense", (3, 4), "flax"), error=ArgumentTypeError)
    assert "the kernel of layer 'decoder.up', for 'up_0' is not of floating numbers" in text
    assert "int8 in the source, float32 in the target" in text


def test_fit__groups_follow_from_the_bias_or_the_target():
    target = layer("conv_transpose", (3, 3, 4, 4), "flax", groups=2)
    fitted, _ = fit(Checkpoint({"a": layer("unknown", (8, 2, 3, 3))}, "torch"), {"b": target})
    assert fitted["b"]["kernel"].shape == (3, 3, 4, 4)
    annotated = weights.convert(
        Checkpoint({"a": layer("conv_transpose", (8, 2, 3, 3), bias=(4,))}, "torch"), "equinox"
    )[0]
    assert annotated.layers["a"].shape == (4, 4, 3, 3)
    assert annotated.layers["a"].arrays["bias"].shape == (4, 1, 1)


def test_to_layer__spec_is_the_conventions():
    """The geometries that notes compare are those of the conventions."""
    nnx, eqx = pytest.importorskip("flax.nnx"), pytest.importorskip("equinox")
    import jax

    from jconvt.weights import from_equinox, from_nnx

    up = nnx.ConvTranspose(3, 4, (4, 3), (2, 1), padding=((1, 2), (0, 1)), rngs=nnx.Rngs(0))
    wanted = Spec.from_flax((1, 8, 8, 3), (4, 3, 3, 4), (2, 1), ((1, 2), (0, 1)))
    assert from_nnx(nnx.Sequential(up)).layers["layers.0"].spec == wanted
    up = eqx.nn.ConvTranspose2d(4, 6, 3, 2, output_padding=1, padding=1, groups=2, key=jax.random.key(0))
    wanted = Spec.from_torch((1, 4, 8, 8), (4, 3, 3, 3), 2, 1, 1, groups=2)
    assert from_equinox(eqx.nn.Sequential([up])).layers["layers.0"].spec == wanted
