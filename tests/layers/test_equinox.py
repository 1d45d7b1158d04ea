"""``jconvt.equinox`` against Equinox's layers, under its transformations, and what it adds to Equinox."""

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
from jconvt._conventions import equinox as convention
from jconvt._methods import reference
from tests.support import laws
from tests.support.drop_ins import assert_drop_in, held, in_any_case
from tests.support.layers import UNSHRUNK, all_compiled, integers

eqx = pytest.importorskip("equinox")

from jconvt import equinox as jeqx  # noqa: E402

ADDED = {"output_shape", "method", "precision", "out_sharding"}
NAMES = ["ConvTranspose", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]
KEY = jax.random.key(0, impl="rbg")  # made before conftest says so


def make(module, name, *arguments, **keywords):
    """A layer whose parameters are integers, so that no order of their sums rounds."""
    layer = eqx.filter_eval_shape(getattr(module, name), *arguments, key=KEY, **keywords)
    return jax.tree.map(lambda leaf: jnp.asarray(integers(leaf.shape)), layer)


def pair(name, *arguments, **keywords):
    """Such a layer of Equinox, and jconvt's."""
    return [make(module, name, *arguments, **keywords) for module in (eqx.nn, jeqx)]


def static(layer):
    """The attributes of a layer other than its parameters."""
    return {name: value for name, value in vars(layer).items() if name not in {*ADDED, "weight", "bias"}}


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
    in_channels, out_channels = (groups * draw(st.integers(1, 2)) for _ in range(2))
    shape = (in_channels, *(draw(st.integers(1, most)) for _ in range(rank)))
    return shape, out_channels, arguments


@settings(max_examples=4, deadline=None, phases=UNSHRUNK)
@given(drawn=st.lists(layers(), min_size=8, max_size=8))
def test_layers__equal_equinoxs(drawn):
    calls, inputs, cases = [], [], []
    for shape, out_channels, arguments in drawn:
        rank, x = len(shape) - 1, integers(shape)
        theirs, ours = pair("ConvTranspose", rank, shape[0], out_channels, **arguments)
        jax.tree.map(np.testing.assert_array_equal, jax.tree.leaves(ours), jax.tree.leaves(theirs))
        for module, layer in ((eqx.nn, theirs), (jeqx, ours)):
            fixed = make(module, f"ConvTranspose{rank}d", shape[0], out_channels, **arguments)
            assert static(fixed) == static(layer) == static(theirs)
        try:
            jax.eval_shape(theirs, x)
        except ValueError as error:
            if "Negative padding is larger" not in str(error):
                raise
            with pytest.raises(jconvt.ArgumentError, match="removes more than there is"):
                ours(x)
            continue
        calls += [theirs, ours]
        inputs += [x, x]
        cases.append(str((shape, out_channels, arguments)))
    results = all_compiled(calls, inputs)
    for case, expected, y in zip(cases, results[::2], results[1::2], strict=True):
        np.testing.assert_array_equal(y, expected, case)


@pytest.mark.parametrize("name", NAMES)
def test_layers__arguments_defaults_and_their_order_are_equinoxs(name):
    theirs = inspect.signature(getattr(eqx.nn, name).__init__).parameters
    assert set(theirs) - {"num_spatial_dims"} == {
        "self", "in_channels", "out_channels", "kernel_size", "stride", "padding", "output_padding", "dilation",
        "groups", "use_bias", "padding_mode", "dtype", "key",
    }  # fmt: skip
    if name == "ConvTranspose":
        ours = inspect.signature(jeqx.ConvTranspose.__init__).parameters
        assert ours.keys() - theirs.keys() == ADDED
        assert [p.default for p in ours.values()][: len(theirs)] == [p.default for p in theirs.values()]
        assert list(ours)[: len(theirs)] == list(theirs)
        assert all(ours[name].kind is inspect.Parameter.KEYWORD_ONLY for name in ADDED)
        return
    # By position, each with a value that no other has; and each left out.
    rank = int(name[-2])
    for arguments in ((2, 4, 4, 3, 1, 2, 2, 2, False, "ZEROS", jnp.bfloat16), (2, 4, 3)):
        theirs, ours = (getattr(module, name)(*arguments, key=KEY) for module in (eqx.nn, jeqx))
        assert static(ours) == static(theirs)
        jax.tree.map(np.testing.assert_array_equal, jax.tree.leaves(ours), jax.tree.leaves(theirs))
    assert ours.num_spatial_dims == rank
    assert (type(ours).__name__, type(ours).__qualname__) == (name, name)
    assert isinstance(ours, eqx.nn.ConvTranspose)


