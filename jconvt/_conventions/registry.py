"""The frameworks whose calls are understood: what each function is called, takes, and wants its operands like.

A call is stated as the framework's name and the arguments beside input and kernel, in the framework's own words.
"""

import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from .._geometry.arguments import integer
from .._geometry.kernel_layout import KernelLayout, filters_layout
from .._geometry.layout import Layout
from ..errors import ArgumentError
from . import flax, keras, lax, onnx, tensorflow, torch

CONVENTIONS: dict[str, ModuleType] = {
    "tensorflow": tensorflow,
    "keras": keras,
    "torch": torch,
    "onnx": onnx,
    "lax": lax,
    "flax": flax,
    "jconvt": tensorflow,
}
FRAMEWORKS = tuple(CONVENTIONS)
"""Whose calls are understood. "jconvt" is ``jconvt.conv_transpose``, in any number of dimensions."""

FUNCTIONS = {
    "tensorflow": "tf.nn.conv{rank}d_transpose",
    "keras": "keras.ops.conv_transpose",
    "torch": "torch.nn.functional.conv_transpose{rank}d",
    "onnx": "ConvTranspose",
    "lax": "jax.lax.conv_transpose",
    "flax": "flax.linen.ConvTranspose",
    "jconvt": "jconvt.conv_transpose",
}

_LACKS = {"tensorflow": ("groups", "output_padding"), "flax": ("groups", "use_consistent_padding")}
"""What is resolved for jconvt's functions and layers alone: the framework's own have it not."""

_GROUPS = ("groups", "group", "feature_group_count")


def check_known(framework: str, name: str) -> None:
    """Refuses a framework that is none of ``FRAMEWORKS``; ``name`` is what the caller calls it."""
    if framework not in FRAMEWORKS:
        raise ArgumentError(
            f"unknown {name}",
            got=f"{framework!r}",
            legal=", ".join(map(repr, FRAMEWORKS)),
            fix="pass one of these",
        )


def groups_of(arguments: Mapping[str, Any]) -> int:
    """The groups, whatever the framework calls them; 1 where it is not said."""
    return next((integer(arguments[name], name, 1) for name in _GROUPS if name in arguments), 1)


def check_names(framework: str, arguments: Mapping[str, Any]) -> None:
    """Refuses arguments that the function has not got, or that lay operands otherwise than it does by itself."""
    names = [*inspect.signature(CONVENTIONS[framework].resolve).parameters][2:]
    others = ("dimension_numbers", "names", "rank", "bias_shape", *_LACKS.get(framework, ()))
    names = [name for name in names if name not in others]
    unknown = [name for name in arguments if name not in names]
    missing = [name for name in ("strides", "padding") if framework == "lax" and name not in arguments]
    if unknown or missing:
        raise ArgumentError(
            f"the arguments are not those of {framework}'s function",
            got=f"{', '.join(map(repr, unknown))} unknown" if unknown else f"no {' and no '.join(missing)}",
            legal=", ".join(names),
            fix="pass these, for operands in the framework's default order",
        )
    padding = arguments.get("padding")
    if framework == "tensorflow" and isinstance(padding, tuple | list) and len(padding) != 4:
        raise ArgumentError(
            "TensorFlow has explicit padding in 2-D alone",
            got=f"padding = {padding!r}",
            legal="'SAME', 'VALID', or in 2-D a pair for each of 4 axes",
            fix="state the call as one of 'jconvt', which has it in any number of dimensions",
        )


def layout_of(framework: str, rank: int, arguments: Mapping[str, Any]) -> Layout:
    """How input and output lie."""
    named = str(arguments.get("data_format")) if framework != "keras" else str(arguments.get("data_format")).lower()
    return Layout(rank, framework in ("torch", "onnx") or named == "channels_first" or named.startswith("NC"))


def kernel_of(framework: str, rank: int, arguments: Mapping[str, Any], groups: int) -> KernelLayout:
    """How the kernel lies."""
    if framework in ("tensorflow", "jconvt", "keras"):
        return filters_layout(rank)
    transposed = {"transpose_kernel": True} if arguments.get("transpose_kernel") else {}
    own = {"groups": groups} if framework == "lax" else {}
    return CONVENTIONS[framework].kernel_layout(rank, **transposed, **own)


def listed(arguments: Mapping[str, Any]) -> str:
    """Arguments as they are written after input and kernel."""
    return "".join(f", {name}={value!r}" for name, value in arguments.items())
