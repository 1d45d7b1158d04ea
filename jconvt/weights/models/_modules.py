"""Shared by the models of Flax and Equinox: modules become layers by the names of their classes and attributes.

So the layers of Flax and Equinox fit, and jconvt's too, which have the same names.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..._conventions import equinox, flax
from ..._geometry.spec import Spec
from ...errors import ArgumentError, ArgumentTypeError
from ..checkpoint import Checkpoint, Layer, add_unowned

Path = tuple[Any, ...]

_KINDS = {
    "ConvTranspose": "conv_transpose",
    "Conv": "conv",
    "Dense": "dense",
    "Linear": "dense",
    "BatchNorm": "norm",
    "LayerNorm": "norm",
    "GroupNorm": "norm",
    "InstanceNorm": "norm",
    "RMSNorm": "norm",
}

_SIZES = (8, 8, 8)  # an input's spatial sizes; no geometry depends on them


def kind(module: Any) -> str | None:
    """Return the kind of layer that a module is, or ``None``."""
    return next((_KINDS[each.__name__] for each in type(module).__mro__ if each.__name__ in _KINDS), None)


def dotted(path: Iterable[Any]) -> str:
    """Return a path as a name map writes it."""
    return ".".join(map(str, path))


def walk(
    node: Any,
    module_class: type,
    attributes: Callable[[Any], Iterable[tuple[str, Any]]],
    path: Path = (),
    seen: set[int] | None = None,
) -> Iterator[tuple[Path, Any]]:
    """Yield the modules of a model with their paths, in the order of their attributes.

    A graph, which may have cycles, needs a set ``seen``: each of its nodes is visited once.
    """
    if seen is not None:
        if id(node) in seen:
            return
        seen.add(id(node))
    if isinstance(node, module_class):
        yield path, node
        children = attributes(node)
    elif isinstance(node, dict):
        children = node.items()
    elif isinstance(node, list | tuple):
        children = enumerate(node)
    else:
        return
    for key, child in children:
        yield from walk(child, module_class, attributes, (*path, key), seen)


def to_layer(module: Any, arrays: Mapping[str, Any], framework: str) -> Layer | None:
    """Return the module as a layer with these arrays, or ``None`` if it has no arrays, or is not converted."""
    found = kind(module)
    if found is None or not arrays:
        return None
    sizes = () if found == "dense" else getattr(module, "kernel_size", None)
    if "kernel" in arrays and sizes is not None and len(arrays["kernel"].shape) != np.size(sizes) + 2:
        return None  # the kernel has additional axes: those of a scan or a vmap over many such layers
    groups = getattr(module, "feature_group_count", getattr(module, "groups", 1))
    layer = Layer(
        found,
        arrays,
        framework,
        groups if found in ("conv_transpose", "conv") else None,
        transpose_kernel=bool(getattr(module, "transpose_kernel", False)),
        epsilon=getattr(module, "epsilon", getattr(module, "eps", None)) if found == "norm" else None,
    )
    if found != "conv_transpose" or "kernel" not in arrays:
        return layer
    return dataclasses.replace(layer, spec=_spec(module, layer))


def to_checkpoint(
    layers: Mapping[str, Layer], unowned: Iterable[tuple[Path, Any]], framework: str, source: str = "the model"
) -> Checkpoint:
    """Return the layers, and the arrays that none of them owns, as a checkpoint of NumPy arrays."""
    copied = {}
    for path, layer in layers.items():
        arrays = {role: np.asarray(array) for role, array in layer.arrays.items()}
        copied[path] = dataclasses.replace(layer, arrays=arrays)
    others = ((tuple(map(str, path)), np.asarray(array)) for path, array in unowned)
    return Checkpoint(add_unowned(copied, others, framework), framework, source=source)


def _spec(module: Any, layer: Layer) -> Spec | None:
    """Return the geometry, if jconvt computes it and it does not depend on the input's size."""
    with contextlib.suppress(ArgumentError, ArgumentTypeError):
        *kernel, _, in_channels = layer.layout.filters_shape(layer.shape)
        groups = layer.groups or 1
        if getattr(module, "output_shape", None) is not None:
            return None
        if layer.framework == "equinox":
            arguments = (module.stride, module.padding, module.output_padding, module.dilation, module.padding_mode)
            axes = equinox.resolve_axes(kernel, *arguments)
            return None if equinox.is_circular(module.padding_mode) else Spec(axes, groups)
        resolved = flax.resolve_layer(
            (1, *_SIZES[: len(kernel)], in_channels),
            layer.shape,
            module.strides,
            module.padding,
            module.kernel_dilation,
            layer.transpose_kernel,
            groups=groups,
            output_padding=getattr(module, "output_padding", None),
            use_consistent_padding=getattr(module, "use_consistent_padding", False),
        )
        return None if resolved.wrap else Spec(resolved.spec.axes, groups)
    return None
