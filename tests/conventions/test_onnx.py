"""``jconvt.onnx.conv_transpose`` against onnxruntime, to the last digit, and the calls that it rejects."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
import onnx.reference
import onnx.shape_inference

import jconvt
from jconvt import ArgumentError, ArgumentTypeError
from jconvt._conventions import onnx as convention
from jconvt._core import operation
from jconvt.onnx import conv_transpose
from tests.support import laws
from tests.support import onnxruntime_calls as live
from tests.support.conventions import assert_raises, broken, finished, integers, traced
from tests.support.drop_ins import assert_drop_in, in_any_case

FIXED = live.Call(
    (2, 4, 3, 4),
    (4, 2, 3, 2),
    True,
    {"strides": [2, 3], "dilations": [1, 2], "group": 2, "pads": [1, 0, 0, 2], "output_padding": [1, 2]},
)


def numbers(seed, shape):
    return np.random.default_rng(seed).integers(-9, 10, shape).astype(np.float32)


def agrees(call, **options):
    operands = call.operands()
    y = conv_transpose(*operands, **call.attributes, **options)
    np.testing.assert_array_equal(y, live.conv_transpose(*operands, **call.attributes))


@pytest.mark.parametrize("rank", [1, 2, 3])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_onnx__equals_onnxruntime(rank, data):
    agrees(data.draw(live.calls(rank)), method="reference")


@pytest.mark.parametrize("auto_pad", ["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"])
def test_onnx__every_output_shape_equals_onnxruntime(auto_pad):
    x, w = numbers(0, (1, 1, 3)), numbers(1, (1, 1, 4))
    for stride in (1, 2, 6):
        for asked in range(1, 3 * stride + 4):
            attributes = {"strides": [stride], "output_shape": [asked], "auto_pad": auto_pad}
            y = conv_transpose(x, w, **attributes, method="reference")
            assert y.shape[2] == asked
            np.testing.assert_array_equal(y, live.conv_transpose(x, w, **attributes))


@pytest.mark.parametrize("method", [*laws.TRACED, "reference"])
def test_onnx__every_method_equals_onnxruntime(method):
    agrees(FIXED, method=method)


def test_onnx__broken_kernel_layout_is_seen(monkeypatch):
    call = live.Call((1, 2, 3, 3), (2, 2, 3, 2), False, {"strides": [2, 2]})
    agrees(call)
    for layout in broken(convention.kernel_layout(2)):
        monkeypatch.setattr(convention, "kernel_layout", lambda rank, layout=layout: layout)
        with pytest.raises((AssertionError, ValueError)):  # shapes can differ
            agrees(call)


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER"])
def test_onnx__same_with_kernel_below_stride(auto_pad):
    # The operator's text says stride * size, which is 9; onnxruntime and ONNX's own shape inference say otherwise.
    x, w = numbers(0, (1, 1, 3)), numbers(1, (1, 1, 1))
    attributes = {"auto_pad": auto_pad, "strides": [3]}
    y = conv_transpose(x, w, **attributes)
    assert y.shape == (1, 1, 7)
    np.testing.assert_array_equal(y, live.conv_transpose(x, w, **attributes))
    model = live.convtranspose_model(**attributes)
    for value, operand in zip(model.graph.input, (x, w), strict=True):
        value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, onnx.TensorProto.FLOAT, operand.shape))
    inferred = onnx.shape_inference.infer_shapes(model).graph.output[0].type.tensor_type.shape
    assert tuple(dim.dim_value for dim in inferred.dim) == y.shape


def test_onnx__empty_inputs():
    w = numbers(1, (1, 1, 3))
    for shape, attributes in (((0, 1, 3), {}), ((1, 1, 0), {}), ((1, 1, 0), {"strides": [2]})):
        x = np.zeros(shape, np.float32)
        np.testing.assert_array_equal(conv_transpose(x, w, **attributes), live.conv_transpose(x, w, **attributes))
    for attributes in ({"strides": [3]}, {"strides": [2], "auto_pad": "SAME_UPPER"}):
        with pytest.raises(Exception, match="output dimension is <= 0"):
            live.conv_transpose(x, w, **attributes)
        with pytest.raises(ArgumentError, match="below 1"):
            conv_transpose(x, w, **attributes)
    with pytest.raises(Exception, match="must be positive"):
        live.conv_transpose(x, w, output_shape=[1])
    with pytest.raises(ArgumentError, match=r"needs pixels of X along spatial axis 0[\s\S]*output_shape\[0\] = 1"):
        conv_transpose(x, w, output_shape=[1])


def test_onnx__wrong_side_is_seen():
    x, w = numbers(0, (1, 1, 4)), numbers(1, (1, 1, 3))
    right = live.conv_transpose(x, w, auto_pad="SAME_UPPER", strides=[2])
    assert not np.array_equal(conv_transpose(x, w, auto_pad="SAME_LOWER", strides=[2]), right)


def reference(call):
    """ONNX's own evaluator, which is not to be followed where there are groups."""
    model = live.convtranspose_model(call.bias, **call.attributes)
    operands = dict(zip("XWB", call.operands(), strict=False))
    (y,) = onnx.reference.ReferenceEvaluator(model).run(None, operands)
    return y


