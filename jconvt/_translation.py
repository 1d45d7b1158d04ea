"""One framework's call as another's: the same numbers, in code that can be pasted.

A call is stated in the words of the framework that it comes from. Its geometry becomes a ``Spec``, and that a ``Call``
of the other framework, with what has to be done to input, kernel and result around it.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ._conventions import _tensorflow_call
from ._conventions.call import Call
from ._conventions.registry import (
    CONVENTIONS,
    FUNCTIONS,
    check_known,
    check_names,
    groups_of,
    kernel_of,
    layout_of,
    listed,
)
from ._geometry.arguments import integer, sequence
from ._geometry.kernel_layout import KernelConversion
from ._geometry.layout import Layout
from ._geometry.spec import Spec
from .errors import ArgumentError


@dataclasses.dataclass(frozen=True)
class Translation:
    """A call of one framework, ``source``, and the ``target`` call of another that gives the same numbers.

    ``kernel`` converts the source's kernel to the target's, and can be inverted. Printed, a translation is a program:
    it needs NumPy arrays ``x`` and ``w`` in the source's order, and leaves both results in it, as ``y`` and ``z``.

    >>> same = translate("torch", "flax", (16, 16), (4, 4), {"stride": 2, "padding": 1}, channels=(8, 3))
    >>> same.output_shape
    (1, 3, 32, 32)
    >>> print(same.target_code)
    import flax.linen as nn
    <BLANKLINE>
    layer = nn.ConvTranspose(features=3, kernel_size=(4, 4), strides=(2, 2), use_bias=False)
    z = layer.apply({"params": {"kernel": w.transpose(2, 3, 0, 1)[::-1, ::-1]}}, x.transpose(0, 2, 3, 1))
    z = np.asarray(z).transpose(0, 3, 1, 2)  # in torch's order
    """

    source_framework: str
    target_framework: str
    spec: Spec
    source: Call
    target: Call
    input_shape: tuple[int, ...]
    """In the source's order, as the next two."""
    kernel_shape: tuple[int, ...]
    output_shape: tuple[int, ...]

    @property
    def kernel(self) -> KernelConversion:
        """What the source's kernel has to go through."""
        return KernelConversion(self.source.kernel, self.target.kernel)

    @property
    def source_code(self) -> str:
        """The source's call, of ``x`` and ``w``, giving ``y``."""
        return "\n".join(_CODE[self.source_framework](self.source, "x", "w", "y", self.output_shape[1:]))

    @property
    def target_code(self) -> str:
        """The target's call, of the same ``x`` and ``w``, giving ``z`` in the source's order."""
        source, target, framework = self.source.layout, self.target.layout, self.target_framework
        x, w = _reordered("x", source, target), self.kernel.code("w", self.kernel_shape)
        if framework in _IN_MEMORY:
            x, w = (name if name in ("x", "w") else f"{name}.copy()" for name in (x, w))
        channels = target.shape(0, source.spatial(self.output_shape), self.output_shape[source.channel_axis])[1:]
        lines = _CODE[framework](self.target, x, w, "z", channels)
        lines += _cropped(self.target, "z")
        back = _reordered("np.asarray(z)", target, source)
        where = f"in {self.source_framework}'s order"
        return "\n".join([*lines, f"z = {back}" + (f"  # {where}" if target != source else "")])

    def __str__(self) -> str:
        shapes = f"x {self.input_shape}, w {self.kernel_shape} -> {self.output_shape}"
        return "\n\n".join(
            [
                f"# {self.source_framework}: {shapes}\nimport numpy as np",
                self.source_code,
                f"# {self.target_framework}: the same numbers",
                self.target_code,
            ]
        )


