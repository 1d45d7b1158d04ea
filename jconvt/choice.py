"""Which method computes a map fastest on which platform, predicted from what it has to do.

A prediction adds up the multiplications and additions of a method, at the rate at which the platform does them in the
kind of program that the method is, and the bytes that it moves besides its products, at the rate at which the platform
moves them. The rates were measured on one machine of each kind, TPU's are its compiler's estimates; only their ratios
matter. How often the predictions are right is published with the benchmark.
"""

import dataclasses
import functools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.core import Tracer

from . import timing
from .algorithms import MAPS, REFUSALS, polyphase
from .algorithms.turns import in_turns
from .conventions import tensorflow
from .errors import ArgumentError, ArgumentTypeError
from .integers import Size, integer, sequence
from .layout import Layout
from .spec import Spec

Map = Literal["transposed_convolution", "forward_convolution", "kernel_gradient"]

OPERANDS: dict[Map, tuple[str, str]] = {
    "transposed_convolution": ("xw", "z"),
    "forward_convolution": ("zw", "x"),
    "kernel_gradient": ("xz", "w"),
}
"""What each map takes, and what it gives."""

_TYPICAL = 32
"""What a size that is not known before the program runs is taken for."""
_CACHE = 12 << 20
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

        def number(size: Size) -> int:
            return size if isinstance(size, int) else _TYPICAL

        return cls(spec, layout, jnp.dtype(dtype), number(batch), tuple(map(number, pixels)), *map(number, channels))

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
    def patches_bytes(self) -> int:
        """Every tap of every pixel: what ``gemm`` holds between its operands and its result."""
        wide = max(self.dtype.itemsize, 4)
        return self.batch * math.prod(self.pixels) * self.taps * self.output_channels * wide

    @property
    def met_bytes(self) -> int:
        """Every pixel that a block meets: what ``polyphase`` holds on its way to either gradient."""
        wide = max(self.dtype.itemsize, 4)
        return self.batch * math.prod(self.pixels) * self.input_channels * wide * polyphase.pixels_met(self.spec)


@dataclasses.dataclass(frozen=True)
class Decision:
    """The method that computes one map, why, and the seconds that each method takes: predicted, or measured.

    ``images`` of the batch are computed at a time.
    """

    map: Map
    method: str
    images: int
    reason: str
    costs: Mapping[str, float]
    measured: bool = False


@dataclasses.dataclass(frozen=True)
class Choice:
    """What ``method="auto"`` computes a transposed convolution and its two gradients by. It prints itself."""

    sizes: Sizes
    platform: str
    transposed_convolution: Decision
    forward_convolution: Decision
    kernel_gradient: Decision

    @property
    def method(self) -> str:
        """The method of the transposed convolution itself."""
        return self.transposed_convolution.method

    def __str__(self) -> str:
        shapes = self.sizes.shapes
        lines = [str(self.sizes.spec), f"{self.sizes.dtype} {shapes['x']} by {shapes['w']}, on {self.platform}:"]
        for decision in (self.transposed_convolution, self.forward_convolution, self.kernel_gradient):
            kind = "measured" if decision.measured else "predicted"
            best = decision.costs[decision.method]
            costs = ", ".join(
                f"{method} {cost / best:.3g}"
                for method, cost in sorted(decision.costs.items(), key=lambda item: item[1])
            )
            lines += [
                f"  {decision.map.replace('_', ' ')}: {decision.method}",
                f"    {decision.reason}",
                f"    {kind} times, relative: {costs}",
            ]
        return "\n".join(lines)


