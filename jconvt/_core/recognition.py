"""Every convolution of ``jax.lax`` as one of the three maps, and back.

``jax.lax.conv_general_dilated`` has no transposed convolution and no kernel gradient of its own: JAX writes both as
convolutions whose strides and dilations have changed places. With window stride ``r``, dilations ``a`` of ``lhs`` and
``b`` of ``rhs``, and padding ``lo``, the output at position ``p`` sums ``lhs[i] rhs[t]`` over the pairs with

    i * a = p * r + t * b - lo

The maps sum over the positions with ``z = x * stride + tap * dilation - crop`` (see ``_geometry.maps``). So, with ``e``
the extent of the kernel, a convolution is

    F(lhs, rhs)             if a = 1    stride r    dilation b    crop lo           rhs is the kernel
    G(rhs, lhs)             if a = 1    stride b    dilation r    crop lo           the output is the kernel
    T(lhs, rhs flipped)     if r = 1    stride a    dilation b    crop e - 1 - lo   rhs is the kernel
    G(lhs, rhs), flipped    if b = 1    stride a    dilation r    crop e - 1 - lo   the output is the kernel

Often two of them apply: they have the same sums, in loops of another order. The groups of F and T are JAX's feature
groups, those of G its batch groups.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from jax import Array, lax

from .._conventions.dimension_numbers import Dimensions
from .._geometry.axis import Axis
from .._geometry.kernel_layout import KernelLayout
from .._geometry.layout import Layout
from .._geometry.maps import Map
from .._geometry.spec import Spec
from .._methods import ProblemShape
from ..errors import ArgumentError


@dataclasses.dataclass(frozen=True)
class Convolution:
    """The integers of a call of ``jax.lax.conv_general_dilated``, and the shapes of its operands.

    Attributes:
      lhs_shape, rhs_shape: the shapes of the operands.
      window_strides, lhs_dilation, rhs_dilation: one integer for each spatial axis.
      padding: a pair (before, after) for each spatial axis.
      dimension_numbers: the axes of ``lhs`` and of the output, each in the order batch, channels, spatial axes, and
        those of ``rhs`` in the order output channels, input channels, spatial axes: a named tuple ``(lhs, rhs, out)``.
      feature_group_count, batch_group_count: the numbers of groups. One of them is 1.
    """

    lhs_shape: tuple[int, ...]
    rhs_shape: tuple[int, ...]
    window_strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    lhs_dilation: tuple[int, ...]
    rhs_dilation: tuple[int, ...]
    dimension_numbers: Dimensions
    feature_group_count: int = 1
    batch_group_count: int = 1

    @property
    def lhs_sizes(self) -> tuple[int, ...]:
        """The batch, the channels and the spatial sizes of ``lhs``."""
        return tuple(self.lhs_shape[axis] for axis in self.dimension_numbers.lhs)

    @property
    def rhs_sizes(self) -> tuple[int, ...]:
        """The output channels, the input channels and the spatial sizes of ``rhs``."""
        return tuple(self.rhs_shape[axis] for axis in self.dimension_numbers.rhs)

    @property
    def output_sizes(self) -> tuple[int, ...]:
        """The batch, the channels and the spatial sizes of the output."""
        batch, _, *sizes = self.lhs_sizes
        channels, _, *taps = self.rhs_sizes
        spatial = []
        for i, (lo, hi) in enumerate(self.padding):
            dilated = max(0, (sizes[i] - 1) * self.lhs_dilation[i] + 1) + lo + hi
            extent = max(0, (taps[i] - 1) * self.rhs_dilation[i] + 1)
            spatial.append(max(0, (dilated - extent) // self.window_strides[i] + 1))
        return (batch // self.batch_group_count, channels, *spatial)

    @property
    def flops(self) -> int:
        """The floating-point operations of its loops, which also multiply the zeros of a dilated ``lhs``."""
        batch, _, *spatial = self.output_sizes
        return 2 * batch * math.prod(spatial) * math.prod(self.rhs_shape)

    def arguments(self) -> dict[str, Any]:
        """The arguments of ``jax.lax.conv_general_dilated`` beside its operands."""
        names = "window_strides", "padding", "lhs_dilation", "rhs_dilation", "feature_group_count", "batch_group_count"
        return {name: getattr(self, name) for name in names} | {
            "dimension_numbers": lax.ConvDimensionNumbers(*self.dimension_numbers)
        }


@dataclasses.dataclass(frozen=True)
class Reading:
    """A convolution as one of the three maps: ``result(map(*operands(lhs, rhs)))`` is the convolution.

    The maps share the arrays ``x`` (the small image), ``w`` (the kernel) and ``z`` (the large image): T takes ``x`` and
    ``w``, F takes ``z`` and ``w``, G takes ``x`` and ``z``, and each returns the third one.

    Attributes:
      map: the map. Its ``symbol`` is "T", "F" or "G", and its ``inputs`` are the names of its operands.
      spec: its geometry.
      layout: the order of the axes of ``x`` and ``z``.
      kernel: the order of the axes of ``w`` in the convolution, and whether its taps run backwards there.
      roles: for ``x``, ``w`` and ``z``, the array of the convolution: ``"lhs"``, ``"rhs"`` or ``"out"``.
      sizes: the batch, the spatial sizes of ``x``, and the channels of ``x`` and of ``z``.
      dimension_numbers: those of the convolution.
    """

    map: Map
    spec: Spec
    layout: Layout
    kernel: KernelLayout
    roles: tuple[str, str, str]
    sizes: tuple[int, tuple[int, ...], tuple[int, int]]
    dimension_numbers: Dimensions

    def problem(self, dtype: Any) -> ProblemShape:
        """The geometry with its sizes, which costs are predicted for."""
        return ProblemShape.of(self.spec, self.layout, dtype, *self.sizes)

    def operands(self, lhs: Array, rhs: Array) -> list[Array]:
        """Return the operands of the map, ``map.inputs``. Images are in ``layout``, a kernel in TensorFlow's order."""
        arrays = {"lhs": lhs, "rhs": rhs}
        found = []
        for name in self.map.inputs:
            array = arrays[self._role(name)]
            found.append(self.kernel.filters(array) if name == "w" else lax.transpose(array, self.order(name)))
        return found

    def result(self, array: Array) -> Array:
        """Return the output of the convolution from the result of the map."""
        if self.map is Map.KERNEL_GRADIENT:
            return self.kernel.kernel(array)
        order = self.order(self.map.output)
        return lax.transpose(array, tuple(order.index(axis) for axis in range(len(order))))

    def order(self, name: str) -> tuple[int, ...]:
        """Return the axes of ``"x"`` or ``"z"`` in the convolution, in the order of ``layout``."""
        batch, channels, *spatial = getattr(self.dimension_numbers, self._role(name))
        if self.map is Map.KERNEL_GRADIENT:  # it sums over the batch: JAX calls that the channels
            batch, channels = channels, batch
        return self.layout.shape(batch, spatial, channels)

    def transposed_bytes(self, dtype: Any) -> int:
        """The bytes of the arrays that the map needs in another order."""
        in_order = tuple(range(self.spec.rank + 2))
        moved = [name for name in "xz" if self.order(name) != in_order]
        if self.kernel != KernelLayout(in_order):
            moved.append("w")
        return self.problem(dtype).bytes(*moved)

    def _role(self, name: str) -> str:
        return self.roles["xwz".index(name)]

    def convolution(self) -> Convolution:
        """Return the convolution, with the least padding that it can have."""
        problem = self.problem("float32")
        shapes = {}
        for name, role in zip("xwz", self.roles, strict=True):
            if name == "w":
                shapes[role] = self.kernel.shape(problem.shapes[name])
            else:
                order = self.order(name)
                shapes[role] = tuple(problem.shapes[name][order.index(axis)] for axis in range(len(order)))
        axes, groups, is_gradient = self.spec.axes, self.spec.groups, self.map is Map.KERNEL_GRADIENT
        factors = dict.fromkeys(("window_strides", "lhs_dilation", "rhs_dilation"), (1,) * len(axes))
        stride, dilation = _FACTORS[self.roles]
        factors |= {stride: tuple(axis.stride for axis in axes), dilation: tuple(axis.dilation for axis in axes)}
        crops = [(axis.lo, axis.hi) for axis in axes]
        if self.kernel.flipped:
            crops = [(axis.extent - 1 - axis.lo, axis.extent - 1 - axis.hi) for axis in axes]
        return Convolution(
            shapes["lhs"],
            shapes["rhs"],
            padding=tuple(crops),
            dimension_numbers=self.dimension_numbers,
            feature_group_count=1 if is_gradient else groups,
            batch_group_count=groups if is_gradient else 1,
            **factors,
        )


