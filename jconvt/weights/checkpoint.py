"""Checkpoints: the layers of a file or of a model, and their arrays."""

import dataclasses
import fnmatch
import math
from collections.abc import Mapping
from typing import Any

from .._geometry.arguments import integer
from .._geometry.kernel_layout import KernelLayout
from .._geometry.spec import Spec
from .._text_table import table
from ..errors import ArgumentError, ArgumentTypeError
from . import layouts
from ._errors import check_choice, listed


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer's arrays, in the layout of its framework.

    ``kind`` is "conv_transpose", "conv", "dense", "norm", "prelu", "unknown" (a convolution, transposed or not), "norm
    or prelu" (in PyTorch both have only a weight), or "other". ``arrays`` are keyed by role: "kernel", "bias", "scale",
    "mean", "var" and "negative_slope"; other arrays keep their names.
    ``groups``, ``spec`` (the geometry of a transposed convolution) and ``epsilon`` (of a norm) are ``None`` where the
    file does not say. ``transpose_kernel`` is Flax's. ``unread`` are arrays that cannot be read, and why: a layer that
    has some is of kind "other".
    """

    kind: str
    arrays: Mapping[str, Any]
    framework: str
    groups: int | None = None
    transpose_kernel: bool = False
    spec: Spec | None = None
    epsilon: float | None = None
    unread: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the kernel, or of the first array if there is no kernel."""
        array = self.arrays.get("kernel", next(iter(self.arrays.values()), None))
        return () if array is None else tuple(array.shape)

    @property
    def layout(self) -> KernelLayout:
        """The layout of the kernel.

        Raises:
          ArgumentError: the layout depends on the kind, and ``kind`` is "unknown".
        """
        rank = len(self.arrays["kernel"].shape) - 2
        return layouts.layout(self.framework, self.kind, rank, self.groups or 1, self.transpose_kernel)

    @property
    def filters(self) -> Any:
        """The kernel as ``(k..., out / groups, in)``; of a forward convolution as ``(k..., in / groups, out)``.

        >>> import numpy as np
        >>> Layer("conv_transpose", {"kernel": np.zeros((8, 4, 3, 2))}, "torch").filters.shape
        (3, 2, 4, 8)
        """
        return self.layout.filters(self.arrays["kernel"])

    def shape_in(self, layout: KernelLayout) -> tuple[int, ...] | None:
        """Return the kernel's shape in another layout, or ``None`` if the rank or the groups do not fit."""
        if len(self.shape) != layout.rank + 2:
            return None
        filters = self.layout.filters_shape(self.shape)
        shape = layout.shape(filters)
        is_exact = self.layout.shape(filters) == self.shape and layout.filters_shape(shape) == filters
        return shape if is_exact and filters[-1] % (self.groups or 1) == 0 else None

    def may_be(self, kind: str) -> bool:
        """Whether the layer is of this kind, or its file leaves that open."""
        return kind in layouts.CHOICES.get(self.kind, (self.kind,))

    def as_kind(self, kind: str) -> "Layer":
        """Return the layer as one of a kind that it may be, with the groups that its arrays tell."""
        roles = {"prelu": {"scale": "negative_slope"}, "norm": {"negative_slope": "scale"}}.get(kind, {})
        arrays = {roles.get(role, role): array for role, array in self.arrays.items()}
        return dataclasses.replace(self, kind=kind, arrays=arrays).grouped()

    def possible_groups(self) -> list[int]:
        """Return the numbers of groups that a convolution with these arrays can have."""
        bias, found = self.arrays.get("bias"), []
        channels = dataclasses.replace(self, groups=1).layout.filters_shape(self.shape)[-2:]
        for groups in sorted(set().union(*map(_divisors, channels))):
            layer = dataclasses.replace(self, groups=groups)
            *_, features, inputs = layer.layout.filters_shape(self.shape)
            out = features * groups if self.kind == "conv_transpose" else inputs
            if layer.shape_in(layer.layout) is not None and (bias is None or bias.size == out):
                found.append(groups)
        return found

    def grouped(self) -> "Layer":
        """Return the layer with its groups, if it is a transposed convolution whose arrays allow one number."""
        if self.kind != "conv_transpose" or self.groups is not None or "kernel" not in self.arrays:
            return self
        has_groups = layouts.STORED[self.framework].has_transposed_groups
        possible = self.possible_groups() if has_groups else [1]
        return dataclasses.replace(self, groups=possible[0]) if len(possible) == 1 else self

    def __str__(self) -> str:
        return f"{self.kind}: {', '.join([*self.arrays, *self.unread_texts()])}"

    def unread_texts(self) -> list[str]:
        """Return a text for each array that cannot be read."""
        return [f"{name} is not read ({why})" for name, why in self.unread.items()]


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The layers of a file or of a model, by path, in order.

    ``ordered`` says whether this is the order of the layers in the model; if not, layers are paired only by name.
    ``source`` is the checkpoint's name in messages, and ``notes`` tell how it was read.

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
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        rows = [("layer", "kind", "groups", "arrays")]
        rows += [(path, each.kind, str(each.groups or "-"), _shapes(each)) for path, each in self.layers.items()]
        return "\n".join([table(rows), *(f"note: {note}" for note in self.notes)])

    def told(
        self, kinds: Mapping[str, str] | None = None, groups: Mapping[str, int] | int | None = None
    ) -> "Checkpoint":
        """Return the checkpoint with kinds and groups that its file does not contain.

        Args:
          kinds: by pattern of the path, as in ``{"decoder.up*": "conv_transpose"}``; the first match is used.
          groups: by pattern of the path too; or one number for all transposed convolutions whose groups are unknown.

        Raises:
          ArgumentError: a pattern matches no layer, a kind is unknown, or arrays cannot have that kind or these groups.
          ArgumentTypeError: groups are not integers, or kinds not a dictionary.
        """
        if not isinstance(kinds, Mapping | None):
            got, legal = f"kinds = {kinds!r}", "a dictionary of kinds by pattern of the path"
            fix = f"pass kinds={{'*': {kinds!r}}} for all layers"
            raise ArgumentTypeError("kinds is not a dictionary", got=got, legal=legal, fix=fix)
        kinds = kinds or {}
        numbers = groups if isinstance(groups, Mapping) else {}
        numbers = {pattern: integer(n, f"groups[{pattern!r}]", lowest=1) for pattern, n in numbers.items()}
        others = None if groups is None or isinstance(groups, Mapping) else integer(groups, "groups", lowest=1)
        for pattern, kind in kinds.items():
            check_choice("kind of layer", f"kinds[{pattern!r}]", kind, layouts.KINDS)
        for pattern in (*kinds, *numbers):
            if not any(fnmatch.fnmatchcase(path, pattern) for path in self.layers):
                legal, fix = (
                    f"a pattern of one of {listed(self.layers)}",
                    "write the path as in the file; * is any text",
                )
                raise ArgumentError(f"no layer of {self.source} matches", got=repr(pattern), legal=legal, fix=fix)
        layers = {}
        for path, layer in self.layers.items():
            kind = next((kinds[pattern] for pattern in kinds if fnmatch.fnmatchcase(path, pattern)), None)
            number = next((numbers[pattern] for pattern in numbers if fnmatch.fnmatchcase(path, pattern)), None)
            if kind is not None:
                _check_possible(path, layer, kind)
                layer = layer.as_kind(kind)
            if number is None and layer.kind == "conv_transpose" and layer.grouped().groups is None:
                number = others
            if number is not None and layer.kind in layouts.CONVOLUTIONS:
                layer = dataclasses.replace(layer, groups=number)
                check_groups(path, layer)
            layers[path] = layer.grouped()
        return dataclasses.replace(self, layers=layers)