def choose(
    spec: Spec,
    input_shape: Sequence[int],
    filters_shape: Sequence[int],
    *,
    dtype: Any = "float32",
    data_format: str | None = None,
    platform: str | None = None,
    measure: bool = False,
) -> Choice:
    """The methods that ``method="auto"`` takes for a geometry, and why.

    Args:
      spec: the geometry, as ``Spec.from_tensorflow`` gives it.
      input_shape: the input's shape, batch and channels included.
      filters_shape: ``(k..., out / groups, in)``.
      dtype: of both operands.
      data_format: as ``conv_transpose`` takes it.
      platform: ``"cpu"``, ``"cuda"``, ``"rocm"`` or ``"tpu"``; left out, that of JAX's default device.
      measure: whether to time the methods on the default device, and to have ``"auto"`` remember the fastest for calls
        of these sizes in this process. Programs that are compiled already stay as they are.

    Returns:
      A ``Choice``, with a ``Decision`` for each of ``transposed_convolution``, ``forward_convolution`` and
      ``kernel_gradient``. Its costs are in seconds; predicted ones are those of one machine of each kind, so only their
      ratios matter.

    Raises:
      ArgumentError: the shapes do not fit ``spec``, or the platform is unknown. With ``measure``: the platform is not
        the default device's, or JAX is tracing the call.
      ArgumentTypeError: ``spec`` is no ``Spec``, ``dtype`` no dtype, or ``measure`` no boolean.

    >>> spec = Spec.from_tensorflow((8, 4, 4, 1024), (5, 5, 512, 1024), strides=2)
    >>> choose(spec, (8, 4, 4, 1024), (5, 5, 512, 1024), platform="cpu").method
    'gemm'
    """
    sizes = _checked(spec, input_shape, filters_shape, dtype, data_format)
    here = _platform()
    if platform is None:
        platform = here
    if platform not in _PLATFORMS:
        raise ArgumentError(
            "unknown platform",
            got=f"platform = {platform!r}",
            legal=", ".join(map(repr, _PLATFORMS)),
            fix="leave it out for the default device's",
        )
    if not isinstance(measure, bool):
        raise ArgumentTypeError(
            "measure must be a boolean", got=f"measure = {measure!r}", legal="True or False", fix="leave it out"
        )
    if measure:
        _refuse_to_measure(platform, here)
        for name in OPERANDS:
            _MEASURED[name, sizes, platform] = _measured(name, sizes, platform)
    return Choice(sizes, platform, *(decide(name, sizes, platform) for name in OPERANDS))


_MEASURED: dict[tuple[str, Sizes, str | None], dict[str, float]] = {}


def generation() -> int:
    """Grows with each measurement: what was lowered before may have been decided otherwise."""
    return len(_MEASURED)


def decide(name: Map, sizes: Sizes, platform: str | None) -> Decision:
    """The method with the lowest measured or else predicted cost among those that serve the geometry."""
    measured = _MEASURED.get((name, sizes, platform))
    predict = _PLATFORMS.get(platform or "", _tpu)
    costs = measured or {method: predict(name, method, sizes) for method in _served(name, sizes)}
    method = min(costs, key=lambda method: costs[method])
    others = sorted(cost for other, cost in costs.items() if other != method)
    ahead = f"{others[0] / costs[method]:.3g} times as fast as the next" if others else "the only one that serves"
    turn = images(name, method, sizes, platform)
    return Decision(name, method, turn, f"{_HOW[name, method]}, {ahead}", costs, measured is not None)


def _served(name: Map, sizes: Sizes) -> list[str]:
    """The methods that serve the geometry and the dtype."""
    derived = () if jnp.issubdtype(sizes.dtype, jnp.inexact) or name != "kernel_gradient" else ("dilated", "vjp")
    return [
        method
        for method in MAPS[name]
        if method not in derived  # JAX transposes no integers
        and not (method in REFUSALS and REFUSALS[method](sizes.spec))
    ]


