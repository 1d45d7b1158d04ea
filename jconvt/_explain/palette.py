"""A fixed colour for each input pixel: Okabe and Ito's, which the colour-blind can tell apart.

There are seven, handed out so that a pixel's neighbours in every direction have other ones. Colours never stand alone:
what they mark is also a number, or outlined.
"""

from collections.abc import Sequence

COLOURS = ("#0072B2", "#E69F00", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#B8A800")
"""For areas and outlines. The yellow is darker than Okabe and Ito's, to be seen on white."""

ON_LIGHT = ("#005a8d", "#855400", "#a34800", "#00664b", "#9a3f75", "#0b6299", "#655c00")
"""The same for words on a light ground: a contrast of 4.5 at least, as WCAG 2 asks for."""

ON_DARK = ("#5eb6ec", "#f0b432", "#ff9a56", "#3ecfa4", "#e8a3cb", "#8bcdf3", "#e3d54a")
"""And on a dark one."""

_ROW = 3  # to the pixel below; 1, 3, 4 and 2 are the steps to the neighbours, all different modulo 7


def colour(pixel: Sequence[int]) -> int:
    """Which of the colours a pixel has.

    >>> colour((0, 0)), colour((0, 1)), colour((1, 0)), colour((1, 1))
    (0, 1, 3, 4)
    """
    return (_ROW * sum(pixel[:-1]) + pixel[-1]) % len(COLOURS)


def channels(hexadecimal: str) -> tuple[float, float, float]:
    """A colour's red, green and blue, from 0 to 1."""
    red, green, blue = (int(hexadecimal[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def tint(hexadecimal: str, strength: float = 0.38, ground: str = "#ffffff") -> str:
    """The colour mixed with the ground, so that words on it read as they do on the ground."""
    both = zip(channels(hexadecimal), channels(ground), strict=True)
    mixed = (round(255 * (strength * part + (1 - strength) * under)) for part, under in both)
    return "#" + "".join(f"{part:02x}" for part in mixed)


def contrast(one: str, other: str) -> float:
    """WCAG 2's contrast of two colours: from 1, where there is none, to 21, of black and white.

    >>> contrast("#000000", "#ffffff")
    21.0
    """
    darker, lighter = sorted(map(_luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(hexadecimal: str) -> float:
    linear = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels(hexadecimal))
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
