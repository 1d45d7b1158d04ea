"""Loading models of ``flax.linen`` from checkpoints, and the inverse."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...errors import ArgumentError
from .._errors import listed, require
from ..checkpoint import Checkpoint, Layer
from ..layouts import ROLES
from ..matching import fit
from ..names import Names
from ..report import Report
from ._check import Check, checked, difference_of, precision
from ._modules import dotted, kind, to_checkpoint, to_layer

_Path = tuple[str, ...]

_COLLECTIONS = {"mean": "batch_stats", "var": "batch_stats"}  # by role; other arrays are "params"


def into_linen(
    checkpoint: Checkpoint,
    module: Any,
    *inputs: Any,
    variables: Mapping[str, Any] | None = None,
    names: Names = None,
    strict: bool = True,
    by_order: bool = False,
    check: Check = None,
    tolerance: float | None = None,
    **keywords: Any,
) -> tuple[dict[str, Any], Report]:
    """Return the variables of a linen module, with a checkpoint's numbers.

    Args:
      checkpoint: from ``jconvt.weights.read``.
      module: the ``flax.linen.Module``.
      *inputs: example inputs of its call. Only their shapes are used, and nothing is computed.
      variables: the module's variables, for everything that the checkpoint does not have; by default there are none.
      names: the name map, ``{source path: target path}``, or a function from source to target. A module's path is
        that of its parameters, joined by dots: "decoder.ConvTranspose_0".
      strict: whether every parameter must be in the checkpoint.
      by_order: whether layers that paths and shapes do not pair are paired by order: that of the file, and that of the
        module's calls. The report lists these guesses.
      check: ``(inputs, output)``, with a tuple for several inputs: the module has to give this output of the original
        model, in the axes that the module has.
      tolerance: the largest difference from this output that is accepted, relative to its largest number; by default
        3e-4 for float32, the square root of the machine epsilon.
      **keywords: further arguments of its call, such as ``train=False``. ``check`` needs those for evaluation.

    Returns:
      The variables, with the dtypes that the module declares, and a ``Report``.

    Raises:
      ArgumentError: layers are not matched, could be matched otherwise too, or do not fit; or the output differs.
      ArgumentTypeError: the module's dtype cannot hold the numbers.

    >>> import flax.linen as nn, jax.numpy as jnp, numpy as np
    >>> from jconvt.weights import Checkpoint, Layer
    >>> up = Layer("conv_transpose", {"kernel": np.ones((8, 4, 3, 3)), "bias": np.ones(4)}, "torch", groups=1)
    >>> module = nn.ConvTranspose(4, (3, 3), strides=(2, 2))
    >>> variables, report = into_linen(Checkpoint({"up": up}, "torch"), nn.Sequential([module]), jnp.ones((1, 5, 5, 8)))
    >>> variables["params"]["layers_0"]["kernel"].shape
    (3, 3, 8, 4)
    """
    layers, shapes, _ = _trace(module, inputs, keywords)
    unowned = [dotted(path[1:]) for path in shapes if path[1:-1] not in layers]
    targets = {dotted(path): layer for path, layer in layers.items()}
    fitted, report = fit(checkpoint, targets, unowned, names, strict, by_order)
    filled = _leaves(variables or {})
    for path in layers:
        for role, array in fitted.get(dotted(path), {}).items():
            filled[_COLLECTIONS.get(role, "params"), *path, role] = jnp.asarray(array)
    missing = [dotted(path[1:]) for path in sorted(shapes.keys() - filled.keys())]
    if missing:
        problem, got = "the checkpoint does not fill all of the module's variables", f"no numbers for {listed(missing)}"
        fix = "pass variables=module.init(key, *inputs)"
        raise ArgumentError(problem, got=got, legal="numbers for all, or variables to leave unchanged", fix=fix)
    loaded = require("flax.traverse_util", "loading into a linen module").unflatten_dict(filled)
    if check is not None:
        report = checked(report, functools.partial(module.apply, loaded, **keywords), check, tolerance, fitted)
    return loaded, report


def from_linen(variables: Mapping[str, Any], module: Any, *inputs: Any, **keywords: Any) -> Checkpoint:
    """Return the checkpoint of a linen module with these variables; the other arguments are those of ``into_linen``.

    A layer in a ``WeightNorm`` or ``SpectralNorm`` has the kernel that it is called with.

    Raises:
      ArgumentError: such a layer is called with several kernels.

    >>> import flax.linen as nn, jax, jax.numpy as jnp
    >>> module, x = nn.Sequential([nn.ConvTranspose(4, (3, 3))]), jnp.ones((1, 5, 5, 8))
    >>> print(from_linen(module.init(jax.random.key(0), x), module, x))
    layer     kind            groups  arrays
    layers_0  conv_transpose  1       kernel (3, 3, 8, 4), bias (4,)
    """
    layers, arrays, wrappers = _trace(module, inputs, keywords, variables)
    unowned = {
        dotted(path[1:]): array
        for path, array in arrays.items()
        if path[0] in ("params", *_COLLECTIONS.values()) and path[1:-1] not in (*layers, *wrappers)
    }
    named = {dotted(path): layer for path, layer in layers.items()}
    return to_checkpoint(named, unowned, "flax", source="the module")


def _trace(
    module: Any, inputs: tuple[Any, ...], keywords: dict[str, Any], variables: Any = None
) -> tuple[dict[_Path, Layer], dict[_Path, Any], set[_Path]]:
    """Return the layers by path, in the order of calls; all arrays, or without ``variables`` shapes; and the wrappers.

    A layer in a ``WeightNorm`` or ``SpectralNorm`` is called with other arrays than its parameters. So without
    ``variables``, which these are computed from, it is left out.
    """
    nn, key = require("flax.linen", "loading into a linen module"), jax.random.key(0)
    calls = _Calls(nn)
    with nn.intercept_methods(calls.record):
        shapes = jax.eval_shape(lambda *xs: module.init({"params": key, "dropout": key}, *xs, **keywords), *inputs)
    arrays = _leaves(shapes if variables is None else variables)
    if variables is not None and calls.wrapped:
        arrays |= _compute(module, inputs, keywords, variables, sorted(calls.wrapped & arrays.keys()))
    layers = {}
    for path, each in calls.modules.items():
        places = {role: (_COLLECTIONS.get(role, "params"), *path, role) for role in ROLES}
        if variables is None and not calls.wrapped.isdisjoint(places.values()):
            continue
        found = {role: arrays[place] for role, place in places.items() if place in arrays}
        if layer := to_layer(each, found, "flax"):
            layers[path] = layer
    return layers, arrays, calls.wrappers


class _Calls:
    """The layers that a module calls, by path, and the arrays that they are called with."""

    def __init__(self, nn: Any):
        self._wrapper_classes, self._depth = (nn.WeightNorm, nn.SpectralNorm), 0
        self.modules: dict[_Path, Any] = {}
        self.wrappers: set[_Path] = set()
        self.wrapped: set[_Path] = set()  # the arrays of layers in wrappers
        self.arrays: dict[_Path, list[Any]] = {}  # of each call

    def record(self, call: Any, arguments: Any, options: Any, context: Any) -> Any:
        """Record a call, and make it."""
        module, is_call = context.module, context.method_name == "__call__"
        is_wrapper = is_call and isinstance(module, self._wrapper_classes)
        if is_wrapper:
            self.wrappers.add(tuple(module.path))
        elif is_call:
            self._record(tuple(module.path), module)
        self._depth += is_wrapper
        try:
            return call(*arguments, **options)
        finally:
            self._depth -= is_wrapper

    def _record(self, path: _Path, module: Any) -> None:
        if kind(module) is not None:
            self.modules.setdefault(path, module)
        for collection, variables in module.variables.items():
            for name, value in variables.items():
                if not isinstance(value, Mapping):  # of another module
                    place = (collection, *path, name)
                    self.arrays.setdefault(place, []).append(jax.tree.leaves(value)[0])  # not its box
                    if self._depth:
                        self.wrapped.add(place)


def _compute(
    module: Any, inputs: Any, keywords: dict[str, Any], variables: Any, places: list[_Path]
) -> dict[_Path, jax.Array]:
    """Return the arrays at these places, as their layers are called with them."""
    nn, key, shapes = require("flax.linen", "reading a linen module"), jax.random.key(0), jax.eval_shape(tuple, inputs)

    @jax.jit
    def arrays(variables: Any) -> list[Any]:
        calls, zeros = _Calls(nn), jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
        with nn.intercept_methods(calls.record):
            module.apply(variables, *zeros, mutable=True, rngs={"params": key, "dropout": key}, **keywords)
        return [calls.arrays[place] for place in places]

    try:
        found = dict(zip(places, arrays(variables), strict=True))
    except jax.errors.UnexpectedTracerError as error:
        got, legal = listed(map(dotted, places)), "a WeightNorm or SpectralNorm outside of transformations"
        fix = "wrap the layer outside of nn.scan, nn.remat, nn.jit and nn.vmap"
        raise ArgumentError("kernels are computed in a transformation", got=got, legal=legal, fix=fix) from error
    for place, (first, *others) in found.items():
        # The compiler may round each call's kernel differently.
        if any(difference_of(np.asarray(each), np.asarray(first)) > precision(first.dtype) for each in others):
            got, legal = f"{1 + len(others)} calls with other values of {dotted(place)}", "the same in all calls"
            fix = "call the layer always, or never, in the same WeightNorm or SpectralNorm"
            raise ArgumentError("a layer is called with several kernels", got=got, legal=legal, fix=fix)
    return {place: first for place, (first, *_) in found.items()}


def _leaves(tree: Any) -> dict[_Path, Any]:
    """Return the arrays of nested dictionaries by path, without boxes such as ``nn.Partitioned``."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {tuple(str(key.key) for key in path if hasattr(key, "key")): leaf for path, leaf in leaves}
