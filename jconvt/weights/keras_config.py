"""What the configuration of a Keras model says of its layers. It is read as JSON; nothing is built from it."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .._geometry.spec import Spec
from ..errors import ArgumentError, ArgumentTypeError

_CONVOLUTION = re.compile(r"(?:Conv|Convolution)([123])D(Transpose)?")
_DEPTHWISE = re.compile(r"DepthwiseConv([12])D")
_BATCH_NORMS = ("BatchNormalization", "SyncBatchNormalization")
_WRAPPERS = ("TimeDistributed", "SpectralNormalization")
_NORMS = (*_BATCH_NORMS, "LayerNormalization", "GroupNormalization", "RMSNormalization")


class Entry(NamedTuple):
    """A layer of the configuration, or a model in it, which has layers of its own. ``custom`` is one not of Keras."""

    name: str
    class_name: str
    config: Mapping[str, Any]
    children: tuple["Entry", ...]
    custom: bool = False


def entries(config: Any) -> tuple[Entry, ...]:
    """The layers of a model's configuration, in its order."""
    inner = config.get("config") if isinstance(config, dict) else None
    layers = inner.get("layers", ()) if isinstance(inner, dict) else inner  # old Sequential models are lists
    return tuple(_entry(layer) for layer in layers) if isinstance(layers, list) else ()


def _entry(layer: Any) -> Entry:
    own = layer["config"] if isinstance(layer["config"], dict) else {}
    name, class_name = own.get("name", layer.get("name", "")), str(layer["class_name"])
    custom = bool(layer.get("registered_name")) or ">" in class_name
    return Entry(str(name), class_name, own, entries(layer), custom)


def flattened(entries: tuple[Entry, ...]) -> Iterator[Entry]:
    """All layers in their order, those of inner models where the model is."""
    for entry in entries:
        yield from flattened(entry.children) if entry.children else (entry,)


def named(entries: tuple[Entry, ...], name: str) -> Iterator[Entry]:
    """All layers of that name, those of inner models included."""
    return (entry for entry in flattened(entries) if entry.name == name)


def kind(entry: Entry) -> str | None:
    """The kind of a layer's class, or ``None``."""
    if match := _CONVOLUTION.fullmatch(entry.class_name):
        return "conv_transpose" if match[2] else "conv"
    if _DEPTHWISE.fullmatch(entry.class_name):
        return "conv"
    if entry.class_name == "Dense":
        return "dense"
    return "norm" if entry.class_name in _NORMS else None


def opaque(entry: Entry) -> bool:
    """Whether the layer is of a class of Keras's that is not converted, whatever the shapes of its arrays."""
    return kind(entry) is None and not entry.custom and not entry.children and entry.class_name not in _WRAPPERS


def depthwise(entry: Entry) -> bool:
    """Whether the kernel is ``(k..., in, multiplier)``."""
    return _DEPTHWISE.fullmatch(entry.class_name) is not None


def roles(entry: Entry) -> list[str]:
    """The roles of a layer's variables, in the order in which Keras makes them."""
    config = entry.config
    if kind(entry) != "norm":
        return ["kernel", "bias"] if config.get("use_bias", True) else ["kernel"]
    if entry.class_name == "RMSNormalization":
        return ["scale"]
    found = [role for role, flag in (("scale", "scale"), ("bias", "center")) if config.get(flag, True)]
    return [*found, "mean", "var"] if entry.class_name in _BATCH_NORMS else found


def epsilon(entry: Entry) -> float | None:
    """A norm's."""
    value = entry.config.get("epsilon")
    return float(value) if kind(entry) == "norm" and isinstance(value, int | float) else None


def spec(entry: Entry, kernel_shape: tuple[int, ...]) -> Spec | None:
    """A transposed convolution's geometry, if the configuration says one that jconvt computes."""
    config, rank = entry.config, len(kernel_shape) - 2
    if kind(entry) != "conv_transpose" or "strides" not in config:  # a name alone tells no geometry
        return None
    sizes = (8,) * rank  # the crop is the same for every size
    with contextlib.suppress(ArgumentError, ArgumentTypeError):
        return Spec.from_keras(
            (1, *sizes, kernel_shape[-1]),
            kernel_shape,
            config.get("strides", 1),
            config.get("padding", "valid"),
            config.get("output_padding"),
            None,
            config.get("dilation_rate", 1),
        )
    return None