def test_layers__dtypes_are_equinoxs():
    @jax.jit
    def draw():
        dtypes = (None, jnp.float32, jnp.bfloat16, jnp.complex64)
        modules = (eqx.nn, jeqx)
        return [[module.ConvTranspose(1, 2, 3, 3, dtype=dtype, key=KEY) for module in modules] for dtype in dtypes]

    for theirs, ours in draw():
        assert ours.weight.dtype == theirs.weight.dtype
        np.testing.assert_array_equal(ours.weight, theirs.weight)
        x = jax.ShapeDtypeStruct((2, 4), ours.weight.dtype)
        assert jax.eval_shape(ours, x).dtype == jax.eval_shape(theirs, x).dtype


def test_layers__jit_vmap_and_grad():
    x = integers((3, 4, 5, 5))
    layers = pair("ConvTranspose2d", 4, 2, 3, stride=2, padding=1, groups=2)

    @eqx.filter_jit
    def answers(layers):
        gradient = eqx.filter_value_and_grad(lambda layer: (jax.vmap(layer)(x) ** 2).sum())
        return [gradient(layer) for layer in layers]

    theirs, ours = map(jax.tree.leaves, answers(layers))
    assert len(ours) == 3
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_layers__serialisation_and_surgery(tmp_path):
    theirs, ours = pair("ConvTranspose2d", 4, 2, 3, stride=2)
    eqx.tree_serialise_leaves(tmp_path / "layer.eqx", theirs)
    empty = eqx.tree_at(lambda layer: layer.weight, ours, jnp.zeros_like(ours.weight))
    loaded = eqx.tree_deserialise_leaves(tmp_path / "layer.eqx", empty)
    x = integers((4, 3, 3))
    np.testing.assert_array_equal(loaded(x), theirs(x))


def test_method__every_one_equals_equinox():
    methods = laws.TRACED
    arguments = ("ConvTranspose2d", 4, 6, 4)
    calls = [make(jeqx, *arguments, stride=3, groups=2, method=method) for method in methods]
    calls.append(make(eqx.nn, *arguments, stride=3, groups=2))
    *results, expected = all_compiled(calls, [integers((4, 5, 3))] * len(calls))
    for y, method in zip(results, methods, strict=True):
        np.testing.assert_array_equal(y, expected, method)


@pytest.mark.parametrize("padding", ["SAME", "SAME_LOWER", "VALID", ((1, 2),)])
def test_output_shape__is_aligned_by_tensorflows_rules(padding):
    x, s, k = integers((3, 4)), 3, 5
    least = {"SAME": 10, "SAME_LOWER": 10, "VALID": 14}.get(padding, 11)
    calls, expected = [], []
    for out in range(least, least + 3):
        layers = [
            make(jeqx, "ConvTranspose", 1, 3, 2, k, s, padding, use_bias=False, output_shape=shape)
            for shape in ((out,), None)
        ]
        calls += [layers[0], lambda x, layer=layers[1], out=out: layer(x, output_shape=(out,))]
        image, filters = x.T[None], np.transpose(layers[0].weight[:, :, ::-1], (2, 0, 1))
        named = "SAME" if padding == "SAME_LOWER" else padding
        spec = jconvt.Spec.from_tensorflow(image.shape, filters.shape, (out,), s, named)
        if padding == "SAME_LOWER":
            (axis,) = spec.axes
            spec = jconvt.Spec((jconvt.Axis(k, s, 1, axis.hi, axis.lo),))
        y = reference.transpose(image, filters, spec)[0].T
        assert y.shape == (2, out)
        expected += [y, y]
    for y, z in zip(all_compiled(calls, [x] * len(calls)), expected, strict=True):
        np.testing.assert_array_equal(y, z)


def test_layers__out_sharding_and_precision():
    mesh = jax.make_mesh((len(jax.devices()),), ("i",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec(None, "i"))
    x = jnp.ones((2, 4 * len(jax.devices())))
    layer = jeqx.ConvTranspose1d(
        2, 2, 3, padding=1, out_sharding=sharding, precision="highest", method="dilated", key=KEY
    )
    assert layer(x).sharding.is_equivalent_to(sharding, 2)
    assert "HIGHEST" in jax.jit(lambda x: layer(x)).lower(x).as_text()


def test_layers__explicit_sharding_is_kept():
    mesh = jax.make_mesh((len(jax.devices()),), ("i",), axis_types=(AxisType.Explicit,))
    x = integers((2, 4 * len(jax.devices())))
    theirs, ours = pair("ConvTranspose1d", 2, 2, 3, padding=1)
    sharded = jax.device_put(x, NamedSharding(mesh, PartitionSpec(None, "i")))
    y = ours(sharded)
    assert jax.typeof(y).sharding.spec == PartitionSpec(None, "i")
    np.testing.assert_array_equal(y, theirs(x))


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
    ({"output_padding": 1}, ValueError, "output_padding is too large along spatial axis 0.*stride 1.*0 to 0"),
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
        "output_shape is illegal along axis 1.*7 to 8",
    ),
    ({"output_shape": (9,)}, ValueError, "output_shape has the wrong length"),
    ({"output_shape": 9}, TypeError, "output_shape must be a sequence"),
    ({"output_shape": (9, 9), "stride": 2, "output_padding": 1}, ValueError, "both choose the output size"),
    ({"method": "fast"}, ValueError, "unknown method"),
    ({"key": None}, TypeError, r"key is not an RNG.*jax.random.key\(seed\)"),
]