@pytest.mark.parametrize(("taken", "out"), [(2, 1), (1, 2), (2, 2)])
def test_onnx__reference_fails_with_groups_of_several_channels(taken, out):
    call = live.Call((2, 2 * taken, 3), (2 * taken, out, 3), False, {"group": 2, "strides": [2]})
    agrees(call)
    with pytest.raises(ValueError, match=r"reshape|broadcast"):
        reference(call)


def test_onnx__reference_adds_the_first_bias_in_every_group():
    call = live.Call((2, 2, 3), (2, 1, 3), True, {"group": 2, "strides": [2]})
    agrees(call)
    x, w, b = call.operands()
    assert b[0] != b[1]
    expected = live.conv_transpose(x, w, b, **call.attributes)
    np.testing.assert_array_equal(reference(call), expected + np.array([0, b[0] - b[1]]).reshape(1, 2, 1))


def test_onnx__reference_agrees_without_groups():
    call = live.Call((2, 2, 3), (2, 3, 4), True, {"strides": [2], "auto_pad": "SAME_LOWER"})
    agrees(call)
    np.testing.assert_array_equal(reference(call), conv_transpose(*call.operands(), **call.attributes))


# Calls.


@st.composite
def geometries(draw, rank):
    axes, sizes = [], []
    for _ in range(rank):
        kernel, stride, dilation = (draw(st.integers(1, most)) for most in (4, 3, 3))
        size = draw(st.integers(1, 4))
        full = live.full_size(size, kernel, stride, dilation)
        lo = draw(st.integers(-2, full - 1))
        hi = draw(st.integers(-5, full - 1 - max(0, lo)))  # at least one position of the canvas remains
        axes.append(jconvt.Axis(kernel, stride, dilation, lo, hi))
        sizes.append(size)
    return axes, sizes, draw(st.integers(1, 3))


@pytest.mark.parametrize("rank", [1, 2, 3])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_onnx__call_computes_the_geometry(rank, data):
    axes, sizes, groups = data.draw(geometries(rank))
    call = convention.call(jconvt.Spec(tuple(axes), groups))
    filters = numbers(1, (*[axis.kernel for axis in axes], 2, groups * 2))
    w = call.kernel.kernel(filters)
    x = numbers(0, (2, groups * 2, *sizes))
    np.testing.assert_array_equal(call.kernel.filters(w), filters)
    resolved, _ = convention.resolve(x.shape, w.shape, **call.arguments)
    assert resolved.groups == groups
    assert (resolved.axes == tuple(axes)) == call.exact
    assert call.function == "ConvTranspose"
    y = operation.transposed_convolution(
        jnp.asarray(x),
        jnp.asarray(filters),
        jconvt.Spec(tuple(axes), groups),
        call.layout,
        name="test",
        method="reference",
    )
    np.testing.assert_array_equal(y, finished(live.conv_transpose(x, w, **call.arguments), call))
    np.testing.assert_array_equal(
        y, finished(np.asarray(conv_transpose(x, w, **call.arguments, method="reference")), call)
    )


