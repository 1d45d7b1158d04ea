"""ONNX models: the numbers of their nodes, and the geometry of transposed convolutions."""

import contextlib
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._geometry.spec import Spec
from ..errors import ArgumentError, ArgumentTypeError
from .broken import Budget, broken, reading
from .frameworks import OTHER
from .layer import Checkpoint, Layer
from .packages import package

_WHAT = "ONNX model"
_NORMS = {
    "BatchNormalization": ("scale", "bias", "mean", "var"),
    "InstanceNormalization": ("scale", "bias"),
    "LayerNormalization": ("scale", "bias"),
    "GroupNormalization": ("scale", "bias"),
}
_WEIGHTS: tuple[str, ...] = ("kernel", "bias")
_EPSILON = 1e-5


def read(path: pathlib.Path) -> Checkpoint:
    """The layers of a model, in the order of its nodes. External data is read from the model's own folder alone."""
    onnx = package("onnx", f"reading {path}", "'jconvt[onnx]'")
    package("onnx.numpy_helper", f"reading {path}", "'jconvt[onnx]'")
    with reading(path, _WHAT):
        model = onnx.load(str(path), load_external_data=False)
        graph = model.graph
        if not graph.node and not graph.initializer:
            raise broken(path, _WHAT, "a model without nodes")
        tensors = _Tensors(path, graph, onnx)
        layers = _layers(graph, tensors, onnx)
    return Checkpoint(layers, "onnx", source=str(path))


class _Tensors:
    """The constants of a graph by name, read once they are asked for."""

    def __init__(self, path: pathlib.Path, graph: Any, onnx: Any):
        self._path, self._onnx, self._read = path, onnx, {}
        self._budget = Budget(path, _WHAT, path.stat().st_size + _external_size(path, graph, onnx))
        self._held = {tensor.name: tensor for tensor in graph.initializer}
        self._same: dict[str, str] = {}
        for node in graph.node:
            if node.op_type == "Constant" and len(node.attribute) == 1 and node.attribute[0].name == "value":
                self._held[node.output[0]] = node.attribute[0].t
            elif node.op_type == "Identity" and len(node.input) == 1:
                self._same[node.output[0]] = node.input[0]
        self.unused = dict.fromkeys(tensor.name for tensor in graph.initializer)

    def own_name(self, name: str) -> str:
        """The name of the constant that ``name`` passes on."""
        for _ in range(len(self._same)):
            name = self._same.get(name, name)
        return name

    def __contains__(self, name: str) -> bool:
        return self.own_name(name) in self._held

    def axes(self, name: str) -> int:
        """The number of axes, without reading."""
        return len(self._held[self.own_name(name)].dims)

    def __getitem__(self, name: str) -> np.ndarray:
        name = self.own_name(name)
        if name not in self._read:
            self._read[name] = self._numbers(self._held[name])
        self.unused.pop(name, None)
        return self._read[name]

    def _numbers(self, tensor: Any) -> np.ndarray:
        """A tensor's numbers, as many as its shape says."""
        onnx, name = self._onnx, f"tensor {tensor.name!r}"
        if min(tensor.dims, default=0) < 0:
            raise broken(self._path, _WHAT, f"{name} of shape {tuple(tensor.dims)}")
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        size = math.prod(tensor.dims) * dtype.itemsize
        self._budget.spend(name, size)
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            whole = onnx.TensorProto(dims=tensor.dims, data_type=tensor.data_type)
            whole.raw_data = _external(self._path, tensor, size)
            tensor = whole
        if tensor.HasField("raw_data") and len(tensor.raw_data) != size and dtype.itemsize > 1:
            found = f"{name} of shape {tuple(tensor.dims)} and dtype {dtype}, with {len(tensor.raw_data)} bytes"
            raise broken(self._path, _WHAT, f"{found} instead of {size}")
        array = np.array(onnx.numpy_helper.to_array(tensor))
        if array.shape != tuple(tensor.dims):
            raise broken(self._path, _WHAT, f"{name} of shape {tuple(tensor.dims)}, with numbers for {array.shape}")
        return array


def _location(path: pathlib.Path, tensor: Any) -> pathlib.Path:
    """The file of a tensor's external data, once it is seen to lie in the model's folder."""
    told = {entry.key: entry.value for entry in tensor.external_data}
    location = told.get("location", "")
    folder = path.resolve().parent
    file = (folder / location).resolve()
    inside = location and not pathlib.PurePath(location).is_absolute() and file.is_relative_to(folder)
    if not inside or ".." in pathlib.PurePath(location.replace("\\", "/")).parts or not file.is_file():
        raise broken(
            path,
            _WHAT,
            f"external data of tensor {tensor.name!r} at {location!r}, which is no file in the model's folder",
            "put the file beside the model; or save the model with its numbers in it: "
            "onnx.save(onnx.load(path), other_path)",
        )
    return file


