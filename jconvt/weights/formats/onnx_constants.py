"""The constants of an ONNX graph: its initializers, and what nodes compute from them."""

import math
import pathlib
from typing import Any

import numpy as np

from .._errors import require
from .untrusted import ByteBudget, CorruptError

_FOLDED = (
    "Constant",
    "Cast",
    "DequantizeLinear",
    "Flatten",
    "Identity",
    "Reshape",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
)
"""The operators whose results are constants if all their inputs are. None changes the number of elements."""

_MOST_FOLDED = 32  # bytes of all computed constants together, in sizes of the file


class Constants:
    """The constants of a graph by name. Each is read or computed when it is first used."""

    def __init__(self, path: pathlib.Path, model: Any, onnx: Any):
        graph, self._path, self._onnx = model.graph, path, onnx
        external = [tensor for tensor in graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]
        files = {path, *(_external_file(path, tensor)[0] for tensor in external)}
        size = sum(file.stat().st_size for file in files)
        self._budget, self._left = ByteBudget(size), _MOST_FOLDED * size
        self._opsets = {each.domain: each.version for each in model.opset_import}
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._nodes: dict[str, Any] = {}
        self._arrays: dict[str, np.ndarray] = {}
        self.used: set[str] = set()
        self.origins = {name: name for name in self._tensors}
        """The initializer or the Constant node behind each constant, along first inputs."""
        for node in graph.node:
            if self._is_folded(node):
                name = node.output[0]
                self.origins[name] = self.origins[node.input[0]] if node.input else name
                if node.op_type == "Constant" and node.attribute[0].name == "value":
                    self._tensors[name] = node.attribute[0].t
                else:
                    self._nodes[name] = node

    def _is_folded(self, node: Any) -> bool:
        attributes = {each.name for each in node.attribute}
        if node.domain not in ("", "ai.onnx") or node.op_type not in _FOLDED or len(node.output) != 1:
            return False
        if node.op_type == "Constant":
            return len(attributes) == 1 and attributes <= {
                "value",
                "value_int",
                "value_ints",
                "value_float",
                "value_floats",
            }
        return "block_size" not in attributes and len(node.input) > 0 and all(name in self for name in node.input)

    def __contains__(self, name: str) -> bool:
        return name in self.origins

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a constant's shape. An initializer is not read for it, and no constant counts as used."""
        return tuple(self._tensors[name].dims) if name in self._tensors else self._value(name).shape

    def __getitem__(self, name: str) -> np.ndarray:
        names = [name]
        while names:
            each = names.pop()
            if each not in self.used:
                self.used.add(each)
                names += self._nodes[each].input if each in self._nodes else ()
        return self._value(name)

    def _value(self, name: str) -> np.ndarray:
        if name not in self._arrays:
            is_stored = name in self._tensors
            self._arrays[name] = self._read(self._tensors[name]) if is_stored else self._compute(self._nodes[name])
        return self._arrays[name]

    def _compute(self, node: Any) -> np.ndarray:
        """Compute the result of a node, after a check of its size."""
        inputs = {name: self._value(name) for name in node.input}
        where = f"node {node.name!r} ({node.op_type}) of the constant {node.output[0]!r}"
        if node.op_type == "DequantizeLinear":
            self._check_scales(where, node, [inputs[name].shape for name in node.input])
        size, widest = inputs[node.input[0]].size if inputs else node.ByteSize(), np.dtype(np.complex128).itemsize
        self._left -= size * widest
        if self._left < 0:
            raise CorruptError(f"{where}: computed constants of more than {_MOST_FOLDED} times the file's size")
        reference = require("onnx.reference", "computing constants of an ONNX model")
        try:
            (result,) = map(np.asarray, reference.ReferenceEvaluator(node, opsets=self._opsets).run(None, inputs))
        except Exception as error:  # a corrupt node can raise any of NumPy's
            raise CorruptError(f"{where}: {error}") from error
        if result.dtype.kind in "OSU" or (inputs and result.size != size):
            raise CorruptError(f"{where}: {result.dtype} {result.shape} from {size} numbers")
        return result

    def _check_scales(self, where: str, node: Any, shapes: list[tuple[int, ...]]) -> None:
        """Raise an error unless scales and zero points are single numbers, or have the size of one axis."""
        axis = next((each.i for each in node.attribute if each.name == "axis"), 1)
        shape, *others = shapes
        legal = [(), (1,), tuple(np.take(shape, [axis % len(shape)])) if shape else ()]
        if any(each not in legal for each in others):
            raise CorruptError(f"{where}: scales and zero points of shapes {others} for {shape} along axis {axis}")

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
