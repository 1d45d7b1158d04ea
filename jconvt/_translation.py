"""One framework's call as another's: the same numbers, in code that can be pasted.

A call is stated in the words of the framework that it comes from. Its geometry becomes a ``Spec``, which becomes a
``Call`` of the other framework, with what has to be done to input, kernel and result around it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ._conventions import registry
from ._conventions.convention import Call
from ._geometry.arguments import check_groups, integers
from ._geometry.kernel_layout import KernelConversion
from ._geometry.layout import Layout
from ._geometry.spec import Spec
from .errors import ArgumentError


@dataclasses.dataclass(frozen=True)
class Translation:
    """A call of one framework, ``source``, and the ``target`` call of another that gives the same numbers.

    ``kernel`` converts the source's kernel to the target's, and can be inverted. Printed, a translation is a program:
    it needs NumPy arrays ``x`` and ``w`` in the source's order, and leaves both results in it, as ``y`` and ``z``.

    >>> same = translate("torch", "flax", (16, 16), (4, 4), {"stride": 2, "padding": 1}, channels=(8, 3))
    >>> same.output_shape
    (1, 3, 32, 32)
    >>> print(same.target_code)
    import flax.linen as nn
    <BLANKLINE>
    layer = nn.ConvTranspose(features=3, kernel_size=(4, 4), strides=(2, 2), use_bias=False)
    z = layer.apply({"params": {"kernel": w.transpose(2, 3, 0, 1)[::-1, ::-1]}}, x.transpose(0, 2, 3, 1))
    z = np.asarray(z).transpose(0, 3, 1, 2)  # in torch's order
    """

    source_framework: str
    target_framework: str
    spec: Spec
    source: Call
    target: Call
    input_shape: tuple[int, ...]
    """In the source's order, as the next two."""
    kernel_shape: tuple[int, ...]
    output_shape: tuple[int, ...]

    @property
    def kernel(self) -> KernelConversion:
        """The conversion of the source's kernel to the target's."""
        return KernelConversion(self.source.kernel, self.target.kernel)

    @property
    def source_code(self) -> str:
        """The source's call on ``x`` and ``w``, which gives ``y``."""
        return self._written(self.source_framework, self.source, "x", "w", "y")

    @property
    def target_code(self) -> str:
        """The target's call on the same ``x`` and ``w``, which gives ``z`` in the source's order."""
        source, target = self.source.layout, self.target.layout
        x, w = _reordered("x", source, target), self.kernel.code("w", self.kernel_shape)
        lines = [self._written(self.target_framework, self.target, x, w, "z"), *_cropped(self.target)]
        comment = f"  # in {self.source_framework}'s order" if target != source else ""
        return "\n".join([*lines, f"z = {_reordered('np.asarray(z)', target, source)}{comment}"])

    def _written(self, framework: str, call: Call, x: str, w: str, y: str) -> str:
        out_channels = self.output_shape[self.source.layout.channel_axis]
        return registry.CONVENTIONS[framework].write(call, x, w, y, out_channels)

    def __str__(self) -> str:
        shapes = f"x {self.input_shape}, w {self.kernel_shape} -> {self.output_shape}"
        head, middle = f"# {self.source_framework}: {shapes}", f"# {self.target_framework}: the same numbers"
        return "\n\n".join([f"{head}\nimport numpy as np", self.source_code, middle, self.target_code])


def translate(
    source: str,
    target: str,
    sizes: Sequence[int],
    kernel: Sequence[int],
    arguments: Mapping[str, Any],
    *,
    channels: Sequence[int] = (1, 1),
    batch: int = 1,
) -> Translation:
    """Translate a call of one framework into a call of another.

    Args:
      source, target: names in ``jconvt._conventions.registry.CONVENTIONS``.
      sizes: the input's spatial sizes.
      kernel: the kernel's spatial sizes.
      arguments: the call's other arguments, by their names in the source's framework.
      channels: of the input and of the output.
      batch: the number of images.

    Raises:
      ArgumentError: the source rejects the call, or the target has no call for it.
    """
    convention = registry.named(source, "source framework")
    registry.named(target, "target framework")
    rank = len(kernel)
    sizes, kernel = _positive(sizes, "sizes", rank), _positive(kernel, "kernel", rank)
    in_channels, out_channels = _positive(channels, "channels", 2)
    convention.check(arguments)
    layout, groups = convention.layout(rank, arguments), convention.groups_of(arguments)
    for side, count in (("input", in_channels), ("output", out_channels)):
        check_groups(groups, count, side=side)
    kernel_layout = convention.kernel_layout(rank, groups, arguments)
    filters_shape = (*kernel, out_channels // groups, in_channels)
    input_shape, kernel_shape = layout.shape(batch, sizes, in_channels), kernel_layout.shape(filters_shape)
    spec, _ = convention.resolve(input_shape, kernel_shape, **arguments)
    output = layout.shape(batch, spec.output_sizes(sizes), out_channels)
    if min(output) < 1:
        problem, got = "the call has nothing to compute, and frameworks differ there", f"a result of shape {output}"
        raise ArgumentError(problem, got=got, legal="sizes of at least 1", fix="pass a larger input, or crop less")
    written = convention.complete(arguments, kernel, output)
    source_call = Call(convention.function.format(rank=rank), written, layout, kernel_layout, ((0, 0),) * rank)
    target_call = registry.CONVENTIONS[target].call(spec, (batch, *sizes, in_channels), filters_shape)
    return Translation(source, target, spec, source_call, target_call, input_shape, kernel_shape, output)


def _positive(value: Any, name: str, count: int) -> tuple[int, ...]:
    return integers(value, name, (count,), f"{count} integers of at least 1", fix="pass as many")


def _reordered(name: str, source: Layout, target: Layout) -> str:
    """Write ``name``, an array in the layout ``source``, in that of ``target``."""
    axes = target.shape(0, source.spatial_axes, source.channel_axis)
    return name if source == target else f"{name}.transpose{axes}"


def _cropped(call: Call) -> list[str]:
    """Write the lines that pad the call's result ``z``, or crop it."""
    lines, ends = [], call.layout.shape((0, 0), call.crop, (0, 0))
    if min(map(min, ends)) < 0:  # first, as a crop may reach into the zeros
        lines.append(f"z = np.pad(z, {tuple((max(-a, 0), max(-b, 0)) for a, b in ends)})")
    if max(map(max, ends)) > 0:
        cuts = (f"{max(a, 0) or ''}:{-b if b > 0 else ''}" for a, b in ends)
        lines.append(f"z = z[{', '.join(cuts)}]")
    return lines