def _external_size(path: pathlib.Path, graph: Any, onnx: Any) -> int:
    """The bytes of all files with external data."""
    external = [tensor for tensor in graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]
    return sum(file.stat().st_size for file in {_location(path, tensor) for tensor in external})


def _external(path: pathlib.Path, tensor: Any, size: int) -> bytes:
    """The bytes of external data, which are all in their file."""
    told = {entry.key: entry.value for entry in tensor.external_data}
    offset, length = int(told.get("offset", 0)), int(told.get("length", size))
    file = _location(path, tensor)
    if offset < 0 or length != size or offset + length > file.stat().st_size:
        shown = f"{length} bytes from {offset} on, of {file.stat().st_size}, for {size}"
        raise broken(path, _WHAT, f"external data of tensor {tensor.name!r}: {shown}")
    with file.open("rb") as opened:
        opened.seek(offset)
        return opened.read(length)


def _layers(graph: Any, tensors: _Tensors, onnx: Any) -> dict[str, Layer]:
    layers: dict[str, Layer] = {}
    adds = _biases(graph, tensors)
    for node in graph.node:
        if node.domain not in ("", "ai.onnx"):
            continue
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        layer = _layer(node, attributes, tensors, adds)
        if layer is not None:
            path = _path(node, tensors)
            layers[path if path not in layers else f"{path}.{len(layers)}"] = layer
    for name in list(tensors.unused):
        layers[name] = Layer(OTHER, {"value": tensors[name]}, "onnx")
    return layers


def _layer(node: Any, attributes: Mapping[str, Any], tensors: _Tensors, adds: Mapping[str, str]) -> Layer | None:
    """The layer that a node is, or ``None``."""
    names = [name for name in node.input[1:] if name]
    if node.op_type == "MatMul" and len(names) == 1 and names[0] in tensors and tensors.axes(names[0]) == 2:
        # The kernel of ONNX's other dense layers, as PyTorch's, is the transpose of a matrix to multiply by.
        arrays = {"kernel": tensors[names[0]].T}
        if node.output[0] in adds:
            arrays["bias"] = tensors[adds[node.output[0]]]
        return Layer("dense", arrays, "onnx")
    if not names or not all(name in tensors for name in names):
        return None
    if node.op_type in ("Conv", "ConvTranspose"):
        arrays = dict(zip(_WEIGHTS, (tensors[name] for name in names), strict=False))
        groups = int(attributes.get("group", 1))
        if node.op_type == "Conv":
            return Layer("conv", arrays, "onnx", groups)
        return Layer("conv_transpose", arrays, "onnx", groups, spec=_spec(attributes, arrays["kernel"].shape))
    plain = attributes.get("alpha", 1.0) == attributes.get("beta", 1.0) == 1.0 and not attributes.get("transA", 0)
    if node.op_type == "Gemm" and plain:
        arrays = dict(zip(_WEIGHTS, (tensors[name] for name in names), strict=False))
        if not attributes.get("transB", 0):
            arrays["kernel"] = arrays["kernel"].T
        return Layer("dense", arrays, "onnx")
    if node.op_type in _NORMS:
        arrays = dict(zip(_NORMS[node.op_type], (tensors[name] for name in names), strict=False))
        return Layer("norm", arrays, "onnx", epsilon=float(attributes.get("epsilon", _EPSILON)))
    return None


def _biases(graph: Any, tensors: _Tensors) -> dict[str, str]:
    """The constant of one axis that is added to a result, by the result's name."""
    found = {}
    for node in graph.node:
        if node.op_type == "Add" and len(node.input) == 2:
            for result, constant in (node.input, reversed(node.input)):
                if constant in tensors and result not in tensors and tensors.axes(constant) == 1:
                    found[result] = constant
    return found


def _path(node: Any, tensors: _Tensors) -> str:
    """What the kernel's name, or the node's, says of where the layer is in the model that was exported."""
    own = tensors.own_name(next(name for name in node.input[1:] if name))
    prefix, dot, last = own.rpartition(".")
    return prefix if dot and last == "weight" else node.name.strip("/").replace("/", ".") or own


def _spec(attributes: Mapping[str, Any], kernel_shape: tuple[int, ...]) -> Spec | None:
    """The geometry, if it does not depend on the input's size."""
    rank = len(kernel_shape) - 2
    if "output_shape" in attributes:
        return None
    told: dict[str, Any] = {
        name: value.decode() if isinstance(value, bytes) else value for name, value in attributes.items()
    }
    sizes = (8,) * rank
    with contextlib.suppress(ArgumentError, ArgumentTypeError, TypeError):
        return Spec.from_onnx((1, kernel_shape[0], *sizes), kernel_shape, **told)
    return None
