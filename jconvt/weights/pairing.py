"""Which layer of a file is which layer of a model."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..errors import ArgumentError
from .frameworks import OTHER, UNKNOWN
from .layer import Checkpoint, Layer, listed

Names = Mapping[str, str] | Callable[[str], str | None] | None
"""A name map: source path to target path. A function may return ``None`` for a layer that it does not know."""


class Pair(NamedTuple):
    """A source's path, a target's, and the rule that paired them."""

    source: str
    target: str
    rule: str


def pair(checkpoint: Checkpoint, targets: Mapping[str, Layer], names: Names = None) -> list[Pair]:
    """Pairs layers: by the name map, else by equal paths, else in order, if that leaves no kind unequal.

    Raises:
      ArgumentError: the map names a layer that is not there, or one target twice.
    """
    layers = {path: layer for path, layer in checkpoint.layers.items() if layer.kind != OTHER}
    mapped = _mapped(checkpoint, layers, targets, names)
    taken = set(mapped.values())
    pairs = [Pair(source, target, "name") for source, target in mapped.items()]
    rest = [path for path in layers if path not in mapped]
    equal = [path for path in rest if path in targets and path not in taken]
    pairs += [Pair(path, path, "path") for path in equal]
    taken.update(equal)
    rest = [path for path in rest if path not in equal]
    free = [path for path in targets if path not in taken]
    if checkpoint.ordered and len(rest) == len(free):
        kinds = [(layers[source].kind, targets[target].kind) for source, target in zip(rest, free, strict=True)]
        if all(a == b or (a == UNKNOWN and b in ("conv", "conv_transpose")) for a, b in kinds):
            pairs += [Pair(source, target, "order") for source, target in zip(rest, free, strict=True)]
    place = {path: i for i, path in enumerate(targets)}
    return sorted(pairs, key=lambda each: place[each.target])


def _mapped(
    checkpoint: Checkpoint, layers: Mapping[str, Layer], targets: Mapping[str, Layer], names: Names
) -> dict[str, str]:
    """What the name map says, checked."""
    if callable(names):
        answers = {path: names(path) for path in layers}
        mapped = {source: target for source, target in answers.items() if target is not None}
    else:
        mapped = dict(names or {})
    for kind, given, there in (("source", mapped.keys(), layers), ("target", mapped.values(), targets)):
        for path in given:
            if path not in there:
                raise ArgumentError(
                    f"names has a {kind} that is no layer of {checkpoint.source if kind == 'source' else 'the target'}",
                    got=repr(path),
                    legal=listed(there),
                    fix="write each path as it is listed, as {source: target}",
                )
    twice = [target for target in mapped.values() if list(mapped.values()).count(target) > 1]
    if twice:
        raise ArgumentError(
            "names gives one layer to two",
            got=f"{twice[0]!r}, from {listed(source for source, target in mapped.items() if target == twice[0])}",
            legal="each target once",
            fix="leave all but one of them out",
        )
    return mapped


def check_complete(checkpoint: Checkpoint, pairs: list[Pair], targets: Mapping[str, Layer], others: list[str]) -> None:
    """Refuses to leave a parameter of the target as it is."""
    found = {each.target for each in pairs}
    missing = [path for path in targets if path not in found]
    used = {each.source for each in pairs}
    unused = [f"{path} ({layer.kind} {layer.shape})" for path, layer in checkpoint.layers.items() if path not in used]
    if missing:
        wanted = listed(f"{path} ({targets[path].kind} {targets[path].shape})" for path in missing)
        raise ArgumentError(
            f"layers of the target match none of {checkpoint.source}",
            got=f"unmatched: {wanted}; left in the source: {listed(unused)}",
            legal="a layer for each: of the name that names gives it, of the same path, or, where the file has an "
            "order, of the same kinds in the same order",
            fix="pass names={source: target}; or strict=False, which leaves them as they are",
        )
    if others:
        raise ArgumentError(
            "the target has parameters in layers that are not converted",
            got=listed(others),
            legal="convolutions, transposed convolutions, dense layers and norms",
            fix="pass strict=False, which leaves these as they are, and set them yourself",
        )
