"""ONNX models: the constants of their nodes, and the geometry of transposed convolutions."""

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
from .untrusted import ByteBudget, CorruptError, parsing

_FORMAT = "ONNX model"
_ROLES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm"), ("kernel", "bias")),
    **dict.fromkeys(("InstanceNormalization", "LayerNormalization", "GroupNormalization"), ("scale", "bias")),
    "BatchNormalization": ("scale", "bias", "mean", "var"),
}
"""The roles of a node's inputs after the first, by operator."""


def read(path: pathlib.Path) -> Checkpoint:
    """Read a model's layers, in the order of its nodes. External data is only read from the model's own folder."""
    onnx = require("onnx", f"reading {path}")
    require("onnx.numpy_helper", f"reading {path}")
    with parsing(path, _FORMAT):
        graph = onnx.load(str(path), load_external_data=False).graph
        if not graph.node and not graph.initializer:
            raise CorruptError("a model without nodes")
        layers = _layers(graph, _Constants(path, graph, onnx), onnx)
    return Checkpoint(layers, "onnx", source=str(path))


class _Constants:
    """The constants of a graph by name. Each is read when it is first used."""

    def __init__(self, path: pathlib.Path, graph: Any, onnx: Any):
        self._path, self._onnx, self.arrays = path, onnx, {}
        external = [tensor for tensor in graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]
        files = {path, *(_external_file(path, tensor)[0] for tensor in external)}
        self._budget = ByteBudget(sum(file.stat().st_size for file in files))
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self.names = {name: name for name in self._tensors}  # the original name of each, behind Identity nodes
        for node in graph.node:
            if node.op_type == "Constant" and len(node.attribute) == 1 and node.attribute[0].name == "value":
                self._tensors[node.output[0]] = node.attribute[0].t
                self.names[node.output[0]] = node.output[0]
            elif node.op_type == "Identity" and len(node.input) == 1 and node.input[0] in self.names:
                self.names[node.output[0]] = self.names[node.input[0]]

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def rank(self, name: str) -> int:
        """Return the number of axes, without reading the array."""
        return len(self._tensors[self.names[name]].dims)

    def __getitem__(self, name: str) -> np.ndarray:
        name = self.names[name]
        if name not in self.arrays:
            self.arrays[name] = self._read(self._tensors[name])
        return self.arrays[name]

    def _read(self, tensor: Any) -> np.ndarray:
        """Read a tensor, or raise an error unless it has as many numbers as its shape says."""
        onnx, shape, name = self._onnx, tuple(tensor.dims), f"tensor {tensor.name!r} of shape {tuple(tensor.dims)}"
        if min(shape, default=0) < 0:
            raise CorruptError(name)
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        size = math.prod(shape) * dtype.itemsize
        self._budget.spend(name, size)
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            content = _external_bytes(self._path, tensor, size)
            tensor = onnx.TensorProto(dims=tensor.dims, data_type=tensor.data_type, raw_data=content)
        if tensor.HasField("raw_data") and len(tensor.raw_data) != size and dtype.itemsize > 1:
            raise CorruptError(f"{name} and dtype {dtype}, with {len(tensor.raw_data)} bytes instead of {size}")
        array = np.array(onnx.numpy_helper.to_array(tensor))
        if array.shape != shape:
            raise CorruptError(f"{name}, with numbers for {array.shape}")
        return array


def _external_file(path: pathlib.Path, tensor: Any) -> tuple[pathlib.Path, dict[str, str]]:
    """Return the file and the entries of external data, or raise an error unless it is in the model's folder."""
    entries, folder = {entry.key: entry.value for entry in tensor.external_data}, path.resolve().parent
    location = entries.get("location", "")
    file, parts = (folder / location).resolve(), pathlib.PurePath(location.replace("\\", "/")).parts
    is_inside = location and not pathlib.PurePath(location).is_absolute() and file.is_relative_to(folder)
    if not is_inside or ".." in parts or not file.is_file():
        found = f"external data of tensor {tensor.name!r} at {location!r}, which is not a file in the model's folder"
        fix = "put the file beside the model; or store the numbers in it: onnx.save(onnx.load(path), other_path)"
        raise CorruptError(found, fix)
    return file, entries


def _external_bytes(path: pathlib.Path, tensor: Any, size: int) -> bytes:
    """Read external data, or raise an error unless its file has all of it."""
    file, entries = _external_file(path, tensor)
    offset, length, most = int(entries.get("offset", 0)), int(entries.get("length", size)), file.stat().st_size
    if offset < 0 or length != size or offset + length > most:
        text = f"{length} bytes from {offset} on, of {most}, for {size}"
        raise CorruptError(f"external data of tensor {tensor.name!r}: {text}")
    with file.open("rb") as opened:
        opened.seek(offset)
        return opened.read(length)


def _layers(graph: Any, constants: _Constants, onnx: Any) -> dict[str, Layer]:
    layers: dict[str, Layer] = {}
    biases = {}  # the constants of one axis that are added to a result, by the result's name
    for node in graph.node:
        if node.op_type == "Add" and len(node.input) == 2:
            for result, constant in (node.input, reversed(node.input)):
                if constant in constants and result not in constants and constants.rank(constant) == 1:
                    biases[result] = constant
    for node in graph.node:
        if node.domain not in ("", "ai.onnx"):
            continue
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if layer := _layer(node, attributes, constants, biases):
            name = constants.names[next(name for name in node.input[1:] if name)]
            path = node.name.strip("/").replace("/", ".") or name
            path = name.removesuffix(".weight") if name.endswith(".weight") else path
            layers[path if path not in layers else f"{path}.{len(layers)}"] = layer
    unused = [tensor.name for tensor in graph.initializer if tensor.name not in constants.arrays]
    return layers | {name: Layer(OTHER, {"value": constants[name]}, "onnx") for name in unused}


def _layer(node: Any, attributes: Mapping[str, Any], constants: _Constants, biases: Mapping[str, str]) -> Layer | None:
    """Return the node as a layer, or ``None``."""
    operator, names = node.op_type, [name for name in node.input[1:] if name]
    if operator == "MatMul" and len(names) == 1 and names[0] in constants and constants.rank(names[0]) == 2:
        # A dense layer's kernel in ONNX, as in PyTorch, is the transpose of the matrix that MatMul multiplies by.
        arrays = {"kernel": constants[names[0]].T}
        if node.output[0] in biases:
            arrays["bias"] = constants[biases[node.output[0]]]
        return Layer("dense", arrays, "onnx")
    is_scaled = attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0
    if operator == "Gemm" and (is_scaled or attributes.get("transA", 0)):
        return None
    if operator not in _ROLES or not names or not all(name in constants for name in names):
        return None
    arrays = dict(zip(_ROLES[operator], (constants[name] for name in names), strict=False))
    groups = int(attributes.get("group", 1))
    if operator == "Conv":
        return Layer("conv", arrays, "onnx", groups)
    if operator == "ConvTranspose":
        return Layer("conv_transpose", arrays, "onnx", groups, spec=_spec(attributes, arrays["kernel"].shape))
    if operator == "Gemm":
        kernel = arrays["kernel"] if attributes.get("transB", 0) else arrays["kernel"].T
        return Layer("dense", {**arrays, "kernel": kernel}, "onnx")
    return Layer("norm", arrays, "onnx", epsilon=float(attributes.get("epsilon", 1e-5)))


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