def _checked(spec: Spec, input_shape: Any, filters_shape: Any, dtype: Any, data_format: str | None) -> Sizes:
    if not isinstance(spec, Spec):
        raise ArgumentTypeError(
            "spec must be a Spec", got=f"spec = {spec!r}", legal="jconvt.Spec", fix="make one by Spec.from_tensorflow"
        )
    try:
        dtype = jnp.dtype(dtype)
    except TypeError as error:
        raise ArgumentTypeError(
            "dtype is no dtype", got=f"dtype = {dtype!r}", legal="what jax.numpy.dtype takes", fix="pass 'float32'"
        ) from error
    layout = tensorflow.layout_of(data_format, spec.rank)
    shapes = {"input_shape": input_shape, "filters_shape": filters_shape}
    for name, shape in shapes.items():
        numbers = sequence(shape, name, f"{spec.rank + 2} sizes")
        shapes[name] = tuple(integer(n, f"{name}[{i}]", 1) for i, n in enumerate(numbers))
        if len(shapes[name]) != spec.rank + 2:
            raise ArgumentError(
                f"{name} has the wrong length",
                got=f"{name} = {shapes[name]}",
                legal=f"{spec.rank + 2} sizes",
                fix=f"spec has {spec.rank} spatial axes; batch and channels go with them",
            )
    x, w = shapes.values()
    kernel = tuple(axis.kernel for axis in spec.axes)
    taken = x[layout.channel_axis]
    if (*w[: spec.rank], w[-1]) != (*kernel, taken) or taken % spec.groups:
        raise ArgumentError(
            "the shapes do not fit the geometry",
            got=f"input_shape = {x}, filters_shape = {w}, kernel {kernel}, groups {spec.groups}",
            legal=f"filters of ({', '.join(map(str, kernel))}, out / groups, in), and in a multiple of groups",
            fix="pass the shapes that spec was made for",
        )
    return Sizes.of(spec, layout, dtype, x[0], layout.spatial(x), (taken, w[spec.rank] * spec.groups))


def _platform() -> str:
    """The default device's platform, by the name that programs are lowered for."""
    name = jax.default_backend()
    return "cuda" if name == "gpu" else name


def _refuse_to_measure(platform: str, here: str) -> None:
    if isinstance(jnp.zeros(()), Tracer):
        raise ArgumentError(
            "measure=True times programs, and inside jax.jit nothing runs yet",
            got="a call that JAX is tracing",
            legal="a call outside of jit, grad, vmap and other transformations",
            fix="call choose(..., measure=True) once before: 'auto' remembers it when it is traced",
        )
    if platform != here:
        raise ArgumentError(
            "measure=True times programs on the default device",
            got=f"platform = {platform!r}",
            legal=repr(here),
            fix="leave platform out, or measure out for a prediction",
        )


def _measured(name: Map, sizes: Sizes, platform: str) -> dict[str, float]:
    """The median seconds of each method."""
    shapes, taken, given = sizes.shapes, *OPERANDS[name]
    keys = jax.random.split(jax.random.key(0))
    operands = [jax.random.normal(key, shapes[one]).astype(sizes.dtype) for key, one in zip(keys, taken, strict=True)]
    calls = {}
    for method in _served(name, sizes):

        def compute(a: jax.Array, b: jax.Array, method: str = method) -> jax.Array:
            turn = images(name, method, sizes, platform)
            rest = sizes.spec, sizes.layout, sizes.dtype, None
            return in_turns(MAPS[name][method], turn, shapes[given], given == "w", a, b, *rest)

        call = functools.partial(jax.jit(compute), *operands)
        call().block_until_ready()
        calls[method] = lambda call=call: call().block_until_ready()
    return {method: statistics.median(times) for method, times in timing.race(calls, budget=1.0).items()}


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
        return sizes.patches_bytes
    if method == "polyphase" and name != "transposed_convolution":
        return sizes.met_bytes
    if method == "vjp" and name == "forward_convolution":
        return 3 * sizes.output_bytes  # so it was measured: a strided convolution likes few images
    return 0


