"""Compare the entries of the API page with the public names. A difference fails the documentation's build.

No part of a public name starts with an underscore. Public are the modules of ``jconvt``, the functions and classes that
these list in ``__all__`` or else define, and the methods and properties of these classes.
"""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Collection, Iterator
from typing import Any

import jconvt


def undocumented(entries: Collection[str]) -> list[str]:
    """Return the public names without an entry. ``entries`` are the full names of the entries on all pages."""
    public = public_names()
    # An entry for the same object under another public name is enough.
    documented = {id(value) for name, value in public.items() if name in entries}
    missing = [name for name, value in public.items() if id(value) not in documented]
    for name, value in public.items():
        if inspect.isclass(value) and name in entries:
            missing += [f"{name}.{member}" for member in _members(value) if f"{name}.{member}" not in entries]
    return sorted(missing)


def private(entries: Collection[str]) -> list[str]:
    """Return the entries of ``jconvt`` that are not public."""
    public = {*public_names(), *public_modules()}
    return sorted(
        name
        for name in entries
        if name.partition(".")[0] == "jconvt"
        and name not in public
        and (name.rpartition(".")[0] not in public_names() or name.rpartition(".")[2].startswith("_"))
    )


@functools.cache
def public_modules() -> tuple[str, ...]:
    names = [module.name for module in pkgutil.iter_modules(jconvt.__path__)]
    return ("jconvt", *(f"jconvt.{name}" for name in names if not name.startswith("_")))


@functools.cache
def public_names() -> dict[str, Any]:
    """Return the functions and classes of the public modules that can be imported, by their full names."""
    return {name: value for module in public_modules() for name, value in _defined(module)}


def _defined(module: str) -> Iterator[tuple[str, Any]]:
    try:
        namespace = importlib.import_module(module)
    except ModuleNotFoundError:  # Flax or Equinox is not installed
        return
    for name in getattr(namespace, "__all__", vars(namespace)):
        value = getattr(namespace, name)
        belongs = hasattr(namespace, "__all__") or getattr(value, "__module__", None) == module
        if belongs and not name.startswith("_") and (inspect.isfunction(value) or inspect.isclass(value)):
            yield f"{module}.{name}", value


def _members(value: type) -> Iterator[str]:
    """Yield the methods and properties that a class defines in this package. Its signature lists its fields."""
    kinds = (property, functools.cached_property, classmethod, staticmethod)
    for each in value.__mro__:
        if each.__module__.partition(".")[0] == "jconvt":
            for name, member in vars(each).items():
                if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, kinds)):
                    yield name
