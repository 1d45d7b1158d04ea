"""Packages that are needed for some formats alone."""

import importlib
from typing import Any


def package(name: str, what: str, install: str) -> Any:
    """The module ``name``, or an error that says which package ``what`` needs, and how to install it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        top = name.partition(".")[0]
        if (error.name or "").partition(".")[0] != top:
            raise
        message = f"{what} needs the package {top}: pip install {install}"
        raise ModuleNotFoundError(message, name=error.name) from None
