"""A backend for ONNX models made of ``ConvTranspose`` and the elementwise operators around it, computed with JAX.

    import tests.support.onnx_backend
    outputs = tests.support.onnx_backend.prepare(model).run([x])

It has the interface of ``onnx.backend.base.Backend``; ``tests.support.onnx_operators`` lists what it computes.
External data is not read: the model must contain its weights.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnx.backend.base
import onnx.checker
import onnx.defs
import onnx.helper
import onnx.numpy_helper

from jconvt.errors import ArgumentError, ArgumentTypeError
from tests.support.onnx_operators import OLDEST_OPSET, OPERATORS

_PLATFORMS = {"CPU": "cpu", "CUDA": "cuda"}

_CONSTANTS = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}
"""The attributes of a ``Constant`` other than a tensor, and their dtypes."""


class Prepared(onnx.backend.base.BackendRep):
    """A model that has been checked and read, ready to be run many times. It is compiled for each set of shapes."""

    def __init__(self, model: onnx.ModelProto, device: Any):
        graph = model.graph
        self._device = device
        self._constants = {tensor.name: _tensor(tensor, f"initializer {tensor.name!r}") for tensor in graph.initializer}
        self._inputs = [value for value in graph.input if value.name not in self._constants]
        self._outputs = [value.name for value in graph.output]
        self._nodes = []
        for node in graph.node:
            if node.op_type == "Constant":
                self._constants[node.output[0]] = _constant(node)
            else:
                self._nodes.append(node)
        self._compute = jax.jit(self._values)

    def run(self, inputs: Any, **kwargs: Any) -> tuple[jax.Array, ...]:
        """The model's outputs for these inputs.

        Args:
          inputs: a list or a tuple with one array for each input that has no initializer, in the model's order. They
            may be JAX's, traced ones as well: a prepared model is differentiable.
          **kwargs: ignored; the interface has them.

        Raises:
          ArgumentError: a number of inputs, or a shape, that is not the model's.
          ArgumentTypeError: a dtype that is not the model's, or no list.
        """
        del kwargs
        _check_list(inputs, [value.name for value in self._inputs], "model")
        found = {}
        for value, given in zip(self._inputs, inputs, strict=True):
            found[value.name] = _array(given, f"input {value.name!r}")
            _check_input(value, found[value.name])
        placed = jax.device_put((self._constants, found), self._device)
        return self._compute(*placed)

    def _values(self, constants: Mapping[str, Any], inputs: Mapping[str, Any]) -> tuple[jax.Array, ...]:
        values = _evaluated(self._nodes, {**constants, **inputs})
        return tuple(values[name] for name in self._outputs)


class Backend(onnx.backend.base.Backend):
    """``onnx.backend.base.Backend`` on JAX."""

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether ``prepare`` takes the model."""
        try:
            cls.prepare(model, device, **kwargs)
        except (ArgumentError, ArgumentTypeError):
            return False
        return True

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> Prepared:
        """Checks and reads a model.

        Args:
          model: an ``onnx.ModelProto``, as ``onnx.load`` gives it.
          device: "CPU", "CUDA", or one of them with a number, as in "CUDA:1".
          **kwargs: ignored; the interface has them.

        Raises:
          ArgumentError: the model is not valid, or holds something that this backend does not compute.
          ArgumentTypeError: ``model`` is no model; or it holds 64-bit numbers, and JAX has them disabled.
        """
        del kwargs
        if not isinstance(model, onnx.ModelProto):
            raise ArgumentTypeError(
                "model is not a model",
                got=f"model of type {type(model).__name__}",
                legal="an onnx.ModelProto",
                fix="read a file with onnx.load",
            )
        for tensor in (*model.graph.initializer, *(a.t for node in model.graph.node for a in node.attribute)):
            _check_own(tensor, f"tensor {tensor.name!r}")
        _checked(onnx.checker.check_model, model)
        versions = {opset.domain: opset.version for opset in model.opset_import}
        _check_opset(versions.get("", versions.get("ai.onnx", 0)))
        if model.graph.sparse_initializer:
            raise _unsupported("a sparse initializer", "write it as a dense one")
        for value in model.graph.input:
            if not value.type.HasField("tensor_type"):
                raise _unsupported(f"input {value.name!r}, which is no tensor", "pass its tensors one by one")
        for node in model.graph.node:
            _check_node(node)
        return Prepared(model, _device(device))

    @classmethod
    def run_node(
        cls, node: onnx.NodeProto, inputs: Any, device: str = "CPU", outputs_info: Any = None, **kwargs: Any
    ) -> tuple[jax.Array, ...]:
        """The outputs of a single node, for one array for each input that it names; errors as those of a model."""
        _checked(super().run_node, node, inputs, device, outputs_info, **kwargs)
        _check_opset(kwargs.get("opset_version", onnx.defs.onnx_opset_version()))
        _check_node(node)
        if node.op_type == "Constant":
            return (jax.device_put(_constant(node), _device(device)),)
        names = [name for name in node.input if name]
        _check_list(inputs, names, "node")
        arrays = [_array(given, f"input {name!r}") for name, given in zip(names, inputs, strict=True)]
        values = _evaluated([node], dict(zip(names, jax.device_put(arrays, _device(device)), strict=True)))
        return tuple(values[name] for name in node.output)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether JAX has the device here."""
        try:
            _device(device)
        except (ArgumentError, ArgumentTypeError):
            return False
        return True


is_compatible = Backend.is_compatible
prepare = Backend.prepare
run_model = Backend.run_model
run_node = Backend.run_node
supports_device = Backend.supports_device


def _evaluated(nodes: Sequence[onnx.NodeProto], values: dict[str, Any]) -> dict[str, Any]:
    """``values`` and those of the nodes, which are in topological order."""
    for node in nodes:
        attributes = {a.name: _attribute(a) for a in node.attribute}
        operands = [values[name] if name else None for name in node.input]
        try:
            values[node.output[0]] = OPERATORS[node.op_type](attributes, *operands)
        except (ArgumentError, ArgumentTypeError) as error:
            error.add_note(f"in {_name(node)}")
            raise
    return values


def _attribute(attribute: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _name(node: onnx.NodeProto) -> str:
    return f"node {node.name or '(unnamed)'} of type {node.op_type}, with outputs {', '.join(node.output)}"


def _constant(node: onnx.NodeProto) -> jax.Array:
    (attribute,) = node.attribute
    if attribute.name == "value":
        return _tensor(attribute.t, _name(node))
    return _array(np.asarray(_attribute(attribute), _CONSTANTS[attribute.name]), _name(node))


def _tensor(tensor: onnx.TensorProto, name: str) -> jax.Array:
    return _array(onnx.numpy_helper.to_array(tensor), name)


def _array(value: Any, name: str) -> jax.Array:
    """``value`` as JAX holds it, if it does so without loss."""
    try:
        dtype = np.asarray(value).dtype if not hasattr(value, "dtype") else value.dtype
        held, array = jax.dtypes.canonicalize_dtype(dtype), jnp.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ArgumentTypeError(
            f"{name} is not an array of numbers",
            got=f"{type(value).__name__}",
            legal="a JAX or NumPy array",
            fix="convert it with numpy.asarray",
        ) from error
    if held != dtype:
        raise ArgumentTypeError(
            f"{name} has 64-bit numbers, which JAX has disabled",
            got=f"{dtype}, which would become {held}",
            legal="dtypes of at most 32 bits, or jax.config.update('jax_enable_x64', True)",
            fix="enable 64-bit numbers in JAX, or convert the model",
        )
    return array


def _check_list(inputs: Any, names: Sequence[str], owner: str) -> None:
    if not isinstance(inputs, list | tuple):
        raise ArgumentTypeError(
            "inputs must be a list",
            got=f"inputs of type {type(inputs).__name__}",
            legal=f"a list or a tuple of arrays, in the order of the {owner}'s inputs",
            fix="pass [x] for one input",
        )
    if len(inputs) != len(names):
        raise ArgumentError(
            f"the number of inputs is not the {owner}'s",
            got=f"{len(inputs)} inputs",
            legal=f"{len(names)}: {', '.join(names) or 'none'}",
            fix="pass one array for each input that has no initializer",
        )


def _check_input(value: onnx.ValueInfoProto, array: jax.Array) -> None:
    declared = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(declared.elem_type)
    if array.dtype != dtype:
        raise ArgumentTypeError(
            f"input {value.name!r} has another dtype than the model declares",
            got=f"{array.dtype}",
            legal=f"{dtype}",
            fix=f"convert it with .astype({str(dtype)!r})",
        )
    if not declared.HasField("shape"):
        return
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in declared.shape.dim]
    if len(sizes) != array.ndim or any(a not in (None, b) for a, b in zip(sizes, array.shape, strict=True)):
        shown = ", ".join("any" if size is None else str(size) for size in sizes)
        raise ArgumentError(
            f"input {value.name!r} has another shape than the model declares",
            got=f"{array.shape}",
            legal=f"({shown})",
            fix="reshape it, or declare the sizes that vary by name",
        )


def _checked(check: Any, *arguments: Any, **keywords: Any) -> None:
    """Calls a check of ``onnx``, and says what it finds as jconvt does."""
    try:
        check(*arguments, **keywords)
    except (onnx.checker.ValidationError, ValueError, TypeError) as error:
        raise ArgumentError(
            "not valid ONNX",
            got=str(error).strip() or type(error).__name__,
            legal="what onnx.checker passes",
            fix="export the model again, or fix the part that is named",
        ) from error


def _check_own(tensor: onnx.TensorProto, name: str) -> None:
    if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise _unsupported(
            f"external data, in {name}", "save the model with its numbers: onnx.save(onnx.load(path), other_path)"
        )


def _check_opset(version: int) -> None:
    if version < OLDEST_OPSET:
        raise _unsupported(f"opset {version}", "convert it with onnx.version_converter.convert_version")


def _check_node(node: onnx.NodeProto) -> None:
    if node.domain not in ("", "ai.onnx") or node.op_type not in (*OPERATORS, "Constant"):
        domain = f" of domain {node.domain!r}" if node.domain else ""
        raise _unsupported(f"{_name(node)}{domain}", "compute that part elsewhere, in onnxruntime for example")
    if node.op_type == "Constant" and (
        len(node.attribute) != 1 or node.attribute[0].name not in ("value", *_CONSTANTS)
    ):
        raise _unsupported(f"{_name(node)} without a tensor or numbers", "write it with the attribute value")


def _unsupported(what: str, fix: str) -> ArgumentError:
    return ArgumentError(
        "the model holds something that this backend does not compute",
        got=what,
        legal=f"opset {OLDEST_OPSET} or later; dense numbers; Constant, {', '.join(OPERATORS)}",
        fix=fix,
    )


def _device(name: Any) -> Any:
    """JAX's device for a name of ONNX's."""
    platform, colon, number = name.partition(":") if isinstance(name, str) else ("", "", "")
    try:
        if colon and not number.isdecimal():
            raise ValueError
        return jax.local_devices(backend=_PLATFORMS[platform])[int(number or 0)]
    except (KeyError, ValueError, IndexError, RuntimeError) as error:
        raise ArgumentError(
            "JAX has no such device here",
            got=f"device = {name!r}",
            legal=f"{' or '.join(_PLATFORMS)}, with a number as in 'CUDA:1' where there are several",
            fix="leave it out for 'CPU'",
        ) from error
