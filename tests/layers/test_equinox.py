"""``jconvt.equinox`` beside Equinox's own layers, under its transformations, and beyond Equinox."""

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

eqx = pytest.importorskip("equinox")

from jconvt import equinox as jeqx  # noqa: E402

WITHOUT = {"output_shape", "method", "precision", "out_sharding"}
NAMES = ["ConvTranspose", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]
KEY = jax.random.key(0, impl="rbg")  # made before conftest says so


def integers(shape):
    return np.random.default_rng(len(repr(shape))).integers(-9, 10, shape).astype(np.float64)


def pair(name, *arguments, **keywords):
    """Equinox's layer and jconvt's, whose parameters are integers, so that no order of their sums rounds."""
    layers = [getattr(module, name)(*arguments, key=KEY, **keywords) for module in (eqx.nn, jeqx)]
    return [jax.tree.map(lambda leaf: jnp.round(1000 * leaf), layer) for layer in layers]


@st.composite
def layers(draw):
    """The shape of an input, output channels, and the layer's other arguments."""
    rank = draw(st.integers(1, 3))
    most = {1: 6, 2: 4, 3: 2}[rank]
    numbers, pads, groups = st.integers(1, 3), st.integers(0, 2), draw(st.sampled_from([1, 1, 2]))

    def each(values):
        """One value for all axes, or one for each."""
        return draw(st.sampled_from([draw(values), tuple(draw(values) for _ in range(rank))]))

    stride = each(numbers)
    pairs = tuple((draw(pads), draw(pads)) for _ in range(rank))
    arguments = {
        "kernel_size": each(st.integers(1, most)),
        "stride": stride,
        "padding": draw(st.sampled_from(["SAME", "SAME_LOWER", "VALID", "same", each(pads), pairs])),
        "output_padding": draw(st.integers(0, min(stride if isinstance(stride, int) else min(stride), 3) - 1)),
        "dilation": each(numbers),
        "use_bias": draw(st.booleans()),
        "groups": groups,
    }
    if draw(st.integers(0, 2)) == 0:
        mode = draw(st.sampled_from(["CIRCULAR", "circular"]))
        arguments |= {"padding": draw(st.sampled_from(["SAME", "SAME_LOWER"])), "padding_mode": mode}
        arguments["output_padding"] = 0
    taken, given = (groups * draw(st.integers(1, 2)) for _ in range(2))
    shape = (taken, *(draw(st.integers(1, most)) for _ in range(rank)))
    return shape, given, arguments


@settings(max_examples=25, deadline=None)
@given(layer=layers())
def test_equals_equinox(layer):
    shape, given, arguments = layer
    rank, x = len(shape) - 1, integers(shape)
    fixed = f"ConvTranspose{rank}d"
    general = pair("ConvTranspose", rank, shape[0], given, **arguments)
    for theirs, ours in (general, pair(fixed, shape[0], given, **arguments)):
        jax.tree.map(np.testing.assert_array_equal, jax.tree.leaves(ours), jax.tree.leaves(theirs))
        try:
            expected = theirs(x)
        except ValueError as error:
            if "Negative padding is larger" not in str(error):
                raise
            with pytest.raises(jconvt.ArgumentError, match="removes more than there is"):
                ours(x)
            continue
        np.testing.assert_array_equal(ours(x), expected)


@pytest.mark.parametrize("name", NAMES)
def test_arguments_defaults_and_their_order_are_equinoxs(name):
    theirs = inspect.signature(getattr(eqx.nn, name).__init__).parameters
    assert set(theirs) - {"num_spatial_dims"} == {
        "self", "in_channels", "out_channels", "kernel_size", "stride", "padding", "output_padding", "dilation",
        "groups", "use_bias", "padding_mode", "dtype", "key",
    }  # fmt: skip
    if name == "ConvTranspose":
        ours = inspect.signature(jeqx.ConvTranspose.__init__).parameters
        assert ours.keys() - theirs.keys() == WITHOUT
        assert [p.default for p in ours.values()][: len(theirs)] == [p.default for p in theirs.values()]
        assert list(ours)[: len(theirs)] == list(theirs)
        assert all(ours[name].kind is inspect.Parameter.KEYWORD_ONLY for name in WITHOUT)
        return
    # By position, each with a value that no other has; and each left out.
    rank = int(name[-2])
    for arguments in ((2, 4, 4, 3, 1, 2, 2, 2, False, "ZEROS", jnp.bfloat16), (2, 4, 3)):
        theirs, ours = (getattr(module, name)(*arguments, key=KEY) for module in (eqx.nn, jeqx))
        static = [
            {k: v for k, v in vars(layer).items() if k not in {*WITHOUT, "weight", "bias"}} for layer in (theirs, ours)
        ]
        assert all(np.all(np.asarray(static[0][k]) == np.asarray(v)) for k, v in static[1].items()), static
        jax.tree.map(np.testing.assert_array_equal, jax.tree.leaves(ours), jax.tree.leaves(theirs))
    assert ours.num_spatial_dims == rank
    assert (type(ours).__name__, type(ours).__qualname__) == (name, name)
    assert isinstance(ours, eqx.nn.ConvTranspose)


