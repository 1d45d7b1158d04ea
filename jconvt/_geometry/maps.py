"""The three maps of the trilinear form.

    <z, T(x, w)>  =  sum over n, i, t, c, o of   x[n, i, c] * w[t, o, c] * z[n, i * stride + t * dilation - lo, o]

    T(x, w) -> z   transposed convolution
    F(z, w) -> x   forward convolution: T's transpose in x
    G(x, z) -> w   kernel gradient: T's transpose in w

Each map takes two of the arrays ``x``, ``w`` and ``z`` and returns the third.
"""

import enum


class Map(enum.StrEnum):
    """One of T, F and G.

    >>> Map.TRANSPOSE.symbol, Map.TRANSPOSE.inputs, Map.TRANSPOSE.output
    ('T', ('x', 'w'), 'z')
    >>> Map.with_output("w")
    <Map.KERNEL_GRADIENT: 'kernel_gradient'>
    """

    TRANSPOSE = "transposed_convolution"
    FORWARD = "forward_convolution"
    KERNEL_GRADIENT = "kernel_gradient"

    @property
    def symbol(self) -> str:
        """The letter of the map in formulas."""
        return _SYMBOLS[self]

    @property
    def inputs(self) -> tuple[str, str]:
        """The two arrays that the map takes, in order."""
        return _INPUTS[self]

    @property
    def output(self) -> str:
        """The array that the map returns."""
        return _OUTPUTS[self]

    @classmethod
    def with_output(cls, array: str) -> "Map":
        """The map that returns this array."""
        return next(each for each in cls if each.output == array)


_SYMBOLS = {Map.TRANSPOSE: "T", Map.FORWARD: "F", Map.KERNEL_GRADIENT: "G"}
_INPUTS = {Map.TRANSPOSE: ("x", "w"), Map.FORWARD: ("z", "w"), Map.KERNEL_GRADIENT: ("x", "z")}
_OUTPUTS = {Map.TRANSPOSE: "z", Map.FORWARD: "x", Map.KERNEL_GRADIENT: "w"}
