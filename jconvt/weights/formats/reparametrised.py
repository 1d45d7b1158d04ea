"""Kernels that PyTorch stores as several arrays: those of ``weight_norm``, ``spectral_norm`` and ``prune``.

They are computed as the module computes them in evaluation, in float64, and are rounded once to the stored dtype.
"""

import re
from collections.abc import Callable, Iterable, Mapping

import jax.numpy as jnp
import numpy as np

from ...errors import ArgumentError
from .._errors import listed

_Kind = Callable[[str], str | None]  # what is known of the kind of the layer at a path

_OLD = re.compile(r"(.*\.)?weight_([a-z]+)")
_NEW = re.compile(r"(.*\.)?parametrizations\.weight\.(.+)")
_NEW_PARTS = {"original0": "g", "original1": "v", "original": "orig", "0._u": "u", "0._v": "v"}
_FIRST_AXIS = {"conv": 0, "conv_transpose": 1}  # of the matrix of PyTorch's spectral_norm, by kind; 0 for all others
_LONG = 16  # two vectors of so many numbers are not almost parallel by chance


def fold(
    arrays: Mapping[str, np.ndarray], unread: Mapping[str, str], kind: _Kind
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays by name, with one kernel for each set of parts, and why others cannot be read.

    Raises:
      ArgumentError: a part of a set is missing, or the parts do not determine the kernel.
    """
    names = dict.fromkeys((*arrays, *unread))
    sets = _sets(names)
    targets = {name: target for target, parts in sets.items() for name in parts.values()}
    folded, hidden = {}, {}
    for name in names:
        target = targets.get(name, name)
        if target in folded or target in hidden:
            continue
        parts = sets.get(target, {})
        if lost := [each for each in (target, *parts.values()) if each in unread]:
            hidden[target] = unread[lost[0]]
        elif not parts or (target in names and set(parts) == {"orig", "u"}):  # so PyTorch before 1.0 stored it
            folded[target] = arrays[target]
        elif target in names or (compute := _function(target, parts)) is None:
            hidden[target] = f"computed from {listed(parts.values())}"
        elif all(jnp.issubdtype(arrays[each].dtype, jnp.floating) for each in parts.values()):
            folded[target] = compute(target, {part: arrays[each] for part, each in parts.items()}, kind)
        else:
            hidden[target] = f"computed from {listed(parts.values())}, which are not floating numbers"
    return folded, hidden


def _sets(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the names of each set's parts, by the name of its kernel."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        if match := _NEW.fullmatch(name) or _OLD.fullmatch(name):
            part, parts = _NEW_PARTS.get(match[2], match[2]), found.setdefault(f"{match[1] or ''}weight", {})
            parts[name if part in parts else part] = name
    known = {part for parts in _FUNCTIONS for part in parts}
    return {target: parts for target, parts in found.items() if parts.keys() & known}


def _function(target: str, parts: Mapping[str, str]) -> Callable[..., np.ndarray] | None:
    """Return the function that computes the kernel, or ``None`` if there is none, or raise if a part is missing."""
    stored = frozenset(parts)
    is_whole = stored == {"orig"} and all(map(_NEW.fullmatch, parts.values()))  # with a function without parameters
    if stored in _FUNCTIONS or is_whole or not any(stored < each for each in _FUNCTIONS):
        return _FUNCTIONS.get(stored)
    legal = "weight_g and weight_v, or weight_orig, weight_u and weight_v, or the parts of parametrizations.weight"
    fix = "save the whole state_dict again, or call remove_weight_norm before"
    raise ArgumentError(f"parts of {target} are missing", got=listed(parts.values()), legal=legal, fix=fix)


def _weight_norm(target: str, parts: Mapping[str, np.ndarray], kind: _Kind) -> np.ndarray:
    """Return g * v / norm(v), over all axes but the one along which g has several numbers."""
    g, v = parts["g"].astype(np.float64), parts["v"].astype(np.float64)
    long = [axis for axis, size in enumerate(g.shape) if size > 1]
    # A g of one number is for the whole of v, or for an axis of size 1, and then the norm is the same.
    is_whole = g.size == 1 and (g.ndim < 2 or (g.ndim == v.ndim and 1 in v.shape))
    if not is_whole and not (g.ndim == v.ndim and len(long) == 1 and g.shape[long[0]] == v.shape[long[0]]):
        raise _no_fit(target, parts, "g with the size of one axis of v, and 1 elsewhere; or a scalar")
    others = tuple(axis for axis in range(v.ndim) if axis not in long)
    with np.errstate(invalid="ignore", divide="ignore"):  # a v of zeros gives NaN in PyTorch, too
        kernel = v * (g.reshape(g.shape if long else ()) / np.sqrt(np.sum(v * v, others, keepdims=True)))
    return kernel.astype(parts["v"].dtype)


def _spectral_norm(target: str, parts: Mapping[str, np.ndarray], kind: _Kind) -> np.ndarray:
    """Return the kernel over u . (matrix @ v). The matrix has one of the kernel's axes first, and all others second."""
    kernel, u, v = (parts[part].astype(np.float64) for part in ("orig", "u", "v"))
    scales, evident = {}, []
    for axis, size in enumerate(kernel.shape):
        if u.shape == (size,) and v.shape == (kernel.size // size,):
            matrix = np.moveaxis(kernel, axis, 0).reshape(size, -1)
            left, right = v @ matrix.T, u @ matrix
            scales[axis] = u @ left
            # Of the right matrix, u and v are almost singular vectors.
            if abs(scales[axis]) > 0.9 * max(np.linalg.norm(left), np.linalg.norm(right)):
                evident.append(axis)
    if not scales:
        raise _no_fit(target, parts, "u with the size of one axis of the kernel, and v with that of all others")
    axis = next(iter(scales))
    if len(set(scales.values())) > 1:
        path = target.rpartition(".")[0]
        usual = 0 if kernel.ndim == 2 else _FIRST_AXIS.get(str(kind(path)))
        is_clear = len(evident) == 1 and len(parts["v"]) >= _LONG
        axis = evident[0] if is_clear else usual
        if axis not in scales or (len(evident) == 1 and axis != evident[0]):
            problem = f"the spectral norm of {target} fits two matrices of its kernel"
            legal = (
                "a kind: the matrix of a convolution has axis 0 of the kernel first, that of a transposed one axis 1"
            )
            fix = f"pass kinds={{{path!r}: 'conv_transpose'}} or 'conv', or --kind '{path}=conv_transpose'"
            if usual is not None:
                legal = f"u and v that are singular vectors of the matrix with axis {usual} first, as usual"
                fix = "save the state_dict after remove_spectral_norm or remove_parametrizations, of torch.nn.utils"
            raise ArgumentError(problem, got=_shapes(parts), legal=legal, fix=fix)
    return (kernel / scales[axis]).astype(parts["orig"].dtype)


def _pruned(target: str, parts: Mapping[str, np.ndarray], kind: _Kind) -> np.ndarray:
    kernel, mask = parts["orig"], parts["mask"]
    if kernel.shape != mask.shape:
        raise _no_fit(target, parts, "a mask of the kernel's shape")
    return kernel * mask.astype(kernel.dtype)


_FUNCTIONS: dict[frozenset[str], Callable[..., np.ndarray]] = {
    frozenset({"g", "v"}): _weight_norm,
    frozenset({"orig", "u", "v"}): _spectral_norm,
    frozenset({"orig", "mask"}): _pruned,
}


def _no_fit(target: str, parts: Mapping[str, np.ndarray], legal: str) -> ArgumentError:
    return ArgumentError(f"the parts of {target} do not fit", got=_shapes(parts), legal=legal, fix="save it again")


def _shapes(parts: Mapping[str, np.ndarray]) -> str:
    return ", ".join(f"{part} {array.shape}" for part, array in parts.items())
