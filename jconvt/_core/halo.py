"""A map split over the devices of a mesh: each computes its own share, and fetches no more than that takes.

The axes of ``x``, ``w`` and ``z`` that run together are split together: the batch; an axis of pixels and the outputs
over them; the groups or, without groups, the input channels and the output channels. A device then has

    its pixels, and the outputs that lie over them: output ``o`` lies over pixel ``o // stride``
    a halo: the rows that its taps reach beyond, from the devices beside it, and zero at the border
    a part of the sum, where what is split is summed over: the parts are added up over the devices

What remains is the same map with another crop, by any method. Nothing else is split: not the taps, not an axis whose
output is not ``stride`` times its pixels, and nothing that the number of devices does not divide. Each device has these
whole.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from .._geometry.axis import Axis
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from .._methods import acc_dtype
from ..errors import ArgumentError

Compute = Callable[..., jax.Array]
"""A map of two operands that takes ``spec`` and ``dtype`` for keywords."""


@dataclasses.dataclass(frozen=True)
class Whole:
    """A map that takes two of ``x``, ``w`` and ``z`` and gives the third, and the shapes of all three."""

    taken: str
    given: str
    shapes: Mapping[str, tuple[int, ...]]
    spec: Spec
    layout: Layout
    dtype: Any

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """What each axis of each array runs over. Axes of one name are split together; those of none, not at all."""
        spec, sizes = self.spec, [f"axis{number}" for number in range(self.spec.rank)]
        taken, out, of_group = ("input", "output", "output") if spec.groups == 1 else ("groups", "groups", "")
        return {
            "x": tuple(self.layout.shape("batch", sizes, taken)),
            "w": (*[""] * spec.rank, of_group, taken),
            "z": tuple(self.layout.shape("batch", sizes, out)),
        }

    @property
    def summed(self) -> frozenset[str]:
        """The names that are summed over: both operands have them, and the result has not."""
        a, b = ({*self.names[one]} for one in self.taken)
        return frozenset(a & b - {*self.names[self.given], ""})

    def sizes(self, name: str) -> list[int]:
        """What has a size of this name: what divides all of them may split it, and nothing may where none is given."""
        if name == "groups":
            return [self.spec.groups]
        found = {one: self.shapes[one][names.index(name)] for one, names in self.names.items() if name in names}
        for number, axis in enumerate(self.spec.axes):
            if name == f"axis{number}" and found["z"] != found["x"] * axis.stride:
                return []
        return [*found.values()]


@dataclasses.dataclass(frozen=True)
class Split:
    """The axes of a mesh of these sizes that each name is split over, in each array of a map that has it."""

    whole: Whole
    mesh: Mapping[str, int]
    over: Mapping[str, tuple[str, ...]]

    def laid(self, one: str) -> PartitionSpec:
        """How an array lies."""
        return PartitionSpec(*(self.over.get(name) for name in self.whole.names[one]))

    def share(self, compute: Compute, a: jax.Array, b: jax.Array) -> jax.Array:
        """What a device computes of its parts of the operands."""
        whole, over = self.whole, self.over
        reaching = "x" if whole.given == "z" else "z"
        parts, axes = {whole.taken[0]: a, whole.taken[1]: b}, [*whole.spec.axes]
        for number, (axis, position) in enumerate(zip(whole.spec.axes, whole.layout.spatial_axes, strict=True)):
            names = over.get(f"axis{number}", ())
            if names:
                before, after, axes[number] = _reach(axis, reaching)
                parts[reaching] = _with_halo(parts[reaching], position, names, self.count(names), before, after)
        spec = Spec(tuple(axes), whole.spec.groups // self.count(over.get("groups", ())))
        summed = tuple(axis for name, names in over.items() if name in whole.summed for axis in names)
        if not summed:
            return compute(*parts.values(), spec=spec, dtype=whole.dtype)
        part = compute(*parts.values(), spec=spec, dtype=acc_dtype(whole.dtype))
        return lax.psum(part, summed).astype(whole.dtype)

    def count(self, axes: Sequence[str]) -> int:
        """The number of devices along these axes."""
        return math.prod(self.mesh[axis] for axis in axes)


def split(whole: Whole, laid: Mapping[str, PartitionSpec], mesh: Mapping[str, int]) -> Split:
    """The split that follows how arrays are ``laid``, those of the first one first. No axis splits two names."""
    found = Split(whole, mesh, {})
    for one, spec in laid.items():
        for name, entry in zip(whole.names[one], entries(spec, len(whole.shapes[one])), strict=True):
            axes = tuple(axis for axis in entry if axis in mesh and axis not in itertools.chain(*found.over.values()))
            sizes = whole.sizes(name) if name and axes and name not in found.over else []
            if sizes and not any(size % found.count(axes) for size in sizes):
                found = dataclasses.replace(found, over={**found.over, name: axes})
    return found


def entries(spec: PartitionSpec, rank: int) -> list[tuple[str, ...]]:
    """The axes of a mesh along each axis of an array."""
    each = [*spec, *[None] * (rank - len(spec))]
    none = (None, PartitionSpec.UNCONSTRAINED)
    return [() if entry in none else (entry,) if isinstance(entry, str) else tuple(entry) for entry in each]


def explicit_axes(*types: Any) -> set[str]:
    """The explicit axes of a mesh that operands of these types are split over."""
    return {axis for type in types for entry in entries(type.sharding.spec, type.ndim) for axis in entry}


def _reach(axis: Axis, reaching: str) -> tuple[int, int, Axis]:
    """How many rows of ``x`` or ``z`` a share takes from before and after its own, and its geometry with these."""
    stride, over = axis.stride, axis.extent - axis.lo
    if reaching == "x":  # the pixels whose stamps reach the outputs of a share
        before, after = max(0, (over - 1) // stride), max(0, -(-axis.lo // stride))
        lo, hi = axis.lo + before * stride, (after - 1) * stride + over
    else:  # the outputs under the stamps of its pixels
        before, after = max(0, axis.lo), max(0, over - stride)
        lo, hi = axis.lo - before, over - stride - after
    return before, after, dataclasses.replace(axis, lo=lo, hi=hi)


def _with_halo(a: jax.Array, position: int, over: tuple[str, ...], count: int, before: int, after: int) -> jax.Array:
    """``a`` between the rows ``before`` and ``after`` it, which ``count`` devices hold, and zeros beyond them."""
    size = a.shape[position]

    def fetched(rows: int, ahead: bool) -> list[jax.Array]:
        """From the device beside this one first, and then from those further away."""
        parts = []
        for far in range(1, min(-(-rows // size), count - 1) + 1):
            some = min(rows - (far - 1) * size, size)
            part = lax.slice_in_dim(a, 0 if ahead else size - some, some if ahead else size, axis=position)
            pairs = [(one + far, one) if ahead else (one, one + far) for one in range(count - far)]
            parts.append(lax.ppermute(part, over, pairs))
        beyond = rows - (count - 1) * size  # of all devices
        if beyond > 0:
            parts.append(lax.full_like(a, 0, shape=(*a.shape[:position], beyond, *a.shape[position + 1 :])))
        return parts

    return lax.concatenate([*reversed(fetched(before, False)), a, *fetched(after, True)], position)


def type_of(whole: Whole, *operands: Any) -> NamedSharding:
    """How the result of ``explicit`` lies, for operands of these types.

    Raises:
      ArgumentError: the input is split along an axis that its output cannot be split along.
    """
    mesh = _mesh(operands)
    laid = {one: type.sharding.spec for one, type in zip(whole.taken, operands, strict=True)}
    found = _checked(whole, laid, {axis: mesh.shape[axis] for axis in mesh.explicit_axes})
    return NamedSharding(mesh, found.laid(whole.given))


def explicit(whole: Whole, operands: Sequence[jax.Array], mapped: Sequence[int | None], compute: Compute) -> jax.Array:
    """A map of operands that are split over explicit axes of a mesh: their types say how.

    ``vmap`` may have ``mapped`` an axis of an operand. The result has it first.

    Raises:
      ArgumentError: the input is split along an axis that its output cannot be split along.
    """
    types = [jax.typeof(a) for a in operands]
    mesh = _mesh(types)
    laid = [entries(type.sharding.spec, type.ndim) for type in types]
    first: tuple[str, ...] = ()
    for each, at in zip(laid, mapped, strict=True):
        first = first or (() if at is None else each[at])
    sizes = {axis: mesh.shape[axis] for axis in mesh.explicit_axes if axis not in first}
    inner = [
        PartitionSpec(*each[:at], *each[at + 1 :] if at is not None else ())
        for each, at in zip(laid, mapped, strict=True)
    ]
    found = _checked(whole, dict(zip(whole.taken, inner, strict=True)), sizes)
    specs = [
        spec if at is None else PartitionSpec(*spec[:at], first or None, *spec[at:])
        for spec, at in zip(map(found.laid, whole.taken), mapped, strict=True)
    ]
    share, result = functools.partial(found.share, compute), found.laid(whole.given)
    if any(at is not None for at in mapped):
        share, result = jax.vmap(share, mapped), PartitionSpec(first or None, *result)
    placed = [jax.sharding.reshard(a, NamedSharding(mesh, spec)) for a, spec in zip(operands, specs, strict=True)]
    # None named: all of the mesh, but for those that vmap maps over.
    names = explicit_axes(*types) if mesh.auto_axes or mesh.manual_axes else set()
    return jax.shard_map(share, mesh=mesh, in_specs=(*specs,), out_specs=result, axis_names=names)(*placed)


def _mesh(types: Sequence[Any]) -> Any:
    return next(type.sharding.mesh for type in types if not type.sharding.mesh.empty)


def _checked(whole: Whole, laid: Mapping[str, PartitionSpec], mesh: Mapping[str, int]) -> Split:
    """The split, unless the input would have to be gathered: who splits explicitly has to say that."""
    if whole.given != "z":
        return split(whole, laid, mesh)
    alone, shape = split(whole, {"x": laid["x"]}, mesh), whole.shapes["x"]
    for number, (name, entry) in enumerate(zip(whole.names["x"], entries(laid["x"], len(shape)), strict=True)):
        count = alone.count([axis for axis in entry if axis in mesh])
        if count == 1 or name in alone.over:
            continue
        if name == "groups":
            got, legal = f"{whole.spec.groups} groups", f"a number of groups that {count} divides, or 1"
        else:
            stride = whole.spec.axes[int(name.removeprefix("axis"))].stride
            got = f"output of size {whole.shapes['z'][number]} for size {shape[number]}"
            legal = f"an output of {stride * shape[number]}, stride times the size of the input"
        kept = PartitionSpec(*(None if at == number else each for at, each in enumerate([*laid["x"]])))
        raise ArgumentError(
            f"the input is split along axis {number}, and its output cannot be",
            got=f"{got}, over {count} devices",
            legal=legal,
            fix=f"split another axis, such as the batch, or gather this one: jax.sharding.reshard(input, {kept})",
        )
    return split(whole, laid, mesh)
