"""Pairing a checkpoint's layers with a model's: by names, by equal paths, by shapes, and on request by order.

Nothing is guessed. Layers that fit each other are in one group. Within a group, equal paths decide, and then kinds,
shapes and geometries if they leave one choice. If a choice remains, an error shows it.
"""

import collections
import functools
import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ..errors import ArgumentError
from .checkpoint import Checkpoint, Layer
from .fitting import check_fit, differences, obstacle
from .layouts import OTHER
from .names import Key, Names, family, keys, resolve
from .report import table

_MOST_ROWS = 24  # of candidates in an error message

Relation = Callable[[str, str], bool]
"""Whether a source and a target belong together, by their paths."""


class Pair(NamedTuple):
    """The paths of a source and a target, and the rule that paired them: "name", "path", "shape" or "order"."""

    source: str
    target: str
    rule: str


class Group(NamedTuple):
    """The paths of layers that fit only each other, in order."""

    sources: Sequence[str]
    targets: Sequence[str]


def pair(
    checkpoint: Checkpoint, targets: Mapping[str, Layer], names: Names = None, by_order: bool = False
) -> list[Pair]:
    """Return the pairs, in the targets' order.

    Raises:
      ArgumentError: ``names`` is wrong, layers could be paired otherwise too, or layers of equal paths do not fit.
    """
    layers = {path: layer for path, layer in checkpoint.layers.items() if layer.kind != OTHER}
    mapped = resolve(names, layers, targets, checkpoint.source)
    pairs = {source: Pair(source, target, "name") for source, target in mapped.items()}
    free = Group(
        [path for path in layers if path not in mapped], [path for path in targets if path not in mapped.values()]
    )
    fits = _relation(layers, targets, lambda source, target: not obstacle(source, target))
    alike = _relation(layers, targets, lambda source, target: not differences(source, target), fits)
    color = functools.cache(lambda path: _color(layers[path]))
    ours, theirs = keys(*free)
    undecided = []
    for group in _groups(free, fits):
        found = {source: Pair(source, target, "path") for source, target in _by_path(group, ours, theirs, fits)}
        rest = [part for each in _groups(_rest(group, found), fits) for part in _refined(each, fits, alike)]
        for part, related in rest:
            found |= {source: Pair(source, target, "shape") for source, target in _forced(part, related, color)}
            if by_order and checkpoint.ordered:
                ordered = _in_order(_rest(part, found), related, color)
                found |= {source: Pair(source, target, "order") for source, target in ordered}
            left = _rest(part, found)
            undecided += [(left, related)] if left.sources and left.targets else []
        pairs |= found
    _check_equal_paths(pairs, layers, targets, ours, theirs)
    if undecided:
        raise _ambiguous(checkpoint, targets, undecided, mapped, by_order)
    position = {path: i for i, path in enumerate(targets)}
    return sorted(pairs.values(), key=lambda each: position[each.target])


def _relation(
    layers: Mapping[str, Layer],
    targets: Mapping[str, Layer],
    holds: Callable[[Layer, Layer], bool],
    also: Relation = lambda source, target: True,
) -> Relation:
    """Return the relation. Layers with equal kinds, shapes and options are compared once."""
    first: dict[object, str] = {}
    ours, theirs = (
        {path: first.setdefault((side, _signature(each)), path) for path, each in found.items()}
        for side, found in (("source", layers), ("target", targets))
    )
    known = functools.cache(lambda source, target: holds(layers[source], targets[target]))
    return lambda source, target: also(source, target) and known(ours[source], theirs[target])


def _signature(layer: Layer) -> object:
    shapes = tuple((role, tuple(array.shape)) for role, array in layer.arrays.items())
    return (layer.kind, layer.framework, layer.groups, layer.transpose_kernel, layer.spec, layer.epsilon, shapes)


def _color(layer: Layer) -> object:
    """Return what is equal for layers with the same numbers, such as one module that has two names."""
    numbers = hashlib.sha256()
    for array in layer.arrays.values():
        numbers.update(array.tobytes())
    return _signature(layer), numbers.digest()


def _groups(free: Group, related: Relation) -> list[Group]:
    """Return the layers in groups, such that no layer is related to one of another group."""
    sets: list[tuple[set[str], set[str]]] = []
    for target in free.targets:
        near = {source for source in free.sources if related(source, target)}
        touching = [each for each in sets if not near.isdisjoint(each[0])]
        merged = (near.union(*(each[0] for each in touching)), {target}.union(*(each[1] for each in touching)))
        sets = [each for each in sets if each not in touching] + [merged]
    return [
        Group(*([path for path in side if path in each] for side, each in zip(free, found, strict=True)))
        for found in sets
    ]


def _rest(group: Group, pairs: Mapping[str, Pair]) -> Group:
    used = {each.target for each in pairs.values()}
    return Group(
        [path for path in group.sources if path not in pairs], [path for path in group.targets if path not in used]
    )


