"""The numbers: one pair of channels of a transposed convolution, as three views of the same products.

Everything comes from one table, ``taps``: row ``i`` is an input pixel, column ``p`` an output position, both counted in
row-major order, and the entry is the kernel tap by which that pixel reaches that output, or -1. Its rows are the
stamps, its columns the sums. With the kernel's values for the taps, and zeros for -1, it is the matrix C of the forward
convolution whose transpose this is. With its columns aligned, it is the window over the zero-filled input.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Self

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from .._geometry.arguments import integer, sequence
from .._geometry.spec import Spec
from .._methods import reference
from ..errors import ArgumentError
from .formatting import Index, format_factor, format_index, format_number
from .words import words


class Product(NamedTuple):
    """One product of a sum: the indices of the input pixel and of the kernel tap, and the product of their values."""

    pixel: Index
    tap: Index
    product: Any


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ProductTable:
    """The products of one input channel with one output channel. Indices are those of the spatial axes."""

    call: str
    """The call, as code or as the name that was passed."""
    spec: Spec
    images: NDArray[Any]
    """The image with all channels, ``(spatial..., in)``."""
    filters: NDArray[Any]
    """The kernel with all channels, ``(k..., out / groups, in)``; its first tap lands first."""
    answer: NDArray[Any]
    """The library's output for the image, ``(output spatial..., out)``, in the dtype of the operands."""
    backwards: bool
    """Whether the convention stores its kernels flipped. Then ``kernel`` is the flip of the argument."""
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
        """The sums of the products, ``(output spatial...)``. The library also adds these up over input channels."""
        return self._terms.sum(axis=0).reshape(self.answer.shape[:-1])

    @functools.cached_property
    def taps(self) -> NDArray[np.intp]:
        """For each input pixel and output position the tap that connects them, or -1; all in row-major order."""
        sizes, outputs = self.input.shape, self.answer.shape[:-1]
        found = np.full((math.prod(sizes), math.prod(outputs)), -1)
        for pixel, tap, position in reference.landings(self.spec, sizes, outputs):
            found[ravel(pixel, sizes), ravel(position, outputs)] = ravel(tap, self.kernel.shape)
        return found

    @functools.cached_property
    def _terms(self) -> NDArray[Any]:
        """The products, indexed as ``taps``; 0 where ``taps`` is -1."""
        with np.errstate(all="ignore"):  # infinity times zero, for example
            return np.where(self.taps >= 0, self.input.reshape(-1, 1) * self.kernel.reshape(-1)[self.taps], 0)

    def products(self, cell: Any) -> tuple[Product, ...]:
        """Return the products of one output, in the order of their input pixels.

        Raises:
          ArgumentError: there is no such output.
        """
        column = ravel(self.cell(cell), self.output.shape)
        each = zip(np.ndindex(self.input.shape), self.taps[:, column], self._terms[:, column], strict=True)
        return tuple(Product(pixel, unravel(tap, self.kernel.shape), term) for pixel, tap, term in each if tap >= 0)

    @property
    def sums(self) -> dict[Index, tuple[Product, ...]]:
        """The products of each output."""
        return {cell: self.products(cell) for cell in np.ndindex(self.output.shape)}

    @property
    def stamps(self) -> dict[Index, NDArray[Any]]:
        """The contribution of each input pixel to the output, ``(output spatial...)``."""
        terms = self._terms.reshape(*self.input.shape, *self.output.shape)
        return {pixel: terms[pixel] for pixel in np.ndindex(self.input.shape)}

    @property
    def overlap(self) -> NDArray[np.intp]:
        """The number of products that each output adds up; where the number alternates, checkerboards appear."""
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
        found = np.full(np.add(self.output.shape, self.window) - 1, -1)
        for row, pixel in enumerate(np.ndindex(self.input.shape)):
            place = tuple(i * a.stride + a.extent - 1 - a.lo for i, a in zip(pixel, self.spec.axes, strict=True))
            if all(0 <= at < size for at, size in zip(place, found.shape, strict=True)):
                found[place] = row
        return found

    @property
    def zero_filled(self) -> NDArray[Any]:
        """The dilated view's input. Its pixels are a stride apart, with zeros between and around them, or cropped."""
        return _values_at(self.zero_filled_pixels, self.input)

    @property
    def flipped_kernel(self) -> NDArray[Any]:
        """The dilated view's kernel. It is flipped along every axis, with zeros between the taps of a dilated one."""
        return _values_at(self.window_taps, self.kernel)

    @property
    def matrix(self) -> NDArray[Any]:
        """C of the gradient view. The forward convolution maps ``z`` to ``C @ z``; the output is ``C.T @ input``.

        ``(input pixels, outputs)``, both in row-major order.
        """
        return _values_at(self.taps, self.kernel)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Every pair of an input channel and an output channel that share a group, and so a kernel."""
        inputs, outputs = self.filters.shape[-1] // self.spec.groups, self.filters.shape[-2]
        every = itertools.product(range(self.spec.groups), range(inputs), range(outputs))
        return [(group * inputs + i, group * outputs + o) for group, i, o in every]

    def pair(self, input_channel: int, output_channel: int) -> Self:
        """Return the products of another pair of channels.

        Raises:
          ArgumentError: there is no such pair, or its channels are of different groups.
        """
        pair = i, o = integer(input_channel, "input_channel", 0), integer(output_channel, "output_channel", 0)
        if pair not in self.pairs:
            problem, fix = f"no kernel leads from input channel {i} to output channel {o}", "pass one of these"
            legal = ", ".join(map(str, self.pairs[:8])) + " ..." * (len(self.pairs) > 8)
            raise ArgumentError(problem, got=f"pair = {pair}, groups = {self.spec.groups}", legal=legal, fix=fix)
        return dataclasses.replace(self, input_channel=i, output_channel=o)

    @functools.cached_property
    def _exact(self) -> NDArray[Any]:
        """The definition's output, in the accumulation dtype."""
        with np.errstate(all="ignore"):
            return reference.transpose(self.images[None], self.filters, self.spec)[0]

    @functools.cached_property
    def _rounded(self) -> NDArray[Any]:
        """The same, rounded to the dtype of the operands and cast back."""
        with np.errstate(all="ignore"):
            return self._exact.astype(self.answer.dtype).astype(self._exact.dtype)

    @property
    def wraps(self) -> bool:
        """Whether some sums are integers too large for the dtype of the operands, which is that of ``answer``."""
        return bool(jnp.issubdtype(self._exact.dtype, jnp.integer) and (self._exact != self._rounded).any())

    @property
    def overflows(self) -> bool:
        """Whether ``answer`` is infinite or NaN where the sum is finite, because the sum or a part is too large."""
        return bool((np.isfinite(self._exact) & ~np.isfinite(self.answer.astype(self._exact.dtype))).any())

    @property
    def rounds(self) -> bool:
        """Whether rounding to the floating-point dtype of the operands changes how some sums are shown."""
        pairs = zip(self._exact.flat, self._rounded.flat, strict=True)
        return not self.wraps and any(format_number(exact) != format_number(rounded) for exact, rounded in pairs)

    @functools.cached_property
    def agrees(self) -> bool:
        """Whether ``answer`` is the definition's output, over all input channels.

        Integers are equal; other sums of m products may differ by m eps times the sum of absolute products.
        """
        with np.errstate(all="ignore"):
            wanted, found = self._rounded, self.answer.astype(self._exact.dtype)
            same = (found == wanted) | (np.isnan(found) & np.isnan(wanted))
            if jnp.issubdtype(self.answer.dtype, jnp.inexact):
                limits = jnp.finfo(self.answer.dtype)
                terms = self.filters.shape[-1] // self.spec.groups * self.overlap[..., None] + 1
                bound = reference.transpose(abs(self.images[None]), abs(self.filters), self.spec)[0]
                same |= abs(found - wanted) <= terms * float(limits.eps) * bound + float(limits.tiny)
                # The order of the sum decides whether one that may be too large stays finite.
                same |= (bound > float(limits.max)) & ~np.isfinite(found)
        return bool(same.all())

    def cell(self, cell: Any) -> Index:
        """Return ``cell`` as an index of the output; in one dimension it may be an integer.

        Raises:
          ArgumentError: there is no such output.
        """
        sizes = self.output.shape
        legal = "; ".join(f"0 to {size - 1} along axis {axis}" for axis, size in enumerate(sizes))
        indices = [cell] if len(sizes) == 1 and not isinstance(cell, Sequence) else sequence(cell, "cell", legal)
        found = tuple(integer(index, "cell", -1) for index in indices)
        if len(found) != len(sizes) or not all(0 <= i < size for i, size in zip(found, sizes, strict=True)):
            got = f"cell {format_index(found)}, of an output of shape {sizes}"
            fix = "pass one index for each spatial axis, without batch and channels"
            raise ArgumentError("there is no such output cell", got=got, legal=legal, fix=fix)
        return found

    @property
    def busiest(self) -> Index:
        """The first of the outputs that add up the most products. It is the default for ``cell`` arguments."""
        return unravel(self.overlap.argmax(), self.output.shape)

    @property
    def first(self) -> Index:
        """The first of the outputs that a stamp reaches, mostly the corner."""
        return unravel((self.overlap > 0).argmax(), self.output.shape)

    @property
    def notes(self) -> list[str]:
        """Remarks on the channels, a flipped kernel, overflow or rounding, to read before the numbers."""
        return self.remarks("en")

    def remarks(self, language: str) -> list[str]:
        """Return ``notes`` in a language."""
        found, count = [], self.filters.shape[-1] // self.spec.groups
        if len(self.pairs) > 1:
            found.append("manyChannels" if count > 1 else "oneChannel")
        found += ["backwards"] * self.backwards
        if self.wraps or self.overflows:
            found.append("wraps" if self.wraps else "overflows")
        elif self.rounds:
            found.append("rounds")
        values = {"input": self.input_channel, "output": self.output_channel, "count": count}
        return [words(language)[key].format(dtype=self.answer.dtype, **values) for key in found]

    def sentence(self, cell: Any) -> str:
        """Return one output's sum as text.

        >>> from jconvt import explain
        >>> from jconvt._testing import example
        >>> explain(example.INPUT, example.FILTERS, **example.ARGUMENTS).sentence((0, 0))
        'out[0,0] = -67*-1 = 67'
        """
        return "".join(text for text, _ in self.spelled(cell))

    def spelled(self, cell: Any, language: str = "en") -> Iterator[tuple[str, Index | None]]:
        """Yield the parts of ``sentence``, each with the input pixel of its product, or ``None``."""
        cell = self.cell(cell)
        yield f"out{format_index(cell)} = ", None
        products = self.products(cell)
        for number, (pixel, tap, _) in enumerate(products):
            if number:
                yield " + ", None
            yield _format_product(self.input[pixel], self.kernel[tap]), pixel
        yield f"{' = ' if products else ''}{format_number(self.output[cell])}", None
        if not products:
            yield words(language)["unreached"], None

    def unflipped(self, cell: Any, language: str = "en") -> str:
        """Return one output's sum as it would be, wrongly, if an unflipped kernel slid over the zero-filled input.

        >>> from jconvt import explain
        >>> from jconvt._testing import example
        >>> explain(example.INPUT, example.FILTERS, **example.ARGUMENTS).unflipped((0, 0))
        'Without the flip, out[0,0] would be -67*-9 = 603.'
        """
        cell, flipped = self.cell(cell), np.flip(self.kernel)
        factors = [(self.input[pixel], flipped[tap]) for pixel, tap, _ in self.products(cell)]
        with np.errstate(all="ignore"):
            total = sum((pixel * tap for pixel, tap in factors), self.output.dtype.type(0))
        terms = " + ".join(itertools.starmap(_format_product, factors)) + " = " * bool(factors)
        return words(language)["unflipped"].format(cell=format_index(cell), sum=f"{terms}{format_number(total)}")


