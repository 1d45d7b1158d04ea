"""Transposed convolution as a matrix product, with the stamps overlapped and added.

The channels of every pixel times the matrix of every tap are one product: all stamps of all pixels. They are shifted
into place and added up. Tap ``t`` lands at

    i * stride + t * dilation - lo  =  (i + row) * stride + phase,    0 <= phase < stride

so the taps of one row never overlap, and rows are shifted against each other by whole blocks of ``stride`` outputs.

In the gradients, the outputs under the taps of every pixel are gathered into patches. Patches times the kernel are the
forward convolution; patches times the pixels are the kernel gradient. No zero is multiplied, and the kernel is not
flipped.
"""

import functools
import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from .._geometry.arguments import Size
from .._geometry.axis import Axis
from .._geometry.layout import Layout
from .._geometry.maps import Map
from .._geometry.spec import Spec
from ..errors import ArgumentError
from ._method import Method, ProblemShape, acc_dtype, promote_pair
from ._phases import MAX_PARTS, interleave, merge_groups, num_blocks, pad_axes, split_groups, too_many_parts
from ._rates import GPU_BYTES, GPU_FLOPS, TPU_FLOPS, cpu_bytes, cpu_product_flops
from ._xla_workarounds import exact_dot_general


def transposed_convolution(x: Array, w: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> Array:
    acc = acc_dtype(dtype)
    x, w = promote_pair(x, w, acc)
    sizes = layout.spatial(x.shape)
    pixels, taps = split_groups(x, spec, layout), _taps(w, spec)
    product = _matrix_product(_as_matrices(pixels, spec), _as_matrices(taps, spec), (2, 2), precision, acc)
    stamps = product.reshape(*pixels.shape[:-1], *taps.shape[1:-1])
    blocks = _overlap_add(stamps, spec, sizes, num_blocks(spec, sizes))
    return interleave(blocks, spec, layout, [0] * spec.rank, spec.output_sizes(sizes)).astype(dtype)


def forward_convolution(z: Array, w: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> Array:
    acc = acc_dtype(dtype)
    z, w = promote_pair(z, w, acc)
    patches, taps = _patches(z, spec, layout, spec.input_sizes(layout.spatial(z.shape))), _taps(w, spec)
    product = _matrix_product(_as_matrices(patches, spec), _as_matrices(taps, spec), (2, 1), precision, acc)
    return merge_groups(product.reshape(*patches.shape[: 2 + spec.rank], taps.shape[-1]), layout).astype(dtype)


def kernel_gradient(x: Array, z: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> Array:
    acc = acc_dtype(dtype)
    x, z = promote_pair(x, z, acc)
    patches, pixels = _patches(z, spec, layout, layout.spatial(x.shape)), split_groups(x, spec, layout)
    product = _matrix_product(_as_matrices(patches, spec), _as_matrices(pixels, spec), (1, 1), precision, acc)
    w = product.reshape(spec.groups, *patches.shape[2 + spec.rank :], pixels.shape[-1])
    w = jnp.moveaxis(w, 0, -2)
    return w.reshape(*w.shape[:-2], math.prod(w.shape[-2:])).astype(dtype)


class TapRow(NamedTuple):
    """The taps ``first`` to ``last - 1`` that land in the block ``number`` ahead, and the phase of the first one."""

    number: int
    first: int
    last: int
    phase: int


@functools.lru_cache(1024)
def tap_rows(axis: Axis) -> tuple[TapRow, ...]:
    """The taps of an axis, grouped by the block that they land in."""

    def position(tap: int) -> int:
        return tap * axis.dilation - axis.lo

    rows = itertools.groupby(range(axis.kernel), key=lambda tap: position(tap) // axis.stride)
    found = [(number, [*taps]) for number, taps in rows]
    return tuple(TapRow(row, taps[0], taps[-1] + 1, position(taps[0]) % axis.stride) for row, taps in found)


def _taps(w: Array, spec: Spec) -> Array:
    """``(groups, taps..., o / groups, c / groups)``."""
    return jnp.moveaxis(w.reshape(*w.shape[:-1], spec.groups, w.shape[-1] // spec.groups), -2, 0)


def _overlap_add(stamps: Array, spec: Spec, sizes: Sequence[Size], blocks: Sequence[Size]) -> Array:
    """Replace the taps, which follow the pixels, by phases, and the pixels by blocks; add what overlaps."""
    rank, parts = spec.rank, []
    for rows in itertools.product(*map(tap_rows, spec.axes)):
        part, config = stamps[((slice(None),) * (2 + rank)) + tuple(slice(row.first, row.last) for row in rows)], {}
        for axis, (geometry, row) in enumerate(zip(spec.axes, rows, strict=True)):
            after = geometry.stride - row.phase - (row.last - row.first - 1) * geometry.dilation - 1
            config[2 + axis] = (row.number, blocks[axis] - sizes[axis] - row.number, 0)
            config[2 + rank + axis] = (row.phase, after, geometry.dilation - 1)
        parts.append(pad_axes(part, config))
    return functools.reduce(operator.add, parts)


def _patches(z: Array, spec: Spec, layout: Layout, sizes: Sequence[Size]) -> Array:
    """``(groups, batch, pixels..., taps..., o / groups)``: the outputs under the taps of each pixel."""
    z = split_groups(z, spec, layout)
    for position, (axis, size) in enumerate(zip(spec.axes, sizes, strict=True), 2):
        z = jnp.moveaxis(_im2col_axis(z, position, axis, size), position + 1, z.ndim - 1)
    return z


def _im2col_axis(z: Array, position: int, axis: Axis, size: Size) -> Array:
    """Split the outputs at ``position`` into two axes: pixels, and the outputs under the taps of each pixel."""
    rows = tap_rows(axis)
    first, blocks = rows[0].number, size + rows[-1].number - rows[0].number
    z = pad_axes(z, {position: (-first * axis.stride, (blocks + first) * axis.stride - z.shape[position], 0)})
    z = z.reshape(*z.shape[:position], blocks, axis.stride, *z.shape[position + 1 :])
    parts = []
    for row in rows:
        shifted = lax.slice_in_dim(z, row.number - first, row.number - first + size, axis=position)
        last = row.phase + (row.last - row.first - 1) * axis.dilation
        parts.append(lax.slice_in_dim(shifted, row.phase, last + 1, axis.dilation, axis=position + 1))
    return lax.concatenate(parts, position + 1)


def _matrix_product(a: Array, b: Array, contracted: tuple[int, int], precision: Any, dtype: Any) -> Array:
    """Contract one axis, 1 or 2, of each of two arrays ``(groups, rows, columns)``."""
    i, j = contracted
    if a.shape[0] > 1:
        return exact_dot_general(a, b, (((i,), (j,)), ((0,), (0,))), precision, dtype)
    # XLA would copy an operand with more than two axes.
    return exact_dot_general(a[0], b[0], (((i - 1,), (j - 1,)), ((), ())), precision, dtype)[None]


def _as_matrices(a: Array, spec: Spec) -> Array:
    """Merge the axes of positions, or of taps and outputs, into one, and the remaining axes into another."""
    last = 2 + spec.rank
    return a.reshape(a.shape[0], math.prod(a.shape[1:last]), math.prod(a.shape[last:]))


def num_slices(spec: Spec) -> int:
    """The number of slices that a map is unrolled into."""
    return math.prod(len(tap_rows(axis)) for axis in spec.axes)


def _unsupported(map: Map, spec: Spec, dtype: Any) -> ArgumentError | None:
    del map, dtype
    return too_many_parts("gemm", "slices", spec) if num_slices(spec) > MAX_PARTS else None


def _temporary_bytes(map: Map, problem: ProblemShape) -> int:
    del map
    taps = math.prod(axis.kernel for axis in problem.spec.axes)
    return problem.batch * math.prod(problem.pixels) * taps * problem.output_channels * max(problem.dtype.itemsize, 4)


def _cpu(map: Map, problem: ProblemShape) -> float:
    temporaries = _temporary_bytes(map, problem)
    # With few channels there is little to compute for each output that is moved.
    if map is Map.TRANSPOSE:
        few_channels = problem.input_channels / (problem.input_channels + 15 * problem.spec.groups)
        moved = temporaries + problem.bytes("z")
    else:
        few_channels = min(1, problem.output_channels * problem.dilation_overhead / 8)
        moved = 2.6 * temporaries + problem.bytes("z")
    return problem.flops / (cpu_product_flops(map, problem) * few_channels) + moved / cpu_bytes(temporaries)


def _many_stamps(problem: ProblemShape) -> bool:
    """Whether TPU's compiler is slower at overlapping the stamps than at a convolution."""
    # Seen where a gather along the last axis, with twice the kernel, would have copied fewer elements.
    last, pixels = problem.spec.axes[-1], problem.batch * math.prod(problem.pixels)
    stamps = math.prod(axis.kernel for axis in problem.spec.axes) * problem.output_channels
    reads = -(-last.kernel // last.stride) * problem.input_channels
    others = stamps * last.stride // last.kernel + reads
    return problem.spec.rank > 1 and pixels * (stamps - others) > 2 * math.prod(problem.shapes["w"])


def _gpu(map: Map, problem: ProblemShape) -> float:
    moved = 2 * _temporary_bytes(map, problem) + problem.bytes("z")
    return problem.flops / GPU_FLOPS + moved / GPU_BYTES


def _tpu(map: Map, problem: ProblemShape) -> float:
    slowdown = 1.5
    if map is Map.TRANSPOSE and problem.spec.groups == 1 and problem.batch < 8:
        padded = problem.output_channels % 128 and problem.dilation_overhead < 8  # the compiler pads channels to 128
        slowdown = 0.6 if problem.dilation_overhead >= 16 or not (padded or _many_stamps(problem)) else 1.5
    return slowdown * problem.flops / TPU_FLOPS


METHOD = Method(
    name="gemm",
    summary="one matrix product of pixels and taps; the stamps are overlapped and added",
    transpose=transposed_convolution,
    forward=forward_convolution,
    kernel_gradient=kernel_gradient,
    how={
        Map.TRANSPOSE: "one product, whose stamps are added up",
        Map.FORWARD: "one product of patches",
        Map.KERNEL_GRADIENT: "one product of patches and pixels",
    },
    cost={"cpu": _cpu, "cuda": _gpu, "rocm": _gpu, "tpu": _tpu},
    unsupported=_unsupported,
    temporary_bytes=_temporary_bytes,
)
