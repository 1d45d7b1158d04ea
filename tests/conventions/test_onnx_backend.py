"""The backend for ONNX models: ONNX's own tests of it, models around the operator, and the models that it rejects."""

import re
import subprocess
import sys
import unittest
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
import onnx
import onnx.backend.base
from onnx import TensorProto, helper, numpy_helper

import jconvt.onnx
import tests.support.onnx_backend as backend
from jconvt import ArgumentError, ArgumentTypeError
from tests.support import onnxruntime_calls as live
from tests.support.conventions import assert_raises
from tests.support.onnx_operators import OPERATORS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # ONNX makes its cases of all operators, some of which warn
    import onnx.backend.test

    _cases = onnx.backend.test.BackendTest(backend.Backend, __name__)
    _cases = _cases.include(r"test_convtranspose.*_cpu").test_cases["OnnxBackendNodeModelTest"]

NODE_TESTS = {name: test for name, test in vars(_cases).items() if re.match(r"test_convtranspose.*_cpu", name)}


class TestOnnxNodes(unittest.TestCase):
    """ONNX's own tests of the operator, without those of other operators."""


for _name, _test in NODE_TESTS.items():
    setattr(TestOnnxNodes, _name, _test)
del _cases  # pytest would collect and skip the tests of all the other operators


def test_onnx_backend__passes_onnxs_tests():
    assert len(NODE_TESTS) >= 11
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(TestOnnxNodes).run(result)
    assert (result.testsRun, result.skipped) == (len(NODE_TESTS), [])
    assert result.wasSuccessful()


def test_onnx_backend__onnxs_tests_see_a_broken_operator(monkeypatch):
    monkeypatch.setitem(OPERATORS, "ConvTranspose", lambda attributes, *operands: jconvt.onnx.conv_transpose(*operands))
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(TestOnnxNodes).run(result)
    assert len(result.failures) + len(result.errors) >= 5


def numbers(seed, shape):
    return np.random.default_rng(seed).integers(-9, 10, shape).astype(np.float32)


FLOAT = TensorProto.FLOAT


def model(nodes, inputs, initializers=None, outputs=("Y",), kind=FLOAT, opset=live.OPSET, **options):
    """A model of these nodes; ``inputs`` are names and shapes, ``initializers`` names and arrays."""
    free = [f"y{axis}" for axis in range(len(next(iter(inputs.values()))))]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, kind, free) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (initializers or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10, **options)


def decoder():
    """Two transposed convolutions, and each elementwise operator once."""
    node = helper.make_node
    return model(
        [
            node("ConvTranspose", ["X", "W1", "B1"], ["a"], strides=[2, 2], pads=[1, 0, 0, 1], group=2),
            node("LeakyRelu", ["a"], ["b"], alpha=0.25),
            node("Constant", [], ["half"], value_float=0.5),
            node("Mul", ["b", "half"], ["c"]),
            node("ConvTranspose", ["c", "W2"], ["d"], auto_pad="SAME_LOWER", strides=[2, 1]),
            node("Constant", [], ["shift"], value=numpy_helper.from_array(numbers(5, (1, 3, 1, 1)))),
            node("Add", ["d", "shift"], ["e"]),
            node("Sub", ["e", "half"], ["f"]),
            node("Neg", ["f"], ["g"]),
            node("Div", ["g", "half"], ["h"]),
            node("Clip", ["h", "", "most"], ["i"]),
            node("Identity", ["i"], ["j"]),
            node("Relu", ["j"], ["Y"]),
            node("Constant", [], ["scale"], value_floats=[1 / 64]),
            node("Mul", ["j", "scale"], ["k"]),
            node("Tanh", ["k"], ["Z1"]),
            node("Sigmoid", ["k"], ["Z2"]),
        ],
        {"X": ["batch", 4, 3, "width"]},
        {
            "W1": numbers(1, (4, 2, 3, 2)),
            "B1": numbers(2, (4,)),
            "W2": numbers(3, (4, 3, 2, 3)),
            "most": np.float32(500.0).reshape(()),
        },
        ("Y", "Z1", "Z2"),
    )


