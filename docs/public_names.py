"""What the API page has to hold: a public name that has no entry fails the documentation's build.

Public is what ``jconvt.__all__`` names, and all that the modules define that are named there or have an entry: their
functions, their classes, and the methods and properties of these.
"""

import functools
import importlib
import importlib.util
import inspect
from collections.abc import Collection, Iterator
from types import ModuleType
from typing import Any

import jconvt


def undocumented(entries: Collection[str]) -> list[str]:
    """The public names without an entry, where ``entries`` are the full names that the pages have one for."""
    modules = {name for name in entries if _is_module(name)} | set(_exported_modules())
    public = dict(name for module in ("jconvt", *sorted(modules - {"jconvt"})) for name in _offered(module))
    # The same function may have its entry under another of its names.
    known = {id(value) for name, value in public.items() if name in entries}
    missing = [name for name, value in public.items() if id(value) not in known]
    for name, value in public.items():
        if inspect.isclass(value) and name in entries:
            missing += [f"{name}.{member}" for member in _members(value) if f"{name}.{member}" not in entries]
    return sorted(missing)


def _is_module(name: str) -> bool:
    try:
        return name.partition(".")[0] == "jconvt" and importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # a member of something that is no package
        return False


def _exported_modules() -> Iterator[str]:
    for name in jconvt.__all__:
        value = getattr(jconvt, name)
        if isinstance(value, ModuleType):
            yield value.__name__


def _offered(module: str) -> Iterator[tuple[str, Any]]:
    """The functions and classes of a module, by their full names."""
    namespace = importlib.import_module(module)
    for name in getattr(namespace, "__all__", vars(namespace)):
        value = getattr(namespace, name)
        own = hasattr(namespace, "__all__") or getattr(value, "__module__", None) == module
        if own and not name.startswith("_") and (inspect.isfunction(value) or inspect.isclass(value)):
            yield f"{module}.{name}", value


def _members(value: type) -> Iterator[str]:
    """The methods and properties that a class has from this package; its fields are in its signature."""
    kinds = (property, functools.cached_property, classmethod, staticmethod)
    for each in value.__mro__:
        if each.__module__.partition(".")[0] == "jconvt":
            for name, member in vars(each).items():
                if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, kinds)):
                    yield name
