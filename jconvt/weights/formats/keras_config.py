"""The layers of a Keras model's configuration. It is read as JSON, and nothing is built from it."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..._geometry.spec import Spec
from ...errors import ArgumentError, ArgumentTypeError

_BATCH_NORMS = ("BatchNormalization", "SyncBatchNormalization")
_WRAPPERS = ("TimeDistributed", "SpectralNormalization")

KINDS = {"Dense": "dense", "PReLU": "prelu", **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), "conv")}
KINDS |= dict.fromkeys((*_BATCH_NORMS, "LayerNormalization", "GroupNormalization", "RMSNormalization"), "norm")
for _name in (f"{prefix}{rank}D" for prefix in ("Conv", "Convolution") for rank in (1, 2, 3)):
    KINDS |= {_name: "conv", f"{_name}Transpose": "conv_transpose"}


class Entry(NamedTuple):
    """A layer of the configuration, or a model with layers as ``children``. ``custom`` classes are not Keras's."""

    name: str
    class_name: str
    config: Mapping[str, Any]
    children: tuple["Entry", ...] = ()
    custom: bool = False

    @property
    def kind(self) -> str | None:
        """The kind of the layer, or ``None`` if it is not converted."""
        return KINDS.get(self.class_name)

    @property
    def is_unconvertible(self) -> bool:
        """Whether the class is Keras's and is not converted, whatever the shapes of its arrays."""
        return not (self.kind or self.custom or self.children or self.class_name in _WRAPPERS)

    @property
    def is_depthwise(self) -> bool:
        """Whether the kernel is ``(k..., in, multiplier)``."""
        return self.kind == "conv" and self.class_name.startswith("Depthwise")

    @property
    def roles(self) -> list[str]:
        """The roles of the layer's variables, in the order in which Keras creates them; none if they are unknown."""
        if self.kind is None:
            return []
        if self.kind == "prelu":
            return ["negative_slope"]
        if self.kind != "norm":
            return ["kernel", "bias"] if self.config.get("use_bias", True) else ["kernel"]
        if self.class_name == "RMSNormalization":
            return ["scale"]
        found = [role for role, flag in (("scale", "scale"), ("bias", "center")) if self.config.get(flag, True)]
        return [*found, "mean", "var"] if self.class_name in _BATCH_NORMS else found

    @property
    def epsilon(self) -> float | None:
        """The epsilon of a norm."""
        value = self.config.get("epsilon")
        return float(value) if self.kind == "norm" and isinstance(value, int | float) else None

    def spec(self, kernel_shape: tuple[int, ...]) -> Spec | None:
        """Return a transposed convolution's geometry, if the configuration has one that jconvt computes."""
        config, rank = self.config, len(kernel_shape) - 2
        if self.kind != "conv_transpose" or "strides" not in config:
            return None
        x_shape = (1, *(8,) * rank, kernel_shape[-1])  # the crop is the same for every size
        arguments = (config["strides"], config.get("padding", "valid"), config.get("output_padding"))
        with contextlib.suppress(ArgumentError, ArgumentTypeError):
            return Spec.from_keras(x_shape, kernel_shape, *arguments, dilation_rate=config.get("dilation_rate", 1))
        return None


def parse(config: Any) -> tuple[Entry, ...]:
    """Return the layers of a model's configuration, in its order."""
    inner = config.get("config") if isinstance(config, dict) else None
    layers = inner.get("layers", ()) if isinstance(inner, dict) else inner  # old Sequential models are lists
    return tuple(_entry(layer) for layer in layers) if isinstance(layers, list) else ()


def _entry(layer: Any) -> Entry:
    config = layer["config"] if isinstance(layer["config"], dict) else {}
    name, class_name = config.get("name", layer.get("name", "")), str(layer["class_name"])
    custom = bool(layer.get("registered_name")) or ">" in class_name
    return Entry(str(name), class_name, config, parse(layer), custom)


def flattened(entries: tuple[Entry, ...]) -> Iterator[Entry]:
    """Yield all layers in order, those of an inner model in its place."""
    for entry in entries:
        yield from flattened(entry.children) if entry.children else (entry,)
