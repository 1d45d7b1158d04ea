"""How a kernel lies in memory, and what turns it into another convention's kernel.

The order that everything is compared in is TensorFlow's, ``(k..., out / groups, in)``: the tap that lands first is
first, and the input channels are those of all groups, one group after the other. A convention may order the axes
otherwise, run the taps backwards, and count the groups with the output channels instead.

Nothing here imports an array library: what is converted brings its own methods.
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

    def shape(self, filters_shape: Sequence[int]) -> tuple[int, ...]:
        """This convention's shape for a kernel of ``filters_shape``, ``(k..., out / groups, in)``."""
        *kernel, out, taken = filters_shape
        sizes = (*kernel, out * self.output_groups, taken // self.output_groups)
        return tuple(sizes[axis] for axis in self.axes)

    def filters_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The inverse of ``shape``."""
        *kernel, out, taken = (shape[self.axes.index(axis)] for axis in range(len(self.axes)))
        return (*kernel, out // self.output_groups, taken * self.output_groups)

    def filters(self, kernel: Any) -> Any:
        """``kernel``, in this convention, as ``(k..., out / groups, in)``. NumPy's arrays stay NumPy's."""
        w = kernel.transpose([self.axes.index(axis) for axis in range(len(self.axes))])
        if self.flipped:
            w = w[(slice(None, None, -1),) * self.rank]
        if self.output_groups > 1:
            *sizes, out, taken = w.shape
            w = w.reshape(*sizes, self.output_groups, out // self.output_groups, taken).swapaxes(-3, -2)
            w = w.reshape(*sizes, out // self.output_groups, self.output_groups * taken)
        return w

    def kernel(self, filters: Any) -> Any:
        """The inverse of ``filters``."""
        w = filters
        if self.output_groups > 1:
            *sizes, out, taken = w.shape
            w = w.reshape(*sizes, out, self.output_groups, taken // self.output_groups).swapaxes(-3, -2)
            w = w.reshape(*sizes, self.output_groups * out, taken // self.output_groups)
        if self.flipped:
            w = w[(slice(None, None, -1),) * self.rank]
        return w.transpose(self.axes)


def filters_layout(rank: int) -> KernelLayout:
    """TensorFlow's and Keras's: ``(k..., out / groups, in)``."""
    return KernelLayout(tuple(range(rank + 2)))


@dataclasses.dataclass(frozen=True)
class KernelConversion:
    """What turns a kernel of one convention into another's. It is called with an array, and can be inverted.

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
        """The conversion of a kernel of ``shape``, in the source's convention, as an expression of NumPy or JAX."""
        source, target = self.source, self.target
        if source.output_groups == target.output_groups:
            return self._reordered(name)
        plain = filters_layout(source.rank)
        inner = KernelConversion(source, plain)._reordered(name)
        *kernel, out, taken = (shape[source.axes.index(axis)] for axis in range(len(source.axes)))
        if source.output_groups > 1:
            groups = source.output_groups
            parts, merged = (*kernel, groups, out // groups, taken), (*kernel, out // groups, groups * taken)
        else:
            groups = target.output_groups
            parts, merged = (*kernel, out, groups, taken // groups), (*kernel, groups * out, taken // groups)
        inner = f"{inner}.reshape{parts}.swapaxes(-3, -2).reshape{merged}"
        return KernelConversion(plain, target)._reordered(inner)

    def _reordered(self, name: str) -> str:
        order = tuple(self.source.axes.index(axis) for axis in self.target.axes)
        flips = [self.target.axes.index(axis) for axis in range(self.source.rank)]
        code = name if order == tuple(range(len(order))) else f"{name}.transpose{order}"
        if self.source.flipped == self.target.flipped:
            return code
        last = max(flips)
        return f"{code}[{', '.join('::-1' if axis in flips else ':' for axis in range(last + 1))}]"

    def __str__(self) -> str:
        return self._reordered("kernel")
