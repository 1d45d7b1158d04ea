"""Numbers and places as they are shown: exact where they are whole, else to four digits; NaN and infinity by name."""

from collections.abc import Sequence
from typing import Any

import numpy as np

_EXACT = 2**53  # whole floating-point numbers beyond it are no longer counted one by one


def number(value: Any) -> str:
    """A number as short as it reads well.

    >>> number(np.float32(-67)), number(0.1 + 0.2), number(np.inf), number(2j)
    ('-67', '0.3', 'inf', '0+2i')
    """
    if isinstance(value, complex | np.complexfloating):
        imaginary = number(value.imag)
        return f"{number(value.real)}{'' if imaginary[0] == '-' else '+'}{imaginary}i"
    if not np.isfinite(value):
        return "NaN" if np.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, int | np.integer) or (value == int(value) and abs(value) < _EXACT):
        return str(int(value))
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.6g}"


def factor(value: Any) -> str:
    """A number that something is multiplied by or added to: complex ones in parentheses."""
    return f"({number(value)})" if isinstance(value, complex | np.complexfloating) else number(value)


def typeset(text: str) -> str:
    """``text`` with signs as wide as digits, for what is drawn."""
    return text.replace("-", "\N{MINUS SIGN}").replace("*", " \N{MULTIPLICATION SIGN} ")


def place(indices: Sequence[int]) -> str:
    """An index, as NumPy has it.

    >>> place((2, 2))
    '[2,2]'
    """
    return f"[{','.join(map(str, indices))}]"
