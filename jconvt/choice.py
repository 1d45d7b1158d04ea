"""Which method computes a map fastest on which platform, predicted from what it has to do.

A prediction adds up the multiplications and additions of a method, at the rate at which the platform does them in the
kind of program that the method is, and the bytes that it moves besides its products, at the rate at which the platform
moves them. The rates were measured on one machine of each kind, TPU's are its compiler's estimates; only their ratios
matter. How often the predictions are right is published with the benchmark.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Literal

from .algorithms import MAPS, REFUSALS
from .integers import Size
from .spec import Spec

Map = Literal["transposed_convolution", "forward_convolution", "kernel_gradient"]

_TYPICAL = 32
"""What a size that is not known before the program runs is taken for."""
_CACHE = 12 << 20
"""The bytes that a CPU should have in hand at a time: more are slower than the sums that fill them."""


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What a geometry is applied to: pixels of ``input_channels``, to outputs of ``output_channels``."""

    spec: Spec
    batch: int
    pixels: tuple[int, ...]
    input_channels: int
    output_channels: int
    itemsize: int

    @classmethod
    def of(cls, spec: Spec, batch: Size, pixels: Sequence[Size], channels: Sequence[Size], itemsize: int) -> "Sizes":
        """These sizes; one that is a symbol counts as a typical one."""

        def number(size: Size) -> int:
            return size if isinstance(size, int) else _TYPICAL

        return cls(spec, number(batch), tuple(map(number, pixels)), *map(number, channels), itemsize)

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
    def input_bytes(self) -> int:
        return self.batch * math.prod(self.pixels) * self.input_channels * self.itemsize

    @property
    def output_bytes(self) -> int:
        return self.batch * math.prod(self.spec.output_sizes(self.pixels)) * self.output_channels * self.itemsize

    @property
    def patches_bytes(self) -> int:
        """Every tap of every pixel: what ``gemm`` holds between its operands and its result."""
        wide = max(self.itemsize, 4)
        return self.batch * math.prod(self.pixels) * self.taps * self.output_channels * wide


@dataclasses.dataclass(frozen=True)
class Decision:
    """The method that a map is computed by, why, and the seconds that each method is predicted to take.

    ``images`` are computed at a time.
    """

    map: Map
    method: str
    images: int
    reason: str
    costs: Mapping[str, float]


def decide(map: Map, sizes: Sizes, platform: str | None) -> Decision:
    """The method with the lowest predicted cost among those that serve the geometry."""
    predict = _PLATFORMS.get(platform or "", _accelerator)
    served = [method for method in MAPS[map] if method not in REFUSALS or REFUSALS[method](sizes.spec) is None]
    costs = {method: predict(map, method, sizes) for method in served}
    method = min(costs, key=lambda method: costs[method])
    others = sorted(cost for other, cost in costs.items() if other != method)
    ahead = f"{others[0] / costs[method]:.2g} times as fast as the next" if others else "the only one that serves"
    return Decision(map, method, images(map, method, sizes, platform), f"{_HOW[map, method]}, {ahead}", costs)


def images(map: Map, method: str, sizes: Sizes, platform: str | None) -> int:
    """How many images to compute at a time: on a CPU, as many as leave ``gemm``'s patches in the cache."""
    if platform != "cpu" or method != "gemm" or sizes.batch < 2:
        return sizes.batch
    each = sizes.patches_bytes // sizes.batch
    divisors = (count for count in range(sizes.batch, 1, -1) if sizes.batch % count == 0)
    return next((count for count in divisors if count * each <= _CACHE), 1)


_HOW = {
    ("transposed_convolution", "dilated"): "one convolution over the dilated input",
    ("transposed_convolution", "polyphase"): "one dense convolution for each phase",
    ("transposed_convolution", "gemm"): "one product, whose stamps are added up",
    ("forward_convolution", "vjp"): "one strided convolution",
    ("forward_convolution", "polyphase"): "one dense convolution for each phase, added up",
    ("forward_convolution", "gemm"): "one product of patches",
    ("kernel_gradient", "vjp"): "one convolution with the output for a window",
    ("kernel_gradient", "polyphase"): "one convolution for each phase, with the blocks for a window",
    ("kernel_gradient", "gemm"): "one product of patches and pixels",
}


def _cpu(map: Map, method: str, sizes: Sizes) -> float:
    spec = sizes.spec
    # XLA's library takes products and dense convolutions of two spatial axes; loops do the rest.
    dense = spec.rank == 2 and spec.groups == 1
    product, convolution, loops = 100e9, 90e9 if dense else 25e9 / spec.groups, 4e9
    at_once = sizes.patches_bytes // sizes.batch * images(map, "gemm", sizes, "cpu")
    move = 12e9 if at_once <= 2 * _CACHE else 4e9
    if method == "gemm":
        return sizes.flops / product + (2 * sizes.patches_bytes + sizes.output_bytes) / move
    if map == "kernel_gradient":
        return sizes.flops / loops + sizes.output_bytes / 4e9
    if method == "polyphase":
        return sizes.flops / convolution + 3 * sizes.output_bytes / 4e9
    if method == "vjp":
        return sizes.flops / convolution
    return sizes.flops * sizes.zeros / (convolution if sizes.zeros == 1 else loops)


def _gpu(map: Map, method: str, sizes: Sizes) -> float:
    spec = sizes.spec
    # cuDNN's backward convolution skips the zeros, but XLA finds it for neither groups nor dilated kernels.
    plain = spec.groups == 1 and all(axis.dilation == 1 for axis in spec.axes)
    product, move = 40e12, 3e12
    if method == "gemm":
        return sizes.flops / product + (2 * sizes.patches_bytes + sizes.output_bytes) / move
    if method == "polyphase":
        return sizes.flops / product + 3 * sizes.output_bytes / move
    if method == "vjp":
        return sizes.flops / product
    return sizes.flops * (1 if plain else sizes.zeros) / product


def _accelerator(map: Map, method: str, sizes: Sizes) -> float:
    product, move = 100e12, 1e12
    if method == "gemm":
        return sizes.flops / product + (2 * sizes.patches_bytes + sizes.output_bytes) / move
    if method == "polyphase":
        return sizes.flops / product + 3 * sizes.output_bytes / move
    return sizes.flops / product


_PLATFORMS = {"cpu": _cpu, "cuda": _gpu, "rocm": _gpu, "tpu": _accelerator}
