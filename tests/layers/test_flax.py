"""``jconvt.linen`` and ``jconvt.nnx`` beside Flax's own layers, under Flax's transformations, and beyond Flax."""

import dataclasses
import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jconvt

nn = pytest.importorskip("flax.linen")
nnx = pytest.importorskip("flax.nnx")

from jconvt import linen as jlinen  # noqa: E402
from jconvt import nnx as jnnx  # noqa: E402

WITHOUT = {"groups", "output_shape", "output_padding", "use_consistent_padding", "method", "out_sharding"}
KEY = jax.random.key(0, impl="rbg")  # made before conftest says so


def integers(shape, dtype=np.float64):
    return np.random.default_rng(len(repr(shape))).integers(-9, 10, shape).astype(dtype)


def whole(key, shape, dtype=jnp.float64, **_):
    """An initialiser whose numbers are integers, so that no order of their sums rounds."""
    return jax.random.randint(key, shape, -9, 10).astype(dtype)


WHOLE = {"kernel_init": whole, "bias_init": whole, "param_dtype": jnp.float64}


def linen_layers(arguments, features, x, key=KEY):
    """Flax's layer and jconvt's, with their variables for ``x``."""
    layers = [module.ConvTranspose(features, **arguments) for module in (nn, jlinen)]
    return [(layer, layer.init(key, x)) for layer in layers]


def nnx_layers(arguments, taken, features):
    return [module.ConvTranspose(taken, features, rngs=nnx.Rngs(0), **arguments) for module in (nnx, jnnx)]


@st.composite
def layers(draw):
    """The shape of an input, with any number of batch axes; output features; and arguments."""
    rank = draw(st.integers(1, 3))
    most = {1: 6, 2: 4, 3: 2}[rank]
    sizes, kernel = ([draw(st.integers(1, most)) for _ in range(rank)] for _ in range(2))
    numbers, pads = st.integers(1, 3), st.integers(0, 3)
    for_each = st.sampled_from([None, draw(numbers), tuple(draw(numbers) for _ in range(rank))])
    pairs = tuple(draw(st.sampled_from([draw(pads), (draw(pads), draw(pads))])) for _ in range(rank))
    arguments = {
        "kernel_size": kernel[0] if rank == 1 and draw(st.booleans()) else tuple(kernel),
        "strides": draw(for_each),
        "kernel_dilation": draw(for_each),
        "padding": draw(st.sampled_from(["SAME", "VALID", "CIRCULAR", "CIRCULAR", draw(pads), pairs])),
        "transpose_kernel": draw(st.booleans()),
        "use_bias": draw(st.booleans()),
    }
    batch = draw(st.sampled_from([(), (2,), (2,), (1, 3), (2, 0)]))
    return (*batch, *sizes, draw(st.integers(1, 3))), draw(st.integers(1, 3)), arguments


@settings(max_examples=25, deadline=None)
@given(layer=layers())
def test_equals_linen(layer):
    shape, features, arguments = layer
    x = integers(shape)
    if 0 in shape:  # Flax cannot infer the merged batch then
        alone = integers([n for n in shape if n > 0])
        (_, variables), (ours, _) = linen_layers(arguments | WHOLE, features, alone)
        y = ours.apply(variables, x)
        assert y.shape == (*shape[:2], *ours.apply(variables, alone).shape[1:])
        return
    (theirs, variables), (ours, own) = linen_layers(arguments | WHOLE, features, x)
    jax.tree.map(np.testing.assert_array_equal, own, variables)
    np.testing.assert_array_equal(ours.apply(variables, x), theirs.apply(variables, x))