def test_onnx__call_omits_defaults():
    assert convention.call(jconvt.Spec((jconvt.Axis(3),))).arguments == {}
    call = convention.call(jconvt.Spec((jconvt.Axis(3, 2, 1, 1, -1), jconvt.Axis(3, 1, 1, -2, 0)), 2))
    assert call.arguments == {"strides": [2, 1], "pads": [1, 0, 0, 0], "output_padding": [1, 0], "group": 2}
    assert call.crop == ((0, 0), (-2, 0))
    assert not call.exact


# In JAX.


def test_onnx__gradients_equal_onnxruntimes_products():
    # The operator is linear in each operand: <z, T(dx, w)> = <gradient in x, dx>, exactly in small integers.
    x, w, b = FIXED.operands()
    z = numbers(7, live.conv_transpose(x, w, b, **FIXED.attributes).shape)

    def loss(x, w, b):
        return (conv_transpose(x, w, b, **FIXED.attributes) * z).sum()

    in_x, in_w, in_b = jax.jit(jax.grad(loss, (0, 1, 2)))(x, w, b)
    dx, dw = numbers(8, x.shape), numbers(9, w.shape)
    assert np.vdot(in_x, dx) == np.vdot(z, live.conv_transpose(dx, w, **FIXED.attributes))
    assert np.vdot(in_w, dw) == np.vdot(z, live.conv_transpose(x, dw, **FIXED.attributes))
    np.testing.assert_array_equal(in_b, z.sum((0, 2, 3)))


def test_onnx__vmap():
    x, w, b = FIXED.operands()
    many = jax.vmap(lambda w: conv_transpose(x, w, b, **FIXED.attributes))(np.stack([w, 2 * w]))
    for y, kernel in zip(many, (w, 2 * w), strict=True):
        np.testing.assert_array_equal(y, live.conv_transpose(x, kernel, b, **FIXED.attributes))


def test_onnx__sizes_may_be_symbolic():
    (width,) = jax.export.symbolic_shape("w")
    x = jax.ShapeDtypeStruct((1, 1, width), jnp.float32)
    w = numbers(1, (1, 1, 3))

    def export(**attributes):
        return jax.export.export(jax.jit(lambda x: conv_transpose(x, w, strides=[2], **attributes)))(x)

    assert export(auto_pad="SAME_UPPER").out_avals[0].shape[2] == 2 * width
    assert export(output_shape=[2 * width + 2]).out_avals[0].shape[2] == 2 * width + 2
    value = numbers(0, (1, 1, 5))
    for attributes in ({"auto_pad": "SAME_LOWER"}, {"pads": [1, 0], "output_padding": [1]}):
        expected = live.conv_transpose(value, w, strides=[2], **attributes)
        np.testing.assert_array_equal(export(**attributes).call(value), expected)
    with pytest.raises(ArgumentTypeError, match="output_shape along spatial axis 0 is at no fixed distance"):
        export(output_shape=[8])


def test_onnx__bias_is_promoted():
    x, w, b = (jnp.asarray(operand, jnp.bfloat16) for operand in FIXED.operands())
    y = conv_transpose(x, w, b, **FIXED.attributes, preferred_element_type=jnp.float32)
    assert y.dtype == jnp.float32
    np.testing.assert_array_equal(y, live.conv_transpose(*FIXED.operands(), **FIXED.attributes))
    with jax.numpy_dtype_promotion("standard"):
        assert conv_transpose(x, w, b.astype(jnp.float32), **FIXED.attributes).dtype == jnp.float32


# Wrong calls.

X, W = jnp.ones((2, 6, 4, 4)), jnp.ones((6, 5, 3, 3))
LINE, TAPS = jnp.ones((2, 6, 4)), jnp.ones((6, 5, 3))


