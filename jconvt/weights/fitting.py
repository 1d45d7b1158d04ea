"""Fitting one layer of a checkpoint to one of a model, array by array.

Kernels are converted to the model's layout, and every array is checked against the model's shape and dtype.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._geometry.kernel_layout import KernelConversion
from ..errors import ArgumentError, ArgumentTypeError
from . import layouts, slopes
from .checkpoint import Layer
from .layouts import OTHER, ROLES, UNKNOWN

_MOST_GROUPS = 4096  # tried for a hint in an error message


def obstacle(source: Layer, target: Layer) -> str:
    """Return in which property two layers do not fit: "kind", "groups", "roles", a role, or "" if they fit."""
    if not source.may_be(target.kind) and target.kind != UNKNOWN:
        return "kind"
    source = _completed(source, target)
    if target.groups is not None and source.groups != target.groups:
        return "groups"
    if set(target.arrays) != {role for role in source.arrays if role in ROLES}:
        return "roles"
    for role, wanted in target.arrays.items():
        shape, found = tuple(wanted.shape), tuple(source.arrays[role].shape)
        fits = source.shape_in(target.layout) == shape if role == "kernel" else _same_vector(found, shape)
        if not fits:
            return role
    return ""


def check_fit(old: str, new: str, layers: Mapping[str, Layer], target: Layer) -> None:
    """Raise an error that says why layer ``old`` of ``layers`` does not fit, and which one does.

    Raises:
      ArgumentError: the layers do not fit.
    """
    source, where = layers[old], f"layer {old!r}, for {new!r}"
    found = obstacle(source, target)
    if not found:
        return
    others = [path for path, each in layers.items() if each.kind != OTHER and not obstacle(each, target)]
    line = f"names={{{others[0]!r}: {new!r}}}" if others else "names={source: target}"
    also = f"; or pair another one, as {line}" if others else ""
    if found == "kind":
        problem = f"{where} is of another kind"
        got, legal = f"{source.kind} in the source, {source.shape}", f"{target.kind}, {target.shape}"
        fix = f"pass names that pair layers of one kind, as {line}; or, if the file was misread, kinds={{path: kind}}"
        raise ArgumentError(problem, got=got, legal=legal, fix=fix)
    source = _completed(source, target)
    if found == "groups":
        problem, got = f"the groups of {where} differ", f"groups {source.groups} in the source, kernel {source.shape}"
        legal = f"groups {target.groups}, as in the target, kernel {target.shape}"
        fix = f"build the layer with {source.groups} groups{also}"
    elif found == "roles":
        problem, fix = _roles_differ(where, source, target)
        fix += also
        got, legal = f"{', '.join(source.arrays)} in the source", f"{', '.join(target.arrays)}, as in the target"
    elif found == "kernel":
        shape = source.shape_in(target.layout)
        problem, legal = f"the kernel of {where} does not fit", _describe(target)
        got = f"{_describe(source)}, which becomes {shape}" if shape else _describe(source)
        fix = _remedy(source, target, line)
    else:
        problem, shape = f"the {found} of {where} does not fit", tuple(source.arrays[found].shape)
        got = f"{found} of shape {shape} in the source, kernel {source.shape}"
        legal = f"shape {tuple(target.arrays[found].shape)}, as in the target, with {_describe(target)}"
        fix = f"build the layer with the source's number of features and groups, or pair another one, as {line}"
        fix = slopes.FIX if found == "negative_slope" else fix
    raise ArgumentError(problem, got=got, legal=legal, fix=fix)


def fit_layer(old: str, new: str, source: Layer, target: Layer) -> tuple[dict[str, np.ndarray], str]:
    """Return the arrays of a target that fits, and the conversion of its kernel as text.

    Raises:
      ArgumentTypeError: the target's dtype cannot hold the numbers.
    """
    source = _completed(source, target)
    arrays, code = {}, ""
    for role, wanted in target.arrays.items():
        array = source.arrays[role]
        if role == "kernel":
            conversion = KernelConversion(source.layout, target.layout)
            array, code = conversion(array), conversion.code("kernel", source.shape).removeprefix("kernel")
        arrays[role] = _cast(f"the {role} of layer {old!r}, for {new!r}", array.reshape(wanted.shape), wanted.dtype)
    before = source.arrays.get("kernel", next(iter(source.arrays.values()))).dtype
    after = next(iter(target.arrays.values())).dtype
    cast = "" if before == after else f"{before} to {after}"
    return arrays, ", ".join(filter(None, (code, cast))) or "as it is"


def differences(source: Layer, target: Layer) -> list[str]:
    """Return notes on differences that change the numbers and are not parameters."""
    found = []
    if source.epsilon is not None and target.epsilon is not None and not np.isclose(source.epsilon, target.epsilon):
        found.append(f"epsilon is {target.epsilon:g} here, and {source.epsilon:g} in the source")
    if source.spec is not None and target.spec is not None and source.spec != target.spec:
        found.append(f"another geometry: {target.spec!r} here, {source.spec!r} in the source")
    return found


def _same_vector(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether the shapes differ only by axes of size 1, which the bias of an Equinox convolution has."""
    if len(shape) == 1:
        return shape[0] == np.prod(wanted, dtype=int)
    return shape == wanted or (shape[:1] == wanted and set(shape[1:]) == {1})


