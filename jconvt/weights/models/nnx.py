"""Loading models of ``flax.nnx`` from checkpoints, and the inverse."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from ...errors import ArgumentError
from .._errors import require
from ..checkpoint import Checkpoint, Layer
from ..layouts import ROLES
from ..matching import fit
from ..names import Names
from ..report import Report
from ._check import Check, checked
from ._modules import dotted, to_checkpoint, to_layer, walk


def into_nnx(
    checkpoint: Checkpoint,
    model: Any,
    names: Names = None,
    strict: bool = True,
    by_order: bool = False,
    check: Check = None,
    tolerance: float | None = None,
) -> Report:
    """Assign a checkpoint's numbers to an NNX model, in place.

    Args:
      checkpoint: from ``jconvt.weights.read``.
      model: the ``flax.nnx.Module``. It changes only if all of the checkpoint fits, and keeps its dtypes.
      names, strict, by_order: as for ``into_linen``. A module's path is that of its attributes: "decoder.up",
        "layers.0"; their order is that in which they were assigned.
      check, tolerance: as for ``into_linen``. A copy of the model runs in evaluation mode.

    Returns:
      A ``Report``.

    Raises:
      ArgumentError: layers are not matched, could be matched otherwise too, or do not fit; or the output differs. The
        model is unchanged.
      ArgumentTypeError: the model's dtype cannot hold the numbers; the model is unchanged.

    >>> import numpy as np
    >>> from flax import nnx
    >>> from jconvt.weights import Checkpoint, Layer
    >>> up = Layer("conv_transpose", {"kernel": np.ones((8, 4, 3, 3)), "bias": np.ones(4)}, "torch", groups=1)
    >>> model = nnx.Sequential(nnx.ConvTranspose(8, 4, (3, 3), rngs=nnx.Rngs(0)))
    >>> report = into_nnx(Checkpoint({"up": up}, "torch"), model)
    >>> float(model.layers[0].kernel[0, 0, 0, 0])
    1.0
    """
    nnx = require("flax.nnx", "loading into an NNX model")
    modules, targets, unowned = _parts(model, nnx)
    fitted, report = fit(checkpoint, targets, tuple(unowned), names, strict, by_order)
    _check_shared(modules, fitted)
    if check is not None:
        copy = nnx.clone(model)
        _assign(_parts(copy, nnx)[0], fitted)
        copy.eval()
        report = checked(report, copy, check, tolerance, fitted)
    _assign(modules, fitted)
    return report


def from_nnx(model: Any) -> Checkpoint:
    """Return the checkpoint of an NNX model.

    A layer in a ``WeightNorm`` or ``SpectralNorm`` has the kernel that it is called with in evaluation.

    >>> from flax import nnx
    >>> print(from_nnx(nnx.Sequential(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))))
    layer     kind   groups  arrays
    layers.0  dense  -       kernel (2, 3), bias (3,)
    """
    nnx = require("flax.nnx", "reading an NNX model")
    if _wrappers(model, nnx):
        model = nnx.clone(model)
        for wrapper in _wrappers(model, nnx):
            _normalize(wrapper, nnx)
    _, layers, unowned = _parts(model, nnx, with_wrapped=True)
    return to_checkpoint(layers, {path: variable[...] for path, variable in unowned.items()}, "flax")


def _assign(modules: Mapping[str, Any], fitted: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    for path, arrays in fitted.items():
        for role, array in arrays.items():
            getattr(modules[path], role)[...] = jnp.asarray(array)


def _check_shared(modules: Mapping[str, Any], fitted: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Raise an error if a variable that several layers share would get different numbers."""
    first: dict[int, tuple[str, np.ndarray]] = {}
    for path, arrays in fitted.items():
        for role, array in arrays.items():
            other, numbers = first.setdefault(id(getattr(modules[path], role)), (path, array))
            if not np.array_equal(numbers, array):
                problem = f"layers {other!r} and {path!r} of the target share one {role}"
                got, legal = (
                    "different numbers for them in the source",
                    "the same numbers, or a variable for each layer",
                )
                fix = "build the layers without sharing; or correct their pairs, by names={source: target}"
                raise ArgumentError(problem, got=got, legal=legal, fix=fix)


def _wrappers(model: Any, nnx: Any) -> list[Any]:
    return [module for _, module in _walk(model, nnx) if isinstance(module, nnx.WeightNorm | nnx.SpectralNorm)]


def _walk(model: Any, nnx: Any) -> Iterator[tuple[str, Any]]:
    return walk(model, nnx.Module, lambda module: vars(module).items(), seen=set())


def _normalize(wrapper: Any, nnx: Any) -> None:
    """Replace the wrapped layer's parameters by those that it is called with in evaluation."""
    layer = wrapper.layer_instance
    original = type(layer)

    class Uncalled(original):
        def __call__(self, *arguments: Any, **keywords: Any) -> None:
            return None

    layer.__class__ = Uncalled
    wrapper(None, **({"update_stats": False} if isinstance(wrapper, nnx.SpectralNorm) else {}))
    layer.__class__ = original


def _parts(model: Any, nnx: Any, with_wrapped: bool = False) -> tuple[dict[str, Any], dict[str, Layer], dict[str, Any]]:
    """Return a model's modules and layers, and the parameters and statistics that no layer owns, by path.

    They are in the order of the modules' attributes, which NNX's iteration would sort. The parameters of wrapped layers
    are not the kernels that they are called with, so only ``with_wrapped`` has these layers, without their wrappers.
    """
    modules, wrappers = dict(_walk(model, nnx)), _wrappers(model, nnx)
    wrapped = {id(module) for wrapper in wrappers for _, module in _walk(wrapper.layer_instance, nnx)}
    layers, owned = {}, set()
    if with_wrapped:
        inner = {id(variable) for each in wrappers for _, variable in nnx.iter_graph(each.layer_instance)}
        owned = {id(variable) for each in wrappers for _, variable in nnx.iter_graph(each)} - inner
    for path, module in modules.items():
        if id(module) in wrapped and not with_wrapped:
            continue
        held: dict[str, Any] = {role: getattr(module, role, None) for role in ROLES}
        held = {role: variable for role, variable in held.items() if isinstance(variable, nnx.Variable)}
        if layer := to_layer(module, {role: variable[...] for role, variable in held.items()}, "flax"):
            layers[path] = layer
            owned |= set(map(id, held.values()))
    unowned = {
        dotted(path): variable
        for path, variable in nnx.iter_graph(model)
        if isinstance(variable, nnx.Param | nnx.BatchStat) and id(variable) not in owned
    }
    return modules, layers, unowned