def check_checkpoint(checkpoint: Any) -> None:
    """Raise an error unless this is a checkpoint."""
    if not isinstance(checkpoint, Checkpoint):
        got, legal = f"checkpoint of type {type(checkpoint).__name__}", "a Checkpoint"
        fix = "pass the result of read, from_state_dict, from_linen, from_nnx or from_equinox"
        raise ArgumentTypeError("checkpoint is not a Checkpoint", got=got, legal=legal, fix=fix)


def check_groups(path: str, layer: Layer) -> None:
    """Raise an error unless the groups of a convolution fit its arrays. Those of an unknown kind are not checked."""
    if layer.kind not in ("conv", "conv_transpose") or "kernel" not in layer.arrays:
        return
    possible = layer.possible_groups()
    if layer.groups is None or layer.groups not in possible:
        number = "an unknown number of groups" if layer.groups is None else f"groups {layer.groups}"
        problem = f"the groups of layer {path!r} do not fit its arrays"
        legal = f"groups {listed(map(str, possible))}"
        fix = f"pass groups={{{path!r}: number}}, or --groups {path}=NUMBER"
        raise ArgumentError(problem, got=f"{number}, {_shapes(layer)}", legal=legal, fix=fix)


def _divisors(number: int) -> set[int]:
    small = {each for each in range(1, math.isqrt(number) + 1) if number % each == 0}
    return small | {number // each for each in small}


def _shapes(layer: Layer) -> str:
    shapes = [f"{role} {tuple(array.shape)}" for role, array in layer.arrays.items()]
    return ", ".join([*shapes, *layer.unread_texts()])


def _check_possible(path: str, layer: Layer, kind: str) -> None:
    """Raise an error for a kind whose arrays have another rank."""
    roles = layer.as_kind(kind).arrays.keys()
    if kind in ("norm", "prelu"):
        is_possible = "scale" in roles if kind == "norm" else roles == {"negative_slope"}
    else:
        axes = len(layer.arrays["kernel"].shape) if "kernel" in roles else 0
        is_possible = axes >= 2 and (axes == 2) == (kind == "dense")
    if not is_possible:
        legal = "a kernel of 3 axes or more in a convolution, of 2 in a dense layer, and none in a norm or PReLU"
        problem, fix = f"layer {path!r} cannot be of kind {kind!r}", "pass a pattern that does not match this layer"
        raise ArgumentError(problem, got=_shapes(layer), legal=legal, fix=fix)
