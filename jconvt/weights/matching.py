"""Matching a checkpoint's layers with a model's: first in pairs, then array by array."""

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import ArgumentError
from . import layouts
from ._errors import listed
from .checkpoint import Checkpoint, Layer, check_checkpoint
from .fitting import check_fit, differences, fit_layer
from .layouts import ROLES, UNKNOWN
from .names import Names
from .pairing import pair
from .report import Report, Row


def fit(
    checkpoint: Checkpoint,
    targets: Mapping[str, Layer],
    unowned: Sequence[str] = (),
    names: Names = None,
    strict: bool = True,
    by_order: bool = False,
) -> tuple[dict[str, dict[str, np.ndarray]], Report]:
    """Return each target's arrays, by path and role, in its layouts, shapes and dtypes; and the report.

    ``unowned`` are parameters of the target that belong to no layer of a known kind.

    Raises:
      ArgumentError: layers could be paired otherwise too, a target stays unmatched and ``strict`` is true, or an array
        does not fit.
      ArgumentTypeError: the target's dtype cannot hold the numbers, or an argument has a wrong type.
    """
    check_checkpoint(checkpoint)
    pairs = pair(checkpoint, targets, names, by_order)
    used, filled = {each.source for each in pairs}, {each.target for each in pairs}
    missing = {path: layer for path, layer in targets.items() if path not in filled}
    leftover = {path: layer for path, layer in checkpoint.layers.items() if path not in used}
    if strict:
        _check_complete(checkpoint, missing, leftover, unowned)
    arrays, rows, notes, unused = {}, [], [*checkpoint.notes], []
    for old, new, rule in pairs:
        source, target = checkpoint.layers[old], targets[new]
        check_fit(old, new, checkpoint.layers, target)
        arrays[new], conversion = fit_layer(old, new, source, target)
        rows.append(Row(old, new, target.kind, source.shape, target.shape, conversion, rule))
        notes += [f"{new}: {text}" for text in differences(source, target)]
        unused += [f"{old}: {role}" for role in source.arrays if role not in ROLES]
    unused += [f"{path} ({layer})" for path, layer in leftover.items()]
    notes += _flatten_note(checkpoint.framework, [targets[path] for path in filled])
    return arrays, Report(tuple(rows), tuple(unused), (*missing, *unowned), tuple(notes))


def _check_complete(
    checkpoint: Checkpoint, missing: Mapping[str, Layer], leftover: Mapping[str, Layer], unowned: Sequence[str]
) -> None:
    """Raise an error if parameters of the target would keep their values."""
    for new, target in missing.items():
        near = [old for old, source in leftover.items() if source.kind in (target.kind, UNKNOWN)]
        if len(near) == 1:  # it does not fit, or it would have been paired
            check_fit(near[0], new, leftover, target)
    if missing:
        wanted, left = (
            listed(f"{path} ({layer.kind} {layer.shape})" for path, layer in layers.items())
            for layers in (missing, leftover)
        )
        problem = f"layers of the target match none of {checkpoint.source}"
        got = f"unmatched: {wanted}; left in the source: {left}"
        legal = "a source layer for each, that has its kind, shape and arrays"
        fix = "build these layers as in the source; or pass strict=False, which leaves them unchanged"
        raise ArgumentError(problem, got=got, legal=legal, fix=fix)
    if unowned:
        problem = "the target has parameters in layers that are not converted"
        fix = "pass strict=False, which leaves them unchanged, and set them yourself"
        raise ArgumentError(problem, got=listed(unowned), legal=layouts.CONVERTED, fix=fix)


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
