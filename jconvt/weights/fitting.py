"""One layer's arrays as another's: the kernel permuted, everything checked against what the target wants."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from .._geometry.kernel_layout import KernelConversion
from ..errors import ArgumentError, ArgumentTypeError
from . import frameworks
from .frameworks import UNKNOWN
from .layer import ROLES, Checkpoint, Layer
from .pairing import Names, Pair, check_complete, pair
from .report import Report, Row


class Fitted(NamedTuple):
    """The arrays of each target, by path and role, and the report."""

    arrays: dict[str, dict[str, np.ndarray]]
    report: Report


def fit(
    checkpoint: Checkpoint,
    targets: dict[str, Layer],
    others: Sequence[str] = (),
    names: Names = None,
    strict: bool = True,
) -> Fitted:
    """The checkpoint's arrays as the targets', whose own arrays give shapes and dtypes alone.

    ``others`` are parameters of the target that are in no layer of a known kind.

    Raises:
      ArgumentError: a target stays unmatched though ``strict``, or something does not fit.
      ArgumentTypeError: numbers that the target's dtype cannot hold.
    """
    pairs = pair(checkpoint, targets, names)
    if strict:
        check_complete(checkpoint, pairs, targets, list(others))
    arrays, rows, notes, unused = {}, [], [], []
    for each in pairs:
        source, target = checkpoint.layers[each.source], targets[each.target]
        arrays[each.target], conversion = _fitted(each, source, target)
        kind = target.kind
        rows.append(Row(each.source, each.target, kind, source.shape, target.shape, conversion, each.rule))
        notes += _differences(each, source, target)
        unused += [f"{each.source}: {role}" for role in source.arrays if role not in ROLES]
    used, filled = {each.source for each in pairs}, {each.target for each in pairs}
    for path, layer in checkpoint.layers.items():
        if path not in used:
            unused.append(f"{path} ({layer.kind}: {', '.join(layer.arrays)})")
    missing = [*(path for path in targets if path not in filled), *others]
    notes += _flattened(checkpoint, targets, pairs)
    return Fitted(arrays, Report(tuple(rows), tuple(unused), tuple(missing), tuple(notes)))


def _fitted(each: Pair, source: Layer, target: Layer) -> tuple[dict[str, np.ndarray], str]:
    """The target's arrays, and the conversion of its kernel in words."""
    where = f"layer {each.source!r}, for {each.target!r}"
    source = _of_one_kind(where, source, target)
    _check_roles(where, source, target)
    arrays, words = {}, ""
    for role, wanted in target.arrays.items():
        array = source.arrays[role]
        if role == "kernel":
            conversion = KernelConversion(source.layout, target.layout)
            if source.shape_in(target.layout) != tuple(wanted.shape):
                raise _misfit(where, source, target)
            array, words = conversion(array), conversion.code("kernel", source.shape)
            words = "" if words == "kernel" else words.removeprefix("kernel")
        elif array.shape != wanted.shape and not _same_vector(array.shape, tuple(wanted.shape)):
            raise ArgumentError(
                f"the {role} of {where} does not fit",
                got=f"{role} of shape {tuple(array.shape)} in the source, kernel {source.shape}",
                legal=f"shape {tuple(wanted.shape)}, the target's, with {_described(target)}",
                fix="build the layer with the source's number of features and groups, or pair it with another one",
            )
        arrays[role] = _cast(f"the {role} of {where}", array.reshape(tuple(wanted.shape)), wanted.dtype)
    kernel = source.arrays.get("kernel", next(iter(source.arrays.values())))
    wanted = next(iter(target.arrays.values()))
    dtype = "" if kernel.dtype == wanted.dtype else f"{kernel.dtype} to {wanted.dtype}"
    return arrays, ", ".join(part for part in (words, dtype) if part) or "as it is"


