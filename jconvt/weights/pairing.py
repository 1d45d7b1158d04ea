"""Pairing a checkpoint's layers with a model's: by names, by equal paths, by shapes, and on request by order.

Nothing is guessed. Layers that fit each other are in one group. Within a group, equal paths decide, and then kinds,
shapes and geometries if they leave one choice. If a choice remains, an error shows it.
"""

import collections
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from .._text_table import table
from ..errors import ArgumentError
from . import slopes
from .checkpoint import Checkpoint, Layer
from .fitting import check_fit, differences, obstacle
from .layouts import OTHER
from .names import Key, Names, family, keys, resolve

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
    fits = _relation(checkpoint.layers, targets, lambda source, target: not obstacle(source, target))
    agree = _relation(checkpoint.layers, targets, lambda source, target: not differences(source, target), fits)
    color = functools.cache(lambda path: _color(layers[path]))
    others = [path for path in checkpoint.layers if path not in layers]
    ours, theirs = keys([*free.sources, *others], free.targets, fits)
    undecided = []
    for group in _groups(free, fits):
        equal = _equal_paths(group, ours, theirs, fits)
        found = _pairs(equal if len(equal) in map(len, group) else {}, "path")
        rest = [part for each in _groups(_rest(group, found), fits) for part in _refined(each, fits, agree)]
        for part, related in rest:
            found |= _pairs(_forced(part, related, color), "shape")
            left = _distinct(_rest(part, found), color)
            guess = _guessed(left, related, _same_numbers(group, ours, theirs, equal))
            if by_order and checkpoint.ordered and len(guess) == len(left.sources) == len(left.targets):
                found |= _pairs(guess, "order")
            elif left.sources and left.targets:
                undecided.append((left, guess))
        pairs |= found
    _check_equal_paths(pairs, checkpoint.layers, targets, ours, theirs)
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
    """Return the relation. Layers with equal kinds, shapes and options are compared once.

    Whether slopes fit depends on their numbers, too.
    """
    first: dict[object, str] = {}
    ours, theirs = (
        {path: first.setdefault((side, _signature(each), numbers(each)), path) for path, each in found.items()}
        for side, found, numbers in (("source", layers, _has_one_slope), ("target", targets, lambda _: None))
    )
    known = functools.cache(lambda source, target: holds(layers[source], targets[target]))
    return lambda source, target: also(source, target) and known(ours[source], theirs[target])


def _signature(layer: Layer) -> object:
    shapes = tuple((role, tuple(array.shape)) for role, array in layer.arrays.items())
    return (layer.kind, layer.framework, layer.groups, layer.transpose_kernel, layer.spec, layer.epsilon, shapes)


def _has_one_slope(source: Layer) -> bool:
    return source.may_be("prelu") and all(map(slopes.are_equal, source.arrays.values()))


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


def _pairs(paths: Mapping[str, str], rule: str) -> dict[str, Pair]:
    return {source: Pair(source, target, rule) for source, target in paths.items()}


def _equal_paths(group: Group, ours: Mapping[str, Key], theirs: Mapping[str, Key], fits: Relation) -> dict[str, str]:
    """Return the targets by the sources of equal paths.

    They decide only if they pair all sources or all targets of the group. Otherwise some layers have other names, and
    the equal names may be other layers too: ``0, 2, 4`` in a PyTorch sequence with activations are ``0, 1, 2`` in a
    list of layers.
    """
    at = {theirs[target]: target for target in group.targets}
    equal = {source: at[ours[source]] for source in group.sources if ours[source] in at}
    return {source: target for source, target in equal.items() if fits(source, target)}


def _refined(group: Group, fits: Relation, agree: Relation) -> list[tuple[Group, Relation]]:
    """Return the group in parts of one geometry and epsilon, if both sides have the same ones."""
    parts = _groups(group, agree)
    covered = all(len(part.sources) >= len(part.targets) > 0 for part in parts)
    return [(part, agree) for part in parts] if covered else [(group, fits)]