_HOW = {
    ("transposed_convolution", "dilated"): "one convolution over the dilated input",
    ("transposed_convolution", "polyphase"): "one dense convolution for each phase",
    ("transposed_convolution", "gemm"): "one product, whose stamps are added up",
    ("forward_convolution", "vjp"): "one strided convolution",
    ("forward_convolution", "polyphase"): "one dense convolution for each phase, added up",
    ("forward_convolution", "gemm"): "one product of patches",
    ("kernel_gradient", "dilated"): "one convolution with the dilated input, transposed",
    ("kernel_gradient", "vjp"): "one convolution with the output for a window",
    ("kernel_gradient", "polyphase"): "one convolution for each phase, with the blocks for a window",
    ("kernel_gradient", "gemm"): "one product of patches and pixels",
}


def _cpu(name: Map, method: str, sizes: Sizes) -> float:
    spec, flops, grouped = sizes.spec, sizes.flops, sizes.spec.groups > 1
    held = _held_bytes(name, method, sizes) // sizes.batch * images(name, method, sizes, "cpu")
    product, move = 100e9, 10e9 if held < 32e6 else 3e9
    # XLA's library takes products and dense convolutions of two spatial axes; loops do the rest.
    convolution = max(0.4e9, 20e9 / spec.groups) if grouped else 90e9 if spec.rank == 2 else 60e9
    if name == "transposed_convolution":
        if method == "gemm":  # stamps are added up as they are written out; few channels leave little to do for each
            product *= sizes.input_channels / (sizes.input_channels + 32 * spec.groups)
            return flops / product + (2 * sizes.patches_bytes + sizes.output_bytes) / move
        if method == "polyphase":
            convolution *= min(1, sizes.output_channels / 16)
            return flops / convolution + (3 * sizes.output_bytes + 2 * sizes.kernel_bytes) / 6e9
        return flops * sizes.zeros / (convolution if sizes.zeros == 1 else 0.25e9 if grouped else 4e9)
    if method == "gemm":  # patches are gathered in several passes
        return flops / product + (4 * sizes.patches_bytes + sizes.output_bytes) / move
    if method == "polyphase":
        return flops / product + (4 * sizes.met_bytes + 3 * sizes.output_bytes) / move
    if name == "forward_convolution":
        overlap = any(axis.kernel > axis.stride for axis in spec.axes)
        narrow = 1 if grouped else min(1, sizes.input_channels / 64) * (1 if overlap else 0.6)
        return flops / (convolution * narrow)
    return flops * (sizes.zeros if method == "dilated" else 1) / (0.2e9 if grouped else 20e9)


def _gpu(name: Map, method: str, sizes: Sizes) -> float:
    spec = sizes.spec
    # cuDNN's backward convolution skips the zeros, but XLA finds it for neither groups nor dilated kernels.
    plain = spec.groups == 1 and all(axis.dilation == 1 for axis in spec.axes)
    product, move = 40e12, 3e12
    if not jnp.issubdtype(sizes.dtype, jnp.inexact) and method != "gemm":
        return sizes.flops * sizes.zeros / 1e10  # cuDNN has floating convolutions alone
    if method == "gemm":
        return sizes.flops / product + (2 * sizes.patches_bytes + sizes.output_bytes) / move
    if method == "polyphase":
        return sizes.flops / product + 3 * sizes.output_bytes / move
    if method == "vjp":
        return sizes.flops / product
    return sizes.flops * (1 if plain and name == "transposed_convolution" else sizes.zeros) / product


def _tpu(name: Map, method: str, sizes: Sizes) -> float:
    # Rates by the estimates of TPU's compiler. It skips no zeros, but for few images it copies what it dilates.
    product = 100e12
    few = sizes.spec.groups == 1 and sizes.batch < 8 and (sizes.output_channels % 128 == 0 or sizes.zeros >= 8)
    slower = {"dilated": 1, "vjp": 1, "polyphase": 3, "gemm": 0.6 if few else 1.5}[method]
    if name == "kernel_gradient":
        slower = {"dilated": 1, "vjp": 3, "polyphase": 5, "gemm": 1.5}[method]
    return slower * sizes.flops / product


_PLATFORMS = {"cpu": _cpu, "cuda": _gpu, "rocm": _gpu, "tpu": _tpu}