def translate(
    source: str,
    target: str,
    sizes: Sequence[int],
    kernel: Sequence[int],
    arguments: Mapping[str, Any],
    *,
    channels: tuple[int, int] = (1, 1),
    batch: int = 1,
) -> Translation:
    """A call of one framework as a call of another.

    Args:
      source, target: of ``jconvt._conventions.registry.FRAMEWORKS``.
      sizes: the input's spatial sizes.
      kernel: the kernel's spatial sizes.
      arguments: beside input and kernel, by their names in the source's framework.
      channels: of the input and of the output.
      batch: the number of images.

    Raises:
      ArgumentError: the source refuses the call, or the target has no call for it.
    """
    for name, framework in (("source", source), ("target", target)):
        check_known(framework, f"{name} framework")
    module, rank = CONVENTIONS[source], len(kernel)
    sizes, kernel = _positive(sizes, "sizes", rank), _positive(kernel, "kernel", rank)
    taken, out = _positive(channels, "channels", 2)
    check_names(source, arguments)
    layout, groups = layout_of(source, rank, arguments), groups_of(arguments)
    for name, count in (("input", taken), ("output", out)):
        if count % groups:
            raise ArgumentError(
                f"the groups do not divide the {name} channels",
                got=f"{groups} groups, {count} channels",
                legal=f"a multiple of {groups} channels",
                fix=f"pass channels as {groups}x{groups}, or multiples of them",
            )
    own = kernel_of(source, rank, arguments, groups)
    filters_shape = (*kernel, out // groups, taken)
    shape = layout.shape(batch, sizes, taken)
    spec, _ = module.resolve(shape, own.shape(filters_shape), **arguments)
    output = layout.shape(batch, spec.output_sizes(sizes), out)
    if min(output) < 1:
        raise ArgumentError(
            "the call has nothing to compute, and frameworks are at odds there",
            got=f"a result of shape {output}",
            legal="sizes of at least 1",
            fix="pass a larger input, or crop less",
        )
    if source == "tensorflow":
        arguments = {"output_shape": output, "strides": (1,) * rank, **arguments}
    if source == "flax":
        arguments = {"kernel_size": tuple(kernel), **arguments}
    given = Call(FUNCTIONS[source].format(rank=rank), dict(arguments), layout, own, ((0, 0),) * rank)
    found = call_of(target, spec, (batch, *sizes, taken), filters_shape)
    return Translation(source, target, spec, given, found, shape, own.shape(filters_shape), output)


def call_of(framework: str, spec: Spec, input_shape: Sequence[int], filters_shape: Sequence[int]) -> Call:
    """The framework's call for a geometry; shapes are channels last, and ``(k..., out / groups, in)``."""
    if framework in ("tensorflow", "jconvt"):
        return _tensorflow_call.call(spec, input_shape, filters_shape, own=framework == "jconvt")
    return CONVENTIONS[framework].call(spec)


_IN_MEMORY = ("torch", "onnx")
"""Who takes no views that run backwards."""


def _positive(numbers: Any, name: str, count: int) -> tuple[int, ...]:
    legal = f"{count} integers of at least 1"
    found = tuple(integer(n, f"{name}[{i}]", 1) for i, n in enumerate(sequence(numbers, name, legal)))
    if len(found) != count:
        raise ArgumentError(f"{name} has the wrong length", got=f"{name} = {found}", legal=legal, fix="pass as many")
    return found


def _reordered(name: str, source: Layout, target: Layout) -> str:
    """``name``, an array in the layout ``source``, in that of ``target``."""
    if source == target:
        return name
    return f"{name}.transpose{target.shape(0, source.spatial_axes, source.channel_axis)}"


def _cropped(call: Call, name: str) -> list[str]:
    """What cuts off, or adds, what the call leaves to be done at the ends."""
    lines = []
    ends = call.layout.shape((0, 0), call.crop, (0, 0))
    if any(end < 0 for pair in call.crop for end in pair):  # first, as a crop may reach into the zeros
        lines.append(f"{name} = np.pad({name}, {tuple((max(-a, 0), max(-b, 0)) for a, b in ends)})")
    if any(end > 0 for pair in call.crop for end in pair):
        cuts = (f"{max(a, 0) or ''}:{-b if b > 0 else ''}" for a, b in ends)
        lines.append(f"{name} = {name}[{', '.join(cuts)}]")
    return lines


def _tensorflow(call: Call, x: str, w: str, y: str, output: Sequence[int]) -> list[str]:
    return ["import tensorflow as tf", "", f"{y} = {call.function}({x}, {w}{listed(call.arguments)}).numpy()"]


def _keras(call: Call, x: str, w: str, y: str, output: Sequence[int]) -> list[str]:
    made = f"{call.function}({x}, {w}{listed(call.arguments)})"
    return ["import keras", "", f"{y} = keras.ops.convert_to_numpy({made})"]


def _torch(call: Call, x: str, w: str, y: str, output: Sequence[int]) -> list[str]:
    operands = f"torch.from_numpy({x}), torch.from_numpy({w})"
    return ["import torch", "", f"{y} = {call.function}({operands}{listed(call.arguments)}).numpy()"]


def _jax(call: Call, x: str, w: str, y: str, output: Sequence[int]) -> list[str]:
    module = call.function.rpartition(".")[0]
    imported = "import jax" if module == "jax.lax" else f"import {module}"
    return [imported, "", f"{y} = {call.function}({x}, {w}{listed(call.arguments)})"]


def _flax(call: Call, x: str, w: str, y: str, output: Sequence[int]) -> list[str]:
    return [
        "import flax.linen as nn",
        "",
        f"layer = nn.ConvTranspose(features={output[-1]}{listed(call.arguments)}, use_bias=False)",
        f'{y} = layer.apply({{"params": {{"kernel": {w}}}}}, {x})',
    ]


def _onnx(call: Call, x: str, w: str, y: str, output: Sequence[int]) -> list[str]:
    return [
        "import onnxruntime",
        "from onnx import TensorProto, helper",
        "",
        f'operands = {{"X": {x}, "W": {w}}}',
        f'node = helper.make_node("{call.function}", ["X", "W"], ["Y"]{listed(call.arguments)})',
        "inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in operands.items()]",
        'outputs = [helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)]',
        'graph = helper.make_graph([node], "ConvTranspose", inputs, outputs)',
        'model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)',
        f"({y},) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, operands)",
    ]


_CODE: dict[str, Callable[[Call, str, str, str, Sequence[int]], list[str]]] = {
    "tensorflow": _tensorflow,
    "keras": _keras,
    "torch": _torch,
    "onnx": _onnx,
    "lax": _jax,
    "flax": _flax,
    "jconvt": _jax,
}
"""Code for a call on arrays of these names, whose result is named, and has these sizes but for the batch."""
