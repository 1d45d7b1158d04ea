"""Calls of ``conv_transpose`` for hypothesis to draw, with every legal output size, and their operands.

Output sizes are legal by counting the windows of the forward convolution, not by jconvt's formulas.
"""

import dataclasses
from typing import Any

import numpy as np
from hypothesis import strategies as st

FORMATS = {1: ("NWC", "NCW"), 2: ("NHWC", "NCHW"), 3: ("NDHWC", "NCDHW"), 4: ("NABDEC", "NCABDE")}


def forward_size(out: int, kernel: int, stride: int, dilation: int, padding: Any) -> int:
    """The number of windows that a forward convolution places on ``out`` pixels."""
    extent = (kernel - 1) * dilation + 1
    if padding == "SAME":
        return len(range(0, out, stride))
    before, after = (0, 0) if padding == "VALID" else padding
    return len(range(0, out + before + after - extent + 1, stride))


def legal_sizes(n: int, kernel: int, stride: int, dilation: int, padding: Any) -> list[int]:
    """Every output size that the forward convolution maps back to ``n``."""
    limit = (n + 1) * stride + kernel * dilation
    return [out for out in range(limit) if forward_size(out, kernel, stride, dilation, padding) == n]


@dataclasses.dataclass(frozen=True)
class Call:
    """The shapes of the operands, and the arguments, of one call of ``conv_transpose``."""

    input: tuple[int, ...]
    filters: tuple[int, ...]
    arguments: dict[str, Any]

    def __hash__(self) -> int:
        return hash(repr(self))

    def operands(self, dtype: Any = np.float64) -> tuple[Any, Any]:
        """Small integers without symmetry: the sums of their products are exact, and a flip changes them."""
        rng = np.random.default_rng(len(repr(self)))
        x, w = (rng.integers(-9, 10, shape) for shape in (self.input, self.filters))
        if np.dtype(dtype).kind == "c":
            return (x + 1j * x[::-1]).astype(dtype), (w - 2j * w).astype(dtype)
        return x.astype(dtype), w.astype(dtype)


@st.composite
def calls(
    draw: Any,
    ranks: Any = (1, 2, 3),
    paddings: Any = ("SAME", "VALID", "EXPLICIT"),
    plain: bool = False,
    empty: bool = True,
) -> Call:
    """Draw a legal call: a ``plain`` one has no groups or dilation, and channels last; arrays may be ``empty``."""
    rank = draw(st.sampled_from(ranks))
    most = {1: 5, 2: 3, 3: 2, 4: 2}[rank]
    kind = draw(st.sampled_from(paddings))
    sizes, kernel, strides, dilations, pads, outs = [], [], [], [], [], []
    for _ in range(rank):
        k, s = draw(st.integers(1, most + 1)), draw(st.integers(1, most))
        d = 1 if plain else draw(st.integers(1, 3))
        pad = (draw(st.integers(0, 2)), draw(st.integers(0, 2))) if kind == "EXPLICIT" else kind
        legal = {n: [out for out in legal_sizes(n, k, s, d, pad) if n * out or empty] for n in range(most + 4)}
        n = draw(st.sampled_from([n for n, outputs in legal.items() if outputs][: most + 1]))
        outs.append(draw(st.sampled_from(legal[n])))
        for values, value in zip((sizes, kernel, strides, dilations, pads), (n, k, s, d, pad), strict=True):
            values.append(value)
    groups = 1 if plain else draw(st.sampled_from((1, 1, 2, 3)))
    in_channels, out_channels = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    batch = draw(st.sampled_from((1, 2, 2, 0) if empty else (1, 2, 2)))
    arguments: dict[str, Any] = {"strides": strides, "padding": pads if kind == "EXPLICIT" else kind}
    channels_first = not plain and draw(st.booleans())
    full = (batch, out_channels, *outs) if channels_first else (batch, *outs, out_channels)
    arguments["output_shape"] = full
    if not plain:
        arguments |= {"dilations": dilations, "groups": groups}
        arguments["data_format"] = FORMATS[rank][channels_first]
        arguments["output_shape"] = draw(st.sampled_from((full, tuple(outs))))
    shape = (batch, in_channels, *sizes) if channels_first else (batch, *sizes, in_channels)
    return Call(shape, (*kernel, out_channels // groups, in_channels), arguments)