# The call; its operands; its keywords; the error; and what its message must say.
CASES = [
    (
        conv_transpose,
        (LINE, W),
        {},
        ArgumentError,
        r"X has the wrong number of axes for a 2-D.*\(2, 6, 4\).*4 axes: N, C",
    ),
    (conv_transpose, (X, TAPS), {}, ArgumentError, "X has the wrong number of axes for a 1-D.*reshape X to 3 axes"),
    (
        conv_transpose,
        (jnp.ones((2, 6)), jnp.ones((6, 5))),
        {},
        ArgumentError,
        "W has the wrong number of axes.*3 axes: C",
    ),
    (conv_transpose, (X, W[:, :, :0]), {}, ArgumentError, "W has an axis without taps"),
    (
        conv_transpose,
        (X[:, :5], W),
        {},
        ArgumentError,
        "channels of X and W differ.*5 in X, 6 in W.*swap the first two",
    ),
    (conv_transpose, (X, W.swapaxes(0, 1)), {}, ArgumentError, "6 in X, 5 in W"),
    (
        conv_transpose,
        (X, W, jnp.ones(6)),
        {},
        ArgumentError,
        r"B does not fit.*\(6,\).*\(5,\): W.shape\[1\] \* group",
    ),
    (conv_transpose, (X, W, jnp.ones(5)), {"group": 2}, ArgumentError, r"B does not fit.*\(10,\)"),
    (conv_transpose, (X, W, jnp.ones((1, 5))), {}, ArgumentError, r"B does not fit.*\(1, 5\)"),
    (conv_transpose, (X, W, 1.0), {}, ArgumentError, r"B does not fit.*\(\)"),
    (conv_transpose, (X, W, "b"), {}, ArgumentTypeError, "B is not an array of numbers"),
    (conv_transpose, (None, W), {}, ArgumentTypeError, "X is not an array of numbers.*NoneType"),
    (conv_transpose, (X, "kernel"), {}, ArgumentTypeError, "W is not an array of numbers"),
    (conv_transpose, (X, W.astype(int)), {}, ArgumentTypeError, "JAX does not promote.*X float32, W int32"),
    (conv_transpose, (X, W, jnp.ones(5, int)), {}, ArgumentTypeError, "dtypes of X, W and B differ"),
    (conv_transpose, (X, W.astype(bool)), {}, ArgumentTypeError, "boolean and PRNG-key.*W bool"),
    # group
    (conv_transpose, (X, W), {"group": 4}, ArgumentError, "group does not divide.*group = 4, 6 channels.*divisor of 6"),
    (conv_transpose, (X, W), {"group": 0}, ArgumentError, "group is out of range"),
    (conv_transpose, (X, W), {"group": -1}, ArgumentError, "group is out of range"),
    (conv_transpose, (X, W), {"group": 2.0}, ArgumentTypeError, "group must be an integer"),
    (conv_transpose, (X, W), {"group": True}, ArgumentTypeError, "group must be an integer"),
    # strides, dilations, kernel_shape
    (conv_transpose, (X, W), {"strides": 2}, ArgumentTypeError, "strides must be a sequence.*sequence of 2 integers"),
    (conv_transpose, (X, W), {"strides": [2]}, ArgumentError, "strides has the wrong length.*length 1.*2 integers"),
    (conv_transpose, (X, W), {"strides": [1, 1, 2, 2]}, ArgumentError, "strides has the wrong length.*length 4"),
    (conv_transpose, (X, W), {"strides": []}, ArgumentError, "strides has the wrong length.*length 0"),
    (conv_transpose, (X, W), {"strides": [0, 1]}, ArgumentError, r"strides\[0\] is out of range.*1 to"),
    (conv_transpose, (X, W), {"strides": [1, -2]}, ArgumentError, r"strides\[1\] is out of range"),
    (conv_transpose, (X, W), {"strides": [2.0, 2]}, ArgumentTypeError, r"strides\[0\] must be an integer"),
    (conv_transpose, (X, W), {"strides": [True, 2]}, ArgumentTypeError, r"strides\[0\] must be an integer"),
    (conv_transpose, (X, W), {"strides": "22"}, ArgumentTypeError, "strides must be a sequence"),
    (conv_transpose, (X, W), {"dilations": [1, 0]}, ArgumentError, r"dilations\[1\] is out of range"),
    (conv_transpose, (X, W), {"dilations": [1]}, ArgumentError, "dilations has the wrong length"),
    (
        conv_transpose,
        (X, W),
        {"kernel_shape": [3, 2]},
        ArgumentError,
        r"kernel_shape is not that of W.*legal: \[3, 3\]",
    ),
    (conv_transpose, (X, W), {"kernel_shape": [3]}, ArgumentError, "kernel_shape has the wrong length"),
    # pads
    (conv_transpose, (X, W), {"pads": [1, 1]}, ArgumentError, "pads has the wrong length.*list of 4.*all begins"),
    (conv_transpose, (X, W), {"pads": [1, 1, 1, -1]}, ArgumentError, r"pads\[3\] is out of range"),
    (conv_transpose, (X, W), {"pads": [(1, 1), (1, 1)]}, ArgumentTypeError, r"pads\[0\] must be an integer"),
    (conv_transpose, (X, W), {"pads": 1}, ArgumentTypeError, "pads must be a sequence"),
    (
        conv_transpose,
        (X, W),
        {"pads": [4, 0, 3, 0]},
        ArgumentError,
        "output size along spatial axis 0 is below 1.*pads 4 and 3",
    ),
    (conv_transpose, (X, W), {"pads": [0] * 4, "auto_pad": "VALID"}, ArgumentError, "auto_pad and pads both.*'VALID'"),
    (conv_transpose, (X, W), {"pads": [0] * 4, "auto_pad": "SAME_UPPER"}, ArgumentError, "auto_pad and pads both"),
    (conv_transpose, (X, W), {"auto_pad": "SAME"}, ArgumentError, "unknown auto_pad.*'SAME'.*'SAME_UPPER'"),
    (conv_transpose, (X, W), {"auto_pad": "valid"}, ArgumentError, "unknown auto_pad"),
    (conv_transpose, (X, W), {"auto_pad": None}, ArgumentError, "unknown auto_pad"),
    # output_padding, output_shape
    (conv_transpose, (X, W), {"output_padding": [1, 0]}, ArgumentError, r"output_padding is too large.*axis 0.*0 to 0"),
    (
        conv_transpose,
        (X, W),
        {"output_padding": [0, 2], "strides": [2, 2], "dilations": [1, 3]},
        ArgumentError,
        r"output_padding is too large along spatial axis 1.*stride 2.*0 to 1.*jax.numpy.pad",
    ),
    (conv_transpose, (X, W), {"output_padding": [-1, 0]}, ArgumentError, r"output_padding\[0\] is out of range"),
    (conv_transpose, (X, W), {"output_padding": [0]}, ArgumentError, "output_padding has the wrong length"),
    (conv_transpose, (X, W), {"output_padding": 0}, ArgumentTypeError, "output_padding must be a sequence"),
    (
        conv_transpose,
        (X, W),
        {"output_shape": [2, 5, 6, 6]},
        ArgumentError,
        "output_shape has the wrong length.*2 sizes",
    ),
    (
        conv_transpose,
        (X, W),
        {"output_shape": [99, 6]},
        ArgumentError,
        "too large along spatial axis 0.*99",
    ),
    (conv_transpose, (X, W), {"output_shape": [6, -1]}, ArgumentError, r"output_shape\[1\] is out of range"),
    (conv_transpose, (X, W), {"output_shape": [6.0, 6]}, ArgumentTypeError, r"output_shape\[0\] must be an integer"),
    (conv_transpose, (X, W), {"output_shape": 6}, ArgumentTypeError, "output_shape must be a sequence"),
    # options, traced values
    (conv_transpose, (X, W), {"method": "fft"}, ArgumentError, "unknown method"),
    (conv_transpose, (X, W), {"precision": "exact"}, ArgumentError, "unknown precision"),
    (
        traced(conv_transpose, strides=lambda n: [n, n]),
        (X, W),
        {},
        ArgumentTypeError,
        r"strides\[0\].*static",
    ),
    (traced(conv_transpose, "group"), (X, W), {}, ArgumentTypeError, "group must be an.*static"),
    (traced(conv_transpose, pads=lambda n: [n] * 4), (X, W), {}, ArgumentTypeError, r"pads\[0\] must be"),
]


