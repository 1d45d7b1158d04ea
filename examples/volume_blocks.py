"""Transposed convolution of a volume in blocks, each sharded over devices: for ``upsample_volume.py``."""

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
    """Return the input window of the outputs from ``start`` to ``stop``.

    Returns:
      The first input pixel and the one after the last, and the axis that crops their stamps to these outputs. Pixels
      before 0 or past the input's end count as zero. Their number is a multiple of ``multiple``.

    >>> window(jconvt.Axis(kernel=4, stride=2, lo=1, hi=1), 8, 16)
    (3, 9, Axis(kernel=4, stride=2, dilation=1, lo=3, hi=3))
    """
    # A stride larger than a stamp leaves gaps between stamps. Extend the stamps to cover the gaps.
    covering = jconvt.Axis(max(axis.extent, axis.stride), axis.stride, lo=axis.lo)
    first = covering.input_size(start)  # the stamps of earlier pixels end before ``start``
    last = jconvt.Axis(1, axis.stride, lo=axis.lo).input_size(stop)  # those of later ones begin at ``stop`` or after
    last += -(last - first) % multiple
    uncropped = dataclasses.replace(axis, lo=axis.lo + start - first * axis.stride, hi=0)
    beyond = uncropped.output_size(last - first) - (stop - start)
    return first, last, dataclasses.replace(uncropped, hi=beyond)


@dataclasses.dataclass(frozen=True)
class Upsampling:
    """One transposed convolution, and a mesh with one axis, ``depth``, which shards the depth of each block.

    Blocks begin at multiples of the strides, so all of them have the same geometry. So do blocks at the border: missing
    pixels are zeros, and outputs past the end of the result are not written. One compiled program computes all blocks.
    """

    spec: jconvt.Spec
    filters: np.ndarray  # (kd, kh, kw, out / groups, in)
    mesh: Mesh

    @property
    def channels(self) -> int:
        """The number of output channels."""
        return self.filters.shape[-2] * self.spec.groups

    @property
    def least_block(self) -> tuple[int, ...]:
        """The smallest block of the result: one input pixel per device. Other blocks are multiples of it."""
        depth, *others = (axis.stride for axis in self.spec.axes)
        return (depth * self.mesh.size, *others)

    def windows(self, start: Sequence[int], block: Sequence[int]) -> list[tuple[int, int, jconvt.Axis]]:
        """Return the input window of the block at ``start``, along each axis. The devices divide its depth."""
        each = zip(self.spec.axes, start, block, (self.mesh.size, 1, 1), strict=True)
        return [window(axis, first, first + size, multiple) for axis, first, size, multiple in each]

    def compile(self, block: Sequence[int]) -> "Program":
        """Compile a program for blocks of this size.

        Raises:
          ArgumentError: the devices do not divide the block's depth.
        """
        if block[0] % self.mesh.size:
            raise jconvt.ArgumentError(
                "the number of devices does not divide the depth of the blocks",
                got=f"{self.mesh.size} devices, blocks of {tuple(block)}",
                legal=f"a number of devices that divides {block[0]}",
                fix="pass the same --devices as before, or start another result",
            )
        windows = self.windows((0, 0, 0), block)
        output_shape = (1, *block, self.channels)
        strides = [axis.stride for _, _, axis in windows]
        padding = [(axis.lo, max(axis.hi, 0)) for _, _, axis in windows]

        def upsample(x: jax.Array, filters: jax.Array) -> jax.Array:
            return jconvt.conv3d_transpose(x, filters, output_shape, strides, padding, groups=self.spec.groups)

        split, whole = NamedSharding(self.mesh, P(None, "depth")), NamedSharding(self.mesh, P())
        x = jax.ShapeDtypeStruct(self._window_shape(block), jnp.float32, sharding=split)
        filters = jax.ShapeDtypeStruct(self.filters.shape, jnp.float32, sharding=whole)
        return Program(self, tuple(block), jax.jit(upsample, out_shardings=split).lower(x, filters).compile())

    def fitting(self, sizes: Sequence[int], budget: float) -> "Program":
        """Compile the program of the first block that needs at most ``budget`` bytes on each device.

        The first candidate is the whole result, with spatial sizes ``sizes``. Then the longest axis of the block is
        halved repeatedly.

        Raises:
          ArgumentError: the smallest block needs more.
        """
        least = self.least_block
        counts = [math.ceil(size / unit) for size, unit in zip(sizes, least, strict=True)]
        while True:
            block = tuple(count * unit for count, unit in zip(counts, least, strict=True))
            split = math.prod(self._window_shape(block)) + math.prod(block) * self.channels
            arrays = 4 * (split / self.mesh.size + self.filters.size)
            smallest = max(counts) == 1
            if smallest or arrays <= budget:  # skip compiling a program that cannot fit
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
    """A compiled program for blocks of one size."""

    upsampling: Upsampling
    block: tuple[int, ...]
    compiled: jax.stages.Compiled

    @property
    def memory(self) -> int:
        """The bytes that it needs on each device."""
        return memory(self.compiled)

    def check(self, budget: float) -> None:
        """Raise if the budget, in bytes, is too small."""
        if self.memory > budget:
            needed = math.ceil(1000 * self.memory / 2**20) / 1000
            raise jconvt.ArgumentError(
                "the budget is too small for one block",
                got=f"--budget {budget / 2**20:g} MiB for each of {self.upsampling.mesh.size} devices",
                legal=f"{needed:g} MiB or more, for blocks of {self.block}",
                fix="pass a larger --budget, or more --devices",
            )

    def blocks(self, volume: ts.TensorStore, regions: Sequence[Region]) -> Iterator[np.ndarray]:
        """Yield these regions of the result: whole blocks, even where the result ends earlier.

        Args:
          volume: ``(depth, height, width, in)``. The next window is read while a block is computed.
          regions: regions of the result that start at the start of a block.
        """
        sharding, whole = self.compiled.input_shardings[0]
        filters = jax.device_put(self.upsampling.filters, whole)

        def read(region: Region) -> tuple[Any, list[tuple[int, int]]]:
            ends = self.upsampling.windows([side.start for side in region[:3]], self.block)
            inside = [(max(first, 0), min(last, n)) for (first, last, _), n in zip(ends, volume.shape[:3], strict=True)]
            missing = [(lo - first, last - hi) for (first, last, _), (lo, hi) in zip(ends, inside, strict=True)]
            return volume[tuple(slice(*pair) for pair in inside)].read(), missing

        reads = map(read, regions)  # lazy: each read starts when the loop below reaches it
        ahead = next(reads, None)
        while ahead is not None:
            pixels, missing = ahead
            ahead = next(reads, None)
            with reported("the volume cannot be read", "repair its store, and run the same command again"):
                x = np.pad(np.asarray(pixels.result(), np.float32), [*missing, (0, 0)])
            yield np.asarray(self.compiled(jax.device_put(x[None], sharding), filters))[0]


def memory(compiled: jax.stages.Compiled) -> int:
    """Return the bytes that a compiled program needs on each device: operands, results and temporaries."""
    found: Any = compiled.memory_analysis()
    return found.argument_size_in_bytes + found.output_size_in_bytes + found.temp_size_in_bytes