def _by_path(group: Group, ours: Mapping[str, Key], theirs: Mapping[str, Key], fits: Relation) -> list[tuple[str, str]]:
    """Return the pairs of equal paths.

    Numbers in paths may count other things too: ``0, 2, 4`` in a PyTorch sequence with activations are ``0, 1, 2`` in
    a list of layers. So if equal paths pair neither all sources nor all targets, only those count whose numbers are the
    same on both sides.
    """
    at = {theirs[target]: target for target in group.targets}
    equal = [(source, at[ours[source]]) for source in group.sources if ours[source] in at]
    equal = [each for each in equal if fits(*each)]
    if len(equal) in map(len, group):
        return equal
    found = [ours[source] for source, _ in equal]
    sides = ([ours[path] for path in group.sources], [theirs[path] for path in group.targets], found)
    counts = [collections.Counter(map(family, side)) for side in sides]
    return [each for each, key in zip(equal, found, strict=True) if len({count[family(key)] for count in counts}) == 1]


def _refined(group: Group, fits: Relation, alike: Relation) -> list[tuple[Group, Relation]]:
    """Return the group in parts of one geometry and epsilon, if both sides have the same ones."""
    parts = _groups(group, alike)
    covered = all(len(part.sources) >= len(part.targets) > 0 for part in parts)
    return [(part, alike) for part in parts] if covered else [(group, fits)]


def _forced(group: Group, related: Relation, color: Callable[[str], object]) -> list[tuple[str, str]]:
    """Return the pairs that are in every pairing of the group. Sources of one color are equal."""
    sources, targets = group
    if len(sources) < len(targets):  # every source is used, but not every target
        forced = _forced(Group(targets, sources), lambda target, source: related(source, target), lambda path: path)
        return [(source, target) for target, source in forced]
    pool: dict[object, list[str]] = {}
    for source in sources:
        pool.setdefault(color(source) if len(sources) > 1 else source, []).append(source)
    choices = {target: {each for each, paths in pool.items() if related(paths[0], target)} for target in targets}
    pairs = []
    while (target := next((target for target, each in choices.items() if len(each) == 1), None)) is not None:
        (chosen,) = choices.pop(target)
        pairs.append((pool[chosen].pop(0), target))
        if not pool[chosen]:
            for each in choices.values():
                each.discard(chosen)
    return pairs if all(choices.values()) else []  # without a source for some target, nothing is forced


def _in_order(group: Group, related: Relation, color: Callable[[str], object]) -> list[tuple[str, str]]:
    """Return the pairs in order, if both sides have the same number of layers. Equal sources may count once."""
    sources, targets = group
    if len(sources) != len(targets):
        first: dict[object, str] = {}
        for source in sources:
            first.setdefault(color(source), source)
        sources = list(first.values())
    pairs = list(zip(sources, targets, strict=False))
    return pairs if len(sources) == len(targets) and all(related(*each) for each in pairs) else []


def _check_equal_paths(
    pairs: Mapping[str, Pair],
    layers: Mapping[str, Layer],
    targets: Mapping[str, Layer],
    ours: Mapping[str, Key],
    theirs: Mapping[str, Key],
) -> None:
    """Raise an error if layers of equal paths do not fit, and one of them is left over."""
    at, filled = {key: target for target, key in theirs.items()}, {each.target for each in pairs.values()}
    for source, key in ours.items():
        target = at.get(key)
        if target is not None and (source not in pairs or target not in filled):
            check_fit(source, target, layers, targets[target])


def _ambiguous(
    checkpoint: Checkpoint,
    targets: Mapping[str, Layer],
    undecided: Sequence[tuple[Group, Relation]],
    mapped: Mapping[str, str],
    by_order: bool,
) -> ArgumentError:
    """Return an error that shows the candidates side by side, and a name map in order."""
    rows, proposed = [], dict(mapped)
    for group, related in undecided:
        for source, target in itertools.zip_longest(*group):
            sides = (None if source is None else checkpoint.layers[source], None if target is None else targets[target])
            kind = next(each.kind for each in reversed(sides) if each is not None)
            shapes = ("-" if each is None else str(each.shape) for each in sides)
            rows.append(("-" if source is None else source, "-" if target is None else target, kind, *shapes))
        free = list(group.sources)
        for target in group.targets:
            source = next((source for source in free if related(source, target)), None)
            if source is not None:
                free.remove(source)
                proposed[source] = target
    more = [f"... and {len(rows) - _MOST_ROWS} more"] if len(rows) > _MOST_ROWS else []
    lines = [*table([("source", "target", "kind", "from", "to"), *rows[:_MOST_ROWS]]).splitlines(), *more]
    names = ["names={", *(f"    {source!r}: {target!r}," for source, target in proposed.items()), "}"]
    if not checkpoint.ordered:
        order = f"by_order=True does not help, as {checkpoint.source} has no order"
    elif by_order:
        order = "by_order=True does not help, as the two sides differ in order"
    else:
        order = "or pass by_order=True (--by-order), if both sides are in the order of calls"
    problem = f"paths and shapes leave a choice between layers of {checkpoint.source} and of the target"
    got, fix = (indent.join(["", *each]) for indent, each in (("\n    ", lines), ("\n    ", names)))
    fix = f"check these pairs, which only follow the order, and pass them; {order}{fix}"
    return ArgumentError(problem, got=f"candidates, side by side{got}", legal="one pairing", fix=fix)
