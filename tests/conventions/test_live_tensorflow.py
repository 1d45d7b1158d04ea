"""Against TensorFlow itself: its CPU kernels, and its XLA compiler for the layouts and groups that these lack."""

import inspect
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jconvt
from jconvt._core.selection import methods_in_use
from tests.support import laws
from tests.support.drop_ins import assert_drop_in, held
from tests.support.geometries import calls, legal_sizes

tf = pytest.importorskip("tensorflow")

few = settings(max_examples=40, deadline=None)


def answer(function, *operands, compiled=False, **arguments):
    """TensorFlow's result, or ``None`` where it raises."""

    def ask():
        return function(*operands, **arguments)

    try:
        return (tf.function(ask, jit_compile=True, reduce_retracing=True) if compiled else ask)().numpy()
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError, ValueError):
        return None


@few
@given(call=calls(ranks=(1, 2, 3), paddings=("SAME", "VALID"), plain=True))
def test_tensorflow__equals_cpu_kernels(call):
    x, w = call.operands(np.float32)
    if 0 in call.input:  # TensorFlow rejects some sizes without pixels, and crashes on some
        expected = np.zeros(call.arguments["output_shape"], np.float32)
    else:
        expected = answer(tf.nn.conv_transpose, x, w, **call.arguments)
    for method in methods_in_use():
        y = jconvt.conv_transpose(x, w, method=method, **call.arguments)
        assert y.dtype == expected.dtype
        np.testing.assert_array_equal(y, expected)


@settings(max_examples=25, deadline=None)
@given(call=calls(ranks=(2,)))
def test_tensorflow__equals_xla_compiled(call):
    x, w = call.operands(np.float32)
    if 0 in call.input:
        return
    arguments = {key: value for key, value in call.arguments.items() if key != "groups"}
    if isinstance(arguments["padding"], list):
        spatial = [list(pair) for pair in arguments["padding"]]
        first = arguments["data_format"] == "NCHW"
        arguments["padding"] = [[0, 0], [0, 0], *spatial] if first else [[0, 0], *spatial, [0, 0]]
    arguments["output_shape"] = jconvt.conv_transpose(x, w, **call.arguments).shape
    expected = answer(tf.nn.conv2d_transpose, x, w, compiled=True, **arguments)
    # No groups here either: as in TensorFlow, output_shape implies them.
    np.testing.assert_array_equal(jconvt.conv2d_transpose(x, w, **arguments), expected)


@pytest.mark.parametrize("padding", ["SAME", "VALID", (0, 0), (1, 0), (0, 2), (3, 2), (6, 5)])
def test_tensorflow__same_sizes_are_legal(padding):
    answered = rejected = 0
    rng = np.random.default_rng(0)
    for n, k, s in itertools.product(range(4), range(1, 6), range(1, 5)):
        x = rng.integers(-9, 10, (1, n, 1, 2)).astype(np.float32)
        w = rng.integers(-9, 10, (k, 1, 3, 2)).astype(np.float32)
        legal = legal_sizes(n, k, s, 1, padding)
        for out in range((n + 1) * s + k + 2):
            pads = padding if isinstance(padding, str) else [[0, 0], list(padding), [0, 0], [0, 0]]
            expected = answer(tf.nn.conv2d_transpose, x, w, [1, out, 1, 3], [s, 1], padding=pads)
            if out in legal:
                y = jconvt.conv2d_transpose(x, w, [1, out, 1, 3], [s, 1], pads, method="reference")
                if n or expected is not None:
                    np.testing.assert_array_equal(y, expected)
                answered += 1
            else:
                assert expected is None
                with pytest.raises(jconvt.ArgumentError, match=r"illegal along axis 1|removes more than there is"):
                    jconvt.conv2d_transpose(x, w, [1, out, 1, 3], [s, 1], pads, method="reference")
                rejected += 1
    assert answered > 20
    assert rejected > 500


