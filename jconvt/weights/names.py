"""Name maps, and equal paths: frameworks write the path of one layer differently."""

import collections
import re
from collections.abc import Callable, Collection, Mapping

from ..errors import ArgumentError, ArgumentTypeError
from ._errors import listed

Names = Mapping[str, str] | Callable[[str], str | None] | None
"""A name map: source path to target path. A function may return ``None`` for a layer that it does not know."""

Key = tuple[str, ...]

_WRAPPERS = ("module", "_orig_mod")  # PyTorch's data parallel and compiled modules


def resolve(names: Names, sources: Collection[str], targets: Collection[str], owner: str) -> dict[str, str]:
    """Return a name map as a dictionary.

    Raises:
      ArgumentError: it names a layer that does not exist, or one target twice.
      ArgumentTypeError: it is neither a dictionary nor a function.
    """
    check_type(names)
    if callable(names):
        mapped = {path: target for path in sources if (target := names(path)) is not None}
    else:
        mapped = dict(names or {})
    check_paths("source", mapped, sources, owner, "{source: target}")
    check_paths("target", mapped.values(), targets, "the target", "{source: target}")
    check_unique(mapped, "leave all but one of them out")
    return mapped


def check_type(names: Names) -> None:
    """Raise an error unless a name map is a dictionary, a function or ``None``."""
    if not (names is None or callable(names) or isinstance(names, Mapping)):
        got, legal = f"names of type {type(names).__name__}", "a dictionary, or a function from path to path"
        raise ArgumentTypeError("names is not a name map", got=got, legal=legal, fix="pass names={source: target}")


def check_paths(side: str, paths: Collection[str], layers: Collection[str], owner: str, form: str) -> None:
    """Raise an error if a name map has a path that is not a layer of ``owner``."""
    for path in paths:
        if path not in layers:
            problem, fix = f"names has a {side} that is not a layer of {owner}", f"copy the listed paths, as {form}"
            raise ArgumentError(problem, got=repr(path), legal=listed(layers), fix=fix)


def check_unique(mapped: Mapping[str, str], fix: str) -> None:
    """Raise an error if a name map gives two layers one path."""
    for target, count in collections.Counter(mapped.values()).items():
        if count > 1:
            got = f"{target!r}, from {listed(source for source, each in mapped.items() if each == target)}"
            raise ArgumentError("names gives one path to two layers", got=got, legal="each path once", fix=fix)


def keys(
    sources: Collection[str], targets: Collection[str], fits: Callable[[str, str], bool]
) -> tuple[dict[str, Key], dict[str, Key]]:
    """Return a key for each path of both sides. Two layers have equal paths if their keys are equal.

    If no keys are equal, and the layers of one side are in a module that the other side does not have, such as
    ``generator``, the keys do not have its name. ``fits`` tells for a source and a target whether they fit. No side has
    a key twice.

    >>> keys(["convs.0", "module.up.1"], ["convs_0", "up.layers.1"], lambda source, target: True)[1]
    {'convs_0': ('convs', '0'), 'up.layers.1': ('up', '1')}
    """
    ours, theirs = ({path: _parts(path) for path in side} for side in (sources, targets))
    counts = [collections.Counter(side.values()) for side in (ours, theirs)]
    for side in (ours, theirs):
        side.update({path: (path,) for path, key in side.items() if max(count[key] for count in counts) > 1})
    if set(ours.values()).isdisjoint(theirs.values()):
        short = _without_wrapper(ours, theirs, fits)
        ours, theirs = short, _without_wrapper(theirs, ours, lambda target, source: fits(source, target))
    return ours, theirs


def family(key: Key) -> str:
    """Return what a key has in common with those that differ from it only by numbers."""
    return re.sub(r"\d+", "#", ".".join(key))


def _parts(path: str) -> Key:
    """Return the parts of a path without those that only some frameworks write."""
    parts = re.sub(r"_(?=\d+(?:_\d+)*(?:\.|$))", ".", path).split(".")
    following = [*parts[1:], ""]
    return tuple(
        part
        for part, after in zip(parts, following, strict=True)
        if part not in _WRAPPERS and not (part == "layers" and after.isdecimal())
    )


def _without_wrapper(
    outer: Mapping[str, Key], inner: Mapping[str, Key], fits: Callable[[str, str], bool]
) -> dict[str, Key]:
    """Return the keys of ``outer`` without the prefix that makes some of them keys of ``inner``, if there is only one.

    Equal numbers say nothing about layers of two modules, so a part of the key has to be a name.
    """
    named = {key: path for path, key in inner.items() if not all(part.isdecimal() for part in key)}
    prefixes = {
        key[:depth]
        for path, key in outer.items()
        for depth in range(1, len(key))
        if key[depth:] in named and fits(path, named[key[depth:]])
    }
    if len(prefixes) != 1:
        return dict(outer)
    (prefix,) = prefixes
    return {path: key[len(prefix) :] if key[: len(prefix)] == prefix else (path,) for path, key in outer.items()}
