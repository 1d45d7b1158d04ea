"""The numbers: one pair of channels of a transposed convolution, in three views of the same products.

Everything comes from one table, ``taps``: row ``i`` is an input pixel, column ``p`` an output position, both counted in
row-major order, and the entry is the kernel tap by which that pixel reaches that output, or -1. Its rows are the
stamps, its columns the sums. With the kernel's values for the taps, and zeros for -1, it is the matrix C of the forward
convolution that is transposed, and with its columns slid into place it is the window over the zero-filled input.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from .._geometry.arguments import integer, sequence
from .._geometry.spec import Spec
from .._methods import reference
from ..errors import ArgumentError
from . import written

Index = tuple[int, ...]


class Product(NamedTuple):
    """One product of a sum: an input pixel, the kernel tap that it meets, and what they give."""

    pixel: Index
    tap: Index
    product: Any


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Views:
    """The products of one input channel with one output channel. Indices are those of the spatial axes."""

    call: str
    """The call, as it would be written."""
    spec: Spec
    images: NDArray[Any]
    """The image with all channels, ``(spatial..., in)``."""
    filters: NDArray[Any]
    """The whole kernel, ``(k..., out / groups, in)``: its first tap lands first."""
    answer: NDArray[Any]
    """What the library answers for the image, ``(output spatial..., out)``, in the dtype of the operands."""
    backwards: bool
    """Whether the convention has its kernels the other way round. Then what is called the kernel here is the flip."""
    input_channel: int
    output_channel: int

    @property
    def input(self) -> NDArray[Any]:
        """The input channel, ``(spatial...)``."""
        return self.images[..., self.input_channel]

    @property
    def kernel(self) -> NDArray[Any]:
        """The kernel from the input channel to the output channel, ``(k...)``."""
        return self.filters[..., self.output_channel % self.filters.shape[-2], self.input_channel]

    @functools.cached_property
    def output(self) -> NDArray[Any]:
        """The sums of the products, ``(output spatial...)``. Over several input channels, these are added up, too."""
        return self._terms.sum(axis=0).reshape(self.answer.shape[:-1])

    @functools.cached_property
    def taps(self) -> NDArray[np.intp]:
        """For each input pixel and output position the tap that connects them, or -1; all in row-major order."""
        sizes, kernel, outputs = self.input.shape, self.kernel.shape, self.answer.shape[:-1]
        found = np.full((math.prod(sizes), math.prod(outputs)), -1)
        for pixel, tap, position in reference.landings(self.spec, sizes, outputs):
            row, column = (int(np.ravel_multi_index(*at)) for at in ((pixel, sizes), (position, outputs)))
            found[row, column] = np.ravel_multi_index(tap, kernel)
        return found

    @functools.cached_property
    def _terms(self) -> NDArray[Any]:
        """The products, in the places of ``taps``; 0 where there is none."""
        with np.errstate(all="ignore"):  # of infinity and zero, for one
            every = self.input.reshape(-1, 1) * self.kernel.reshape(-1)[self.taps]
        return np.where(self.taps >= 0, every, np.zeros_like(every))

    def products(self, cell: Any) -> tuple[Product, ...]:
        """What adds up to one output: its products, by input pixel.

        Raises:
          ArgumentError: there is no such output.
        """
        column = int(np.ravel_multi_index(self.cell(cell), self.output.shape))
        return tuple(
            Product(unravel(row, self.input.shape), unravel(tap, self.kernel.shape), term)
            for row, (tap, term) in enumerate(zip(self.taps[:, column], self._terms[:, column], strict=True))
            if tap >= 0
        )

    @property
    def sums(self) -> dict[Index, tuple[Product, ...]]:
        """For each output, what adds up to it."""
        return {cell: self.products(cell) for cell in np.ndindex(self.output.shape)}

    @property
    def stamps(self) -> dict[Index, NDArray[Any]]:
        """For each input pixel, what it alone contributes to the output, ``(output spatial...)``."""
        terms = zip(np.ndindex(self.input.shape), self._terms, strict=True)
        return {pixel: row.reshape(self.output.shape) for pixel, row in terms}

    @property
    def overlap(self) -> NDArray[np.intp]:
        """How many products each output adds up; where it is uneven, checkerboards come from."""
        return (self.taps >= 0).sum(axis=0).reshape(self.output.shape)

    @property
    def window(self) -> Index:
        """The size of the window that slides in the dilated view. It is the extent of the kernel."""
        return tuple(axis.extent for axis in self.spec.axes)

    @property
    def window_taps(self) -> NDArray[np.intp]:
        """The tap at each place of the window, the last tap first; -1 between the taps of a dilated kernel."""
        steps = tuple(slice(None, None, axis.dilation) for axis in self.spec.axes)
        found = np.full(self.window, -1)
        found[steps] = np.flip(np.arange(self.kernel.size)).reshape(self.kernel.shape)
        return found

    @property
    def zero_filled_pixels(self) -> NDArray[np.intp]:
        """The input pixel at each place of the zero-filled input, or -1. The window of output ``p`` begins at ``p``."""
        found = np.full([n + extent - 1 for n, extent in zip(self.output.shape, self.window, strict=True)], -1)
        for row, pixel in enumerate(np.ndindex(self.input.shape)):
            place = [i * a.stride + a.extent - 1 - a.lo for i, a in zip(pixel, self.spec.axes, strict=True)]
            if all(0 <= at < size for at, size in zip(place, found.shape, strict=True)):
                found[tuple(place)] = row
        return found

    @property
    def zero_filled(self) -> NDArray[Any]:
        """The dilated view's input. Pixels lie a stride apart, with zeros between and around them, or are cropped."""
        return self._filled(self.zero_filled_pixels, self.input)

    @property
    def flipped_kernel(self) -> NDArray[Any]:
        """The dilated view's kernel. It is flipped along every axis, with zeros between the taps of a dilated one."""
        return self._filled(self.window_taps, self.kernel)

    @property
    def matrix(self) -> NDArray[Any]:
        """C of the gradient view. The forward convolution takes ``z`` to ``C @ z``; the output is ``C.T @ input``.

        ``(input pixels, outputs)``, both in row-major order.
        """
        return self._filled(self.taps, self.kernel)

    @staticmethod
    def _filled(places: NDArray[np.intp], values: NDArray[Any]) -> NDArray[Any]:
        return np.where(places >= 0, values.reshape(-1)[places], np.zeros((), values.dtype))

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Every input channel and output channel that have a kernel in common, as those of one group have."""
        inputs = self.filters.shape[-1] // self.spec.groups
        outputs = self.filters.shape[-2]
        return [
            (group * inputs + i, group * outputs + o)
            for group in range(self.spec.groups)
            for i in range(inputs)
            for o in range(outputs)
        ]

    def pair(self, input_channel: int, output_channel: int) -> Self:
        """The same of another pair of channels.

        Raises:
          ArgumentError: there is no such pair, or its channels are of different groups.
        """
        wanted = integer(input_channel, "input_channel", 0), integer(output_channel, "output_channel", 0)
        if wanted not in self.pairs:
            inputs, outputs = self.filters.shape[-1], self.answer.shape[-1]
            raise ArgumentError(
                "no kernel leads from that input channel to that output channel",
                got=f"input channel {wanted[0]}, output channel {wanted[1]}",
                legal=f"input channels 0 to {inputs - 1} and output channels 0 to {outputs - 1}"
                + (f", both of the same of {self.spec.groups} groups" if self.spec.groups > 1 else ""),
                fix=f"pass one of {', '.join(map(str, self.pairs[:8]))}{' ...' if self.pairs[8:] else ''}",
            )
        return dataclasses.replace(self, input_channel=wanted[0], output_channel=wanted[1])

    @functools.cached_property
    def _exact(self) -> NDArray[Any]:
        """The definition's answer, in its wide dtype: what ``answer`` is held to."""
        with np.errstate(all="ignore"):
            return reference.transpose(self.images[None], self.filters, self.spec)[0]

    @property
    def wraps(self) -> bool:
        """Whether some sums are integers too large for the dtype of the operands, in which the library answers."""
        return bool(jnp.issubdtype(self._exact.dtype, jnp.integer) and (self._exact != self._rounded).any())

    @functools.cached_property
    def _rounded(self) -> NDArray[Any]:
        """The definition's answer as the dtype of the operands has it."""
        with np.errstate(all="ignore"):
            return self._exact.astype(self.answer.dtype).astype(self._exact.dtype)

    @property
    def overflows(self) -> bool:
        """Whether the library's answer is not finite where the sum is, as it or a part of it is too large."""
        return bool((np.isfinite(self._exact) & ~np.isfinite(self.answer.astype(self._exact.dtype))).any())

    @property
    def rounds(self) -> bool:
        """Whether some sums are written otherwise in the floating-point dtype of the operands."""
        pairs = zip(self._exact.flat, self._rounded.flat, strict=True)
        return not self.wraps and any(written.number(exact) != written.number(rounded) for exact, rounded in pairs)

    @functools.cached_property
    def agrees(self) -> bool:
        """Whether the library's answer is the definition's, over all input channels.

        Whole numbers are equal; other sums of m products may differ by m eps times the sum of absolute products.
        """
        x, w, dtype, exact = self.images[None], self.filters, self.answer.dtype, self._exact
        with np.errstate(all="ignore"):
            wanted = self._rounded
            found = self.answer.astype(exact.dtype)
            allowed: Any = 0
            too_large: Any = False
            if jnp.issubdtype(dtype, jnp.inexact):
                limits = jnp.finfo(dtype)
                products = self.filters.shape[-1] // self.spec.groups * self.overlap[..., None] + 1
                bound = reference.transpose(abs(x), abs(w), self.spec)[0]
                allowed = products * float(limits.eps) * bound + float(limits.tiny)
                too_large = bound > float(limits.max)  # then the order of the sum says whether it stays finite
            same = (found == wanted) | (too_large & ~np.isfinite(found)) | ((found != found) & (wanted != wanted))
            same |= abs(found - wanted) <= allowed
        return bool(same.all())

    def cell(self, cell: Any) -> Index:
        """``cell`` as an index of the output, in one dimension also an integer.

        Raises:
          ArgumentError: there is no such output.
        """
        sizes = self.output.shape
        legal = "; ".join(f"0 to {size - 1} along axis {axis}" for axis, size in enumerate(sizes))
        indices = [cell] if len(sizes) == 1 and not isinstance(cell, Sequence) else sequence(cell, "cell", legal)
        found = tuple(integer(index, "cell", -1) for index in indices)
        if len(found) != len(sizes) or not all(0 <= i < size for i, size in zip(found, sizes, strict=True)):
            raise ArgumentError(
                "there is no such output cell",
                got=f"cell {written.place(found)}, of an output of shape {sizes}",
                legal=legal,
                fix="pass one index for each spatial axis, without batch and channels",
            )
        return found

    @property
    def busiest(self) -> Index:
        """The first of the outputs that add up the most products. It is shown where none is chosen."""
        return unravel(int(self.overlap.argmax()), self.output.shape)

    @property
    def first(self) -> Index:
        """The first of the outputs that a stamp reaches, mostly the corner."""
        return unravel(int((self.overlap > 0).argmax()), self.output.shape)


def unravel(index: int, shape: Index) -> Index:
    """The index of an array's element from its place in row-major order."""
    return tuple(int(i) for i in np.unravel_index(index, shape))
