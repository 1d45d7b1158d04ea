"""Layers in WeightNorm and SpectralNorm are saved with the kernel that they are called with, never with their own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jconvt import ArgumentError, weights

nn, nnx, eqx = (pytest.importorskip(name) for name in ("flax.linen", "flax.nnx", "equinox"))

import jconvt.linen  # noqa: E402
import jconvt.nnx  # noqa: E402

X = np.random.default_rng(0).normal(size=(1, 5, 4, 3)).astype(np.float32)


def perturbed(tree):
    """The tree with other numbers."""

    def change(array):
        generator = np.random.default_rng(array.size)
        return array + 0.4 * generator.normal(size=array.shape).astype(array.dtype)

    return jax.tree.map(lambda leaf: change(leaf) if eqx.is_inexact_array(leaf) else leaf, tree)


def close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


class Linen(nn.Module):
    wrapped: bool

    @nn.compact
    def __call__(self, x):
        up, other, mix = nn.ConvTranspose(4, (3, 3), (2, 2)), jconvt.linen.ConvTranspose(4, (3, 3), 2), nn.Dense(4)
        if self.wrapped:
            x = nn.WeightNorm(up, feature_axes=(2, 3))(x)
            return nn.Conv(2, (1, 1))(nn.WeightNorm(mix)(nn.SpectralNorm(other)(x, update_stats=False)))
        return nn.Conv(2, (1, 1))(mix(other(up(x))))


def test_from_linen__has_effective_kernels():
    wrapped, plain = Linen(True), Linen(False)
    variables = perturbed(wrapped.init(jax.random.key(0), X))
    checkpoint = weights.from_linen(variables, wrapped, jax.ShapeDtypeStruct(X.shape, X.dtype))
    assert {layer.kind for layer in checkpoint.layers.values()} == {"conv_transpose", "dense", "conv"}
    assert list(checkpoint.layers["ConvTranspose_0"].arrays) == ["kernel", "bias"]
    loaded, report = weights.into_linen(checkpoint, plain, X)
    close(plain.apply(loaded, X), wrapped.apply(variables, X))
    assert {row.rule for row in report.rows} == {"path"}
    assert report.unused == ()


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x) * self.param("kernel", nn.initializers.ones, (3,), jnp.float32)[None, None, None]


class Around(nn.Module):
    """A wrapper of several layers, and of a parameter in no layer."""

    @nn.compact
    def __call__(self, x):
        return nn.WeightNorm(Block(), feature_axes=None)(x)


def test_from_linen__has_effective_parameters_in_no_layer():
    variables = perturbed(Around().init(jax.random.key(0), X))
    found = weights.from_linen(variables, Around(), X).layers
    assert list(found) == ["Block_0.Dense_0", "Block_0"]
    scales = variables["params"]["WeightNorm_0"]
    for path, layer in (("Dense_0/kernel", found["Block_0.Dense_0"]), ("kernel", found["Block_0"])):
        norm = np.linalg.norm(layer.arrays["kernel"])
        close(norm, abs(scales[f"Block_0/{path}/scale"]))


class Twice(nn.Module):
    order: str

    def setup(self):
        self.plain = nn.Conv(3, (3, 3))
        self.wrapped = nn.WeightNorm(self.plain)

    def __call__(self, x):
        for each in self.order:
            x = self.plain(x) if each == "p" else self.wrapped(x)
        return x


class Rematerialized(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.remat(Linen)(True)(x)


def test_from_linen__kernels_that_cannot_be_computed_raise():
    for order in ("pw", "wp", "wpw"):
        variables = perturbed(Twice(order).init(jax.random.key(0), X))
        with pytest.raises(ArgumentError, match=r"with several kernels\n  got: .*params\.plain\.kernel"):
            weights.from_linen(variables, Twice(order), X)
    module = Rematerialized()
    with pytest.raises(ArgumentError, match="kernels are computed in a transformation"):
        weights.from_linen(module.init(jax.random.key(0), X), module, X)
    variables = perturbed(Twice("ww").init(jax.random.key(0), X))
    kernel = weights.from_linen(variables, Twice("ww"), X).layers["plain"].arrays["kernel"]
    close(np.linalg.norm(kernel.reshape(-1, 3), axis=0), abs(variables["params"]["wrapped"]["plain/kernel/scale"]))


def nnx_layers(wrapped):
    rngs = nnx.Rngs(0)
    up, mix = nnx.ConvTranspose(3, 4, (3, 3), 2, rngs=rngs), nnx.Linear(4, 4, rngs=rngs)
    other = jconvt.nnx.ConvTranspose(4, 4, (3, 3), 2, rngs=rngs)
    if wrapped:
        up, mix = nnx.WeightNorm(up, rngs=rngs), nnx.WeightNorm(mix, feature_axes=None, rngs=rngs)
        for wrapper in (up, mix):
            scales = {path: scale.astype(np.float32) for path, scale in wrapper.scales.items()}
            wrapper.scales = nnx.data(perturbed(scales))
        other = nnx.SpectralNorm(other, rngs=rngs)
    return nnx.Sequential(up, other, mix, nnx.Conv(4, 2, (1, 1), rngs=rngs))


def test_from_nnx__has_effective_kernels():
    wrapped, plain = nnx_layers(True), nnx_layers(False)
    wrapped.eval()
    before = jax.tree.map(np.asarray, nnx.state(wrapped))
    checkpoint = weights.from_nnx(wrapped)
    assert {layer.kind for layer in checkpoint.layers.values()} == {"conv_transpose", "dense", "conv"}
    jax.tree.map(np.testing.assert_array_equal, before, nnx.state(wrapped))
    names = {path: path.removesuffix(".layer_instance") for path in checkpoint.layers}
    assert weights.into_nnx(checkpoint, plain, names).unused == ()
    close(plain(X), wrapped(X))


class Equinox(eqx.Module):
    up: eqx.Module
    other: eqx.Module
    mix: eqx.nn.Conv2d

    def __init__(self, wrapped):
        key = jax.random.key(0)
        build = lambda ins: eqx.nn.ConvTranspose2d(ins, 4, 3, 2, dtype=jnp.float32, key=key)  # noqa: E731
        self.up, self.other = build(3), build(4)
        if wrapped:
            self.up, self.other = eqx.nn.WeightNorm(build(3)), eqx.nn.SpectralNorm(build(4), "weight", key=key)
        self.mix = eqx.nn.Conv2d(4, 2, 1, dtype=jnp.float32, key=key)

    def __call__(self, x, state):
        return self.mix(self.other(self.up(x), state)[0])


def test_from_equinox__has_effective_kernels():
    model, state = eqx.nn.make_with_state(Equinox)(True)
    model, plain = perturbed(model), Equinox(False)
    checkpoint = weights.from_equinox(model, state)
    assert {path: layer.kind for path, layer in checkpoint.layers.items()} == {
        "up.layer": "conv_transpose",
        "other.layer": "conv_transpose",
        "mix": "conv",
    }
    plain, report = weights.into_equinox(checkpoint, plain, {"up.layer": "up", "other.layer": "other"})
    assert report.unused == ()
    x = jnp.moveaxis(X[0], -1, 0)
    close(plain.mix(plain.other(plain.up(x))), eqx.nn.inference_mode(model)(x, state))
    with pytest.raises(ArgumentError, match=r"kernel of layer 'other' cannot be computed[\s\S]*pass state="):
        weights.from_equinox(model)
    biased = eqx.nn.WeightNorm(eqx.nn.Conv2d(4, 2, 1, dtype=jnp.float32, key=jax.random.key(0)), "bias")
    with pytest.raises(
        ArgumentError, match=r"layer '' cannot be computed\n  got:   weight_name = 'bias'[\s\S]*tree_at"
    ):
        weights.from_equinox(biased)


class Scale(eqx.Module):
    """A layer that is not converted."""

    weight: jax.Array


def test_from_equinox__has_effective_parameters_in_no_layer():
    model = eqx.nn.WeightNorm(Scale(jnp.full((2, 3), 2, jnp.float32)))
    model = eqx.tree_at(lambda each: each.g, model, jnp.full((2, 1), 3**0.5, jnp.float32))
    layers = weights.from_equinox(model).layers
    assert list(layers) == ["layer"]
    close(layers["layer"].arrays["weight"], np.ones((2, 3)))


def test_into__parameters_of_wrapped_layers_are_not_kernels():
    """They are not filled with kernels, and are listed with strict=False."""
    linen, wrapped = Linen(True), nnx_layers(True)
    variables = linen.init(jax.random.key(0), X)
    model, state = eqx.nn.make_with_state(Equinox)(True)
    checkpoint = weights.from_linen(variables, linen, X)
    calls = (
        lambda **options: weights.into_linen(checkpoint, linen, X, variables=variables, **options)[1],
        lambda **options: weights.into_nnx(weights.from_nnx(wrapped), wrapped, **options),
        lambda **options: weights.into_equinox(weights.from_equinox(model, state), model, **options)[1],
    )
    for call in calls:
        with pytest.raises(ArgumentError, match=r"in layers that are not converted\n  got: .*(kernel|weight)"):
            call()
        assert [row.kind for row in call(strict=False).rows] == ["conv"]
