"""ONNX models: the constants of their nodes, and the geometry of transposed convolutions."""

import collections
import contextlib
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..._geometry.spec import Spec
from ...errors import ArgumentError, ArgumentTypeError
from .._errors import require
from ..checkpoint import Checkpoint, Layer
from ..layouts import OTHER
from .onnx_constants import Constants
from .untrusted import CorruptError, parsing

_FORMAT = "ONNX model"
_ROLES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm"), ("kernel", "bias")),
    **dict.fromkeys(("InstanceNormalization", "LayerNormalization", "GroupNormalization"), ("scale", "bias")),
    "BatchNormalization": ("scale", "bias", "mean", "var"),
}
"""The roles of a node's inputs after the first, by operator."""

_SAME_RANK = ("AveragePool", "BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization")
_SAME_RANK += ("Add", "Cast", "Clip", "Concat", "DepthToSpace", "Dropout", "Identity", "LeakyRelu", "MaxPool", "Mul")
_SAME_RANK += ("PRelu", "Pad", "Relu", "Resize", "Sigmoid", "Sub", "Tanh", "Transpose", "Upsample")
"""Operators whose result has as many axes as their first input that is not a constant."""


def read(path: pathlib.Path) -> Checkpoint:
    """Read a model's layers, in the order of its nodes. External data is only read from the model's own folder."""
    onnx = require("onnx", f"reading {path}")
    require("onnx.numpy_helper", f"reading {path}")
    with parsing(path, _FORMAT):
        model = onnx.load(str(path), load_external_data=False)
        graph = model.graph
        if not graph.node and not graph.initializer:
            raise CorruptError("a model without nodes")
        layers = _layers(graph, Constants(path, model, onnx), onnx)
    return Checkpoint(layers, "onnx", source=str(path))


def _layers(graph: Any, constants: Constants, onnx: Any) -> dict[str, Layer]:
    layers: dict[str, Layer] = {}
    calls: set[object] = set()
    sums, ranks = _sums(graph, constants), _Ranks(graph, constants)
    for node in graph.node:
        if node.domain not in ("", "ai.onnx"):
            continue
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        layer = _layer(node, attributes, constants, sums, ranks)
        call = _call(node, constants, sums)
        if layer is not None and call not in calls:
            calls.add(call)
            name = constants.origins[next(name for name in node.input[1:] if name)]
            path = node.name.strip("/").replace("/", ".") or name
            path = name.removesuffix(".weight") if name.endswith(".weight") else path
            layers[path if path not in layers else f"{path}.{len(layers)}"] = layer
    unused = [tensor.name for tensor in graph.initializer if tensor.name not in constants.used]
    return layers | {name: Layer(OTHER, {"value": constants[name]}, "onnx") for name in unused}


def _call(node: Any, constants: Constants, sums: Mapping[str, str]) -> object:
    """Return what is equal for the calls of one layer: its constants and its options."""
    names = [constants.origins.get(name, name) for name in (*node.input[1:], sums.get(node.output[0], ""))]
    return node.op_type, *names, *sorted(each.SerializeToString() for each in node.attribute)


def _sums(graph: Any, constants: Constants) -> dict[str, str]:
    """Return the constants that are added to results without another use, by the result's name."""
    uses: collections.Counter[str] = collections.Counter()
    graphs = [graph]
    while graphs:
        inner = graphs.pop()
        for node in inner.node:
            uses.update(node.input)
            graphs += [each.g for each in node.attribute if each.HasField("g")]
            graphs += [found for each in node.attribute for found in each.graphs]
        uses.update(each.name for each in inner.output)
    found = {}
    for node in graph.node:
        if node.op_type == "Add" and len(node.input) == 2:
            for result, constant in (node.input, reversed(node.input)):
                if constant in constants and result not in constants and uses[result] == 1:
                    found[result] = constant
    return found


class _Ranks:
    """The number of axes of a graph's values, where it is known."""

    def __init__(self, graph: Any, constants: Constants):
        self._constants, self._producers = constants, {name: node for node in graph.node for name in node.output}
        values = [*graph.input, *graph.value_info, *graph.output]
        tensors = {each.name: each.type.tensor_type for each in values if each.type.HasField("tensor_type")}
        self._stated = {name: len(each.shape.dim) for name, each in tensors.items() if each.HasField("shape")}

    def get(self, name: str) -> int | None:
        """Return the rank that the graph states, or that follows from the layers that the value goes through."""
        seen: set[str] = set()
        while name not in self._stated and name in self._producers and name not in seen:
            seen.add(name)
            node = self._producers[name]
            if node.op_type in ("Conv", "ConvTranspose") and node.input[1] in self._constants:
                return len(self._constants.shape(node.input[1]))
            if node.op_type == "Gemm":
                return 2
            if node.op_type not in _SAME_RANK and not self._is_dense(node):
                return None
            name = next((each for each in node.input if each not in self._constants), "")
        return self._stated.get(name)

    def _is_dense(self, node: Any) -> bool:
        matrices = [each for each in node.input if each in self._constants and len(self._constants.shape(each)) == 2]
        return node.op_type == "MatMul" and len(matrices) == 1