def test_onnx_backend__model_equals_onnxruntime():
    prepared = backend.prepare(decoder())
    for width in (2, 5):
        x = numbers(width, (2, 4, 3, width))
        found, expected = prepared.run([x]), live.run(decoder(), x)
        assert isinstance(found, tuple)
        assert len(found) == 3
        np.testing.assert_array_equal(found[0], expected[0])
        for one, other in zip(found[1:], expected[1:], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    for one, other in zip(backend.run_model(decoder(), [x]), found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_onnx_backend__model_is_differentiable():
    prepared = backend.prepare(
        model(
            [helper.make_node("ConvTranspose", ["X", "W"], ["a"], strides=[2]), helper.make_node("Neg", ["a"], ["Y"])],
            {"X": [1, 2, 3], "W": [2, 1, 4]},
        )
    )
    x, w, dx = numbers(0, (1, 2, 3)), numbers(1, (2, 1, 4)), numbers(2, (1, 2, 3))
    gradient = jax.grad(lambda x: prepared.run([x, w])[0].sum())(x)
    assert np.vdot(gradient, dx) == -live.conv_transpose(dx, w, strides=[2]).sum()


def test_onnx_backend__integers_are_divided_towards_zero():
    divided = model([helper.make_node("Div", ["A", "B"], ["Y"])], {"A": [4], "B": [1]}, kind=TensorProto.INT32)
    a, b = np.array([7, -7, 8, -8], np.int32), np.array([2], np.int32)
    found = backend.run_model(divided, [a, b])[0]
    np.testing.assert_array_equal(found, [3, -3, 4, -4])
    np.testing.assert_array_equal(found, live.run(divided, a, b)[0])


def test_onnx_backend__crossed_bounds_of_clip():
    clipped = model([helper.make_node("Clip", ["X", "L", "H"], ["Y"])], {"X": [4], "L": [], "H": []})
    operands = [np.array(value, np.float32) for value in ([-5, 0, 2, 7], 3, 1)]
    np.testing.assert_array_equal(backend.run_model(clipped, operands)[0], live.run(clipped, *operands)[0])


def test_onnx_backend__single_nodes():
    x, w, b = numbers(0, (1, 2, 3)), numbers(1, (2, 1, 4)), numbers(2, (1,))
    node = helper.make_node("ConvTranspose", ["X", "W", "B"], ["Y"], strides=[2])
    (y,) = backend.run_node(node, [x, w, b])
    np.testing.assert_array_equal(y, live.conv_transpose(x, w, b, strides=[2]))
    np.testing.assert_array_equal(backend.run_node(node, (x, w, b), opset_version=11)[0], y)
    (half,) = backend.run_node(helper.make_node("Constant", [], ["c"], value_float=0.5), [])
    assert (half.dtype, half.shape, float(half)) == (np.float32, (), 0.5)
    (most,) = backend.run_node(helper.make_node("Clip", ["x", "", "most"], ["y"]), [x, np.float32(1)])
    np.testing.assert_array_equal(most, np.minimum(x, 1))


def test_onnx_backend__is_a_backend_of_onnx():
    assert issubclass(backend.Backend, onnx.backend.base.Backend)
    assert isinstance(backend.prepare(decoder()), onnx.backend.base.BackendRep)
    assert backend.is_compatible(decoder())
    assert not backend.is_compatible(model([helper.make_node("Softmax", ["X"], ["Y"])], {"X": [1]}))
    assert backend.supports_device("CPU")
    assert backend.supports_device("CPU:0")
    for name in ("CPU:999", "CPU:-1", "CPU:", "NPU", "", None):
        assert not backend.supports_device(name)


def test_onnx_backend__half_precision_initializers():
    w = numbers(1, (2, 1, 4)).astype(jnp.bfloat16)
    graph = helper.make_graph(
        [helper.make_node("ConvTranspose", ["X", "W"], ["Y"])],
        "graph",
        [
            helper.make_tensor_value_info("X", TensorProto.BFLOAT16, [1, 2, 3]),
            helper.make_tensor_value_info("W", TensorProto.BFLOAT16, [2, 1, 4]),
        ],
        [helper.make_tensor_value_info("Y", TensorProto.BFLOAT16, [1, 1, "y"])],
        [numpy_helper.from_array(w, "W")],
    )
    half = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    x = numbers(0, (1, 2, 3)).astype(jnp.bfloat16)
    (y,) = backend.prepare(half).run([x])
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(y, jconvt.onnx.conv_transpose(x, w))


# Wrong models and inputs.

ADD = helper.make_node("Add", ["X", "X"], ["Y"])
TRANSPOSED = helper.make_node("ConvTranspose", ["X", "W"], ["Y"], name="up", strides=[2])


def added(**options):
    return model([ADD], {"X": [2, 3]}, **options)


def of(*nodes):
    return model(list(nodes), {"X": [2, 3]})


def with_external_data():
    found = model([TRANSPOSED], {"X": [1, 1, 3]}, {"W": numbers(0, (1, 1, 3))})
    tensor = found.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    return found


def with_sparse_data():
    found = added()
    values = helper.make_tensor("S", FLOAT, [1], [1.0])
    found.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, helper.make_tensor("I", TensorProto.INT64, [1], [2]), [5])
    )
    return found


