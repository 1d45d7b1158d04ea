"""Wrong calls of the functions of TensorFlow: each raises in Python, with four parts."""

import copy
import datetime
import itertools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconvt
from jconvt import ArgumentError, ArgumentTypeError
from jconvt.tensorflow import atrous_conv2d_transpose, conv2d_backprop_input
from tests.support.conventions import assert_raises

ONE, TWO, THREE, ANY = (
    jconvt.conv1d_transpose,
    jconvt.conv2d_transpose,
    jconvt.conv3d_transpose,
    jconvt.conv_transpose,
)
X, W = jnp.ones((2, 4, 4, 6)), jnp.ones((3, 3, 5, 6))
LINE, TAPS = jnp.ones((2, 4, 6)), jnp.ones((3, 5, 6))
FLAT = jnp.ones((4, 6))


def traced(call):
    """``call`` with a traced integer."""
    return lambda *operands: jax.jit(lambda n: call(*operands, n))(2)


# The call; its operands; its keywords; the error; and what its message must say.
CASES = [
    # ranks
    (TWO, (LINE, TAPS), {}, ArgumentError, r"filters has the wrong number of axes for a 2-D.*\(3, 5, 6\)"),
    (
        TWO,
        (LINE, W),
        {},
        ArgumentError,
        r"input has the wrong number of axes.*\(2, 4, 6\).*4 axes.*reshape input",
    ),
    (ONE, (X, W), {}, ArgumentError, "1-D transposed convolution.*3 axes"),
    (THREE, (X, W), {}, ArgumentError, "3-D transposed convolution.*5 axes"),
    (ANY, (X, TAPS), {}, ArgumentError, "input has the wrong number of axes for a 1-D"),
    (ANY, (FLAT, FLAT), {}, ArgumentError, "filters has the wrong number of axes.*3 axes"),
    (ANY, (1.0, W), {}, ArgumentError, r"input of shape \(\)"),
    # operands
    (TWO, (None, W), {}, ArgumentTypeError, "input is not an array of numbers.*NoneType"),
    (TWO, (X, "kernel"), {}, ArgumentTypeError, "filters is not an array of numbers.*str"),
    (TWO, (X, [[1.0], [1.0, 2.0]]), {}, ArgumentTypeError, "filters is not an array.*nested lists"),
    (TWO, ({"x": X}, W), {}, ArgumentTypeError, "input is not an array.*dict"),
    (
        TWO,
        (X, W.astype(int)),
        {},
        ArgumentTypeError,
        "JAX does not promote.*input float32, filters int32.*'strict'.*astype",
    ),
    (TWO, (X, W.astype(jnp.bfloat16)), {}, ArgumentTypeError, "input float32, filters bfloat16"),
    (TWO, (X, W.astype(bool)), {}, ArgumentTypeError, "boolean and PRNG-key.*filters bool"),
    (TWO, (X.astype(bool), W.astype(bool)), {}, ArgumentTypeError, "boolean and PRNG-key arrays"),
    (TWO, (X[..., :5], W), {}, ArgumentError, "channels of input and filters differ.*5 in input.*6 in filters"),
    (TWO, (X, W.swapaxes(2, 3)), {}, ArgumentError, "swap the last two axes of filters"),
    (TWO, (X, W), {"data_format": "NCHW"}, ArgumentError, "4 in input.*check data_format"),
    (TWO, (X, W[:0]), {}, ArgumentError, "filters has an axis without taps.*kernel sizes of at least 1"),
    # padding
    (TWO, (X, W), {"padding": "FULL"}, ArgumentError, "unknown padding.*'FULL'.*'SAME', 'VALID'"),
    (TWO, (X, W), {"padding": "EXPLICIT"}, ArgumentError, "pass the explicit pairs as padding"),
    (TWO, (X, W), {"padding": None}, ArgumentTypeError, "padding must be a sequence.*None"),
    (TWO, (X, W), {"padding": 1}, ArgumentTypeError, r"padding must be a sequence.*\(before, after\)"),
    (TWO, (X, W), {"padding": [(1, 1)]}, ArgumentError, "padding has the wrong length.*length 1.*4 or 2 axes"),
    (TWO, (X, W), {"padding": [1, 1]}, ArgumentTypeError, r"padding\[0\] must be a sequence"),
    (TWO, (X, W), {"padding": [(1, 1), (1,)]}, ArgumentError, r"padding\[1\] has the wrong length"),
    (TWO, (X, W), {"padding": [(1, 1), (0, -1)]}, ArgumentError, r"padding\[1\] is out of range.*-1"),
    (TWO, (X, W), {"padding": [(1, 1), (0, 0.5)]}, ArgumentTypeError, r"padding\[1\] must be an integer"),
    (
        TWO,
        (X, W),
        {"padding": [(1, 0), (0, 0), (0, 0), (0, 0)]},
        ArgumentError,
        r"padding\[0\] = padding\[3\] = \(0, 0\)",
    ),
    (
        TWO,
        (X, W),
        {"strides": 2, "padding": [(6, 5), (0, 0)]},
        ArgumentError,
        "removes more than there is along axis 1.*at most 10",
    ),
    # strides and dilations
    (TWO, (X, W), {"strides": 0}, ArgumentError, "strides is out of range.*strides = 0.*1 to"),
    (TWO, (X, W), {"strides": -2}, ArgumentError, "strides = -2"),
    (TWO, (X, W), {"strides": (2, 2, 2)}, ArgumentError, "strides has the wrong length.*length 3.*1 or 2 or 4"),
    (TWO, (X, W), {"strides": ()}, ArgumentError, "strides has the wrong length.*length 0"),
    (TWO, (X, W), {"strides": (2, 1, 1, 1)}, ArgumentError, r"strides of the batch.*strides\[0\] = strides\[3\] = 1"),
    (TWO, (X, W), {"strides": (1, 2, 2, 2)}, ArgumentError, r"\[1, 2, 2, 2\]"),
    (TWO, (X, W), {"strides": 2.0}, ArgumentTypeError, "strides must be an integer.*2.0"),
    (TWO, (X, W), {"strides": True}, ArgumentTypeError, "strides must be an integer.*True"),
    (TWO, (X, W), {"strides": "2"}, ArgumentTypeError, "strides must be a sequence"),
    (TWO, (X, W), {"strides": (2, None)}, ArgumentTypeError, r"strides\[1\] must be an integer"),
    (TWO, (X, W), {"dilations": 0}, ArgumentError, "dilations is out of range"),
    (TWO, (X, W), {"dilations": (1, 2, 3)}, ArgumentError, "dilations has the wrong length"),
    (TWO, (X, W), {"dilations": (1, 1, 1, 2)}, ArgumentError, "dilations of the batch and of the channels must be 1"),
    (ONE, (LINE, TAPS), {"strides": (1, 2)}, ArgumentError, "strides has the wrong length.*1 or 3"),
    # data_format
    (TWO, (X, W), {"data_format": "NWC"}, ArgumentError, "unknown data_format for 2 spatial axes.*NHWC or NCHW"),
    (TWO, (X, W), {"data_format": "nhwc"}, ArgumentError, "unknown data_format.*'nhwc'"),
    (TWO, (X, W), {"data_format": 1}, ArgumentError, "data_format = 1"),
    (ONE, (LINE, TAPS), {"data_format": "NHWC"}, ArgumentError, "NWC or NCW"),
    (THREE, (X[None], W[None]), {"data_format": "NHWC"}, ArgumentError, "NDHWC or NCDHW"),
    (ANY, (X[None, None], W[None, None]), {"data_format": "NHWC"}, ArgumentError, "N, 4 letters, C"),
    # groups
    (TWO, (X, W), {"groups": 4}, ArgumentError, "groups does not divide.*groups = 4, 6 channels.*divisor of 6"),
    (TWO, (X, W), {"groups": 0}, ArgumentError, "groups is out of range"),
    (TWO, (X, W), {"groups": -1}, ArgumentError, "groups is out of range"),
    (TWO, (X, W), {"groups": 1.5}, ArgumentTypeError, "groups must be an integer"),
    (TWO, (X, W), {"groups": "depthwise"}, ArgumentTypeError, "groups must be an integer"),
    # output_shape
    (
        TWO,
        (X, W, [2, 9, 8, 5], 2),
        {},
        ArgumentError,
        "illegal along axis 1.*size 9.*to size 5, not 4.*7 to 8.*default is 8",
    ),
    (TWO, (X, W, [2, 8, 6, 5], 2), {}, ArgumentError, "illegal along axis 2.*size 6.*to size 3, not 4"),
    (TWO, (X, W, [8, 6], 2), {}, ArgumentError, "illegal along axis 2.*size 6"),
    (TWO, (X, W, [8, 9], 2, "VALID"), {}, ArgumentError, "axis 1.*size 8.*to size 3, not 4.*9 to 10.*default is 9"),
    (TWO, (X, W, [5, 7], 1, "VALID"), {"dilations": 2}, ArgumentError, "axis 1.*size 5.*size 1, not 4.*legal: 8"),
    (TWO, (X, W, [8, 7], 2, [(1, 1), (2, 2)]), {}, ArgumentError, r"padding \(2, 2\).*legal: 5 to 6"),
    (
        TWO,
        (X, W, [3, 8, 8, 5], 2),
        {},
        ArgumentError,
        r"output_shape has another batch size.*output_shape\[0\] = 3.*legal: 2",
    ),
    (
        TWO,
        (X, W, [2, 8, 8, 4], 2),
        {},
        ArgumentError,
        r"output_shape has another number of channels.*\[3\] = 4.*legal: 5",
    ),
    (TWO, (X, W, [2, 8, 8, 20], 2), {}, ArgumentError, r"another number of channels.*\[3\] = 20"),
    (TWO, (X, W, [2, 8, 8, 5], 2), {"groups": 2}, ArgumentError, "another number of channels.*legal: 10.*groups 2"),
    (TWO, (X, W, [2, 8, 8], 2), {}, ArgumentError, "output_shape has the wrong length.*length 3.*4 sizes, or the 2"),
    (TWO, (X, W, [-1, 8, 8, 5], 2), {}, ArgumentError, r"output_shape\[0\] is out of range.*-1"),
    (TWO, (X, W, [8, -8], 2), {}, ArgumentError, r"output_shape\[1\] is out of range"),
    (TWO, (X, W, [8.0, 8.0], 2), {}, ArgumentTypeError, r"output_shape\[0\] must be an integer"),
    (TWO, (X, W, [None, 8, 8, 5], 2), {}, ArgumentTypeError, r"output_shape\[0\] must be an integer.*None"),
    (TWO, (X, W, 8, 2), {}, ArgumentTypeError, "output_shape must be a sequence"),
    (TWO, (X, W, "88", 2), {}, ArgumentTypeError, "output_shape must be a sequence"),
    (TWO, (X, W, ["8", "8"], 2), {}, ArgumentTypeError, r"output_shape\[0\] must be an integer"),
    # output_padding
    (TWO, (X, W, [8, 8], 2), {"output_padding": 1}, ArgumentError, "both choose the output size.*one of the two"),
    (TWO, (X, W, None, 2), {"output_padding": 2}, ArgumentError, "output_padding is illegal along axis 1.*0 to 1"),
    (
        TWO,
        (X, W[:2], None, 2),
        {"output_padding": 0},
        ArgumentError,
        "output_padding 0, for output size 6.*legal: 1 to 2",
    ),
    (TWO, (X, W, None, 2), {"output_padding": (0, 1, 1)}, ArgumentError, "output_padding has the wrong length"),
    (TWO, (X, W, None, 2), {"output_padding": -1}, ArgumentError, "output_padding is out of range"),
    # options
    (
        TWO,
        (X, W),
        {"method": "fft"},
        ArgumentError,
        "unknown method.*'fft'.*'auto', 'native', 'dilated', 'vjp', .*'reference'",
    ),
    (TWO, (X, W), {"method": None}, ArgumentError, "unknown method"),
    (TWO, (X, W), {"method": ["vjp"]}, ArgumentError, "unknown method"),
    (TWO, (X, W), {"precision": "exact"}, ArgumentError, "unknown precision.*'exact'.*'highest'"),
    (TWO, (X, W), {"precision": ("high",) * 3}, ArgumentError, "unknown precision"),
    (
        TWO,
        (X, W),
        {"preferred_element_type": "int32"},
        ArgumentTypeError,
        "preferred_element_type does not fit.*float32",
    ),
    (TWO, (X, W), {"preferred_element_type": "bfloat16"}, ArgumentTypeError, "at least as wide as float32"),
    (TWO, (X, W), {"preferred_element_type": "float33"}, ArgumentTypeError, "preferred_element_type does not fit"),
    (TWO, (X.astype(int), W.astype(int)), {"method": "vjp"}, ArgumentTypeError, "no derivatives of integers.*'auto'"),
    (TWO, (X, W), {"name": 3}, ArgumentTypeError, "name must be a string"),
    (TWO, (X, W), {"out_sharding": "batch"}, ArgumentTypeError, "out_sharding is not a sharding.*'batch'"),
    (TWO, (X, W), {"out_sharding": jax.P("batch")}, ArgumentError, "there is no mesh.*jax.set_mesh"),
    (TWO, (X, W), {"method": np.ones((2, 2))}, ArgumentError, "unknown method"),
    (TWO, (X, W), {"data_format": np.ones((2, 2))}, ArgumentError, "unknown data_format"),
    (ANY, (X[None, None], W[None, None]), {"data_format": "N 1!2C"}, ArgumentError, "unknown data_format"),
    (TWO, (X, W), {"precision": ("high",)}, ArgumentError, "unknown precision"),
    (TWO, (X, W), {"precision": ("high", None)}, ArgumentError, "unknown precision"),
    (TWO, (X, W), {"precision": 1}, ArgumentError, "unknown precision"),
    (TWO, (X, W), {"precision": {"high": 1}}, ArgumentError, "unknown precision"),
    (TWO, (X, W), {"preferred_element_type": jax.random.key(0).dtype}, ArgumentTypeError, "does not fit the operands"),
    (TWO, (X.astype(int), W.astype(int)), {"preferred_element_type": "uint32"}, ArgumentTypeError, "does not fit"),
    (TWO, (jax.random.key(0), W), {}, ArgumentTypeError, "boolean and PRNG-key"),
    (TWO, ([[[[10**30]]]], W), {}, ArgumentTypeError, "input is not an array of numbers"),
    (TWO, (X, W), {"strides": {2, 3}}, ArgumentTypeError, "strides must be a sequence"),
    (TWO, (X, W), {"strides": {2: 3}}, ArgumentTypeError, "strides must be a sequence"),
    (TWO, (X, W), {"strides": b"22"}, ArgumentTypeError, "strides must be a sequence"),
    (TWO, (X, W), {"strides": itertools.repeat(2)}, ArgumentError, "strides has the wrong length"),
    (TWO, (X, W, [datetime.timedelta(8)] * 2), {}, ArgumentTypeError, r"output_shape\[0\] must be an integer"),
    (TWO, (X, W), {"method": "polyphase", "strides": 2000}, ArgumentError, "too many convolutions.*'auto'.*'vjp'"),
    (ONE, (LINE, jnp.ones((2000, 5, 6))), {"method": "gemm"}, ArgumentError, "too many slices.*at most 256.*dilated"),
    # too large
    (TWO, (X, W), {"strides": 2**31}, ArgumentError, "strides is out of range.*2147483647"),
    (TWO, (X, W), {"dilations": 2**40}, ArgumentError, "dilations is out of range"),
    (TWO, (X, W), {"strides": 2**30}, ArgumentError, "too large to index"),
    (TWO, (X, W), {"dilations": 2**31 - 1}, ArgumentError, "too large to index.*2147483647 along each axis"),
    (TWO, (X, W), {"strides": 2**22}, ArgumentError, "too large to allocate.*10.0 PiB.*the memory of"),
    (THREE, (X[:, None], W[None]), {"strides": 2**28}, ArgumentError, "too large to index.*2\\*\\*63 bytes"),
    # traced values
    (traced(lambda x, w, n: TWO(x, w, strides=n)), (X, W), {}, ArgumentTypeError, "strides must be an integer.*static"),
    (traced(lambda x, w, n: TWO(x, w, [8, 4 * n], 2)), (X, W), {}, ArgumentTypeError, r"output_shape\[1\] must be an"),
    (
        traced(lambda x, w, n: TWO(x, w, jnp.stack([n, n]))),
        (X, W),
        {},
        ArgumentTypeError,
        "output_shape.*before tracing",
    ),
    (traced(lambda x, w, n: TWO(x, w, dilations=(1, n))), (X, W), {}, ArgumentTypeError, r"dilations\[1\] must be an"),
    (
        traced(lambda x, w, n: TWO(x, w, padding=[(n, 0)] * 2)),
        (X, W),
        {},
        ArgumentTypeError,
        r"padding\[0\] must be an",
    ),
    (traced(lambda x, w, n: TWO(x, w, output_padding=n)), (X, W), {}, ArgumentTypeError, "output_padding must be an"),
    (traced(lambda x, w, n: TWO(x, w, groups=n)), (X, W), {}, ArgumentTypeError, "groups must be an integer.*static"),
    (jax.jit(lambda x, w: TWO(x, w, method="reference")), (X, W), {}, ArgumentTypeError, "cannot be traced"),
    (jax.grad(lambda x, w: TWO(x, w, method="reference").sum()), (X, W), {}, ArgumentTypeError, "cannot be traced"),
    # the other two functions
    (atrous_conv2d_transpose, (X, W, None, 0, "SAME"), {}, ArgumentError, "rate is out of range"),
    (
        atrous_conv2d_transpose,
        (X, W, None, "2", "SAME"),
        {},
        ArgumentTypeError,
        "rate must be an integer",
    ),
    (atrous_conv2d_transpose, (X, W, [5, 5], 2, "SAME"), {}, ArgumentError, "size 5.*legal: 4"),
    (atrous_conv2d_transpose, (X[0], W, None, 2, "SAME"), {}, ArgumentError, "value has the wrong number of axes"),
    (atrous_conv2d_transpose, (None, W, None, 2, "SAME"), {}, ArgumentTypeError, "value is not an array"),
    (conv2d_backprop_input, ([8, 8], None, X, 2, "SAME"), {}, ArgumentTypeError, "neither filter nor filters"),
    (conv2d_backprop_input, ([8, 8], W, X, 2, "SAME"), {"filters": W}, ArgumentTypeError, "both filter and filters"),
    (conv2d_backprop_input, ([8, 8], W), {"strides": 2}, ArgumentTypeError, "needs out_backprop"),
    (conv2d_backprop_input, ([8, 8], W, X), {"padding": "SAME"}, ArgumentTypeError, "needs strides"),
    (conv2d_backprop_input, ([8, 8], W, X, 2), {}, ArgumentTypeError, "needs padding"),
    (conv2d_backprop_input, (None, W, X, 2, "SAME"), {}, ArgumentTypeError, "needs input_sizes"),
    (
        conv2d_backprop_input,
        ([9, 8], W, X, 2, "SAME"),
        {},
        ArgumentError,
        "input_sizes is illegal along axis 1.*7 to 8",
    ),
    (conv2d_backprop_input, ([8, 8], W, X, 2, "EXPLICIT"), {}, ArgumentError, "explicit_paddings goes with"),
    (conv2d_backprop_input, ([8, 8], W, X, 2, "SAME"), {"explicit_paddings": [0] * 8}, ArgumentError, "goes with"),
    (conv2d_backprop_input, ([8, 8], W, X, 2, "EXPLICIT"), {"explicit_paddings": [1] * 7}, ArgumentError, "goes with"),
    (conv2d_backprop_input, ([8, 8], W, X, 2, "SAME"), {"explicit_paddings": None}, ArgumentTypeError, "explicit_pad"),
    (conv2d_backprop_input, ([8, 8], W, X, 2, "EXPLICIT"), {"explicit_paddings": [0] * 4}, ArgumentError, "goes with"),
    (atrous_conv2d_transpose, (X, W, None, [2, 2], "SAME"), {}, ArgumentTypeError, "rate must be an integer"),
    # a Spec by hand
    (jconvt.Axis, (0,), {}, ArgumentError, "kernel is out of range"),
    (jconvt.Axis, (3, 0), {}, ArgumentError, "stride is out of range"),
    (jconvt.Axis, (3, 1.0), {}, ArgumentTypeError, "stride must be an integer"),
    (jconvt.Spec, ((),), {}, ArgumentError, "at least one spatial axis"),
    (jconvt.Spec, (((3, 2),),), {}, ArgumentTypeError, "axes must hold one Axis"),
    (jconvt.Spec, ((jconvt.Axis(3),), 0), {}, ArgumentError, "groups is out of range"),
    (jconvt.Spec, ((jconvt.Axis(3),), "2"), {}, ArgumentTypeError, "groups must be an integer"),
    (jconvt.Spec, ((jconvt.Axis(3),), True), {}, ArgumentTypeError, "groups must be an integer"),
    (jconvt.Axis, (True,), {}, ArgumentTypeError, "kernel must be an integer"),
    (jconvt.Axis, (2**31,), {}, ArgumentError, "kernel is out of range"),
    (jconvt.Spec, (3,), {}, ArgumentTypeError, "axes must be a sequence"),
    (jconvt.Spec((jconvt.Axis(3),)).output_sizes, (3,), {}, ArgumentTypeError, "sizes must be a sequence"),
    (jconvt.Spec((jconvt.Axis(3),)).output_sizes, ([1, 2],), {}, ArgumentError, "sizes has the wrong length"),
    (jconvt.Spec((jconvt.Axis(3),)).input_sizes, ([2.5],), {}, ArgumentTypeError, r"sizes\[0\] must be an integer"),
    (jconvt.Spec.from_tensorflow, (3, 4), {}, ArgumentTypeError, "input.shape must be a sequence"),
    (
        jconvt.Spec.from_tensorflow,
        ((1, 4.0, 1), (3, 1, 1)),
        {},
        ArgumentTypeError,
        r"input.shape\[1\] must be an integer",
    ),
    (jconvt.Spec.from_tensorflow, ((1, -4, 1), (3, 1, 1)), {}, ArgumentError, r"input.shape\[1\] is out of range"),
    (jconvt.Spec.from_tensorflow, ((1, 4, 1), (3, 1, None)), {}, ArgumentTypeError, r"filters.shape\[2\] must be an"),
]


