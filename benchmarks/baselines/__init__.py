"""Other libraries' transposed convolutions as candidates, each called as its users would, in its own layout.

A baseline is a module with ``candidates()``, which returns its candidates by name, or raises ``ImportError`` with a
reason if the library is not installed or does not see the device that JAX computes on.
"""

import importlib
from collections.abc import Callable, Collection
from typing import Any

from ..measurement import Candidate

NAMES = {
    "tensorflow": ("tensorflow",),
    "torch": ("torch", "torch-last"),
    "lax": ("lax",),
    "flax": ("flax",),
}
"""The candidates of each module."""


def find(wanted: Collection[str]) -> tuple[dict[str, Candidate], dict[str, str]]:
    """Return the wanted candidates that can run here, and why the other wanted ones cannot."""
    found: dict[str, Candidate] = {}
    missing: dict[str, str] = {}
    for module, names in NAMES.items():
        if not any(name in wanted for name in names):
            continue
        try:
            each = importlib.import_module(f".{module}", __name__).candidates()
        except ImportError as reason:
            missing |= {name: str(reason) for name in names if name in wanted}
        else:
            found |= {name: candidate for name, candidate in each.items() if name in wanted}
    return found, missing


def product() -> tuple[str, Callable[[int, str], Callable[[], Any]]] | None:
    """Return PyTorch's name, and the function that prepares its product of two matrices; None if it cannot run here."""
    found, _ = find(["torch"])
    return ("torch", importlib.import_module(".torch", __name__).product) if found else None
