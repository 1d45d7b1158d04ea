"""Matching a checkpoint's layers with a model's: first in pairs, then array by array.

Kernels are converted to the model's layout, and every array is checked against the model's shape and dtype.
"""

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._geometry.kernel_layout import KernelConversion
from ..errors import ArgumentError, ArgumentTypeError
from . import layouts
from ._errors import listed
from .checkpoint import Checkpoint, Layer
from .layouts import OTHER, ROLES, UNKNOWN
from .report import Report, Row

Names = Mapping[str, str] | Callable[[str], str | None] | None
"""A name map: source path to target path. A function may return ``None`` for a layer that it does not know."""

_MOST_GROUPS = 4096  # tried for a hint in an error message


def fit(
    checkpoint: Checkpoint,
    targets: Mapping[str, Layer],
    unowned: Sequence[str] = (),
    names: Names = None,
    strict: bool = True,
) -> tuple[dict[str, dict[str, np.ndarray]], Report]:
    """Return each target's arrays, by path and role, in its layouts, shapes and dtypes; and the report.

    ``unowned`` are parameters of the target that belong to no layer of a known kind.

    Raises:
      ArgumentError: a target stays unmatched and ``strict`` is true, or an array does not fit.
      ArgumentTypeError: the target's dtype cannot hold the numbers.
    """
    pairs = pair(checkpoint, targets, names)
    used, filled = {path for path, _, _ in pairs}, {path for _, path, _ in pairs}
    missing = [path for path in targets if path not in filled]
    leftover = {path: layer for path, layer in checkpoint.layers.items() if path not in used}
    if strict:
        _check_complete(checkpoint, {path: targets[path] for path in missing}, leftover, unowned)
    arrays, rows, notes, unused = {}, [], [*checkpoint.notes], []
    for old, new, rule in pairs:
        source, target = checkpoint.layers[old], targets[new]
        arrays[new], conversion = _fit_layer(f"layer {old!r}, for {new!r}", source, target)
        rows.append(Row(old, new, target.kind, source.shape, target.shape, conversion, rule))
        notes += [f"{new}: {text}" for text in _differences(source, target)]
        unused += [f"{old}: {role}" for role in source.arrays if role not in ROLES]
    unused += [f"{path} ({layer})" for path, layer in leftover.items()]
    notes += _flatten_note(checkpoint.framework, [targets[path] for path in filled])
    return arrays, Report(tuple(rows), tuple(unused), (*missing, *unowned), tuple(notes))


def pair(checkpoint: Checkpoint, targets: Mapping[str, Layer], names: Names = None) -> list[tuple[str, str, str]]:
    """Pair layers by the name map, then by equal paths, then by order if the kinds in order are the same.

    Return each pair as the source's path, the target's path, and the rule that paired them, in the targets' order.

    Raises:
      ArgumentError: the map names a layer that does not exist, or one target twice.
    """
    layers = {path: layer for path, layer in checkpoint.layers.items() if layer.kind != OTHER}
    if callable(names):
        mapped = {path: target for path in layers if (target := names(path)) is not None}
    else:
        mapped = dict(names or {})
    check_paths("source", mapped, layers, checkpoint.source, "{source: target}")
    check_paths("target", mapped.values(), targets, "the target", "{source: target}")
    check_unique(mapped, "leave all but one of them out")
    pairs = {source: (target, "name") for source, target in mapped.items()}
    unused = targets.keys() - mapped.values()
    pairs |= {path: (path, "path") for path in layers if path not in mapped and path in unused}
    used = {target for target, _ in pairs.values()}
    rest, free = [path for path in layers if path not in pairs], [path for path in targets if path not in used]
    if checkpoint.ordered and len(rest) == len(free):
        kinds = [(layers[source].kind, targets[target].kind) for source, target in zip(rest, free, strict=True)]
        if all(a == b or (a == UNKNOWN and b in layouts.CONVOLUTIONS) for a, b in kinds):
            pairs |= {source: (target, "order") for source, target in zip(rest, free, strict=True)}
    position = {path: i for i, path in enumerate(targets)}
    return sorted(((source, *each) for source, each in pairs.items()), key=lambda each: position[each[1]])


def check_paths(side: str, paths: Any, layers: Mapping[str, Layer], owner: str, form: str) -> None:
    """Raise an error if a name map has a path that is not a layer of ``owner``."""
    for path in paths:
        if path not in layers:
            problem, fix = f"names has a {side} that is not a layer of {owner}", f"copy the listed paths, as {form}"
            raise ArgumentError(problem, got=repr(path), legal=listed(layers), fix=fix)


