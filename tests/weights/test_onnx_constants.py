"""ONNX weights that nodes compute from constants, and biases that are sums: equal to ONNX Runtime, or listed."""

import numpy as np
import pytest

from jconvt import ArgumentError, weights

onnx = pytest.importorskip("onnx")
nn = pytest.importorskip("flax.linen")
pytest.importorskip("onnxruntime")

import onnxruntime  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402
from onnx.numpy_helper import from_array  # noqa: E402

import jconvt.linen  # noqa: E402

node = helper.make_node
GENERATOR = np.random.default_rng(0)
X, W, B = (GENERATOR.normal(size=size).astype(np.float32) for size in ((1, 4, 5, 5), (4, 3, 4, 4), (3,)))
Q = np.round(W * 40).clip(-127, 127).astype(np.int8)
UP = node("ConvTranspose", ["x", "W", "B"], ["y"], strides=[2, 2], pads=[1, 1, 1, 1])
BARE = node("ConvTranspose", ["x", "W"], ["t"], strides=[2, 2], pads=[1, 1, 1, 1])


def model(path, nodes, arrays, shape=X.shape, outputs=("y",), opset=17):
    info = helper.make_tensor_value_info
    initializers = [from_array(np.ascontiguousarray(array).reshape(np.shape(array)), n) for n, array in arrays.items()]
    ys = [info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(nodes, "g", [info("x", TensorProto.FLOAT, shape)], ys, initializers)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    path.write_bytes(made.SerializeToString())
    return path


def answer(path, x=X):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def constant(name, **value):
    return node("Constant", [], [name], **value)


FOLDED = {
    "cast": ([node("Cast", ["h"], ["W"], to=1), UP], {"h": W.astype(np.float16), "B": B}),
    "dequantised": (
        [node("DequantizeLinear", ["q", "s", "z"], ["W"]), UP],
        {"q": Q, "s": np.float32(0.02), "z": np.int8(3), "B": B},
    ),
    "dequantised by channel": (
        [node("DequantizeLinear", ["q", "s"], ["W"], axis=1), UP],
        {"q": Q, "s": np.float32([0.01, 0.02, 0.03]), "B": B},
    ),
    "dequantised bias": (
        [node("DequantizeLinear", ["b", "s"], ["B"], axis=0), UP],
        {"W": W, "b": np.int32([10, -20, 30]), "s": np.float32([0.01, 0.02, 0.03])},
    ),
    "transposed": ([node("Transpose", ["t"], ["W"], perm=[3, 2, 0, 1]), UP], {"t": W.transpose(2, 3, 1, 0), "B": B}),
    "reshaped": ([node("Reshape", ["f", "n"], ["W"]), UP], {"f": W.ravel(), "n": np.array([4, 3, 4, 4]), "B": B}),
    "reshaped by a node": (
        [constant("n", value_ints=[4, -1, 4, 4]), node("Reshape", ["f", "n"], ["W"]), UP],
        {"f": W.ravel(), "B": B},
    ),
    "several": (
        [
            node("Cast", ["h"], ["a"], to=1),
            node("Transpose", ["a"], ["b"], perm=[3, 2, 0, 1]),
            node("Identity", ["b"], ["W"]),
            constant("c", value=from_array(B[:, None])),
            constant("axes", value_ints=[1]),
            node("Squeeze", ["c", "axes"], ["B"]),
            UP,
        ],
        {"h": W.transpose(2, 3, 1, 0).astype(np.float16)},
    ),
    "added": ([BARE, node("Add", ["t", "b"], ["y"])], {"W": W, "b": B.reshape(1, 3, 1, 1)}),
    "added first": ([BARE, node("Add", ["b", "t"], ["y"])], {"W": W, "b": B.reshape(3, 1, 1)}),
    "added number": ([BARE, node("Add", ["t", "b"], ["y"])], {"W": W, "b": np.float32(0.5)}),
    "added and reshaped": (
        [node("Reshape", ["f", "n"], ["b"]), BARE, node("Add", ["t", "b"], ["y"])],
        {"W": W, "f": B, "n": np.array([1, 3, 1, 1])},
    ),
}


@pytest.mark.parametrize("case", FOLDED)
def test_onnx__constants_are_computed(case, tmp_path):
    path = model(tmp_path / "m.onnx", *FOLDED[case])
    module = nn.Sequential([jconvt.linen.ConvTranspose(3, (4, 4), (2, 2))])
    x = np.moveaxis(X, 1, -1)
    variables, report = weights.into_linen(weights.read(path), module, x)
    np.testing.assert_allclose(np.moveaxis(module.apply(variables, x), -1, 1), answer(path), rtol=1e-4, atol=1e-4)
    assert report.unused == report.missing == report.notes == ()


NO_BIAS = {
    "along the width": (
        [BARE, node("Add", ["t", "b"], ["y"])],
        {"W": W, "b": GENERATOR.normal(size=10).astype(np.float32)},
    ),
    "another use of the result": (
        [BARE, node("Add", ["t", "b"], ["u"]), node("Mul", ["t", "u"], ["y"])],
        {"W": W, "b": B.reshape(1, 3, 1, 1)},
    ),
    "a sum after a bias": (
        [node("ConvTranspose", ["x", "W", "B"], ["t"]), node("Add", ["t", "b"], ["y"])],
        {"W": W, "B": B, "b": B.reshape(1, 3, 1, 1)},
    ),
    "more channels": (
        [BARE, node("Add", ["t", "b"], ["y"])],
        {"W": W[:, :1], "b": B.reshape(1, 3, 1, 1)},
    ),
    "more axes": ([BARE, node("Add", ["t", "b"], ["y"])], {"W": W, "b": B.reshape(1, 1, 3, 1, 1)}),
}


@pytest.mark.parametrize("case", NO_BIAS)
def test_onnx__other_sums_are_listed(case, tmp_path):
    path = model(tmp_path / "m.onnx", *NO_BIAS[case])
    answer(path)
    layers = weights.read(path).layers
    bias = layers["W"].arrays.get("bias")
    assert (bias is None) if "B" not in NO_BIAS[case][1] else (bias == B).all()
    assert layers["b"].kind == "other"


def test_onnx__a_result_that_is_an_output_has_no_bias(tmp_path):
    path = model(tmp_path / "m.onnx", *FOLDED["added"], outputs=("y", "t"))
    assert list(weights.read(path).layers["W"].arrays) == ["kernel"]


def test_onnx__a_result_that_a_branch_uses_has_no_bias(tmp_path):
    info = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    branch = helper.make_graph([node("Identity", ["t"], ["z"])], "branch", [], [info])
    nodes, arrays = FOLDED["added"]
    nodes = [*nodes, node("If", ["on"], ["v"], then_branch=branch, else_branch=branch)]
    path = model(tmp_path / "m.onnx", nodes, {**arrays, "on": np.bool_(True)})
    assert list(weights.read(path).layers["W"].arrays) == ["kernel"]


@pytest.mark.parametrize(
    ("nodes", "arrays", "names"),
    [
        ([node("Gemm", ["x", "w"], ["t"]), node("Add", ["t", "b"], ["y"])], {"b": (1, 5)}, ["w"]),
        ([node("Gemm", ["x", "w", "b"], ["y"])], {"b": (1, 5)}, ["w"]),
        ([node("Gemm", ["x", "w", "b"], ["y"])], {"b": ()}, ["w"]),
        ([node("Gemm", ["x", "w", "b"], ["y"])], {"b": (2, 1)}, ["w", "b"]),
        ([node("MatMul", ["x", "w"], ["t"]), node("Add", ["t", "b"], ["y"])], {"b": (1, 5)}, ["w"]),
        ([node("MatMul", ["x", "w"], ["t"]), node("Add", ["t", "b"], ["y"])], {"b": (1,)}, ["w"]),
        ([node("MatMul", ["x", "w"], ["t"]), node("Add", ["t", "b"], ["y"])], {"b": (2, 1)}, ["w", "b"]),
    ],
)
def test_onnx__biases_of_dense_layers(nodes, arrays, names, tmp_path):
    numbers = {name: GENERATOR.normal(size=size).astype(np.float32) for name, size in {"w": (4, 5), **arrays}.items()}
    path, x = model(tmp_path / "m.onnx", nodes, numbers, (2, 4)), GENERATOR.normal(size=(2, 4)).astype(np.float32)
    checkpoint = weights.read(path)
    assert list(checkpoint.layers) == names
    if len(names) == 1:
        module = nn.Sequential([nn.Dense(5)])
        variables, _ = weights.into_linen(checkpoint, module, x)
        np.testing.assert_allclose(module.apply(variables, x), answer(path, x), rtol=1e-5, atol=1e-5)
    else:
        assert checkpoint.layers["b"].kind == "other"


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((1,), "prelu"), ((3, 1, 1), "prelu"), ((1, 3, 1, 1), "prelu"), ((10,), "other"), ((3, 10, 1), "other")],
)
def test_onnx__prelu(shape, kind, tmp_path):
    slopes = GENERATOR.uniform(size=shape).astype(np.float32)
    nodes = [
        BARE,
        node("Relu", ["t"], ["r"]),
        node("Sub", ["half", "r"], ["h"]),
        node("PRelu", ["h", "act.weight"], ["y"]),
    ]
    path = model(tmp_path / "m.onnx", nodes, {"W": W, "act.weight": slopes, "half": np.float32(0.5)}, opset=16)
    answer(path)
    layers = weights.read(path).layers
    found = layers["act" if kind == "prelu" else "act.weight"]
    assert found.kind == kind
    if kind == "prelu":
        np.testing.assert_array_equal(found.arrays["negative_slope"], slopes.reshape(-1))