def test_dtypes():
    for dtype in (None, jnp.float32, jnp.bfloat16, jnp.complex64):
        theirs, ours = (layer(1, 2, 3, 3, dtype=dtype, key=KEY) for layer in (eqx.nn.ConvTranspose, jeqx.ConvTranspose))
        assert ours.weight.dtype == theirs.weight.dtype
        np.testing.assert_array_equal(ours.weight, theirs.weight)
        x = jnp.ones((2, 4), ours.weight.dtype)
        assert ours(x).dtype == theirs(x).dtype


def test_jit_vmap_and_grad():
    x = integers((3, 4, 5, 5))
    theirs, ours = pair("ConvTranspose2d", 4, 2, 3, stride=2, padding=1, groups=2)
    answers = [
        eqx.filter_jit(eqx.filter_value_and_grad(lambda layer: (jax.vmap(layer)(x) ** 2).sum()))(layer)
        for layer in (ours, theirs)
    ]
    leaves = [jax.tree.leaves(answer) for answer in answers]
    assert len(leaves[0]) == 3
    jax.tree.map(np.testing.assert_array_equal, *leaves)


def test_serialisation_and_surgery(tmp_path):
    theirs, ours = pair("ConvTranspose2d", 4, 2, 3, stride=2)
    eqx.tree_serialise_leaves(tmp_path / "layer.eqx", theirs)
    empty = eqx.tree_at(lambda layer: layer.weight, ours, jnp.zeros_like(ours.weight))
    loaded = eqx.tree_deserialise_leaves(tmp_path / "layer.eqx", empty)
    x = integers((4, 3, 3))
    np.testing.assert_array_equal(loaded(x), theirs(x))


@pytest.mark.parametrize("method", ["auto", "dilated", "vjp", "polyphase", "gemm"])
def test_methods(method):
    x = integers((4, 5, 3))
    theirs, _ = pair("ConvTranspose2d", 4, 6, 4, stride=3, groups=2)
    ours = jeqx.ConvTranspose2d(4, 6, 4, stride=3, groups=2, method=method, key=KEY)
    ours = eqx.tree_at(lambda layer: (layer.weight, layer.bias), ours, (theirs.weight, theirs.bias))
    np.testing.assert_array_equal(ours(x), theirs(x))