def _completed(source: Layer, target: Layer) -> Layer:
    """Return the source with the target's kind and groups, where its file does not say."""
    if source.kind != target.kind and target.kind != UNKNOWN:
        source = source.as_kind(target.kind)
    if target.kind == "prelu":
        source = slopes.fitted(source, target)
    return source if source.groups is not None else dataclasses.replace(source, groups=target.groups)


def _roles_differ(where: str, source: Layer, target: Layer) -> tuple[str, str]:
    """Return the problem and the fix if only one of the layers has an array."""
    lacking = [role for role in target.arrays if role not in source.arrays]
    extra = [role for role in source.arrays if role in ROLES and role not in target.arrays]
    role, side = (lacking[0], "target") if lacking else (extra[0], "source")
    flag = {"bias": "use_bias", "scale": "use_scale"}.get(role)
    if role in ("mean", "var"):
        fix = "pair a batch normalisation with one; in Equinox, pass its state, too"
    else:
        option = f" ({flag}={not lacking})" if flag else ""
        fix = f"build the layer {'without' if lacking else 'with'} it{option}"
    return f"{where}: only the {side} has a {role}", fix


def _describe(layer: Layer) -> str:
    words = [layer.kind]
    words += [f"groups {layer.groups}"] if layer.groups and layer.groups > 1 else []
    words += ["transpose_kernel"] if layer.transpose_kernel else []
    return f"kernel {layer.shape} ({layer.framework}: {', '.join(words)})"


def _remedy(source: Layer, target: Layer, line: str) -> str:
    """Return what makes the kernel fit: another reading of the source, or another argument of the target."""
    if len(source.shape) != len(target.shape):
        return f"no conversion fits: they differ in their number of axes; pair another layer, as {line}"
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
        "no conversion fits: build the layer with the source's kernel size and numbers of channels, or pair another "
        f"one, as {line}"
    )


def _cast(name: str, array: np.ndarray, dtype: Any) -> np.ndarray:
    are_floating = jnp.issubdtype(array.dtype, jnp.floating) and jnp.issubdtype(dtype, jnp.floating)
    if array.dtype != dtype and not are_floating:
        got, legal = f"{array.dtype} in the source, {dtype} in the target", "floating numbers in both, or one dtype"
        fix = "convert the source first; quantised layers have to be dequantised"
        raise ArgumentTypeError(f"{name} is not of floating numbers", got=got, legal=legal, fix=fix)
    return np.asarray(array, dtype, order="C")  # np.ascontiguousarray would add an axis to a slope without one