@pytest.mark.parametrize(
    ("operator", "shape", "kind"),
    [("Relu", (4, 1, 1), "prelu"), ("Flatten", (100,), "other"), ("Flatten", (1,), "prelu")],
)
def test_onnx__slopes_of_values_of_unknown_rank_are_listed(operator, shape, kind, tmp_path):
    nodes = [node(operator, ["x"], ["t"]), node("PRelu", ["t", "s"], ["y"])]
    layers = weights.read(model(tmp_path / "m.onnx", nodes, {"s": np.ones(shape, np.float32)})).layers
    assert layers["s"].kind == kind


def test_onnx__slopes_after_a_dense_layer(tmp_path):
    """PyTorch's exporter gives slopes the channels' axis, and a dense layer over channels two transposes."""
    swap = [node("Transpose", names[:1], names[1:], perm=[0, 2, 1]) for names in (["x", "a"], ["b", "c"])]
    nodes = [swap[0], node("MatMul", ["a", "w"], ["b"]), swap[1], node("PRelu", ["c", "s"], ["y"])]
    slopes = np.array([[0.1], [0.2], [0.3], [0.4]], np.float32)
    path = model(tmp_path / "m.onnx", nodes, {"w": np.eye(4, dtype=np.float32), "s": slopes}, (2, 4, 5))
    assert weights.read(path).layers["s"].kind == "prelu"