@pytest.mark.parametrize(("keywords", "error", "text"), CASES)
def test_layers__wrong_argument_raises(keywords, error, text):
    with pytest.raises(error) as raised:
        jeqx.ConvTranspose(**ARGUMENTS | keywords)(X)
    message = str(raised.value)
    assert isinstance(raised.value, jconvt.ArgumentError | jconvt.ArgumentTypeError), repr(raised.value)
    assert re.search(text, message, re.DOTALL), message
    assert re.fullmatch(r".+\n  got:   .+\n  legal: .+\n  fix:   .+", message, re.DOTALL), message


@pytest.mark.parametrize("shape", [(4, 4, 6), (2, 6, 4, 4), (6, 4), ()])
def test_layers__wrong_input_raises(shape):
    with pytest.raises(jconvt.ArgumentError, match=r"x is not \(in_channels, spatial...\)"):
        jeqx.ConvTranspose(**ARGUMENTS)(np.zeros(shape))


def test_layers__different_dtypes_raise():
    layer = jeqx.ConvTranspose(**ARGUMENTS)  # of float64
    with pytest.raises(jconvt.ArgumentTypeError, match="dtypes of x and weight differ"):
        layer(X.astype(np.float32))


def test_layers__missing_key_raises():
    with pytest.raises(TypeError, match="key"):
        jeqx.ConvTranspose2d(2, 2, 3)


def test_equinox__resolve_has_the_defaults_of_the_layer():
    layer = inspect.signature(eqx.nn.ConvTranspose.__init__).parameters
    for function in (convention.weight_shape, convention.resolve_axes, convention.resolve):
        defaults = {
            name: each.default
            for name, each in inspect.signature(function).parameters.items()
            if each.default is not each.empty and name in layer
        }
        assert defaults == {name: layer[name].default for name in defaults}
        assert defaults


@st.composite
def odd_layers(draw):
    """The shape of an input and arguments in the vocabulary of Equinox: legal, unusual and wrong ones."""
    rank = draw(st.integers(1, 2))
    numbers = {
        "kernel_size": [1, 2, 3, 4], "stride": [1, 1, 2, 3], "dilation": [1, 1, 2], "output_padding": [0, 0, 0, 1, 2],
    }  # fmt: skip
    drawn = {name: [draw(st.sampled_from(values)) for _ in range(rank)] for name, values in numbers.items()}
    sizes, ends = [draw(st.sampled_from([0, 1, 3, 4])) for _ in range(rank)], st.integers(-1, 3)
    pads = st.builds(lambda kind, *ends: kind(ends), st.sampled_from([tuple, list]), ends, ends)
    by_axis = st.lists(pads, min_size=rank, max_size=rank) | st.lists(ends, min_size=rank, max_size=rank)
    mixed = st.lists(pads | ends, min_size=rank, max_size=rank)
    names = in_any_case("SAME", "VALID", "SAME_LOWER")
    padding = draw(
        names | names | by_axis | by_axis.map(tuple) | mixed | st.sampled_from([None, 1, True, "FULL", ["SAME"]])
    )
    arguments = {name: held(draw, values) for name, values in drawn.items()} | {"padding": padding, "use_bias": False}
    if draw(st.booleans()):
        arguments["padding_mode"] = draw(in_any_case("ZEROS", "CIRCULAR", "REFLECT"))
    groups = draw(st.sampled_from([1, 1, 2]))
    dtype = draw(st.sampled_from(["float64", "float64", "float64", "float32", "int32", "bool"]))
    return integers((2, *sizes)).astype(dtype), arguments | {"groups": groups}


def test_equinox__never_gives_other_numbers_than_equinox():
    equal = []

    @settings(max_examples=150, deadline=None)
    @given(odd_layers())
    def check(drawn):
        x, arguments = drawn

        def call(module, **options):
            return make(module, "ConvTranspose", x.ndim - 1, 2, 2, **arguments, **options)(jnp.asarray(x))

        extends = (
            any(isinstance(value, np.ndarray | np.integer) for value in arguments.values())  # any sequence of integers
            or x.dtype != np.float64  # different dtypes are promoted
            or x.size == 0  # any number of pixels
        )
        with jax.numpy_dtype_promotion("standard"):
            case = x.shape, x.dtype, arguments
            equal.append(assert_drop_in(lambda: call(eqx.nn), lambda: call(jeqx, method="reference"), extends, case))

    check()
    assert sum(equal) > 20
