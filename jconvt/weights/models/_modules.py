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
from ..checkpoint import Checkpoint, Layer
from ..layouts import CONVOLUTIONS, OTHER

_KINDS = {"ConvTranspose": "conv_transpose", "Conv": "conv", "Dense": "dense", "Linear": "dense"}
_KINDS |= {"PReLU": "prelu"} | {f"{name}Norm": "norm" for name in ("Batch", "Layer", "Group", "Instance", "RMS")}


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
    path: str = "",
    seen: set[int] | None = None,
) -> Iterator[tuple[str, Any]]:
    """Yield the modules of a model with their paths, in the order of their attributes.

    A graph, which may have cycles, needs a set ``seen``: each of its nodes is visited once.
    """
    if seen is not None:
        if id(node) in seen:
            return
        seen.add(id(node))
    children: Iterable[tuple[Any, Any]] = ()
    if isinstance(node, module_class):
        yield path, node
        children = attributes(node)
    elif isinstance(node, dict):
        children = node.items()
    elif isinstance(node, list | tuple):
        children = enumerate(node)
    for key, child in children:
        yield from walk(child, module_class, attributes, f"{path}.{key}" if path else str(key), seen)


def to_layer(module: Any, arrays: Mapping[str, Any], framework: str) -> Layer | None:
    """Return the module as a layer with these arrays, or ``None`` if it has no arrays, or is not converted."""
    found = kind(module)
    if found is None or not arrays:
        return None
    sizes = () if found == "dense" else getattr(module, "kernel_size", None)
    if "kernel" in arrays and sizes is not None and len(arrays["kernel"].shape) != np.size(sizes) + 2:
        return None  # the kernel has additional axes: those of a scan or a vmap over many such layers
    groups = getattr(module, "feature_group_count", getattr(module, "groups", 1)) if found in CONVOLUTIONS else None
    epsilon = getattr(module, "epsilon", getattr(module, "eps", None)) if found == "norm" else None
    transpose_kernel = bool(getattr(module, "transpose_kernel", False))
    layer = Layer(found, arrays, framework, groups, transpose_kernel, epsilon=epsilon)
    return dataclasses.replace(layer, spec=_spec(module, layer))


def to_checkpoint(
    layers: Mapping[str, Layer], unowned: Mapping[str, Any], framework: str, source: str = "the model"
) -> Checkpoint:
    """Return a checkpoint of NumPy arrays. Those that no layer owns become layers of kind "other"."""
    found = dict(layers)
    for name, array in unowned.items():
        path, _, last = name.rpartition(".")
        layer = found.get(path, Layer(OTHER, {}, framework))
        found[path] = dataclasses.replace(layer, arrays={**layer.arrays, last: array})
    for path, layer in found.items():
        arrays = {role: np.asarray(array) for role, array in layer.arrays.items()}
        found[path] = dataclasses.replace(layer, arrays=arrays)
    return Checkpoint(found, framework, source=source)


def _spec(module: Any, layer: Layer) -> Spec | None:
    """Return a transposed convolution's geometry, if jconvt computes it and it does not depend on the input's size."""
    is_transposed = layer.kind == "conv_transpose" and "kernel" in layer.arrays
    if not is_transposed or getattr(module, "output_shape", None) is not None:
        return None
    with contextlib.suppress(ArgumentError, ArgumentTypeError):
        *kernel, _, in_channels = layer.layout.filters_shape(layer.shape)
        groups = layer.groups or 1
        if hasattr(module, "padding_mode"):  # an Equinox layer
            arguments = (module.stride, module.padding, module.output_padding, module.dilation, module.padding_mode)
            axes = equinox.resolve_axes(kernel, *arguments)
            return None if equinox.is_circular(module.padding_mode) else Spec(axes, groups)
        x_shape = (1, *(8,) * len(kernel), in_channels)  # the geometry is the same for every size
        arguments = (module.strides, module.padding, module.kernel_dilation, layer.transpose_kernel)
        defaults = {"output_padding": None, "use_consistent_padding": False}
        options = {name: getattr(module, name, default) for name, default in defaults.items()}
        resolved = flax.resolve_layer(x_shape, layer.shape, *arguments, groups=groups, **options)
        return None if resolved.wrap else Spec(resolved.spec.axes, groups)
    return None
