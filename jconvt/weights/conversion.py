"""A checkpoint of one framework as one of another."""

import dataclasses
from typing import Any

import numpy as np

from .._geometry.kernel_layout import KernelConversion
from ..errors import ArgumentError
from . import frameworks
from .frameworks import KINDS, OTHER, TARGETS
from .layer import ROLES, Checkpoint, Layer, listed
from .pairing import Names
from .report import Report, Row


def convert(checkpoint: Checkpoint, to: str, names: Names = None) -> tuple[Checkpoint, Report]:
    """A checkpoint with every kernel in another framework's layout.

    Args:
      checkpoint: what ``read`` or one of ``from_linen``, ``from_nnx`` and ``from_equinox`` gave.
      to: "torch", "keras", "flax" or "equinox".
      names: new paths, as ``{old: new}`` or a function; what it leaves out keeps its own.

    Returns:
      The checkpoint, and a ``Report``. What is no convolution, dense layer or norm is left out, and listed, unless
      ``to`` is the checkpoint's framework.

    Raises:
      ArgumentError: a framework that there is not, a layer whose kind matters and is not known, or paths that collide.

    >>> import numpy as np
    >>> up = Layer("conv_transpose", {"kernel": np.zeros((8, 4, 3, 2))}, "torch")
    >>> converted, report = convert(Checkpoint({"up": up}, "torch"), "keras")
    >>> print(report)
    source  target  kind            from          to            conversion              paired by
    up      up      conv_transpose  (8, 4, 3, 2)  (3, 2, 4, 8)  .transpose(2, 3, 1, 0)  path
    """
    if to not in TARGETS:
        raise ArgumentError(
            "there is no such framework to convert to", got=f"to = {to!r}", legal=", ".join(TARGETS), fix="pass one"
        )
    paths = _renamed(checkpoint, names)
    layers, rows, unused = {}, [], []
    for path, layer in checkpoint.layers.items():
        if layer.kind == OTHER and to != checkpoint.framework:
            unused.append(f"{path} ({layer.kind}: {', '.join(layer.arrays)})")
            continue
        found, words = _converted(path, layer, to)
        unused += [f"{path}: {role}" for role in layer.arrays if role not in found.arrays]
        layers[paths[path]] = found
        rule = "path" if paths[path] == path else "name"
        rows.append(Row(path, paths[path], layer.kind, layer.shape, found.shape, words, rule))
    if not rows:
        raise ArgumentError(
            f"{checkpoint.source} has no layer that can be converted",
            got=listed(unused) if unused else "no layers",
            legal="convolutions, transposed convolutions, dense layers and norms",
            fix="save the model without wrappers that compute its weights, such as a weight norm",
        )
    return dataclasses.replace(checkpoint, layers=layers, framework=to), Report(tuple(rows), tuple(unused))


def _converted(path: str, layer: Layer, to: str) -> tuple[Layer, str]:
    if to == layer.framework:
        return layer, "as it is"
    layer = layer.grouped()
    arrays = {role: array for role, array in layer.arrays.items() if role in ROLES}
    words, rank = "", len(layer.shape) - 2
    if "kernel" in arrays:
        kernel, groups = arrays["kernel"], layer.groups or 1
        try:
            conversion = KernelConversion(layer.layout, frameworks.layout(to, layer.kind, rank, groups))
        except ArgumentError as error:
            error.add_note(f"in layer {path!r}, kernel {layer.shape}")
            raise
        if layer.shape_in(conversion.target) is None:
            raise ArgumentError(
                f"the groups of layer {path!r} do not divide its channels",
                got=f"groups {groups}, kernel {layer.shape}",
                legal="a divisor of the channels",
                fix="pass groups={path: number}; on the command line, --groups 'PATTERN=NUMBER'",
            )
        arrays["kernel"] = np.ascontiguousarray(conversion(kernel))
        words = conversion.code("kernel", kernel.shape).removeprefix("kernel")
    found = dataclasses.replace(layer, framework=to, transpose_kernel=False)
    if to == "equinox" and layer.kind in (*KINDS[:2], frameworks.UNKNOWN) and "bias" in arrays:
        arrays["bias"] = arrays["bias"].reshape(-1, *(1 for _ in range(rank)))
    elif layer.framework == "equinox" and "bias" in arrays:
        arrays["bias"] = arrays["bias"].reshape(-1)
    return dataclasses.replace(found, arrays=arrays), words or "as it is"


def _renamed(checkpoint: Checkpoint, names: Names) -> dict[str, str]:
    if callable(names):
        paths = {path: names(path) or path for path in checkpoint.layers}
    else:
        unknown = [path for path in names or {} if path not in checkpoint.layers]
        if unknown:
            raise ArgumentError(
                f"names has a source that is no layer of {checkpoint.source}",
                got=repr(unknown[0]),
                legal=listed(checkpoint.layers),
                fix="write each path as it is listed, as {old: new}",
            )
        paths = {path: (names or {}).get(path, path) for path in checkpoint.layers}
    new: Any = list(paths.values())
    twice = [path for path in new if new.count(path) > 1] if len(set(new)) < len(new) else []
    if twice:
        raise ArgumentError(
            "names gives one path to two layers",
            got=f"{twice[0]!r}, from {listed(old for old, path in paths.items() if path == twice[0])}",
            legal="each path once",
            fix="give one of them another path",
        )
    return paths
