"""The layout of a kernel, and the conversion of one convention's kernel to another's.

All layouts are relative to TensorFlow's, ``(k..., out / groups, in)``: the tap that stamps first is first, and the
input channels are those of all groups, one group after the other. A convention may order the axes otherwise, run the
taps backwards, and count the groups with the output channels instead.

Nothing here imports an array library: the methods of the arrays convert them.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class KernelLayout:
    """A convention's kernel: ``axes[i]`` is the place of its axis ``i`` in ``(k..., out, in)``.

    ``flipped`` kernels run backwards along every spatial axis. With ``output_groups`` above 1 the output channels are
    those of all groups, and the input channels those of one, as in a forward convolution from input to output.
    """

    axes: tuple[int, ...]
    flipped: bool = False
    output_groups: int = 1

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return len(self.axes) - 2

    @property
    def order(self) -> tuple[int, ...]:
        """The axes of a kernel in the order ``(k..., out, in)``: the inverse of ``axes``."""
        return tuple(self.axes.index(axis) for axis in range(len(self.axes)))

    def shape(self, filters_shape: Sequence[int]) -> tuple[int, ...]:
        """Return this convention's shape for a kernel of ``filters_shape``, ``(k..., out / groups, in)``."""
        *kernel, out, in_channels = filters_shape
        sizes = (*kernel, out * self.output_groups, in_channels // self.output_groups)
        return tuple(sizes[axis] for axis in self.axes)

    def filters_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the inverse of ``shape``."""
        *kernel, out, in_channels = (shape[axis] for axis in self.order)
        return (*kernel, out // self.output_groups, in_channels * self.output_groups)

    def filters(self, kernel: Any) -> Any:
        """Convert ``kernel``, in this convention, to ``(k..., out / groups, in)``. NumPy arrays stay NumPy arrays."""
        filters = self._in_order(kernel.transpose(self.order))
        return filters if self.output_groups == 1 else _regrouped(filters, self.output_groups, to_inputs=True)

    def kernel(self, filters: Any) -> Any:
        """Return the inverse of ``filters``."""
        if self.output_groups > 1:
            filters = _regrouped(filters, self.output_groups, to_inputs=False)
        return self._in_order(filters).transpose(self.axes)

    def _in_order(self, w: Any) -> Any:
        return w[(slice(None, None, -1),) * self.rank] if self.flipped else w


def _regrouped(w: Any, groups: int, to_inputs: bool) -> Any:
    """Move the axis of the groups from the output to the input channels, or back."""
    split, merged = _regrouping(w.shape, groups, to_inputs)
    return w.reshape(split).swapaxes(-3, -2).reshape(merged)


def _regrouping(shape: Sequence[int], groups: int, to_inputs: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shapes with the groups as an axis, and with that axis merged into the other channels."""
    *kernel, out, in_channels = shape
    if to_inputs:
        return (*kernel, groups, out // groups, in_channels), (*kernel, out // groups, groups * in_channels)
    return (*kernel, out, groups, in_channels // groups), (*kernel, groups * out, in_channels // groups)


def filters_layout(rank: int) -> KernelLayout:
    """Return the layout of TensorFlow's and Keras's kernels: ``(k..., out / groups, in)``."""
    return KernelLayout(tuple(range(rank + 2)))


@dataclasses.dataclass(frozen=True)
class KernelConversion:
    """The conversion of a kernel of one convention to another's. Call it with an array, or invert it.

    >>> import numpy as np
    >>> torch, tensorflow = KernelLayout((3, 2, 0, 1)), KernelLayout((0, 1, 2, 3))
    >>> convert = KernelConversion(torch, tensorflow)
    >>> convert(np.zeros((8, 4, 3, 2))).shape
    (3, 2, 4, 8)
    >>> convert.inverse(np.zeros((3, 2, 4, 8))).shape
    (8, 4, 3, 2)
    >>> print(convert)
    kernel.transpose(2, 3, 1, 0)
    """

    source: KernelLayout
    target: KernelLayout

    def __call__(self, kernel: Any) -> Any:
        return self.target.kernel(self.source.filters(kernel))

    @property
    def inverse(self) -> "KernelConversion":
        """The conversion back."""
        return KernelConversion(self.target, self.source)

    def code(self, name: str, shape: Sequence[int]) -> str:
        """Write the conversion of a kernel of ``shape``, in the source's convention, as a NumPy or JAX expression."""
        source, target = self.source, self.target
        if source.output_groups == target.output_groups:
            return self._reordered(name)
        plain = filters_layout(source.rank)
        sizes = [shape[axis] for axis in source.order]
        to_inputs = source.output_groups > 1
        groups = source.output_groups if to_inputs else target.output_groups
        split, merged = _regrouping(sizes, groups, to_inputs)
        inner = KernelConversion(source, plain)._reordered(name)
        return KernelConversion(plain, target)._reordered(f"{inner}.reshape{split}.swapaxes(-3, -2).reshape{merged}")

    def _reordered(self, name: str) -> str:
        order = tuple(self.source.order[axis] for axis in self.target.axes)
        code = name if order == tuple(range(len(order))) else f"{name}.transpose{order}"
        if self.source.flipped == self.target.flipped:
            return code
        flips = [self.target.axes.index(axis) for axis in range(self.source.rank)]
        return f"{code}[{', '.join('::-1' if axis in flips else ':' for axis in range(max(flips) + 1))}]"

    def __str__(self) -> str:
        return self._reordered("kernel")