@settings(max_examples=15, deadline=None)
@given(layer=layers())
def test_equals_nnx(layer):
    shape, features, arguments = layer
    if 0 in shape:
        return
    x = integers(shape)
    theirs, ours = nnx_layers(arguments | WHOLE, shape[-1], features)
    for a, b in zip(jax.tree.leaves(nnx.state(theirs)), jax.tree.leaves(nnx.state(ours)), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(ours(x), theirs(x))


def test_defaults_and_names_are_flaxs():
    theirs, ours = (
        {f.name: f for f in dataclasses.fields(layer)} for layer in (nn.ConvTranspose, jlinen.ConvTranspose)
    )
    assert ours.keys() - theirs.keys() == WITHOUT
    assert all(ours[name].kw_only for name in WITHOUT)
    for name, field in theirs.items():
        assert ours[name].default is field.default, name
    theirs, ours = (inspect.signature(layer.__init__).parameters for layer in (nnx.ConvTranspose, jnnx.ConvTranspose))
    assert ours.keys() - theirs.keys() == WITHOUT
    assert list(ours)[: len(theirs)] == list(theirs)
    for name, parameter in ours.items():
        expected = inspect.Parameter.KEYWORD_ONLY if name in WITHOUT else theirs[name].kind
        assert parameter.kind is expected
        if name in theirs and not name.endswith("_metadata"):
            assert parameter.default is theirs[name].default, name


def test_every_argument_of_flax_is_used():
    """What a newer Flax adds would be taken and not used; this test then says so."""
    assert {f.name for f in dataclasses.fields(nn.ConvTranspose)} == {
        "features", "kernel_size", "strides", "padding", "kernel_dilation", "use_bias", "mask", "dtype", "param_dtype",
        "precision", "kernel_init", "bias_init", "transpose_kernel", "promote_dtype", "preferred_element_type",
        "parent", "name",
    }  # fmt: skip
    assert set(inspect.signature(nnx.ConvTranspose.__init__).parameters) == {
        "self", "in_features", "out_features", "kernel_size", "strides", "padding", "kernel_dilation", "use_bias",
        "mask", "dtype", "param_dtype", "precision", "kernel_init", "bias_init", "transpose_kernel", "promote_dtype",
        "preferred_element_type", "rngs", "kernel_metadata", "bias_metadata",
    }  # fmt: skip


@pytest.mark.parametrize("param_dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("dtype", [None, jnp.bfloat16, jnp.float16, jnp.float64])
@pytest.mark.parametrize("preferred", [None, jnp.float64])
def test_dtypes_are_flaxs(param_dtype, dtype, preferred):
    x = integers((1, 4, 2), np.float32)
    arguments = {"kernel_size": 3, "param_dtype": param_dtype, "dtype": dtype, "preferred_element_type": preferred}
    with jax.numpy_dtype_promotion("standard"):
        (theirs, variables), (ours, own) = linen_layers(arguments, 2, x)
        y, expected = ours.apply(own, x), theirs.apply(variables, x)
        assert y.dtype == expected.dtype
        np.testing.assert_allclose(y.astype(float), expected.astype(float), rtol=0.03, atol=0.03)
        theirs, ours = nnx_layers(arguments, 2, 2)
        assert ours(x).dtype == theirs(x).dtype == y.dtype
        assert ours.kernel.dtype == theirs.kernel.dtype == param_dtype


def test_the_default_initialiser_draws_what_flax_draws():
    x, users = integers((1, 4, 4, 3), np.float32), jax.random.key(0, impl="threefry2x32")
    (_, variables), (_, own) = linen_layers({"kernel_size": (3, 3)}, 5, x, users)
    jax.tree.map(np.testing.assert_array_equal, own, variables)
    grouped = jlinen.ConvTranspose(500, (3,), groups=10).init(KEY, integers((1, 4, 200), np.float32))
    kernel = grouped["params"]["kernel"]
    assert kernel.shape == (3, 20, 500)
    np.testing.assert_allclose(kernel.std(), (3 * 20) ** -0.5, rtol=0.02)  # LeCun's: one over the fan in


@pytest.mark.parametrize("transpose_kernel", [False, True])
def test_mask(transpose_kernel):
    x = integers((1, 4, 3))
    shape = (3, 2, 3) if transpose_kernel else (3, 3, 2)
    arguments = {"kernel_size": 3, "transpose_kernel": transpose_kernel, "mask": np.tril(np.ones(shape))} | WHOLE
    (theirs, variables), (ours, _) = linen_layers(arguments, 2, x)
    np.testing.assert_array_equal(ours.apply(variables, x), theirs.apply(variables, x))
    theirs, ours = nnx_layers(arguments, 3, 2)
    np.testing.assert_array_equal(ours(x), theirs(x))


def test_promote_dtype_and_precision_are_passed_on():
    def doubled(*operands, dtype):
        return [None if operand is None else 2.0 * operand for operand in operands]

    x = integers((1, 4, 2))
    (theirs, variables), (ours, _) = linen_layers({"kernel_size": 3, "promote_dtype": doubled} | WHOLE, 2, x)
    np.testing.assert_array_equal(ours.apply(variables, x), theirs.apply(variables, x))
    layer = jlinen.ConvTranspose(2, 3, precision="highest", method="dilated", **WHOLE)
    text = jax.jit(layer.apply).lower(layer.init(KEY, x), x).as_text()
    assert "HIGHEST" in text


# What Flax has not.


@pytest.mark.parametrize("method", ["auto", "dilated", "vjp", "polyphase", "gemm"])
@pytest.mark.parametrize("transpose_kernel", [False, True])
def test_groups_are_independent_layers(method, transpose_kernel):
    x = integers((2, 5, 4, 6))
    arguments = {"kernel_size": (3, 4), "strides": 2, "transpose_kernel": transpose_kernel} | WHOLE
    layer = jlinen.ConvTranspose(4, groups=2, method=method, **arguments)
    variables = layer.init(KEY, x)
    kernel, bias = variables["params"]["kernel"], variables["params"]["bias"]
    assert kernel.shape == ((3, 4, 2, 6) if transpose_kernel else (3, 4, 3, 4))
    part = nn.ConvTranspose(2, **arguments)
    parts = [
        part.apply({"params": {"kernel": k, "bias": b}}, x_part)
        for x_part, k, b in zip(np.split(x, 2, -1), jnp.split(kernel, 2, -1), jnp.split(bias, 2), strict=True)
    ]
    expected = np.concatenate(parts, -1)
    np.testing.assert_array_equal(layer.apply(variables, x), expected)
    in_nnx = jnnx.ConvTranspose(6, 4, rngs=nnx.Rngs(1), groups=2, method=method, **arguments)
    assert (in_nnx.kernel.shape, in_nnx.bias.shape) == (kernel.shape, bias.shape)
    in_nnx.kernel, in_nnx.bias = nnx.Param(kernel), nnx.Param(bias)
    np.testing.assert_array_equal(in_nnx(x), expected)


PADDINGS = ["SAME", "VALID", ((1, 2),)]


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("plus", range(3))
def test_output_sizes_are_tensorflows(padding, plus):
    """With ``use_consistent_padding`` pairs are TensorFlow's, too."""
    x, s, k = integers((2, 4, 3)), 3, 5
    least = {"SAME": 3 * s + 1, "VALID": 3 * s + k}.get(padding, 3 * s + k - 3)
    out = least + plus
    arguments = {"kernel_size": k, "strides": s, "padding": padding, "use_bias": False, "transpose_kernel": True}
    layer = jlinen.ConvTranspose(2, output_shape=(out,), use_consistent_padding=True, **arguments, **WHOLE)
    variables = layer.init(KEY, x)
    expected = jconvt.conv_transpose(x, variables["params"]["kernel"], (out,), s, padding)
    np.testing.assert_array_equal(layer.apply(variables, x), expected)
    of_a_call = layer.copy(output_shape=None)
    np.testing.assert_array_equal(of_a_call.apply(variables, x, output_shape=(out,)), expected)
    in_nnx = jnnx.ConvTranspose(3, 2, rngs=nnx.Rngs(0), use_consistent_padding=True, **arguments, **WHOLE)
    in_nnx.kernel = nnx.Param(variables["params"]["kernel"])
    np.testing.assert_array_equal(in_nnx(x, output_shape=(out,)), expected)


@pytest.mark.parametrize("padding", PADDINGS)
def test_output_padding_is_that_of_conv_transpose(padding):
    x = integers((2, 4, 3))
    arguments = {"kernel_size": 5, "strides": 3, "padding": padding, "use_bias": False, "transpose_kernel": True}
    layer = jlinen.ConvTranspose(2, output_padding=1, use_consistent_padding=True, **arguments, **WHOLE)
    variables = layer.init(KEY, x)
    expected = jconvt.conv_transpose(x, variables["params"]["kernel"], None, 3, padding, output_padding=1)
    np.testing.assert_array_equal(layer.apply(variables, x), expected)


@pytest.mark.parametrize(("p", "plus", "k", "s", "d"), [(1, 1, 4, 2, 1), (0, 0, 3, 2, 2), (2, 2, 5, 3, 1)])
def test_pytorchs_padding(p, plus, k, s, d):
    x = integers((2, 5, 6))
    layer = jlinen.ConvTranspose(
        4,
        (k,),
        s,
        p,
        d,
        transpose_kernel=True,
        use_bias=False,
        groups=2,
        output_padding=plus,
        use_consistent_padding=True,
        **WHOLE,
    )
    variables = layer.init(KEY, x)
    weight = np.transpose(variables["params"]["kernel"], (2, 1, 0))
    expected = jconvt.torch.conv_transpose1d(
        np.moveaxis(x, -1, 1), weight, stride=s, padding=p, output_padding=plus, groups=2, dilation=d
    )
    np.testing.assert_array_equal(layer.apply(variables, x), np.moveaxis(expected, 1, -1))


def test_same_lower_puts_the_odd_position_first():
    x = integers((1, 4, 1))
    for kernel_size in range(1, 7):
        layer = jlinen.ConvTranspose(1, kernel_size, 2, "SAME", use_bias=False, **WHOLE)
        variables = layer.init(KEY, x)
        full = layer.copy(padding="VALID").apply(variables, x).ravel()
        removed = max(0, kernel_size - 2)
        for padding, lo in (("SAME", removed // 2), ("SAME_LOWER", removed - removed // 2)):
            y = layer.copy(padding=padding).apply(variables, x).ravel()
            np.testing.assert_array_equal(y, full[lo : lo + 8])


def test_circular_is_the_period_of_a_repeated_input():
    """By the definition: tile the input, convolve without padding, and take a period from the middle."""
    for k, s, d, n in ((6, 2, 1, 5), (3, 1, 3, 2), (1, 3, 1, 4), (5, 2, 2, 1), (2, 3, 1, 3)):
        x = integers((2, n, 2))
        layer = jlinen.ConvTranspose(3, k, s, "CIRCULAR", d, use_bias=False, **WHOLE)
        variables = layer.init(KEY, x)
        extent, times = (k - 1) * d + 1, 21
        tiled = layer.copy(padding="VALID").apply(variables, np.tile(x, (1, times, 1)))
        start = 10 * n * s + max(0, extent - s) // 2
        expected = tiled[:, start : start + n * s]
        np.testing.assert_array_equal(layer.apply(variables, x), expected)
        mapped = jax.vmap(layer.apply, (None, 0))(variables, np.stack([x, 2 * x]))
        np.testing.assert_array_equal(mapped, np.stack([expected, 2 * expected]))
    assert layer.apply(variables, np.zeros((2, 0, 2))).shape == (2, 0, 3)


def test_circular_gradients_are_flaxs():
    x = integers((2, 5, 3, 2))
    arguments = {"kernel_size": (6, 3), "strides": (2, 1), "padding": "CIRCULAR"} | WHOLE
    (theirs, variables), (ours, _) = linen_layers(arguments, 3, x)

    def gradients(layer):
        return jax.jit(jax.grad(lambda v, x: (layer.apply(v, x) ** 2).sum(), (0, 1)))(variables, x)

    jax.tree.map(np.testing.assert_array_equal, gradients(ours), gradients(theirs))


# Flax's own machinery.


def test_vmap_of_grad_of_jit():
    x = integers((3, 2, 4, 4, 2))
    (theirs, variables), (ours, _) = linen_layers({"kernel_size": (3, 3), "strides": (2, 2)} | WHOLE, 2, x)
    gradients = (
        jax.vmap(jax.grad(jax.jit(lambda v, x, layer=layer: (layer.apply(v, x) ** 3).sum())), (None, 0))(variables, x)
        for layer in (theirs, ours)
    )
    jax.tree.map(np.testing.assert_array_equal, *gradients)


def stack(module):
    """A model with the layer of ``module`` as it is, under ``nn.remat`` inside ``nn.scan``, and under ``nn.vmap``."""

    class Block(nn.Module):
        @nn.compact
        def __call__(self, carry, _):
            return nn.remat(module.ConvTranspose)(2, (3,), name="up", **WHOLE)(carry), None

    class Stack(nn.Module):
        @nn.compact
        def __call__(self, x):
            scan = nn.scan(Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
            y, _ = scan()(x, None)
            mapped = nn.vmap(module.ConvTranspose, variable_axes={"params": 0}, split_rngs={"params": True})
            return module.ConvTranspose(2, (3,), **WHOLE)(y), mapped(2, (3,), **WHOLE)(jnp.stack([y[0], y[0]]))

    return Stack()


def test_remat_scan_and_vmap_of_linen():
    x = integers((2, 4, 2))

    def answers(model):
        variables = model.init(KEY, x)
        gradient = jax.grad(lambda variables: sum(y.sum() for y in model.apply(variables, x)))(variables)
        return variables, jax.jit(model.apply)(variables, x), gradient

    theirs, ours = answers(stack(nn)), answers(stack(jlinen))
    assert len(jax.tree.leaves(ours)) == 14
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_partitioning_metadata():
    x = integers((1, 4, 2))
    kernel_init = nn.with_partitioning(whole, (None, "in", "out"))
    layer = jlinen.ConvTranspose(2, 3, **WHOLE | {"kernel_init": kernel_init})
    variables = layer.init(KEY, x)
    assert nn.get_partition_spec(variables)["params"]["kernel"] == PartitionSpec(None, "in", "out")
    plain = nn.meta.unbox(variables)
    np.testing.assert_array_equal(layer.apply(variables, x), layer.apply(plain, x))
    in_nnx = jnnx.ConvTranspose(2, 2, 3, rngs=nnx.Rngs(0), kernel_metadata={"note": "kept"}, bias_metadata={"b": 1})
    assert in_nnx.bias is not None
    assert in_nnx.bias.get_metadata()["b"] == 1
    assert in_nnx.kernel.get_metadata()["note"] == "kept"


def test_nnx_jit_grad_split_and_merge():
    x = integers((2, 4, 2))
    theirs, ours = nnx_layers({"kernel_size": 3, "strides": 2} | WHOLE, 2, 2)
    np.testing.assert_array_equal(nnx.jit(lambda layer, x: layer(x))(ours, x), theirs(x))
    gradients = (nnx.jit(nnx.grad(lambda layer: (layer(x) ** 2).sum()))(layer) for layer in (theirs, ours))
    leaves = [jax.tree.leaves(gradient) for gradient in gradients]
    assert len(leaves[0]) == 2
    jax.tree.map(np.testing.assert_array_equal, *leaves)
    graph, state = nnx.split(ours)
    np.testing.assert_array_equal(nnx.merge(graph, state)(x), theirs(x))
    nnx.update(ours, nnx.state(theirs))
    assert isinstance(ours, nnx.ConvTranspose)


def test_out_sharding():
    devices = jax.devices()
    mesh = jax.make_mesh((len(devices),), ("batch",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec(None, "batch"))
    x = integers((2, 4 * len(devices), 4, 2))
    layer = jlinen.ConvTranspose(2, 3, out_sharding=sharding, **WHOLE)
    y = jax.jit(layer.apply)(layer.init(KEY, x), x)
    assert y.sharding.is_equivalent_to(sharding, y.ndim)
    in_nnx = jnnx.ConvTranspose(2, 2, 3, out_sharding=sharding, rngs=nnx.Rngs(0), **WHOLE)
    assert in_nnx(x).sharding.is_equivalent_to(sharding, y.ndim)


def test_symbolic_sizes():
    b, n = jax.export.symbolic_shape("b, n")
    layer = jlinen.ConvTranspose(2, 3, 2, **WHOLE)
    x = integers((2, 4, 2))
    variables = layer.init(KEY, x)
    exported = jax.export.export(jax.jit(layer.apply))(variables, jax.ShapeDtypeStruct((b, n, 2), jnp.float64))
    np.testing.assert_array_equal(exported.call(variables, x), layer.apply(variables, x))


X = np.zeros((2, 4, 4, 6), np.float32)
CASES = [
    ({"features": 0}, X, ValueError, r"\w*features is out of range.*fix:"),
    ({"features": 4.0}, X, TypeError, r"\w*features must be an integer"),
    ({"features": 4, "groups": 4}, X, ValueError, r"groups does not divide in_features.*= 4.*6"),
    ({"features": 4, "groups": 3}, X, ValueError, r"groups does not divide \w*features.*= 3.*4"),
    ({"features": 4, "groups": 0}, X, ValueError, "groups is out of range"),
    ({"kernel_size": (3, 0)}, X, ValueError, r"kernel_size\[1\] is out of range"),
    ({"kernel_size": (3, 3, 3, 3)}, X, ValueError, "kernel_size has the wrong length"),
    ({"kernel_size": "33"}, X, TypeError, "kernel_size must be a sequence"),
    ({"kernel_size": (3, 3, 3)}, X[0], ValueError, r"too few axes for kernel_size.*\(4, 4, 6\)"),
    ({}, X[0, 0], ValueError, "too few axes for kernel_size"),
    ({}, np.float64(3), ValueError, "too few axes for kernel_size"),
    ({"strides": (2, 2, 2)}, X, ValueError, "strides has the wrong length"),
    ({"strides": 0}, X, ValueError, "strides is out of range"),
    ({"kernel_dilation": (1,)}, X, ValueError, "kernel_dilation has the wrong length"),
    ({"padding": "CAUSAL"}, X, ValueError, "unknown padding.*'CAUSAL'.*SAME_LOWER.*CIRCULAR"),
    ({"padding": "REFLECT"}, X, ValueError, "unknown padding"),
    ({"padding": "same"}, X, ValueError, "unknown padding.*capitals"),
    ({"padding": [(1, 1)]}, X, ValueError, "padding has the wrong length"),
    ({"padding": -9}, X, ValueError, "padding removes more than there is"),
    ({"padding": None}, X, TypeError, "padding must be a sequence"),
    ({"padding": "CIRCULAR", "output_shape": (8, 8)}, X, ValueError, "circular padding is one period.*output_shape"),
    ({"padding": "CIRCULAR", "output_padding": 0}, X, ValueError, "circular padding is one period.*output_padding"),
    ({"output_shape": (2, 8, 8, 4), "strides": 2}, X, ValueError, "output_shape has the wrong length"),
    ({"output_shape": (8, 9), "strides": 2}, X, ValueError, "output_shape is illegal along axis 2.*7 to 8"),
    ({"output_shape": 8}, X, TypeError, "output_shape must be a sequence"),
    ({"output_shape": (8, 8), "output_padding": 1}, X, ValueError, "both choose the output size"),
    ({"output_padding": 9}, X, ValueError, "output_padding is illegal along axis 1"),
    ({"transpose_kernel": 1}, X, TypeError, "transpose_kernel must be True or False"),
    ({"use_consistent_padding": 1}, X, TypeError, "use_consistent_padding must be True or False"),
    ({"mask": np.ones((3, 3, 4, 6))}, X, ValueError, r"mask has another shape.*\(3, 3, 4, 6\).*\(3, 3, 6, 4\)"),
    ({"method": "fast"}, X, ValueError, "unknown method"),
    ({"precision": "low"}, X, ValueError, "unknown precision"),
    ({"out_sharding": "batch"}, X, TypeError, "out_sharding is not a sharding"),
]


@pytest.mark.parametrize(("keywords", "x", "error", "text"), CASES)
@pytest.mark.parametrize("framework", ["linen", "nnx"])
def test_a_wrong_layer_is_refused_in_full_sentences(framework, keywords, x, error, text):
    arguments = {"features": 4, "kernel_size": (3, 3)} | keywords
    features = arguments.pop("features")

    def call():
        if framework == "linen":
            return jlinen.ConvTranspose(features, **arguments).init(KEY, x)
        return jnnx.ConvTranspose(6, features, rngs=nnx.Rngs(0), **arguments)(x)

    with pytest.raises(error) as raised:
        call()
    message = str(raised.value)
    assert isinstance(raised.value, jconvt.ArgumentError | jconvt.ArgumentTypeError), repr(raised.value)
    assert re.search(text, message, re.DOTALL), message
    assert re.fullmatch(r".+\n  got:   .+\n  legal: .+\n  fix:   .+", message, re.DOTALL), message


def test_wrong_inputs_and_sources_of_nnx():
    layer = jnnx.ConvTranspose(6, 4, (3, 3), rngs=nnx.Rngs(0))
    with pytest.raises(jconvt.ArgumentError, match="another number of features than the layer"):
        layer(np.zeros((2, 6, 4, 4), np.float32))
    with pytest.raises(TypeError, match="rngs"):
        jnnx.ConvTranspose(6, 4, (3, 3))
    for wrong in (None, KEY, 0):
        with pytest.raises(jconvt.ArgumentTypeError, match=r"rngs is no source of random numbers.*"):
            jnnx.ConvTranspose(6, 4, (3, 3), rngs=wrong)


def test_a_missing_key_of_linen_is_flaxs_error():
    with pytest.raises(Exception, match="PRNG"):
        jlinen.ConvTranspose(4, (3, 3)).init({}, X)


def test_a_checkpoint_of_another_shape_is_refused():
    x = integers((1, 4, 2))
    variables = {"params": {"kernel": jnp.ones((3, 5, 2)), "bias": jnp.ones(2)}}
    with pytest.raises(Exception, match=r"\(3, 2, 2\)"):
        jlinen.ConvTranspose(2, 3).apply(variables, x)
