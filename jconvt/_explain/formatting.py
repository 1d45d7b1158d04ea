"""Numbers, indices and signs as text, and a fixed colour for each input pixel.

Colour is never the only sign: whatever is coloured also holds a number or has an outline.
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

Index = tuple[int, ...]

COLOURS = ("#0072B2", "#E69F00", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#B8A800")
"""Okabe and Ito's colours, which colour-blind readers can distinguish, for areas and outlines.

The yellow is darker than theirs, so that it shows on white.
"""

WORDS_ON_LIGHT = ("#005a8d", "#855400", "#a34800", "#00664b", "#9a3f75", "#0b6299", "#655c00")
"""The same for words on a light ground: a contrast of at least 4.5, as WCAG 2 requires."""

_EXACT = 2**53  # from here on, floating-point numbers skip integers


def format_number(value: Any) -> str:
    """Return a number as short text: exact where it is whole, else with four digits.

    >>> format_number(np.float32(-67)), format_number(0.1 + 0.2), format_number(np.inf), format_number(2j)
    ('-67', '0.3', 'inf', '0+2i')
    """
    if isinstance(value, complex | np.complexfloating):
        imaginary = format_number(value.imag)
        return f"{format_number(value.real)}{'' if imaginary[0] == '-' else '+'}{imaginary}i"
    if not np.isfinite(value):
        return "NaN" if np.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, int | np.integer) or (value == int(value) and abs(value) < _EXACT):
        return str(int(value))
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.6g}"


def format_factor(value: Any) -> str:
    """Return a number as a factor of a product: complex numbers get parentheses."""
    return f"({format_number(value)})" if isinstance(value, complex | np.complexfloating) else format_number(value)


def format_index(index: Sequence[int]) -> str:
    """Return an index as it is in code, without spaces."""
    return f"[{','.join(map(str, index))}]"


def typeset(text: str) -> str:
    """Return ``text`` with the signs that figures and pages use."""
    return text.replace("-", "\N{MINUS SIGN}").replace("*", " \N{MULTIPLICATION SIGN} ")


def colour_number(pixel: Sequence[int]) -> int:
    """Return which of the colours a pixel has: its neighbors in all directions have others.

    >>> colour_number((0, 0)), colour_number((0, 1)), colour_number((1, 0)), colour_number((1, 1))
    (0, 1, 3, 4)
    """
    # The three makes neighbors 1, 3, 4 and 2 colours apart, which are all different modulo 7.
    return (3 * sum(pixel[:-1]) + pixel[-1]) % len(COLOURS)


@functools.cache
def tint(colour: str, strength: float = 0.38, ground: str = "#ffffff") -> str:
    """Return a colour mixed with the ground, so that words stay legible on it."""
    both = (bytes.fromhex(each[1:]) for each in (colour, ground))
    mixed = (round(strength * part + (1 - strength) * under) for part, under in zip(*both, strict=True))
    return f"#{bytes(mixed).hex()}"


def pixel_tint(pixel: Sequence[int]) -> str:
    """Return the background of the cells that a pixel contributes to."""
    return tint(COLOURS[colour_number(pixel)])