ROW, COLUMN = np.ones((1, 1000), np.int8), np.ones((1000, 1), np.int8)
BAD = {
    "scales along another axis": (
        [node("DequantizeLinear", ["q", "s"], ["W"], axis=1), UP],
        {"q": COLUMN, "s": np.ones(1000, np.float32)},
        "scales and zero points",
    ),
    "zero points of another shape": (
        [node("DequantizeLinear", ["q", "s", "z"], ["W"]), UP],
        {"q": Q, "s": np.float32(1), "z": ROW},
        "scales and zero points",
    ),
    "another size": ([node("Reshape", ["f", "n"], ["W"]), UP], {"f": W, "n": np.array([4, 3, 400, 4])}, "Reshape"),
    "text": ([node("Cast", ["h"], ["W"], to=8), UP], {"h": W}, "Cast"),
    "many copies": (
        [
            *(node("Cast", ["h" if i == 0 else f"c{i - 1}"], [f"c{i}"], to=1 if i % 2 else 11) for i in range(64)),
            node("Identity", ["c63"], ["W"]),
            UP,
        ],
        {"h": W},
        "times the file's size",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_onnx__bad_constants_raise(case, tmp_path):
    nodes, arrays, text = BAD[case]
    with pytest.raises(ArgumentError, match="cannot be read as ONNX model") as caught:
        weights.read(model(tmp_path / "m.onnx", nodes, {**arrays, "B": B}))
    assert text in str(caught.value)


def test_onnx__a_long_chain_of_nodes_is_an_error_or_a_layer(tmp_path):
    nodes = [node("Identity", [f"i{i}"], [f"i{i + 1}"]) for i in range(5000)]
    with pytest.raises(ArgumentError, match="cannot be read as ONNX model"):
        weights.read(model(tmp_path / "m.onnx", [*nodes, node("Identity", ["i5000"], ["W"]), UP], {"i0": W, "B": B}))


def test_read__a_layer_that_is_called_twice_counts_once(tmp_path):
    """Otherwise its second call would fill another layer, whose weights the file does not have in a readable form."""
    once = node("Conv", ["x", "a.weight"], ["y"], pads=[1, 1])
    twice = node("Conv", ["y", "same"], ["z"], pads=[1, 1])
    dilated = node("Conv", ["z", "a.weight"], ["out"], pads=[2, 2], dilations=[2])
    nodes = [node("Identity", ["a.weight"], ["same"]), once, twice, dilated]
    arrays = {"a.weight": W[:3, :, 0, :3]}
    path = model(tmp_path / "a.onnx", nodes, arrays, (1, 3, 5), ["out"])
    assert list(weights.read(path).layers) == ["a", "a.1"]
