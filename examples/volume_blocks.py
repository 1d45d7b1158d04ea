"""A transposed convolution of a volume, block by block, each block split over devices: for ``upsample_volume.py``."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tensorstore as ts
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from volume_store import Region, reported

import jconvt


def window(axis: jconvt.Axis, start: int, stop: int, multiple: int = 1) -> tuple[int, int, jconvt.Axis]:
    """What the outputs from ``start`` to ``stop`` are computed from.

    Returns:
      The first input pixel and the one after the last, and the axis that crops their stamps to these outputs. Pixels
      before 0 or past the input's end count as zero. Their number is a multiple of ``multiple``.

    >>> window(jconvt.Axis(kernel=4, stride=2, lo=1, hi=1), 8, 16)
    (3, 9, Axis(kernel=4, stride=2, dilation=1, lo=3, hi=3))
    """
    # Where the stride is larger than a stamp there are gaps; a pixel that covers the gap after it, too, leaves none.
    covering = jconvt.Axis(max(axis.extent, axis.stride), axis.stride, lo=axis.lo)
    first = covering.input_size(start)  # so many pixels end before these outputs begin
    last = jconvt.Axis(1, axis.stride, lo=axis.lo).input_size(stop)  # so many begin before these outputs end
    last += -(last - first) % multiple
    uncropped = dataclasses.replace(axis, lo=axis.lo + start - first * axis.stride, hi=0)
    beyond = uncropped.output_size(last - first) - (stop - start)
    return first, last, dataclasses.replace(uncropped, hi=beyond)


@dataclasses.dataclass(frozen=True)
class Upsampling:
    """One transposed convolution, and the mesh whose only axis, ``depth``, splits the depth of each block.

    Blocks begin at multiples of the strides, so all of them have the same geometry. Blocks at the border do, too: the
    pixels that are not there are zeros, and what is computed past the result's end is not written. One compiled
    program serves them all.
    """

    spec: jconvt.Spec
    filters: np.ndarray  # (kd, kh, kw, out / groups, in)
    mesh: Mesh

    @property
    def channels(self) -> int:
        """The result's."""
        return self.filters.shape[-2] * self.spec.groups

    @property
    def least_block(self) -> tuple[int, ...]:
        """The smallest block of the result, and what others are multiples of: one input pixel for each device."""
        depth, *others = (axis.stride for axis in self.spec.axes)
        return (depth * self.mesh.size, *others)

    def windows(self, start: Sequence[int], block: Sequence[int]) -> list[tuple[int, int, jconvt.Axis]]:
        """What the block that begins at ``start`` is computed from, along each axis. The devices divide its depth."""
        each = zip(self.spec.axes, start, block, (self.mesh.size, 1, 1), strict=True)
        return [window(axis, first, first + size, multiple) for axis, first, size, multiple in each]

    def compile(self, block: Sequence[int]) -> "Program":
        """The program that computes blocks of this size.

        Raises:
          ArgumentError: the devices do not divide the block's depth.
        """
        if block[0] % self.mesh.size:
            raise jconvt.ArgumentError(
                "the devices do not divide the blocks that the result has",
                got=f"{self.mesh.size} devices, blocks of {tuple(block)}",
                legal=f"a number of devices that divides {block[0]}",
                fix="pass as many --devices as before, or begin another result",
            )
        taken = self.windows((0, 0, 0), block)
        given = (1, *block, self.channels)
        strides = [axis.stride for _, _, axis in taken]
        ends = [(axis.lo, max(axis.hi, 0)) for _, _, axis in taken]

        def upsample(x: jax.Array, filters: jax.Array) -> jax.Array:
            return jconvt.conv3d_transpose(x, filters, given, strides, ends, groups=self.spec.groups)

        split, whole = NamedSharding(self.mesh, P(None, "depth")), NamedSharding(self.mesh, P())
        x = jax.ShapeDtypeStruct(self._window_shape(block), jnp.float32, sharding=split)
        filters = jax.ShapeDtypeStruct(self.filters.shape, jnp.float32, sharding=whole)
        return Program(self, tuple(block), jax.jit(upsample, out_shardings=split).lower(x, filters).compile())

    def fitting(self, sizes: Sequence[int], budget: float) -> "Program":
        """The program of the first block that takes at most ``budget`` bytes of each device.

        All of the result, whose spatial sizes are ``sizes``, is tried first. Then the block's longest axis is halved,
        again and again.

        Raises:
          ArgumentError: the smallest block takes more.
        """
        least = self.least_block
        counts = [math.ceil(size / unit) for size, unit in zip(sizes, least, strict=True)]
        while True:
            block = tuple(count * unit for count, unit in zip(counts, least, strict=True))
            split = math.prod(self._window_shape(block)) + math.prod(block) * self.channels
            arrays = 4 * (split / self.mesh.size + self.filters.size)
            smallest = max(counts) == 1
            if smallest or arrays <= budget:  # else there is no need to compile it
                program = self.compile(block)
                if smallest or program.memory <= budget:
                    program.check(budget)
                    return program
            longest = max((axis for axis in range(3) if counts[axis] > 1), key=lambda axis: block[axis])
            counts[longest] = math.ceil(counts[longest] / 2)

    def _window_shape(self, block: Sequence[int]) -> tuple[int, ...]:
        return (1, *(last - first for first, last, _ in self.windows((0, 0, 0), block)), self.filters.shape[-1])


