"""The contract of a method, and the ``Method`` object that holds everything known about one.

A method is a file in this package that exports one ``Method``, and a line in ``METHODS`` in ``__init__``. It computes
one or more of the three maps, all with the same signature:

    transposed_convolution(x, w, spec, layout, dtype, precision) -> z
    forward_convolution(z, w, spec, layout, dtype, precision) -> x
    kernel_gradient(x, z, spec, layout, dtype, precision) -> w

``x`` is ``(batch, spatial..., c)`` in ``layout``; ``w`` is ``(k..., o / groups, c)``, TensorFlow's order; ``z`` is
``(batch, spec.output_sizes(...)..., o)`` in ``layout``. The result has ``dtype``. No axis has size 0: the caller
handles empty arrays. Laws that every method satisfies:

- its result equals that of ``reference``, up to the rounding of its sums;
- it is linear in each operand;
- it accepts symbolic sizes, under ``jax.export``;
- an input pixel that is NaN or infinite reaches the outputs under its stamp and, on CPU, no others: a convolution of
  cuDNN multiplies zeros between and beside the pixels, and may spread it further.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from .._geometry.arguments import Size, known
from .._geometry.layout import Layout
from .._geometry.maps import Map
from .._geometry.spec import Spec
from .._jax_compat import abstract_like
from ..errors import ArgumentError, ArgumentTypeError

Compute = Callable[[Array, Array, Spec, Layout, Any, Any], Array]
"""One map: two operands, geometry, layout, result dtype, precision."""


@dataclasses.dataclass(frozen=True)
class ProblemShape:
    """A geometry with sizes: a batch of ``pixels``, from ``input_channels`` to ``output_channels``."""

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
    ) -> "ProblemShape":
        """These sizes, with a typical number in place of a symbolic one."""
        return cls(spec, layout, jnp.dtype(dtype), known(batch), tuple(map(known, pixels)), *map(known, channels))

    @functools.cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shapes of ``x``, ``w`` and ``z``."""
        spec = self.spec
        return {
            "x": self.layout.shape(self.batch, self.pixels, self.input_channels),
            "w": (*(a.kernel for a in spec.axes), self.output_channels // spec.groups, self.input_channels),
            "z": self.layout.shape(self.batch, spec.output_sizes(self.pixels), self.output_channels),
        }

    @property
    def flops(self) -> int:
        """The minimum number of floating-point operations; a multiply-add counts as two."""
        taps = math.prod(axis.kernel for axis in self.spec.axes)
        channels = self.input_channels * self.output_channels // self.spec.groups
        return 2 * self.batch * math.prod(self.pixels) * taps * channels

    @property
    def dilation_overhead(self) -> int:
        """The multiplications of a convolution over the dilated input for each useful one."""
        return math.prod(axis.stride for axis in self.spec.axes)

    def bytes(self, *arrays: str) -> int:
        """The bytes of these of ``x``, ``w`` and ``z``."""
        return sum(math.prod(self.shapes[array]) for array in arrays) * self.dtype.itemsize


def _supports_everything(map: Map, spec: Spec, dtype: Any) -> None:
    del map, spec, dtype


def _no_temporaries(map: Map, problem: ProblemShape) -> int:
    del map, problem
    return 0


_NO_INTEGER_CONVOLUTIONS = ("cuda", "rocm")
"""The platforms whose libraries have no convolutions of integers."""


@dataclasses.dataclass(frozen=True)
class Method:
    """One way to compute the three maps.

    Attributes:
      name: the value of ``method=``.
      summary: one line for tables.
      transpose: T. A map that is ``None`` is computed by the transpose of this one, which JAX derives.
      forward: F.
      kernel_gradient: G.
      how: what the method does for a map, for each map that ``method="auto"`` may choose it for.
      cost: for each platform, the predicted seconds of a map. Platforms without an entry use that of "tpu".
      platforms: the platforms that the method's compiled code runs on. ``None``: the method emits JAX's own
        operations, which run on every platform, and which ``jax.export`` can save.
      convolves: whether the method emits convolutions of XLA. GPUs convolve no integers. Where XLA's convolutions
        are to be replaced, the method does not count.
      unsupported: returns the error for a map, geometry and dtype that the method does not support, or ``None``.
      temporary_bytes: the bytes between operands and result of a map, as far as they grow with the batch. Fitted costs
        use them.
      traceable: whether the method works on traced operands.
    """

    name: str
    summary: str
    transpose: Compute
    forward: Compute | None = None
    kernel_gradient: Compute | None = None
    how: Mapping[Map, str] = dataclasses.field(default_factory=dict)
    cost: Mapping[str, Callable[[Map, ProblemShape], float]] = dataclasses.field(default_factory=dict)
    platforms: Sequence[str] | None = None
    convolves: bool = False
    unsupported: Callable[[Map, Spec, Any], ArgumentError | ArgumentTypeError | None] = _supports_everything
    temporary_bytes: Callable[[Map, ProblemShape], int] = _no_temporaries
    traceable: bool = True

    def __post_init__(self):
        for platform in self.platforms or ("tpu",):
            if self.how and platform not in self.cost:
                raise ValueError(f"method {self.name!r} has reasons in how, but no cost for {platform!r}")

    def unsupported_on(
        self, platform: str | None, dtype: Any, for_export: bool = False
    ) -> ArgumentError | ArgumentTypeError | None:
        """The error if the method cannot be part of a program for ``platform``, perhaps one that ``jax.export`` saves.

        ``dtype`` is that of the operands.
        """
        fix = "leave method out for 'auto', which selects a method for each platform"
        if self.platforms is not None and (platform not in self.platforms or for_export):
            return ArgumentError(
                f"method {self.name!r} does not run on this platform",
                got=f"a program that is lowered for {platform or 'a platform unknown to jconvt'}",
                legal=", ".join(self.platforms),
                fix=fix,
            )
        if self.convolves and platform in _NO_INTEGER_CONVOLUTIONS and not jnp.issubdtype(dtype, jnp.inexact):
            return ArgumentTypeError(
                f"method {self.name!r} is a convolution, and this platform has no convolutions of integers",
                got=f"dtype {jnp.dtype(dtype)}, in a program that is lowered for {platform}",
                legal="a floating-point or complex dtype",
                fix=f"{fix}, or convert the operands",
            )
        return None

    def implementation(self, map: Map) -> Compute:
        """The function that computes ``map``."""
        if map is Map.TRANSPOSE:
            return self.transpose
        if map is Map.FORWARD:
            return self.forward or functools.partial(forward_by_transposition, self.transpose)
        return self.kernel_gradient or functools.partial(kernel_gradient_by_transposition, self.transpose)


def forward_by_transposition(
    compute: Compute, z: Array, w: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any
) -> Array:
    """F as the transpose in ``x`` that JAX derives from T."""
    acc = acc_dtype(dtype)
    z, w = z.astype(acc), w.astype(acc)
    x = abstract_like(z, layout.shape(z.shape[0], spec.input_sizes(layout.spatial(z.shape)), w.shape[-1]), acc)
    (x,) = jax.linear_transpose(lambda x: compute(x, w, spec, layout, acc, precision), x)(z)
    return x.astype(dtype)


def kernel_gradient_by_transposition(
    compute: Compute, x: Array, z: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any
) -> Array:
    """G as the transpose in ``w`` that JAX derives from T."""
    acc = acc_dtype(dtype)
    x, z = x.astype(acc), z.astype(acc)
    channel, kernel = layout.channel_axis, [axis.kernel for axis in spec.axes]
    w = abstract_like(x, (*kernel, z.shape[channel] // spec.groups, x.shape[channel]), acc)
    (w,) = jax.linear_transpose(lambda w: compute(x, w, spec, layout, acc, precision), w)(z)
    return w.astype(dtype)


def acc_dtype(dtype: Any) -> Any:
    """The dtype of sums for a result of ``dtype``: float32 for half precision, which is rounded once at the end."""
    return jnp.dtype(jnp.float32) if jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize < 4 else dtype


def promote_pair(a: Array, b: Array, dtype: Any) -> tuple[Array, Array]:
    """Return two operands in one dtype that has products with sums in ``dtype``."""
    if a.dtype == b.dtype and jnp.issubdtype(a.dtype, jnp.floating) == jnp.issubdtype(dtype, jnp.floating):
        return a, b
    return a.astype(dtype), b.astype(dtype)