def check_unique(mapped: Mapping[str, str], fix: str) -> None:
    """Raise an error if a name map gives two layers one path."""
    for target, count in collections.Counter(mapped.values()).items():
        if count > 1:
            got = f"{target!r}, from {listed(source for source, each in mapped.items() if each == target)}"
            raise ArgumentError("names gives one path to two layers", got=got, legal="each path once", fix=fix)


def _check_complete(
    checkpoint: Checkpoint, missing: Mapping[str, Layer], leftover: Mapping[str, Layer], unowned: Sequence[str]
) -> None:
    """Raise an error if parameters of the target would keep their values."""
    if missing:
        wanted, left = (
            listed(f"{path} ({layer.kind} {layer.shape})" for path, layer in layers.items())
            for layers in (missing, leftover)
        )
        problem = f"layers of the target match none of {checkpoint.source}"
        got = f"unmatched: {wanted}; left in the source: {left}"
        legal = "a source layer for each: by names, by path, or by kind and order if the file has an order"
        fix = "pass names={source: target}; or strict=False, which leaves them unchanged"
        raise ArgumentError(problem, got=got, legal=legal, fix=fix)
    if unowned:
        problem = "the target has parameters in layers that are not converted"
        fix = "pass strict=False, which leaves them unchanged, and set them yourself"
        raise ArgumentError(problem, got=listed(unowned), legal=layouts.CONVERTED, fix=fix)


def _fit_layer(where: str, source: Layer, target: Layer) -> tuple[dict[str, np.ndarray], str]:
    """Return the target's arrays, and the conversion of its kernel as text."""
    source = _complete_source(where, source, target)
    _check_roles(where, source, target)
    arrays, code = {}, ""
    for role, wanted in target.arrays.items():
        array, shape = source.arrays[role], tuple(wanted.shape)
        if role == "kernel":
            if (found := source.shape_in(target.layout)) != shape:
                got = f"{_describe(source)}, which becomes {found}" if found else _describe(source)
                problem, fix = f"the kernel of {where} does not fit", _remedy(source, target)
                raise ArgumentError(problem, got=got, legal=_describe(target), fix=fix)
            conversion = KernelConversion(source.layout, target.layout)
            array, code = conversion(array), conversion.code("kernel", source.shape).removeprefix("kernel")
        elif array.shape != shape and not _same_vector(array.shape, shape):
            got = f"{role} of shape {tuple(array.shape)} in the source, kernel {source.shape}"
            legal = f"shape {shape}, as in the target, with {_describe(target)}"
            fix = "build the layer with the source's number of features and groups, or pair it with another one"
            raise ArgumentError(f"the {role} of {where} does not fit", got=got, legal=legal, fix=fix)
        arrays[role] = _cast(f"the {role} of {where}", array.reshape(shape), wanted.dtype)
    before = source.arrays.get("kernel", next(iter(source.arrays.values()))).dtype
    after = next(iter(target.arrays.values())).dtype
    cast = "" if before == after else f"{before} to {after}"
    return arrays, ", ".join(filter(None, (code, cast))) or "as it is"


