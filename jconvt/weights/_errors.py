"""Errors for wrong choices and missing packages."""

import importlib
from collections.abc import Collection, Iterable
from typing import Any

from ..errors import ArgumentError

_EXTRAS = {"h5py": "weights", "safetensors": "weights"}  # other packages are extras of their names


def require(module: str, purpose: str) -> Any:
    """Import an optional module, or raise an error that says what needs it and how to install it."""
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        install = package if package == "torch" else f"'jconvt[{_EXTRAS.get(package, package)}]'"
        message = f"{purpose} needs the package {package}: pip install {install}"
        raise ModuleNotFoundError(message, name=error.name) from None


def check_choice(noun: str, argument: str, value: object, legal: Collection[str]) -> None:
    """Raise an error unless ``value`` is one of ``legal``."""
    if value not in legal:
        got, fix = f"{argument} = {value!r}", "pass one of these"
        raise ArgumentError(f"unknown {noun}", got=got, legal=", ".join(legal), fix=fix)


def listed(names: Iterable[str], most: int = 12) -> str:
    """Return the first names and the number of the others, for a message."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more