@dataclasses.dataclass(frozen=True)
class Program:
    """What computes the blocks of one size."""

    upsampling: Upsampling
    block: tuple[int, ...]
    compiled: jax.stages.Compiled

    @property
    def memory(self) -> int:
        """The bytes that it takes of each device."""
        return memory(self.compiled)

    def check(self, budget: float) -> None:
        """Refuses a budget that is too small, in bytes."""
        if self.memory > budget:
            needed = math.ceil(1000 * self.memory / 2**20) / 1000
            raise jconvt.ArgumentError(
                "the budget is too small for one block",
                got=f"--budget {budget / 2**20:g} MiB for each of {self.upsampling.mesh.size} devices",
                legal=f"{needed:g} MiB or more, which blocks of {self.block} take",
                fix="pass a larger --budget, or more --devices",
            )

    def blocks(self, volume: ts.TensorStore, regions: Sequence[Region]) -> Iterator[np.ndarray]:
        """These regions of the result, one after the other: whole blocks, also where the result ends before.

        Args:
          volume: ``(depth, height, width, in)``. The next window is read from it while a block is computed.
          regions: of the result. Each begins where a block does.
        """
        sharding, whole = self.compiled.input_shardings[0]
        filters = jax.device_put(self.upsampling.filters, whole)

        def read(region: Region) -> tuple[Any, list[tuple[int, int]]]:
            ends = self.upsampling.windows([side.start for side in region[:3]], self.block)
            inside = [(max(first, 0), min(last, n)) for (first, last, _), n in zip(ends, volume.shape[:3], strict=True)]
            missing = [(lo - first, last - hi) for (first, last, _), (lo, hi) in zip(ends, inside, strict=True)]
            return volume[tuple(slice(*pair) for pair in inside)].read(), missing

        reads = map(read, regions)  # each begins when it is asked for
        ahead = next(reads, None)
        while ahead is not None:
            pixels, missing = ahead
            ahead = next(reads, None)
            with reported("the volume cannot be read", "repair its store, and run the same command again"):
                x = np.pad(np.asarray(pixels.result(), np.float32), [*missing, (0, 0)])
            yield np.asarray(self.compiled(jax.device_put(x[None], sharding), filters))[0]


def memory(compiled: jax.stages.Compiled) -> int:
    """The bytes that a compiled program takes of each device: its operands, its results, and what lies between."""
    found: Any = compiled.memory_analysis()
    return found.argument_size_in_bytes + found.output_size_in_bytes + found.temp_size_in_bytes