def without_outputs():
    found = added()
    found.graph.node[0].input[0] = "nowhere"
    return found


def run(inputs, made=None):
    return lambda: backend.prepare(added() if made is None else made()).run(inputs)


ONES = np.ones((2, 3), np.float32)

CASES = [
    (lambda: backend.prepare("model.onnx"), ArgumentTypeError, "model is not a model.*str.*onnx.load"),
    (lambda: backend.prepare(None), ArgumentTypeError, "model is not a model.*NoneType"),
    (lambda: backend.prepare(onnx.ModelProto()), ArgumentError, "not valid ONNX"),
    (lambda: backend.prepare(without_outputs()), ArgumentError, "not valid ONNX.*nowhere"),
    (lambda: backend.prepare(of(helper.make_node("Add", ["X"], ["Y"]))), ArgumentError, "not valid ONNX.*input"),
    (
        lambda: backend.prepare(of(helper.make_node("LeakyRelu", ["X"], ["Y"], beta=1.0))),
        ArgumentError,
        "not valid ONNX.*beta",
    ),
    (
        lambda: backend.prepare(model([helper.make_node("ConvTranspose", ["X", "X"], ["Y"], strides=2)], {"X": [1]})),
        ArgumentError,
        "not valid ONNX.*strides",
    ),
    (
        lambda: backend.prepare(of(helper.make_node("Softmax", ["X"], ["Y"], name="top"))),
        ArgumentError,
        "does not compute.*node top of type Softmax.*ConvTranspose.*onnxruntime",
    ),
    (lambda: backend.prepare(with_external_data()), ArgumentError, "does not compute.*external data.*'W'.*onnx.save"),
    (lambda: backend.prepare(with_sparse_data()), ArgumentError, "does not compute.*a sparse initializer"),
    (lambda: backend.prepare(added(opset=10)), ArgumentError, "does not compute.*opset 10.*convert_version"),
    (
        lambda: backend.prepare(of(helper.make_node("Constant", [], ["Y"], value_string="a"))),
        ArgumentError,
        "does not compute.*without a tensor or numbers",
    ),
    (lambda: backend.prepare(added(), "TPU:0"), ArgumentError, "no such device.*'TPU:0'.*CPU or CUDA"),
    (run([]), ArgumentError, "number of inputs is not the model's.*0 inputs.*1: X"),
    (run([ONES, ONES]), ArgumentError, "number of inputs is not the model's.*2 inputs"),
    (run(ONES), ArgumentTypeError, "inputs must be a list.*ndarray"),
    (run({"X": ONES}), ArgumentTypeError, "inputs must be a list.*dict"),
    (run(["x"]), ArgumentTypeError, "input 'X' is not an array of numbers"),
    (run([[[1.0], [1.0, 2.0]]]), ArgumentTypeError, "input 'X' is not an array of numbers"),
    (run([None]), ArgumentTypeError, "input 'X' is not an array of numbers"),
    (run([ONES.astype(np.int32)]), ArgumentTypeError, "input 'X' has another dtype.*int32.*float32"),
    (run([ONES.astype(np.float64)]), ArgumentTypeError, "input 'X' has another dtype.*float64.*float32"),
    (run([ONES.T]), ArgumentError, r"input 'X' has another shape.*\(3, 2\).*\(2, 3\)"),
    (run([ONES[0]]), ArgumentError, r"input 'X' has another shape.*\(3,\)"),
    (
        run([np.ones((1, 1, 3), np.float32), ONES], lambda: model([TRANSPOSED], {"X": [1, 1, "n"], "W": [2, "m"]})),
        ArgumentError,
        "X has the wrong number of axes|W has the wrong number of axes",
    ),
    (
        run(
            [ONES, ONES[:1, :2]],
            lambda: model([helper.make_node("Add", ["A", "B"], ["Y"])], {"A": [2, 3], "B": [1, 2]}),
        ),
        ArgumentError,
        r"shapes of the operands do not go together.*\(2, 3\) and \(1, 2\)",
    ),
    (
        run([ONES.astype(np.int32)], lambda: model([helper.make_node("Tanh", ["X"], ["Y"])], {"X": [2, 3]}, kind=6)),
        ArgumentTypeError,
        "for floating numbers",
    ),
    (
        run(
            [ONES],
            lambda: of(
                helper.make_node("Constant", [], ["i"], value_int=1), helper.make_node("Add", ["X", "i"], ["Y"])
            ),
        ),
        ArgumentTypeError,
        "dtypes of the operands differ.*float32 and int64",
    ),
    (run([ONES], lambda: of(helper.make_node("Clip", ["X", "X"], ["Y"]))), ArgumentTypeError, "a bound of Clip"),
    (lambda: backend.run_node(TRANSPOSED, [ONES]), ArgumentError, "number of inputs is not the node's.*2: X, W"),
    (lambda: backend.run_node(helper.make_node("Softmax", ["X"], ["Y"]), [ONES]), ArgumentError, "type Softmax"),
    (lambda: backend.run_node(helper.make_node("Add", ["X"], ["Y"]), [ONES]), ArgumentError, "not valid ONNX"),
    (lambda: backend.run_node(ADD, [ONES, ONES], opset_version=7), ArgumentError, "does not compute.*opset 7"),
    (lambda: backend.run_node(ADD, ONES), ArgumentTypeError, "inputs must be a list"),
]