@pytest.mark.parametrize(("call", "operands", "keywords", "error", "text"), CASES)
def test_onnx__wrong_call_raises(call, operands, keywords, error, text):
    assert_raises(call, operands, keywords, error, text)


@pytest.mark.parametrize(
    "attributes",
    [
        {"strides": [2]},
        {"strides": [0, 1]},
        {"strides": [1, -1]},
        {"dilations": [1]},
        {"dilations": [0, 1]},
        {"group": 0},
        {"group": -1},
        {"group": 4},
        {"kernel_shape": [3, 2]},
        {"kernel_shape": [3]},
        {"pads": [1, 1]},
        {"pads": [0] * 4, "auto_pad": "VALID"},
        {"pads": [0] * 4, "auto_pad": "SAME_LOWER"},
        {"pads": [4, 0, 3, 0]},
        {"auto_pad": "SAME"},
        {"output_padding": [0]},
        {"output_padding": [1, 0]},
        {"output_padding": [-1, 0], "strides": [2, 2]},
        {"output_padding": [2, 0], "strides": [2, 2]},
        {"output_shape": [6]},
        {"output_shape": [0, 6]},
        {"output_shape": [7, 6]},
        {"output_shape": [11, 9], "strides": [2, 2]},
        {"output_padding": [2, 0], "dilations": [3, 1]},
    ],
    ids=str,
)
def test_onnx__rejects_what_onnxruntime_rejects(attributes):
    x, w = np.asarray(X), np.asarray(W)
    with pytest.raises(Exception, match=r"."):
        live.conv_transpose(x, w, **attributes)
    with pytest.raises((ArgumentError, ArgumentTypeError)):
        conv_transpose(x, w, **attributes)