def ravel(index: Index, shape: Index) -> int:
    """Return the place of an element in row-major order."""
    return int(np.ravel_multi_index(index, shape))


def unravel(place: int | np.integer, shape: Index) -> Index:
    """Return the index of an array's element from its place in row-major order."""
    return tuple(int(i) for i in np.unravel_index(place, shape))


def window_mask(table: ProductTable, cell: Index) -> NDArray[np.bool_]:
    """Return where the window of an output covers the zero-filled input."""
    mask = np.zeros(table.zero_filled_pixels.shape, bool)
    mask[tuple(slice(start, start + extent) for start, extent in zip(cell, table.window, strict=True))] = True
    return mask


def pixels_at(table: ProductTable, places: NDArray[np.intp]) -> Callable[[Index], list[Index]]:
    """Return a function from an index of ``places`` to the input pixel at the place there; -1 is no pixel."""
    return lambda at: [unravel(places[at], table.input.shape)] if places[at] >= 0 else []


def pixels_of(table: ProductTable) -> Callable[[Index], list[Index]]:
    """Return a function from an output's index to the input pixels that contribute to it."""
    return lambda at: [pixel for pixel, _, _ in table.products(at)]


def _values_at(places: NDArray[np.intp], values: NDArray[Any]) -> NDArray[Any]:
    return np.where(places >= 0, values.reshape(-1)[places], np.zeros((), values.dtype))


def _format_product(pixel: Any, tap: Any) -> str:
    return f"{format_factor(pixel)}*{format_factor(tap)}"
