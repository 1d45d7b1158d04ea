"""Other libraries' transposed convolutions as contenders, each called as its own users would, in its own layout.

A rival is a module with ``contenders()``, which returns its contenders by name, or raises ``ImportError`` with a reason
if the library is not installed or does not see the device that JAX computes on.
"""

import importlib
from collections.abc import Collection

from ..bench import Contender

NAMES = {
    "tensorflow": ("tensorflow",),
    "torch": ("torch", "torch-last"),
    "lax": ("lax",),
    "flax": ("flax",),
}
"""The contenders of each module."""


def find(wanted: Collection[str]) -> tuple[dict[str, Contender], dict[str, str]]:
    """The contenders that are wanted and here, and why the others that are wanted are not."""
    found: dict[str, Contender] = {}
    missing: dict[str, str] = {}
    for module, names in NAMES.items():
        if not any(name in wanted for name in names):
            continue
        try:
            each = importlib.import_module(f".{module}", __name__).contenders()
        except ImportError as reason:
            missing |= {name: str(reason) for name in names if name in wanted}
        else:
            found |= {name: contender for name, contender in each.items() if name in wanted}
    return found, missing