def test_onnx__largest_output_shape_of_the_error_is_legal():
    x, w = np.ones((1, 1, 4)), np.ones((1, 1, 3))
    with pytest.raises(ArgumentError, match="too large") as raised:
        conv_transpose(x, w, strides=[3], output_shape=[99])
    most = int(re.search(r"legal: 1 to (\d+)", str(raised.value))[1])
    assert conv_transpose(x, w, strides=[3], output_shape=[most]).shape == (1, 1, most)
    with pytest.raises(ArgumentError, match="too large"):
        conv_transpose(x, w, strides=[3], output_shape=[most + 1])


@st.composite
def odd_calls(draw):
    """Operands and attributes in the vocabulary of ONNX: legal, unusual and wrong ones."""
    rank = draw(st.integers(1, 2))
    numbers = {
        "size": [0, 1, 2, 3, 4], "kernel_shape": [1, 2, 3], "strides": [1, 1, 2, 3], "dilations": [1, 1, 2, 3],
        "output_padding": [0, 0, 1, 2, 3], "pads": [0, 0, 1, 2, -1], "output_shape": [1, 2, 4, 6, 7, 8],
    }  # fmt: skip
    drawn = {name: [draw(st.sampled_from(values)) for _ in range(rank)] for name, values in numbers.items()}
    group = draw(st.sampled_from([1, 1, 2]))
    taken, out = draw(st.integers(1, 2)) * group, draw(st.integers(1, 2))
    batch, sizes = draw(st.sampled_from([1, 2, 0])), drawn.pop("size")
    x, w = integers((batch, taken, *sizes), (taken, out, *drawn["kernel_shape"]))
    drawn["pads"] = [*drawn["pads"], *(draw(st.integers(0, 2)) for _ in range(rank))]
    attributes = {name: values for name, values in drawn.items() if draw(st.integers(0, 2)) == 0}
    for name in attributes:
        if draw(st.integers(0, 9)) == 0:
            attributes[name] = draw(st.sampled_from([tuple(attributes[name]), [*attributes[name], 1], []]))
    if draw(st.booleans()):
        names = "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"
        attributes["auto_pad"] = draw(st.sampled_from(names) | st.sampled_from(names) | in_any_case(*names, "SAME"))
    if group > 1 or draw(st.booleans()):
        attributes["group"] = draw(st.sampled_from([group] * 9 + [0, 3]))
    return x, w, attributes


def test_onnx__never_gives_other_numbers_than_onnxruntime():
    equal = []

    @settings(max_examples=300, deadline=None)
    @given(odd_calls())
    def check(drawn):
        x, w, attributes = drawn
        equal.append(
            assert_drop_in(
                lambda: live.conv_transpose(x, w, **attributes),
                lambda: conv_transpose(x, w, **attributes, method="reference"),
                False,
                (x.shape, w.shape, attributes),
            )
        )

    check()
    assert sum(equal) > 20