@pytest.mark.parametrize(("padding", "rate"), [*itertools.product(("SAME", "VALID"), (1, 2, 3))])
def test_tensorflow__atrous_conv2d_transpose(padding, rate):
    x = np.arange(2 * 5 * 4 * 3, dtype=np.float32).reshape(2, 5, 4, 3)
    w = np.arange(3 * 4 * 2 * 3, dtype=np.float32).reshape(3, 4, 2, 3) - 20
    shape = [2, 5, 4, 2] if padding == "SAME" else [2, 5 + 2 * rate, 4 + 3 * rate, 2]
    expected = tf.nn.atrous_conv2d_transpose(x, w, shape, rate, padding).numpy()
    for given_shape in (shape, None):
        y = jconvt.tensorflow.atrous_conv2d_transpose(x, w, given_shape, rate, padding)
        np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("padding", ["SAME", "VALID", [[0, 0], [1, 0], [2, 1], [0, 0]]])
def test_tensorflow__conv2d_backprop_input(padding):
    z = np.arange(2 * 9 * 8 * 3, dtype=np.float32).reshape(2, 9, 8, 3)
    w = np.arange(3 * 4 * 3 * 5, dtype=np.float32).reshape(3, 4, 3, 5) - 50
    x = np.round(tf.nn.conv2d(z, w, [2, 3], padding).numpy() / 1e4)
    arguments = dict(input_sizes=z.shape, out_backprop=x, strides=[1, 2, 3, 1])
    expected = tf.compat.v1.nn.conv2d_backprop_input(filter=w, padding=padding, **arguments).numpy()
    mine = jconvt.tensorflow.conv2d_backprop_input
    np.testing.assert_array_equal(mine(filter=w, padding=padding, **arguments), expected)
    np.testing.assert_array_equal(mine(filters=w, padding=padding, **arguments), expected)
    np.testing.assert_array_equal(mine(z.shape, w, x, [1, 2, 3, 1], padding, True, "NHWC"), expected)
    if isinstance(padding, list):
        raw = dict(arguments, padding="EXPLICIT", explicit_paddings=[*itertools.chain(*padding)])
        np.testing.assert_array_equal(tf.raw_ops.Conv2DBackpropInput(filter=w, **raw), expected)
        np.testing.assert_array_equal(mine(filter=w, **raw), expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("channels", [16, 256])
def test_tensorflow__half_precision_error_is_no_larger(dtype, channels):
    rng = np.random.default_rng(channels)
    x, w = (jnp.asarray(rng.standard_normal(shape), dtype) for shape in ((2, 6, 6, channels), (5, 5, 8, channels)))
    wide = [np.asarray(operand, np.float64) for operand in (x, w)]
    arguments = dict(output_shape=[2, 12, 12, 8], strides=2)
    exact = tf.nn.conv2d_transpose(*wide, **arguments).numpy()
    theirs = tf.nn.conv2d_transpose(*(tf.cast(operand, dtype) for operand in wide), **arguments).numpy()
    most = np.abs(theirs.astype(np.float64) - exact).max()
    for method in laws.TRACED:
        y = jconvt.conv2d_transpose(x, w, method=method, **arguments)
        assert y.dtype == x.dtype
        assert np.abs(np.asarray(y, np.float64) - exact).max() <= most


def test_tensorflow__gradients_equal_tensorflow():
    x = np.arange(2 * 3 * 4 * 2, dtype=np.float32).reshape(2, 3, 4, 2) - 20
    w = np.arange(3 * 2 * 5 * 2, dtype=np.float32).reshape(3, 2, 5, 2) - 30
    z = np.arange(2 * 6 * 8 * 5, dtype=np.float32).reshape(2, 6, 8, 5) % 7 - 3
    variables = tf.constant(x), tf.constant(w)
    with tf.GradientTape() as tape:
        tape.watch(variables)
        y = tf.reduce_sum(tf.nn.conv2d_transpose(*variables, z.shape, 2) * z)
    expected = tape.gradient(y, variables)
    mine = jax.grad(lambda x, w: (jconvt.conv2d_transpose(x, w, z.shape, 2) * z).sum(), (0, 1))(x, w)
    for one, other in zip(mine, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "name", ["conv_transpose", *(f"conv{n}d_transpose" for n in (1, 2, 3)), "atrous_conv2d_transpose"]
)
def test_tensorflow__argument_order(name):
    theirs = inspect.signature(getattr(tf.nn, name)).parameters
    mine = inspect.signature(getattr(jconvt.tensorflow, name)).parameters
    assert [*theirs] == [p.name for p in mine.values() if p.kind is p.POSITIONAL_OR_KEYWORD]


def test_tensorflow__conv2d_backprop_input_arguments():
    mine = inspect.signature(jconvt.tensorflow.conv2d_backprop_input).parameters
    theirs = inspect.signature(tf.compat.v1.nn.conv2d_backprop_input).parameters
    assert [*theirs] == [p.name for p in mine.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert {*inspect.signature(tf.raw_ops.Conv2DBackpropInput).parameters} <= {*mine}


@st.composite
def odd_calls(draw):
    """Operands and arguments in the vocabulary of TensorFlow: legal, unusual and wrong ones."""
    rank = draw(st.integers(1, 2))
    numbers = {"size": [1, 2, 3, 4], "k": [1, 2, 3], "strides": [1, 1, 2, 3], "more": [-1, 0, 0, 0, 1]}
    drawn = {name: [draw(st.sampled_from(values)) for _ in range(rank)] for name, values in numbers.items()}
    taken, out, batch = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.sampled_from([1, 2, 2, 0]))
    padding = draw(st.sampled_from(["SAME", "VALID"]))
    sizes = [
        n * s + (max(k - s, 0) if padding == "VALID" else 0) + more
        for n, k, s, more in zip(drawn["size"], drawn["k"], drawn["strides"], drawn["more"], strict=True)
    ]
    x, w = (batch, *drawn["size"], taken), (*drawn["k"], out, taken)
    dtype = draw(st.sampled_from(["float32", "float32", "float64", "int32", "bool"]))
    strides = drawn["strides"]
    shape = draw(st.sampled_from([(batch, *sizes, out)] * 9 + [tuple(sizes), (batch, *sizes, out + 1)]))
    arguments = {
        "output_shape": draw(st.sampled_from([tuple, list, np.array]))(shape),
        "strides": [1, *strides, 1] if draw(st.booleans()) else held(draw, strides),
        "padding": draw(st.sampled_from([padding] * 9 + ["same", "Valid", "FULL", None, [padding]])),
        "data_format": draw(st.sampled_from([None, None, ("NWC", "NHWC")[rank - 1], ("nwc", "nhwc")[rank - 1], "NC"])),
    }
    if draw(st.booleans()):
        arguments["dilations"] = draw(st.sampled_from([None, 1, [1] * rank, (1,) * (rank + 2), 0, [1] * 7]))
    operands = (np.random.default_rng(4).integers(-3, 4, shape).astype(dtype) for shape in (x, w))
    return draw(st.sampled_from(["conv_transpose", f"conv{rank}d_transpose"])), *operands, arguments


def test_tensorflow__never_gives_other_numbers_than_tensorflow():
    equal = []

    @settings(max_examples=200, deadline=None)
    @given(odd_calls())
    def check(drawn):
        name, x, w, arguments = drawn
        padding = arguments["padding"]
        extends = (
            padding in ("same", "Valid")  # in any case
            or len(arguments["output_shape"]) == x.ndim - 2  # the spatial sizes
            or x.dtype == np.int32  # every integer
            or arguments["output_shape"][-1] != w.shape[-2]  # the groups that the channels imply
            or 0 in x.shape
        )
        equal.append(
            assert_drop_in(
                lambda: getattr(tf.nn, name)(x, w, **arguments),
                lambda: getattr(jconvt.tensorflow, name)(x, w, **arguments, method="reference"),
                extends,
                (name, x.shape, w.shape, x.dtype, arguments),
            )
        )

    check()
    assert sum(equal) > 10