def _forced(group: Group, related: Relation, color: Callable[[str], object]) -> dict[str, str]:
    """Return the pairs that are in every pairing of the group. Sources of one color are equal."""
    sources, targets = group
    if len(sources) < len(targets):  # every source is used, but not every target
        forced = _forced(Group(targets, sources), lambda target, source: related(source, target), lambda path: path)
        return {source: target for target, source in forced.items()}
    pool: dict[object, list[str]] = {}
    for source in sources:
        pool.setdefault(color(source) if len(sources) > 1 else source, []).append(source)
    choices = {target: {each for each, paths in pool.items() if related(paths[0], target)} for target in targets}
    pairs: dict[str, str] = {}
    while (target := next((target for target, each in choices.items() if len(each) == 1), None)) is not None:
        (chosen,) = choices.pop(target)
        pairs[pool[chosen].pop(0)] = target
        if not pool[chosen]:
            for each in choices.values():
                each.discard(chosen)
    return pairs


def _distinct(group: Group, color: Callable[[str], object]) -> Group:
    """Return the group with one of several equal sources, if there are too many sources."""
    if len(group.sources) <= len(group.targets):
        return group
    first: dict[object, str] = {}
    for source in group.sources:
        first.setdefault(color(source), source)
    return Group(list(first.values()), group.targets)


def _guessed(group: Group, related: Relation, likely: Mapping[str, str]) -> dict[str, str]:
    """Return a plausible pairing of the group: the likely pairs, and the others in order."""
    pairs = {source: target for source, target in likely.items() if source in group.sources and target in group.targets}
    free = [source for source in group.sources if source not in pairs]
    for target in group.targets:
        source = next((source for source in free if related(source, target)), None)
        if source is not None and target not in pairs.values():
            free.remove(source)
            pairs[source] = target
    return {source: pairs[source] for source in group.sources if source in pairs}


def _same_numbers(
    group: Group, ours: Mapping[str, Key], theirs: Mapping[str, Key], equal: Mapping[str, str]
) -> dict[str, str]:
    """Return the equal paths whose numbers are the same on both sides, so that nothing is counted differently."""
    sides = (
        [ours[path] for path in group.sources],
        [theirs[path] for path in group.targets],
        [ours[path] for path in equal],
    )
    counts = [collections.Counter(map(family, side)) for side in sides]
    return {
        source: target
        for source, target in equal.items()
        if len({count[family(ours[source])] for count in counts}) == 1
    }


def _check_equal_paths(
    pairs: Mapping[str, Pair],
    layers: Mapping[str, Layer],
    targets: Mapping[str, Layer],
    ours: Mapping[str, Key],
    theirs: Mapping[str, Key],
) -> None:
    """Raise an error if layers of equal paths do not fit, and one of them is left over."""
    at, filled = {key: target for target, key in theirs.items()}, {each.target: each for each in pairs.values()}
    for source, key in ours.items():
        target = at.get(key)
        if target is not None and layers[source].kind == OTHER:
            if target in filled:
                problem = f"layer {source!r} has the path of {target!r}, and is not converted"
                got, legal = str(layers[source]), f"a {targets[target].kind}"
                fix = f"if another layer is the right one, pass it, as names={{{filled[target].source!r}: {target!r}}}"
                raise ArgumentError(problem, got=got, legal=legal, fix=fix)
        elif target is not None and (source not in pairs or target not in filled):
            check_fit(source, target, layers, targets[target])


def _ambiguous(
    checkpoint: Checkpoint,
    targets: Mapping[str, Layer],
    undecided: Sequence[tuple[Group, Mapping[str, str]]],
    mapped: Mapping[str, str],
    by_order: bool,
) -> ArgumentError:
    """Return an error that shows the candidates side by side, and a name map with a guess for them."""
    rows, proposed = [], dict(mapped)
    for group, guess in undecided:
        proposed |= guess
        for source, target in guess.items():
            sides = checkpoint.layers[source], targets[target]
            rows.append((source, target, sides[1].kind, *(str(each.shape) for each in sides)))
        left = [(path, "-", checkpoint.layers[path]) for path in group.sources if path not in guess]
        left += [("-", path, targets[path]) for path in group.targets if path not in guess.values()]
        rows += [(source, target, each.kind, str(each.shape), "") for source, target, each in left]
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
    fix = f"check these pairs, which are a guess, and pass them (check= compares outputs); {order}{fix}"
    return ArgumentError(problem, got=f"candidates, side by side{got}", legal="one pairing", fix=fix)