def _same_vector(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether one is the other but for axes of size 1, as Equinox's convolutions have them in their bias."""
    if len(shape) == 1:
        return shape[0] == np.prod(wanted, dtype=int)
    return shape[:1] == wanted and set(shape[1:]) == {1}


def _of_one_kind(where: str, source: Layer, target: Layer) -> Layer:
    """The source, told what the target knows of it."""
    if source.kind not in (target.kind, UNKNOWN) and target.kind != UNKNOWN:
        raise ArgumentError(
            f"{where} is of another kind",
            got=f"{source.kind} in the source, {source.shape}",
            legal=f"{target.kind}, {target.shape}",
            fix="pass names that pair layers of one kind; or, if the file was misread, kinds={path: kind}",
        )
    if source.kind == UNKNOWN:
        source = dataclasses.replace(source, kind=target.kind).grouped()
    if source.groups is None:
        return dataclasses.replace(source, groups=target.groups)
    if target.groups is not None and source.groups != target.groups:
        raise ArgumentError(
            f"the groups of {where} differ",
            got=f"groups {source.groups} in the source, kernel {source.shape}",
            legal=f"groups {target.groups}, the target's, kernel {target.shape}",
            fix=f"build the layer with {source.groups} groups",
        )
    return source


def _check_roles(where: str, source: Layer, target: Layer) -> None:
    lacking = [role for role in target.arrays if role not in source.arrays]
    beyond = [role for role in source.arrays if role in ROLES and role not in target.arrays]
    if not lacking and not beyond:
        return
    role, side = (lacking[0], "target") if lacking else (beyond[0], "source")
    flag = {"bias": "use_bias", "scale": "use_scale"}.get(role)
    if role in ("mean", "var"):
        fix = "pair a batch normalisation with one; in Equinox, pass its state, too"
    else:
        fix = f"build the layer {'without' if lacking else 'with'} it ({flag}={not lacking})" if flag else "pair others"
    raise ArgumentError(
        f"{where}: the {side} alone has a {role}",
        got=f"{', '.join(source.arrays)} in the source",
        legal=f"{', '.join(target.arrays)}, the target's",
        fix=fix,
    )


def _described(layer: Layer) -> str:
    words = [layer.kind]
    words += [f"groups {layer.groups}"] if layer.groups and layer.groups > 1 else []
    words += ["transpose_kernel"] if layer.transpose_kernel else []
    return f"kernel {layer.shape} ({layer.framework}: {', '.join(words)})"


def _misfit(where: str, source: Layer, target: Layer) -> ArgumentError:
    shape = source.shape_in(target.layout)
    got = f"{_described(source)}, which becomes {shape}" if shape else _described(source)
    return ArgumentError(
        f"the kernel of {where} does not fit",
        got=got,
        legal=f"{_described(target)}",
        fix=_remedy(source, target),
    )


def _remedy(source: Layer, target: Layer) -> str:
    """The reading of the source's kernel, or the change of the target, with which it would fit."""
    if len(source.shape) != len(target.shape):
        return "no conversion fits: they differ in their number of axes; pair this layer with another one"
    wanted = target.shape
    if target.framework == "flax" and target.kind == "conv_transpose":
        other = dataclasses.replace(target, transpose_kernel=not target.transpose_kernel)
        if source.shape_in(other.layout) == wanted:
            return f"it fits with transpose_kernel={other.transpose_kernel} in the layer"
    if source.kind == "conv_transpose":
        for groups in range(2, 1 + min(max(source.shape), 4096)):
            both = [dataclasses.replace(layer, groups=groups) for layer in (source, target)]
            if both[0].shape_in(both[1].layout) == wanted:
                code = KernelConversion(both[0].layout, both[1].layout).code("kernel", source.shape)
                return f"it fits with groups={groups} in the layer: {code}"
    for framework in frameworks.TARGETS:
        other = dataclasses.replace(source, framework=framework)
        if framework != source.framework and other.shape_in(target.layout) == wanted:
            code = KernelConversion(other.layout, target.layout).code("kernel", source.shape)
            return f"it fits if the file's arrays lie as {framework}'s do, by {code}: pass framework={framework!r}"
    return (
        "no conversion fits: build the layer with the source's kernel size and numbers of channels, or pair it with "
        "another one by names={source: target}"
    )


def _cast(what: str, array: np.ndarray, dtype: Any) -> np.ndarray:
    if array.dtype == dtype:
        return np.ascontiguousarray(array)
    if not (jnp.issubdtype(array.dtype, jnp.floating) and jnp.issubdtype(dtype, jnp.floating)):
        raise ArgumentTypeError(
            f"{what} is not of floating numbers",
            got=f"{array.dtype} in the source, {dtype} in the target",
            legal="floating numbers in both, or one dtype",
            fix="convert the source first; quantised layers have to be dequantised",
        )
    return np.ascontiguousarray(array.astype(dtype))


def _differences(each: Pair, source: Layer, target: Layer) -> list[str]:
    """What is no parameter, and still changes the numbers."""
    found = []
    if source.epsilon is not None and target.epsilon is not None and not np.isclose(source.epsilon, target.epsilon):
        found.append(f"{each.target}: epsilon is {target.epsilon:g} here, and {source.epsilon:g} in the source")
    if source.spec is not None and target.spec is not None and source.spec != target.spec:
        found.append(f"{each.target}: another geometry: {target.spec!r} here, {source.spec!r} in the source")
    return found


_CHANNELS_FIRST = ("torch", "onnx", "equinox")


def _flattened(checkpoint: Checkpoint, targets: dict[str, Layer], pairs: Sequence[Pair]) -> list[str]:
    """A warning of dense layers beside convolutions, between channels first and channels last."""
    layers = [targets[each.target] for each in pairs]
    turned = any((layer.framework in _CHANNELS_FIRST) != (checkpoint.framework in _CHANNELS_FIRST) for layer in layers)
    kinds = {layer.kind for layer in layers}
    if not turned or "dense" not in kinds or kinds == {"dense", "norm"} or kinds == {"dense"}:
        return []
    return [
        "images are flattened in another order with channels first than with channels last: a dense layer before or "
        "after such a step needs its features reordered, which is not done here"
    ]
