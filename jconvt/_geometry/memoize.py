"""Cache of pure functions of static arguments: resolving the same call twice costs one dictionary lookup."""

import functools
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])
_ATOMS = (int, str, bool, type(None))
_MAX_ENTRIES = 4096
_MISSING = object()


def memoize(function: _Function) -> _Function:
    """Cache ``function`` by the types and values of its arguments.

    Arguments are cached if they consist of integers, strings, booleans, ``None``, and tuples, named tuples and lists of
    these. Any other argument, such as a symbolic size, calls ``function`` again. Exceptions are not cached.

    >>> @memoize
    ... def double(sizes):
    ...     print("computing")
    ...     return [2 * size for size in sizes]
    >>> double([1, 2]), double([1, 2])
    computing
    ([2, 4], [2, 4])
    """
    results: dict[Hashable, Any] = {}

    @functools.wraps(function)
    def cached(*arguments: Any, **keywords: Any) -> Any:
        try:
            key = _key(arguments), tuple(keywords), _key(tuple(keywords.values()))
        except (TypeError, RecursionError):  # a list may contain itself
            return function(*arguments, **keywords)
        result = results.get(key, _MISSING)  # one lookup: another thread may clear the cache at any time
        if result is _MISSING:
            result = function(*arguments, **keywords)
            if len(results) >= _MAX_ENTRIES:
                results.clear()
            results[key] = result
        return result

    return cached  # pyright: ignore[reportReturnType]


def _key(value: Any) -> Hashable:
    """A key that differs for values of different types: 1, 1.0 and True are equal."""
    kind = type(value)
    if kind in _ATOMS:
        return kind, value
    if isinstance(value, tuple | list):
        return (kind, *map(_key, value))
    raise TypeError(kind)
