"""What a method has to do for a map, and what that costs on which platform.

A prediction adds up the multiplications and additions of a method, at the rate at which the platform does them in the
kind of program that the method is, and the bytes that it moves besides its products, at the rate at which the platform
moves them. CPU's rates were measured, TPU's are its compiler's estimates, GPU's are not measured yet; only their ratios
matter. How often the predictions are right is published with the benchmark.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal

import jax.numpy as jnp

from .._geometry.arguments import Size, known
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from .._methods import _depthwise as depthwise
from .._methods import _matmul, gemm

Map = Literal["transposed_convolution", "forward_convolution", "kernel_gradient"]

OPERANDS: dict[Map, tuple[str, str]] = {
    "transposed_convolution": ("xw", "z"),
    "forward_convolution": ("zw", "x"),
    "kernel_gradient": ("xz", "w"),
}
"""What each map takes, and what it gives."""

_CACHE = 8 << 20
"""The bytes that a CPU should have in hand at a time: more are slower than the sums that fill them."""
_MAPPED = 30 << 20
"""The bytes from which on an array is new to the process at each call: the operating system brings it page by page."""


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What a geometry is applied to: pixels of ``input_channels``, to outputs of ``output_channels``."""

    spec: Spec
    layout: Layout
    dtype: Any
    batch: int
    pixels: tuple[int, ...]
    input_channels: int
    output_channels: int

    @classmethod
    def of(
        cls, spec: Spec, layout: Layout, dtype: Any, batch: Size, pixels: Sequence[Size], channels: Sequence[Size]
    ) -> "Sizes":
        """These sizes; one that is a symbol counts as a typical one."""
        return cls(spec, layout, jnp.dtype(dtype), known(batch), tuple(map(known, pixels)), *map(known, channels))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of ``x``, ``w`` and ``z``."""
        spec = self.spec
        return {
            "x": self.layout.shape(self.batch, self.pixels, self.input_channels),
            "w": (*(a.kernel for a in spec.axes), self.output_channels // spec.groups, self.input_channels),
            "z": self.layout.shape(self.batch, spec.output_sizes(self.pixels), self.output_channels),
        }

    @property
    def flops(self) -> int:
        """Two for each pixel, tap, input channel and output channel of a group: what no method does without."""
        channels = self.input_channels * self.output_channels // self.spec.groups
        return 2 * self.batch * math.prod(self.pixels) * self.taps * channels

    @property
    def taps(self) -> int:
        return math.prod(axis.kernel for axis in self.spec.axes)

    @property
    def zeros(self) -> int:
        """How many times the multiplications of a dilated input are those of the pixels alone."""
        return math.prod(axis.stride for axis in self.spec.axes)

    @property
    def bytes(self) -> int:
        """Input, kernel and output."""
        return sum(map(math.prod, self.shapes.values())) * self.dtype.itemsize

    @property
    def kernel_bytes(self) -> int:
        return math.prod(self.shapes["w"]) * self.dtype.itemsize

    @property
    def output_bytes(self) -> int:
        return math.prod(self.shapes["z"]) * self.dtype.itemsize

    @property
    def depthwise(self) -> bool:
        """Whether ``gemm`` computes the gradients without a product of matrices."""
        return depthwise.serves(self.spec, self.input_channels, self.output_channels)

    @property
    def stamped_axes(self) -> int:
        """How many axes ``gemm`` stamps."""
        pixels = self.batch * math.prod(self.pixels)
        return gemm.stamped_axes(self.spec, pixels, self.input_channels, self.output_channels)

    def copied_bytes(self, stamped: int) -> int:
        """What the products of matrices hold between operands and result, with the first axes stamped."""
        wide = max(self.dtype.itemsize, 4)
        each = _matmul.copied(self.spec, stamped, self.input_channels, self.output_channels)
        return self.batch * math.prod(self.pixels) * each * wide


def seconds(name: Map, method: str, sizes: Sizes, platform: str | None) -> float:
    """What a map is predicted to take by a method. A platform without a prediction of its own is taken for a TPU."""
    return PLATFORMS.get(platform or "", _tpu)(name, method, sizes)


def images(name: Map, method: str, sizes: Sizes, platform: str | None) -> int:
    """How many images to compute at a time: on a CPU, as many as stay in its cache."""
    if platform != "cpu" or sizes.batch < 2:
        return sizes.batch
    held = _held_bytes(name, method, sizes)
    if held <= min(_MAPPED, sizes.bytes):
        return sizes.batch  # a loop has a price, too
    each = held // sizes.batch
    divisors = (count for count in range(sizes.batch, 1, -1) if sizes.batch % count == 0)
    return next((count for count in divisors if count * each <= _CACHE), 1)


def _held_bytes(name: Map, method: str, sizes: Sizes) -> int:
    """What a method holds between its operands and its result, as far as that grows with the batch."""
    if method == "gemm":
        if sizes.depthwise and name != "transposed_convolution":
            return 0
        return sizes.copied_bytes(sizes.stamped_axes)
    if method == "polyphase" and name != "transposed_convolution":
        return sizes.copied_bytes(0)
    if method == "vjp" and name == "forward_convolution":
        return 3 * sizes.output_bytes  # so it was measured: a strided convolution likes few images
    return 0


def _cpu(name: Map, method: str, sizes: Sizes) -> float:
    spec, flops, grouped = sizes.spec, sizes.flops, sizes.spec.groups > 1
    held = _held_bytes(name, method, sizes)
    at_a_time = held // sizes.batch * images(name, method, sizes, "cpu")
    move = 12e9 if at_a_time < 32e6 else 5e9
    # Products of half precision are faster where they are not summed over pixels.
    product = 190e9 if sizes.dtype.itemsize > 2 else 110e9 if name == "kernel_gradient" else 250e9
    # XLA's library takes products and dense convolutions; loops do those of groups, and most gradients of convolutions.
    convolution = max(0.4e9, 20e9 / spec.groups) if grouped else 95e9
    if name == "transposed_convolution":
        if method == "gemm":  # few channels leave little to do for each stamp
            product *= sizes.input_channels / (sizes.input_channels + 15 * spec.groups)
            return flops / product + (held + sizes.output_bytes) / move
        if method == "polyphase":
            convolution *= min(1, sizes.output_channels / 4)
            return 2e-6 + flops / convolution + (3 * sizes.output_bytes + 2 * sizes.kernel_bytes) / 20e9
        return flops * sizes.zeros / (convolution if sizes.zeros == 1 else 0.25e9 if grouped else 4e9)
    if method == "gemm" and sizes.depthwise:
        return flops / (10e9 if name == "forward_convolution" else 4e9)
    if method in ("gemm", "polyphase"):  # what is gathered takes several passes
        product *= min(1, sizes.output_channels * sizes.zeros / 8)
        return flops / product + (2.6 * held + sizes.output_bytes) / move
    overlap = 1 if any(axis.kernel > axis.stride for axis in spec.axes) else 0.9
    if name == "forward_convolution":
        return flops / (convolution * (1 if grouped else overlap * min(1, sizes.input_channels / 64)))
    convolution = 0.2e9 if grouped else 20e9 if spec.rank > 2 else 75e9 * overlap
    return flops * (sizes.zeros if method == "dilated" else 1) / convolution


def _gpu(name: Map, method: str, sizes: Sizes) -> float:
    spec = sizes.spec
    # cuDNN's backward convolution skips the zeros, but XLA finds it for neither groups nor dilated kernels.
    plain = spec.groups == 1 and all(axis.dilation == 1 for axis in spec.axes)
    product, move = 40e12, 3e12
    if not jnp.issubdtype(sizes.dtype, jnp.inexact) and method != "gemm":
        return sizes.flops * sizes.zeros / 1e10  # cuDNN has floating convolutions alone
    if method == "gemm":
        return sizes.flops / product + (2 * _held_bytes(name, method, sizes) + sizes.output_bytes) / move
    if method == "polyphase":
        return sizes.flops / product + 3 * sizes.output_bytes / move
    if method == "vjp":
        return sizes.flops / product
    return sizes.flops * (1 if plain and name == "transposed_convolution" else sizes.zeros) / product


def _tpu(name: Map, method: str, sizes: Sizes) -> float:
    # Rates by the estimates of TPU's compiler. It skips no zeros, but for few images it copies what it dilates.
    product = 100e12
    if name == "transposed_convolution":
        few = sizes.spec.groups == 1 and sizes.batch < 8
        filled = sizes.output_channels % 128 == 0  # or stamps and their sums are filled up to 128 channels
        stamped = sizes.stamped_axes == sizes.spec.rank  # what is gathered is copied again
        gains = sizes.zeros >= 16 or (stamped and (filled or sizes.zeros >= 8))
        phases = few and sizes.zeros >= 64 and not filled
        slower = {"dilated": 1, "polyphase": 0.4 if phases else 3, "gemm": 0.6 if few and gains else 1.5}[method]
    elif name == "forward_convolution":
        slower = {"vjp": 1, "polyphase": 3, "gemm": 1.5}[method]
    else:
        slower = {"dilated": 1, "vjp": 3, "polyphase": 5, "gemm": 1.5}[method]
    return slower * sizes.flops / product


PLATFORMS = {"cpu": _cpu, "cuda": _gpu, "rocm": _gpu, "tpu": _tpu}