def readings(convolution: Convolution) -> list[Reading]:
    """Return the maps that a convolution is.

    Raises:
      ArgumentError: it is none of them. The message says why.
    """
    rank = len(convolution.window_strides)
    if rank == 0:
        raise _unreadable("a convolution without spatial axes is a matrix product", "no spatial axis", "1 or more")
    if 0 in (*convolution.lhs_sizes, *convolution.rhs_sizes, *convolution.output_sizes):
        raise _unreadable("an operand or the output is empty", _shapes(convolution), "sizes of at least 1")
    found = [_reading(convolution, roles) for roles in _applicable(convolution)]
    if not found:
        groups = convolution.feature_group_count, convolution.batch_group_count
        got = f"window_strides {convolution.window_strides}, lhs_dilation {convolution.lhs_dilation}, rhs_dilation "
        got += f"{convolution.rhs_dilation}, feature_group_count and batch_group_count {groups}"
        raise _unreadable("neither the convolution nor its transpose is a map", got, _LEGAL)
    return found


_F, _T, _G, _G_FLIPPED = ("out", "rhs", "lhs"), ("lhs", "rhs", "out"), ("rhs", "out", "lhs"), ("lhs", "out", "rhs")
"""The arrays of the convolution that are x, w and z."""
_FACTORS = {
    _F: ("window_strides", "rhs_dilation"),
    _T: ("lhs_dilation", "rhs_dilation"),
    _G: ("rhs_dilation", "window_strides"),
    _G_FLIPPED: ("lhs_dilation", "window_strides"),
}
"""Its factors that are the map's stride and dilation."""
_LEGAL = "one of the three factors 1 along every axis, and batch groups only with a kernel gradient"