@pytest.mark.parametrize(("call", "error", "text"), CASES)
def test_onnx_backend__wrong_model_raises(call, error, text):
    assert_raises(call, (), {}, error, text)


def test_onnx_backend__error_names_the_node():
    wrong = model([TRANSPOSED], {"X": [1, 1, 4, 4], "W": [1, 1, 3, 3]})
    with pytest.raises(ArgumentError, match="strides has the wrong length") as raised:
        backend.prepare(wrong).run([np.ones((1, 1, 4, 4), np.float32), np.ones((1, 1, 3, 3), np.float32)])
    assert raised.value.__notes__[0] == "in node up of type ConvTranspose, with outputs Y"


def test_onnx_backend__keeps_64_bits():
    wide = model([ADD], {"X": [2]}, kind=TensorProto.DOUBLE)
    x = np.array([1.0, 2.0])
    assert backend.run_model(wide, [x])[0].dtype == np.float64
    with jax.enable_x64(False), pytest.raises(ArgumentTypeError, match="input 'X' has 64-bit numbers"):
        backend.run_model(wide, [x])


def test_onnx__function_does_not_import_onnx():
    script = "import sys, jconvt.onnx; print('onnx' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_onnx_backend__input_that_is_no_tensor_raises():
    sequence = onnx.helper.make_tensor_sequence_value_info("X", onnx.TensorProto.FLOAT, None)
    result = onnx.helper.make_tensor_sequence_value_info("Y", onnx.TensorProto.FLOAT, None)
    node = onnx.helper.make_node("Identity", ["X"], ["Y"])
    graph = onnx.helper.make_graph([node], "sequence", [sequence], [result])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 22)], ir_version=10)
    with pytest.raises(jconvt.ArgumentError, match="'X', which is no tensor"):
        backend.prepare(model)
    assert not backend.is_compatible(model)