def _layer(
    node: Any, attributes: Mapping[str, Any], constants: Constants, sums: Mapping[str, str], ranks: _Ranks
) -> Layer | None:
    """Return the node as a layer, or ``None``."""
    operator, names = node.op_type, [name for name in node.input[1:] if name]
    if not names or not all(name in constants for name in names):
        return None
    added = sums.get(node.output[0])
    if operator == "MatMul":
        return _matmul(names[0], constants, added)
    if operator == "Gemm":
        return _gemm(names, attributes, constants, added)
    if operator == "PRelu":
        slopes = _vector(constants, names[0], ranks.get(node.input[0]))
        return None if slopes is None else Layer("prelu", {"negative_slope": slopes}, "onnx")
    if operator not in _ROLES:
        return None
    arrays = dict(zip(_ROLES[operator], (constants[name] for name in names), strict=False))
    if operator not in ("Conv", "ConvTranspose"):
        return Layer("norm", arrays, "onnx", epsilon=float(attributes.get("epsilon", 1e-5)))
    groups, shape = int(attributes.get("group", 1)), arrays["kernel"].shape
    channels = shape[0] if operator == "Conv" else shape[1] * groups
    if added is not None and len(names) == 1 and (bias := _vector(constants, added, len(shape), channels)) is not None:
        arrays["bias"] = bias
    if operator == "Conv":
        return Layer("conv", arrays, "onnx", groups)
    return Layer("conv_transpose", arrays, "onnx", groups, spec=_spec(attributes, shape))


def _matmul(name: str, constants: Constants, added: str | None) -> Layer | None:
    """Return a product with a matrix as a dense layer, whose kernel in ONNX, as in PyTorch, is the transpose."""
    shape = constants.shape(name)
    if len(shape) != 2:
        return None
    arrays = {"kernel": constants[name].T}
    if added is not None:
        rank = len(constants.shape(added))
        bias = _vector(constants, added, rank, shape[1], axis=rank - 1)
        arrays |= {} if bias is None else {"bias": bias}
    return Layer("dense", arrays, "onnx")


def _gemm(names: list[str], attributes: Mapping[str, Any], constants: Constants, added: str | None) -> Layer | None:
    is_scaled = attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0
    if is_scaled or attributes.get("transA", 0):
        return None
    is_transposed, arrays = bool(attributes.get("transB", 0)), {}
    for name in names[1:] or filter(None, [added]):
        bias = _vector(constants, name, 2, constants.shape(names[0])[0 if is_transposed else 1])
        if bias is None and name in names:
            return None  # a matrix is added, in place of a bias
        arrays |= {} if bias is None else {"bias": bias}
    kernel = constants[names[0]]
    return Layer("dense", {"kernel": kernel if is_transposed else kernel.T, **arrays}, "onnx")


def _vector(
    constants: Constants, name: str, rank: int | None, channels: int | None = None, axis: int = 1
) -> np.ndarray | None:
    """Return a constant as a vector, or ``None`` if it differs along other axes than ``axis`` of a value of ``rank``.

    With ``channels``, the vector has a number for each of them.
    """
    shape, size = constants.shape(name), math.prod(constants.shape(name))
    if size != 1:
        sizes = (*[1] * ((rank or 0) - len(shape)), *shape)
        if rank is None or len(sizes) != rank or sizes[axis] != size or channels not in (None, size):
            return None
    vector = constants[name].reshape(-1)
    return vector if channels is None else np.repeat(vector, channels // size)


def _spec(attributes: Mapping[str, Any], kernel_shape: tuple[int, ...]) -> Spec | None:
    """Return the geometry, if it does not depend on the input's size."""
    if "output_shape" in attributes:
        return None
    texts = {name: value.decode() for name, value in attributes.items() if isinstance(value, bytes)}
    arguments: dict[str, Any] = {**attributes, **texts}
    sizes = (8,) * (len(kernel_shape) - 2)
    with contextlib.suppress(ArgumentError, ArgumentTypeError, TypeError):
        return Spec.from_onnx((1, kernel_shape[0], *sizes), kernel_shape, **arguments)
    return None