def _applicable(convolution: Convolution) -> Iterator[tuple[str, str, str]]:
    is_dense = set(convolution.lhs_dilation) == {1}
    if convolution.batch_group_count == 1:
        if is_dense:
            yield _F
        elif set(convolution.window_strides) == {1}:
            yield _T
    if convolution.feature_group_count == 1:
        if is_dense:
            yield _G
        elif set(convolution.rhs_dilation) == {1}:
            yield _G_FLIPPED


def _reading(convolution: Convolution, roles: tuple[str, str, str]) -> Reading:
    numbers, is_flipped = convolution.dimension_numbers, roles[0] == "lhs"
    groups = convolution.feature_group_count * convolution.batch_group_count
    sizes = {"lhs": convolution.lhs_sizes, "rhs": convolution.rhs_sizes, "out": convolution.output_sizes}
    x, w, z = (sizes[role] for role in roles)
    map = Map.with_output("xwz"[roles.index("out")])
    strides, dilations = (getattr(convolution, name) for name in _FACTORS[roles])
    axes = []
    for i, (lo, _) in enumerate(convolution.padding):
        axis = Axis(w[2 + i], strides[i], dilations[i])
        lo = axis.extent - 1 - lo if is_flipped else lo
        axes.append(axis.with_crop(lo, axis.full_size(x[2 + i]) - lo - z[2 + i]))
    # The axes of the kernel in the order: spatial ones, channels of z, channels of x.
    first, second, *spatial = getattr(numbers, roles[1])
    order = (*spatial, second, first) if roles in (_F, _G_FLIPPED) else (*spatial, first, second)
    kernel = KernelLayout(
        tuple(order.index(axis) for axis in range(len(order))), is_flipped, groups if is_flipped else 1
    )
    if map is Map.KERNEL_GRADIENT:
        x, z = (x[1], x[0], *x[2:]), (z[1], z[0], *z[2:])
    spec, problem_sizes = Spec(tuple(axes), groups), (x[0], x[2:], (x[1], z[1]))
    found = [
        Reading(map, spec, Layout(spec.rank, channels_first), kernel, roles, problem_sizes, numbers)
        for channels_first in (False, True)
    ]
    return min(found, key=lambda each: each.transposed_bytes("uint8"))


def _shapes(convolution: Convolution) -> str:
    return f"lhs {convolution.lhs_shape}, rhs {convolution.rhs_shape}, output sizes {convolution.output_sizes}"


def _unreadable(problem: str, got: str, legal: str) -> ArgumentError:
    return ArgumentError(problem, got=got, legal=legal, fix="leave it to jax.lax")
