"""Converting a checkpoint of one framework to another."""

import dataclasses

import numpy as np

from .._geometry.kernel_layout import KernelConversion
from ..errors import ArgumentError
from . import layouts
from ._errors import check_choice, listed
from .checkpoint import Checkpoint, Layer, check_checkpoint, check_groups
from .layouts import CONVERTED, OTHER, ROLES, TARGETS, VECTOR
from .names import Names, check_paths, check_type, check_unique
from .report import Report, Row


def convert(checkpoint: Checkpoint, to: str, names: Names = None) -> tuple[Checkpoint, Report]:
    """Convert every kernel of a checkpoint to another framework's layout.

    Args:
      checkpoint: from ``read``, ``from_linen``, ``from_nnx`` or ``from_equinox``.
      to: "torch", "keras", "flax" or "equinox".
      names: new paths, as ``{old: new}`` or a function; layers without a new path keep their own.

    Returns:
      The checkpoint, and a ``Report``. Other layers than convolutions, dense layers and norms are left out, and
      listed, unless ``to`` is the checkpoint's framework.

    Raises:
      ArgumentError: the framework is unknown, or cannot have a layer's groups; a layer's kind or groups matter and are
        unknown; or two paths are equal.

    >>> import numpy as np
    >>> up = Layer("conv_transpose", {"kernel": np.zeros((8, 4, 3, 2))}, "torch", groups=1)
    >>> converted, report = convert(Checkpoint({"up": up}, "torch"), "keras")
    >>> print(report)
    source  target  kind            from          to            conversion              paired by
    up      up      conv_transpose  (8, 4, 3, 2)  (3, 2, 4, 8)  .transpose(2, 3, 1, 0)  path
    """
    check_checkpoint(checkpoint)
    check_choice("framework", "to", to, TARGETS)
    check_type(names)
    if callable(names):
        paths = {path: names(path) or path for path in checkpoint.layers}
    else:
        check_paths("source", names or {}, checkpoint.layers, checkpoint.source, "{old: new}")
        paths = {path: path for path in checkpoint.layers} | dict(names or {})
    check_unique(paths, "give one of them another path")
    if to != checkpoint.framework:
        checkpoint = dataclasses.replace(
            checkpoint, layers={k: each.grouped() for k, each in checkpoint.layers.items()}
        )
        _check_known(checkpoint, to)
    layers, rows, unused = {}, [], []
    for path, layer in checkpoint.layers.items():
        if layer.kind == OTHER and to != checkpoint.framework:
            unused.append(f"{path} ({layer})")
            continue
        found, code = _convert_layer(path, layer, to)
        unused += [f"{path}: {role}" for role in layer.arrays if role not in found.arrays]
        unused += [f"{path}: {text}" for text in layer.unread_texts()]
        layers[paths[path]] = found
        rule = "path" if paths[path] == path else "name"
        rows.append(Row(path, paths[path], layer.kind, layer.shape, found.shape, code, rule))
    if not rows:
        got, fix = listed(unused) if unused else "no layers", "print(weights.read(path)) shows what the file has"
        raise ArgumentError(f"{checkpoint.source} has no layer of these kinds", got=got, legal=CONVERTED, fix=fix)
    report = Report(tuple(rows), tuple(unused), notes=checkpoint.notes)
    return dataclasses.replace(checkpoint, layers=layers, framework=to), report


def _check_known(checkpoint: Checkpoint, to: str) -> None:
    """Raise an error if the file does not tell a layer's kind or groups, or if ``to`` cannot have these groups."""
    layers = {path: layer for path, layer in checkpoint.layers.items() if layer.kind != OTHER}
    if vectors := [path for path, layer in layers.items() if layer.kind == VECTOR]:
        problem = f"{checkpoint.source} does not say whether layers are norms or PReLU, as PyTorch names both weight"
        got = listed(f"{path} {layers[path].shape}" for path in vectors)
        fix = f"pass kinds={{{vectors[0]!r}: 'prelu'}} or 'norm', or --kind '{vectors[0]}=prelu'; * is any text"
        raise ArgumentError(problem, got=got, legal="kind 'norm' or 'prelu'", fix=fix)
    unclear: dict[str, list[int]] = {}
    for path, layer in layers.items():
        if layer.kind == "conv_transpose" and layer.groups is None and len(possible := layer.possible_groups()) > 1:
            unclear[path] = possible
        elif layer.kind == "conv_transpose" or layer.groups is not None:
            check_groups(path, layer)
    if unclear:
        problem = f"{checkpoint.source} does not say the number of groups of transposed convolutions"
        got, path = listed(f"{path} {layers[path].shape}" for path in unclear), next(iter(unclear))
        legal = listed((f"{path}: {listed(map(str, possible))} groups" for path, possible in unclear.items()), most=4)
        fix = f"pass groups=1 or --groups 1 for all; or groups={{{path!r}: number}}, --groups '{path}=NUMBER'"
        raise ArgumentError(problem, got=got, legal=legal, fix=fix)
    if not layouts.STORED[to].has_transposed_groups:
        for path, layer in layers.items():
            if layer.kind == "conv_transpose" and layer.groups != 1:
                problem = f"{to} has no groups in transposed convolutions, but layer {path!r} has"
                got, legal = f"groups {layer.groups}, kernel {layer.shape}", "groups 1"
                fix = f"pass another framework than {to!r}; or store {layer.groups} layers of one group each"
                raise ArgumentError(problem, got=got, legal=legal, fix=fix)


def _convert_layer(path: str, layer: Layer, to: str) -> tuple[Layer, str]:
    """Return the layer in the layout of ``to``, and the conversion of its kernel as text."""
    if to == layer.framework:
        return layer, "as it is"
    arrays = {role: array for role, array in layer.arrays.items() if role in ROLES}
    code, rank, groups = "", len(layer.shape) - 2, layer.groups or 1
    if "kernel" in arrays:
        try:
            conversion = KernelConversion(layer.layout, layouts.layout(to, layer.kind, rank, groups))
        except ArgumentError as error:
            error.add_note(f"in layer {path!r}, kernel {layer.shape}")
            raise
        arrays["kernel"] = np.ascontiguousarray(conversion(arrays["kernel"]))
        code = conversion.code("kernel", layer.shape).removeprefix("kernel")
    if "bias" in arrays and layouts.STORED[to].bias_has_axes and layer.kind in layouts.CONVOLUTIONS:
        arrays["bias"] = arrays["bias"].reshape(-1, *[1] * rank)
    elif "bias" in arrays and layouts.STORED[layer.framework].bias_has_axes:
        arrays["bias"] = arrays["bias"].reshape(-1)
    if "negative_slope" in arrays:
        slopes = arrays["negative_slope"]
        arrays["negative_slope"] = slopes.reshape(() if slopes.size == 1 and layouts.STORED[to].has_scalars else -1)
    found = dataclasses.replace(layer, arrays=arrays, framework=to, transpose_kernel=False)
    return found, code or "as it is"
