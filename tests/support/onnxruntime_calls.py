"""ONNX's ``ConvTranspose`` for hypothesis to draw, and what onnxruntime makes of it."""

import dataclasses
from typing import Any

import numpy as np
import onnx
import onnxruntime
from hypothesis import strategies as st

OPSET = 22


def convtranspose_model(bias: bool = False, opset: int = OPSET, **attributes: Any) -> onnx.ModelProto:
    """A model of one ``ConvTranspose``, for operands of any shape."""
    names = ["X", "W", *(["B"] if bias else [])]
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("ConvTranspose", names, ["Y"], **attributes)],
        "one",
        [onnx.helper.make_tensor_value_info(name, kind, None) for name in names],
        [onnx.helper.make_tensor_value_info("Y", kind, None)],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=10)


def run(model: onnx.ModelProto, *operands: Any) -> list[Any]:
    """The outputs of onnxruntime, computed by one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return session.run(None, dict(zip(names, operands, strict=True)))


def conv_transpose(x: Any, w: Any, b: Any = None, **attributes: Any) -> Any:
    """The ``ConvTranspose`` of onnxruntime."""
    operands = [operand for operand in (x, w, b) if operand is not None]
    (y,) = run(convtranspose_model(b is not None, **attributes), *operands)
    return y


@dataclasses.dataclass(frozen=True)
class Call:
    """Shapes of the operands and the attributes of one node."""

    input: tuple[int, ...]
    weight: tuple[int, ...]
    bias: bool
    attributes: dict[str, Any]

    def operands(self) -> list[Any]:
        """Small integers without symmetry: sums of their products are exact in float32, and no flip goes unseen."""
        rng = np.random.default_rng(len(repr(self)))
        channels = self.weight[1] * self.attributes.get("group", 1)
        shapes = [self.input, self.weight, *([(channels,)] if self.bias else [])]
        return [rng.integers(-9, 10, shape).astype(np.float32) for shape in shapes]


def full_size(size: int, kernel: int, stride: int, dilation: int) -> int:
    """The positions that the stamps reach, counted one stamp after another."""
    return max(i * stride + t * dilation for i in range(size) for t in range(kernel)) + 1


@st.composite
def calls(draw: Any, rank: int) -> Call:
    """Draws a node that ONNX allows, with at least one output position."""
    most = {1: 5, 2: 4, 3: 2}[rank]
    axes = [[draw(st.integers(1, limit)) for limit in (most, most + 1, 3, 3)] for _ in range(rank)]
    added = [draw(st.integers(0, stride - 1)) for _, _, stride, _ in axes]
    reached = [full_size(*axis) + plus for axis, plus in zip(axes, added, strict=True)]
    sizes, kernel, strides, dilations = (list(values) for values in zip(*axes, strict=True))
    group = draw(st.integers(1, 3))
    attributes: dict[str, Any] = {"strides": strides, "dilations": dilations, "group": group, "output_padding": added}
    way = draw(st.sampled_from(("pads", "output_shape", "VALID", "SAME_UPPER", "SAME_LOWER")))
    if way == "pads":
        begins = [draw(st.integers(0, size - 1)) for size in reached]
        ends = [draw(st.integers(0, size - begin - 1)) for size, begin in zip(reached, begins, strict=True)]
        attributes["pads"] = begins + ends
    elif way == "output_shape":
        attributes["output_shape"] = [
            draw(st.integers(1, size - plus + s - 1)) for size, plus, s in zip(reached, added, strides, strict=True)
        ]
        attributes["auto_pad"] = draw(st.sampled_from(("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")))
    else:
        attributes["auto_pad"] = way
    if draw(st.booleans()):
        attributes["kernel_shape"] = kernel
    defaults = {"strides": [1] * rank, "dilations": [1] * rank, "group": 1, "output_padding": [0] * rank}
    for name in draw(st.sets(st.sampled_from(sorted(defaults)))):
        if attributes[name] == defaults[name]:
            del attributes[name]
    taken, out = group * draw(st.integers(1, 2)), draw(st.integers(1, 3))
    return Call((draw(st.integers(1, 2)), taken, *sizes), (taken, out, *kernel), draw(st.booleans()), attributes)