@pytest.mark.parametrize("padding", ["SAME", "SAME_LOWER", "VALID", ((1, 2),)])
def test_output_shape_is_aligned_by_tensorflows_rules(padding):
    x, s, k = integers((3, 4)), 3, 5
    least = {"SAME": 10, "SAME_LOWER": 10, "VALID": 14}.get(padding, 11)
    for out in range(least, least + 3):
        layer = jeqx.ConvTranspose(1, 3, 2, k, s, padding, use_bias=False, output_shape=(out,), key=KEY)
        filters = jnp.transpose(layer.weight[:, :, ::-1], (2, 0, 1))
        named = "SAME" if padding == "SAME_LOWER" else padding
        if padding == "SAME_LOWER":
            full = jconvt.conv_transpose(x.T[None], filters, None, s, "VALID")
            removed = full.shape[1] - out
            expected = full[:, removed - removed // 2 :][:, :out]
        else:
            expected = jconvt.conv_transpose(x.T[None], filters, (out,), s, named)
        np.testing.assert_allclose(layer(x), expected[0].T, rtol=1e-12)
        of_a_call = jeqx.ConvTranspose(1, 3, 2, k, s, padding, use_bias=False, key=KEY)
        np.testing.assert_array_equal(of_a_call(x, output_shape=(out,)), layer(x))


def test_out_sharding_and_precision():
    mesh = jax.make_mesh((len(jax.devices()),), ("i",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec(None, "i"))
    x = jnp.ones((2, 4 * len(jax.devices())))
    layer = jeqx.ConvTranspose1d(
        2, 2, 3, padding=1, out_sharding=sharding, precision="highest", method="dilated", key=KEY
    )
    assert layer(x).sharding.is_equivalent_to(sharding, 2)
    assert "HIGHEST" in jax.jit(lambda x: layer(x)).lower(x).as_text()


ARGUMENTS = {"num_spatial_dims": 2, "in_channels": 6, "out_channels": 4, "kernel_size": 3, "key": KEY}
X = np.zeros((6, 4, 4))
CASES = [
    ({"num_spatial_dims": 0}, ValueError, "num_spatial_dims is out of range"),
    ({"in_channels": 0}, ValueError, "in_channels is out of range"),
    ({"out_channels": 2.0}, TypeError, "out_channels must be an integer"),
    ({"groups": 4}, ValueError, "groups does not divide in_channels.*= 4.*6"),
    ({"groups": 3}, ValueError, "groups does not divide out_channels.*= 3.*4"),
    ({"kernel_size": (3, 3, 3)}, ValueError, "kernel_size has the wrong length"),
    ({"kernel_size": 0}, ValueError, r"kernel_size is out of range.*kernel_size = 0"),
    ({"stride": (2,)}, ValueError, "stride has the wrong length"),
    ({"stride": 0}, ValueError, r"stride is out of range.*stride = 0"),
    ({"dilation": 1.5}, TypeError, r"dilation must be an integer.*dilation = 1.5"),
    ({"output_padding": 1}, ValueError, r"output_padding\[0\] is not below the stride"),
    ({"padding": "FULL"}, ValueError, "unknown padding.*'FULL'.*SAME_LOWER"),
    ({"padding": (1, 2, 3)}, ValueError, "padding has the wrong length"),
    ({"padding": ((1, 2, 3), (1, 2))}, ValueError, r"padding\[0\] has the wrong length"),
    ({"padding": None}, TypeError, "padding must be a sequence"),
    ({"padding": 9}, ValueError, "padding removes more than there is"),
    ({"padding_mode": "REFLECT"}, ValueError, "unknown padding_mode.*REFLECT"),
    ({"padding_mode": "CIRCULAR"}, ValueError, "circular padding is aligned by 'SAME'"),
    ({"padding_mode": "CIRCULAR", "padding": "SAME", "stride": 2, "output_padding": 1}, ValueError, "one period"),
    ({"padding_mode": "CIRCULAR", "padding": "SAME", "output_shape": (4, 4)}, ValueError, "circular.*output_shape"),
    (
        {"output_shape": (9, 8), "stride": 2, "padding": "SAME"},
        ValueError,
        "output_shape is illegal along axis 2.*7 to 8",
    ),
    ({"output_shape": (9,)}, ValueError, "output_shape has the wrong length"),
    ({"output_shape": 9}, TypeError, "output_shape must be a sequence"),
    ({"output_shape": (9, 9), "stride": 2, "output_padding": 1}, ValueError, "both choose the output size"),
    ({"method": "fast"}, ValueError, "unknown method"),
    ({"key": None}, TypeError, r"key is no source of random numbers.*jax.random.key\(seed\)"),
]


@pytest.mark.parametrize(("keywords", "error", "text"), CASES)
def test_a_wrong_layer_is_refused_in_full_sentences(keywords, error, text):
    with pytest.raises(error) as raised:
        jeqx.ConvTranspose(**ARGUMENTS | keywords)(X)
    message = str(raised.value)
    assert isinstance(raised.value, jconvt.ArgumentError | jconvt.ArgumentTypeError), repr(raised.value)
    assert re.search(text, message, re.DOTALL), message
    assert re.fullmatch(r".+\n  got:   .+\n  legal: .+\n  fix:   .+", message, re.DOTALL), message


@pytest.mark.parametrize("shape", [(4, 4, 6), (2, 6, 4, 4), (6, 4), ()])
def test_a_wrong_input_is_refused(shape):
    with pytest.raises(jconvt.ArgumentError, match=r"x is not \(in_channels, spatial...\)"):
        jeqx.ConvTranspose(**ARGUMENTS)(np.zeros(shape))


def test_dtypes_that_differ_are_named_as_equinox_names_them():
    layer = jeqx.ConvTranspose(**ARGUMENTS)  # of float64
    with pytest.raises(jconvt.ArgumentTypeError, match="dtypes of x and weight differ"):
        layer(X.astype(np.float32))


def test_a_missing_key_is_named():
    with pytest.raises(TypeError, match="key"):
        jeqx.ConvTranspose2d(2, 2, 3)
