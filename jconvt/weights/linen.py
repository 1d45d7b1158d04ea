"""Checkpoints into and out of models of ``flax.linen``."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import ArgumentError
from .fitting import fit
from .layer import ROLES, Checkpoint, Layer, listed, with_others
from .modules import COLLECTIONS, described, kind
from .packages import package
from .pairing import Names
from .report import Report


def into_linen(
    checkpoint: Checkpoint,
    module: Any,
    *inputs: Any,
    variables: Mapping[str, Any] | None = None,
    names: Names = None,
    strict: bool = True,
    **keywords: Any,
) -> tuple[dict[str, Any], Report]:
    """The variables of a linen module, with a checkpoint's numbers.

    Args:
      checkpoint: what ``jconvt.weights.read`` gave.
      module: the ``flax.linen.Module``.
      *inputs: example inputs of its call. They are traced for their shapes, and nothing is computed.
      variables: the module's variables, for what the checkpoint does not have; by default there are none.
      names: the name map, ``{source path: target path}``, or a function from the one to the other. A module's path is
        that of its parameters, joined by dots: "decoder.ConvTranspose_0".
      strict: whether every parameter has to be found.
      **keywords: further arguments of its call, such as ``train=False``.

    Returns:
      The variables, with the dtypes that the module declares, and a ``Report``.

    Raises:
      ArgumentError: layers that match nothing, or do not fit.
      ArgumentTypeError: numbers that the module's dtype cannot hold.

    >>> import flax.linen as nn, jax.numpy as jnp, numpy as np
    >>> from jconvt.weights import Checkpoint, Layer
    >>> up = Layer("conv_transpose", {"kernel": np.ones((8, 4, 3, 3)), "bias": np.ones(4)}, "torch", groups=1)
    >>> module = nn.ConvTranspose(4, (3, 3), strides=(2, 2))
    >>> variables, report = into_linen(Checkpoint({"up": up}, "torch"), nn.Sequential([module]), jnp.ones((1, 5, 5, 8)))
    >>> variables["params"]["layers_0"]["kernel"].shape
    (3, 3, 8, 4)
    """
    layers, shapes = _traced(module, inputs, keywords)
    owned = {path for path, _ in layers}
    loose = [path for path in _leaves(shapes) if path[1:-1] not in owned]
    targets = {".".join(path): layer for path, layer in layers}
    fitted = fit(checkpoint, targets, [".".join(path[1:]) for path in loose], names, strict)
    filled: dict[str, Any] = {}
    for path, array in _leaves(variables or {}).items():
        _put(filled, path, array)
    for path, _ in layers:
        for role, array in fitted.arrays.get(".".join(path), {}).items():
            collection = COLLECTIONS.get(role, "params")
            _put(filled, (collection, *path, role), jnp.asarray(array))
    lacking = [".".join(path[1:]) for path in sorted(_leaves(shapes).keys() - _leaves(filled).keys())]
    if lacking:
        raise ArgumentError(
            "the checkpoint does not fill all of the module's variables",
            got=f"no numbers for {listed(lacking)}",
            legal="numbers for all, or variables to leave as they are",
            fix="pass variables=module.init(key, *inputs)",
        )
    return filled, fitted.report


def from_linen(variables: Mapping[str, Any], module: Any, *inputs: Any, **keywords: Any) -> Checkpoint:
    """The checkpoint of a linen module with these variables; the other arguments are those of ``into_linen``.

    >>> import flax.linen as nn, jax, jax.numpy as jnp
    >>> module, x = nn.Sequential([nn.ConvTranspose(4, (3, 3))]), jnp.ones((1, 5, 5, 8))
    >>> print(from_linen(module.init(jax.random.key(0), x), module, x))
    layer     kind            groups  arrays
    layers_0  conv_transpose  1       kernel (3, 3, 8, 4), bias (4,)
    """
    layers, _ = _traced(module, inputs, keywords, variables)
    owned = {path for path, _ in layers}
    loose = {
        path[1:]: np.asarray(array)
        for path, array in _leaves(variables).items()
        if path[0] in ("params", *COLLECTIONS.values()) and path[1:-1] not in owned
    }
    found = {
        ".".join(path): Layer(**{**vars(layer), "arrays": {role: np.asarray(a) for role, a in layer.arrays.items()}})
        for path, layer in layers
    }
    return Checkpoint(with_others(found, loose, "flax"), "flax", source="the module")


def _traced(
    module: Any, inputs: tuple[Any, ...], keywords: dict[str, Any], variables: Any = None
) -> tuple[list[tuple[tuple[str, ...], Layer]], Any]:
    """The layers that a call of the module goes through, in its order, and the shapes of all variables."""
    nn = package("flax.linen", "loading into a linen module", "'jconvt[flax]'")
    seen: dict[tuple[str, ...], Any] = {}

    def see(call: Any, arguments: Any, options: Any, context: Any) -> Any:
        if context.method_name == "__call__" and kind(context.module) is not None:
            seen.setdefault(context.module.path, context.module)
        return call(*arguments, **options)

    key = jax.random.key(0)
    with nn.intercept_methods(see):
        shapes = jax.eval_shape(lambda *xs: module.init({"params": key, "dropout": key}, *xs, **keywords), *inputs)
    arrays = _leaves(shapes if variables is None else variables)
    layers = []
    for path, each in seen.items():
        own = {
            role: arrays[place] for role in ROLES if (place := (COLLECTIONS.get(role, "params"), *path, role)) in arrays
        }
        if own and (layer := described(each, own, "flax")):
            layers.append((tuple(path), layer))
    return layers, shapes


def _leaves(tree: Any) -> dict[tuple[str, ...], Any]:
    """The arrays of nested dictionaries, by path; those of boxes such as ``nn.Partitioned`` without the box."""
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        found[tuple(str(key.key) for key in path if hasattr(key, "key"))] = leaf
    return found


def _put(tree: dict[str, Any], path: tuple[str, ...], array: Any) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
    tree[path[-1]] = array
