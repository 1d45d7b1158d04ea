"""Layers with their arrays, as a file or a model has them, and a checkpoint of them."""

import dataclasses
import fnmatch
from collections.abc import Mapping
from typing import Any

from .._geometry.arguments import integer
from .._geometry.kernel_layout import KernelLayout
from .._geometry.spec import Spec
from ..errors import ArgumentError
from . import frameworks
from .columns import columns

ROLES = ("kernel", "scale", "bias", "mean", "var")
"""What an array is to its layer. Flax's layers call them so, too."""


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer's arrays, in the layout of its framework.

    ``kind`` is "conv_transpose", "conv", "dense", "norm", "unknown" (a convolution of either sort), or "other".
    ``arrays`` are by role: "kernel", "bias", "scale", "mean" and "var"; those of another role keep their own name.
    ``groups``, ``spec`` (the geometry of a transposed convolution) and ``epsilon`` (a norm's) are ``None`` where the
    file does not tell them. ``transpose_kernel`` is Flax's.
    """

    kind: str
    arrays: Mapping[str, Any]
    framework: str
    groups: int | None = None
    transpose_kernel: bool = False
    spec: Spec | None = None
    epsilon: float | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the kernel, or of the first array where there is none."""
        first = next(iter(self.arrays.values()), None)
        array = self.arrays.get("kernel", first)
        return () if array is None else tuple(array.shape)

    @property
    def layout(self) -> KernelLayout:
        """How the kernel lies.

        Raises:
          ArgumentError: ``kind`` is "unknown", and that makes a difference.
        """
        rank = len(self.arrays["kernel"].shape) - 2
        return frameworks.layout(self.framework, self.kind, rank, self.groups or 1, self.transpose_kernel)

    @property
    def filters(self) -> Any:
        """The kernel as ``(k..., out / groups, in)``; that of a forward convolution as ``(k..., in / groups, out)``.

        >>> import numpy as np
        >>> Layer("conv_transpose", {"kernel": np.zeros((8, 4, 3, 2))}, "torch").filters.shape
        (3, 2, 4, 8)
        """
        return self.layout.filters(self.arrays["kernel"])

    def shape_in(self, layout: KernelLayout) -> tuple[int, ...] | None:
        """The kernel's shape in another layout, or ``None`` if the numbers of axes or the groups do not fit."""
        if len(self.shape) != layout.rank + 2:
            return None
        filters = self.layout.filters_shape(self.shape)
        shape = layout.shape(filters)
        divided = filters[-1] % (self.groups or 1) == 0
        there_and_back = self.layout.shape(filters) == self.shape and layout.filters_shape(shape) == filters
        return shape if divided and there_and_back else None

    def grouped(self) -> "Layer":
        """The layer with its groups, where the bias of a transposed convolution of PyTorch's layout tells them."""
        kernel, bias = self.arrays.get("kernel"), self.arrays.get("bias")
        told = self.groups is not None or self.framework in ("flax", "equinox")
        if told or self.kind != "conv_transpose" or kernel is None or bias is None:
            return self
        *_, out, _ = self.layout.filters_shape(kernel.shape)
        groups, rest = divmod(bias.size, out or 1)
        return self if rest or not groups else dataclasses.replace(self, groups=groups)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The layers of a file or of a model, by path, in order.

    ``ordered`` says whether that is the order of the layers in the model; where it is not, layers are paired by their
    names alone. ``source`` is what messages call it.

    >>> import numpy as np
    >>> up = Layer("conv_transpose", {"kernel": np.zeros((8, 4, 3, 3)), "bias": np.zeros(4)}, "torch")
    >>> print(Checkpoint({"up": up}, "torch"))
    layer  kind            groups  arrays
    up     conv_transpose  -       kernel (8, 4, 3, 3), bias (4,)
    """

    layers: Mapping[str, Layer]
    framework: str
    ordered: bool = True
    source: str = "the checkpoint"

    def __str__(self) -> str:
        rows = [("layer", "kind", "groups", "arrays")]
        for path, layer in self.layers.items():
            arrays = ", ".join(f"{role} {tuple(array.shape)}" for role, array in layer.arrays.items())
            rows.append((path, layer.kind, str(layer.groups or "-"), arrays))
        return columns(rows)

    def told(
        self, kinds: Mapping[str, str] | None = None, groups: Mapping[str, int] | int | None = None
    ) -> "Checkpoint":
        """The checkpoint with what its file does not tell.

        Args:
          kinds: by pattern of the path, as in ``{"decoder.up*": "conv_transpose"}``; the first that matches holds.
          groups: likewise; or one number, of every convolution.

        Raises:
          ArgumentError: a pattern that matches no layer, a kind that there is not, or a kernel that cannot be of it.
          ArgumentTypeError: groups that are no integers.
        """
        every = groups if groups is None or isinstance(groups, Mapping) else {"*": groups}
        numbers = {pattern: integer(n, f"groups[{pattern!r}]", lowest=1) for pattern, n in (every or {}).items()}
        _check_kinds(kinds or {})
        for pattern in (*(kinds or {}), *numbers):
            self._check_matches(pattern)
        layers = {}
        for path, layer in self.layers.items():
            kind = next((kind for pattern, kind in (kinds or {}).items() if fnmatch.fnmatchcase(path, pattern)), None)
            number = next((n for pattern, n in numbers.items() if fnmatch.fnmatchcase(path, pattern)), None)
            if kind is not None:
                _check_possible(path, layer, kind)
                layer = dataclasses.replace(layer, kind=kind)
            if number is not None and layer.kind in ("conv_transpose", "conv", frameworks.UNKNOWN):
                layer = dataclasses.replace(layer, groups=number)
            layers[path] = layer.grouped()
        return dataclasses.replace(self, layers=layers)

    def _check_matches(self, pattern: str) -> None:
        if not any(fnmatch.fnmatchcase(path, pattern) for path in self.layers):
            raise ArgumentError(
                f"no layer of {self.source} matches",
                got=f"{pattern!r}",
                legal=f"a pattern of one of {listed(self.layers)}",
                fix="write the path as the file has it; * stands for anything",
            )


def with_others(layers: Mapping[str, Layer], arrays: Mapping[tuple[str, ...], Any], framework: str) -> dict[str, Layer]:
    """``layers``, and what they lack of ``arrays``, which are by path and name: nothing of a model is dropped."""
    found = dict(layers)
    for (*path, name), array in arrays.items():
        layer = found.get(".".join(path), Layer(frameworks.OTHER, {}, framework))
        found[".".join(path)] = dataclasses.replace(layer, arrays={**layer.arrays, name: array})
    return found


def listed(names: Any, most: int = 12) -> str:
    """The first names, for a message."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more


def _check_kinds(kinds: Mapping[str, str]) -> None:
    for pattern, kind in kinds.items():
        if kind not in frameworks.KINDS:
            raise ArgumentError(
                "there is no such kind of layer",
                got=f"kinds[{pattern!r}] = {kind!r}",
                legal=", ".join(frameworks.KINDS),
                fix="pass one of these",
            )


def _check_possible(path: str, layer: Layer, kind: str) -> None:
    """Refuses a kind that has another number of axes."""
    role = "scale" if kind == "norm" else "kernel"
    axes = len(layer.arrays[role].shape) if role in layer.arrays else 0
    if axes == 0 or (role == "kernel" and (axes == 2) != (kind == "dense")):
        raise ArgumentError(
            f"layer {path!r} cannot be of kind {kind!r}",
            got=", ".join(f"{role} {tuple(array.shape)}" for role, array in layer.arrays.items()),
            legal="a convolution's kernel has 3 axes or more, that of a dense layer 2; a norm has none",
            fix="pass a pattern that does not match this layer",
        )