@pytest.mark.parametrize(("call", "operands", "keywords", "error", "text"), CASES)
def test_tensorflow__wrong_call_raises(call, operands, keywords, error, text):
    assert_raises(call, operands, keywords, error, text)


@pytest.mark.parametrize("duplicate", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_errors__can_be_copied_and_pickled(duplicate):
    for error in (ArgumentError, ArgumentTypeError):
        one = error("strides is out of range", got=0, legal="1 or more", fix="pass 1")
        assert (type(duplicate(one)), str(duplicate(one))) == (error, str(one))


def test_tensorflow__symbolic_size_that_does_not_fit_raises():
    (width,) = jax.export.symbolic_shape("w")
    x = jax.ShapeDtypeStruct((1, width, 1), jnp.float32)

    def export(size):
        call = jax.jit(lambda x: jconvt.conv1d_transpose(x, jnp.ones((3, 1, 1), jnp.float32), (size,), 2))
        return jax.export.export(call)(x)

    assert export(2 * width - 1).out_avals[0].shape[1] == 2 * width - 1
    with pytest.raises(ArgumentTypeError, match=r"no fixed distance[\s\S]*size 3\*w"):
        export(3 * width)
    with pytest.raises(ArgumentTypeError, match="no fixed distance"):
        export(8)
    with pytest.raises(ArgumentError, match=r"size 2\*w \+ 1"):
        export(2 * width + 1)


def test_tensorflow__lower_case_padding_is_accepted():
    x, w = np.ones((1, 3, 1), np.float32), np.arange(4, dtype=np.float32).reshape(4, 1, 1)
    for padding in ("same", "Valid"):
        np.testing.assert_array_equal(ONE(x, w, None, 2, padding), ONE(x, w, None, 2, padding.upper()))


def test_tensorflow__sizes_may_be_any_integers():
    x, w = np.ones((1, 3, 1), np.float32), np.ones((3, 1, 1), np.float32)
    expected = ONE(x, w, [1, 5, 1], 2)
    for shape in (np.array([1, 5, 1]), jnp.array([1, 5, 1]), (np.int32(5),), expected.shape, iter([5])):
        np.testing.assert_array_equal(ONE(x, w, shape, np.int64(2)), expected)
    np.testing.assert_array_equal(ONE(x, w, [5], [2], dilations=np.array([1])), expected)


def test_tensorflow__large_output_can_be_traced():
    # 10 PiB: no machine here has that, but the compiler may be asked for one that has.
    shape = jax.eval_shape(lambda x, w: TWO(x, w, strides=2**22), X, W).shape
    assert shape == (2, 2**24, 2**24, 5)


@pytest.mark.parametrize("traced_operand", ["input", "filters"])
def test_large_output__is_legal_while_tracing(traced_operand):  # the program may run on other devices
    operands = {"input": jnp.ones((1, 2, 2, 1)), "filters": jnp.ones((1, 1, 1, 1))}
    operand = operands.pop(traced_operand)
    shape = jax.eval_shape(lambda array: TWO(**operands, **{traced_operand: array}, strides=2**22), operand).shape
    assert shape == (1, 2**23, 2**23, 1)