def _same_vector(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether the shapes differ only by axes of size 1, which the bias of an Equinox convolution has."""
    if len(shape) == 1:
        return shape[0] == np.prod(wanted, dtype=int)
    return shape[:1] == wanted and set(shape[1:]) == {1}


def _complete_source(where: str, source: Layer, target: Layer) -> Layer:
    """Return the source with the target's kind and groups, where its file does not say, or raise if they differ."""
    if source.kind not in (target.kind, UNKNOWN) and target.kind != UNKNOWN:
        got, legal = f"{source.kind} in the source, {source.shape}", f"{target.kind}, {target.shape}"
        fix = "pass names that pair layers of one kind; or, if the file was misread, kinds={path: kind}"
        raise ArgumentError(f"{where} is of another kind", got=got, legal=legal, fix=fix)
    if source.kind == UNKNOWN:
        source = dataclasses.replace(source, kind=target.kind).grouped()
    if source.groups is None:
        return dataclasses.replace(source, groups=target.groups)
    if target.groups is not None and source.groups != target.groups:
        got = f"groups {source.groups} in the source, kernel {source.shape}"
        legal = f"groups {target.groups}, as in the target, kernel {target.shape}"
        fix = f"build the layer with {source.groups} groups"
        raise ArgumentError(f"the groups of {where} differ", got=got, legal=legal, fix=fix)
    return source


def _check_roles(where: str, source: Layer, target: Layer) -> None:
    lacking = [role for role in target.arrays if role not in source.arrays]
    extra = [role for role in source.arrays if role in ROLES and role not in target.arrays]
    if not lacking and not extra:
        return
    role, side = (lacking[0], "target") if lacking else (extra[0], "source")
    flag = {"bias": "use_bias", "scale": "use_scale"}.get(role)
    if role in ("mean", "var"):
        fix = "pair a batch normalisation with one; in Equinox, pass its state, too"
    else:
        fix = f"build the layer {'without' if lacking else 'with'} it ({flag}={not lacking})" if flag else "pair others"
    got, legal = f"{', '.join(source.arrays)} in the source", f"{', '.join(target.arrays)}, as in the target"
    raise ArgumentError(f"{where}: only the {side} has a {role}", got=got, legal=legal, fix=fix)


def _describe(layer: Layer) -> str:
    words = [layer.kind]
    words += [f"groups {layer.groups}"] if layer.groups and layer.groups > 1 else []
    words += ["transpose_kernel"] if layer.transpose_kernel else []
    return f"kernel {layer.shape} ({layer.framework}: {', '.join(words)})"


def _remedy(source: Layer, target: Layer) -> str:
    """Return what makes the kernel fit: another reading of the source, or another argument of the target."""
    if len(source.shape) != len(target.shape):
        return "no conversion fits: they differ in their number of axes; pair this layer with another one"
    if layouts.STORED[target.framework].has_transpose_kernel and target.kind == "conv_transpose":
        other = dataclasses.replace(target, transpose_kernel=not target.transpose_kernel)
        if source.shape_in(other.layout) == target.shape:
            return f"it fits with transpose_kernel={other.transpose_kernel} in the layer"
    if source.kind == "conv_transpose":
        for groups in range(2, 1 + min(max(source.shape), _MOST_GROUPS)):
            a, b = (dataclasses.replace(layer, groups=groups) for layer in (source, target))
            if a.shape_in(b.layout) == target.shape:
                code = KernelConversion(a.layout, b.layout).code("kernel", source.shape)
                return f"it fits with groups={groups} in the layer: {code}"
    for framework in layouts.TARGETS:
        other = dataclasses.replace(source, framework=framework)
        if framework != source.framework and other.shape_in(target.layout) == target.shape:
            code = KernelConversion(other.layout, target.layout).code("kernel", source.shape)
            return f"it fits if the file has {framework}'s layout, by {code}: pass framework={framework!r}"
    return (
        "no conversion fits: build the layer with the source's kernel size and numbers of channels, or pair it with "
        "another one by names={source: target}"
    )


def _cast(name: str, array: np.ndarray, dtype: Any) -> np.ndarray:
    are_floating = jnp.issubdtype(array.dtype, jnp.floating) and jnp.issubdtype(dtype, jnp.floating)
    if array.dtype != dtype and not are_floating:
        got, legal = f"{array.dtype} in the source, {dtype} in the target", "floating numbers in both, or one dtype"
        fix = "convert the source first; quantised layers have to be dequantised"
        raise ArgumentTypeError(f"{name} is not of floating numbers", got=got, legal=legal, fix=fix)
    return np.ascontiguousarray(array.astype(dtype, copy=False))


def _differences(source: Layer, target: Layer) -> list[str]:
    """Return notes on differences that change the numbers and are not parameters."""
    found = []
    if source.epsilon is not None and target.epsilon is not None and not np.isclose(source.epsilon, target.epsilon):
        found.append(f"epsilon is {target.epsilon:g} here, and {source.epsilon:g} in the source")
    if source.spec is not None and target.spec is not None and source.spec != target.spec:
        found.append(f"another geometry: {target.spec!r} here, {source.spec!r} in the source")
    return found


def _flatten_note(framework: str, targets: Sequence[Layer]) -> list[str]:
    """Return a warning if dense layers and convolutions move between channels first and channels last."""
    channels_first = layouts.STORED[framework].channels_first
    moved = any(layouts.STORED[layer.framework].channels_first != channels_first for layer in targets)
    kinds = {layer.kind for layer in targets}
    if not moved or "dense" not in kinds or kinds <= {"dense", "norm"}:
        return []
    return [
        "images are flattened in another order with channels first than with channels last: reorder the features of a "
        "dense layer before or after a flattened image yourself, as this is not done here"
    ]
