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
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from .algorithms.sums import sums_in
from .axis import Axis
from .errors import ArgumentError
from .layout import Layout
from .spec import Spec

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
        """What has a size of this name: a number of devices that divides all of them may split it."""
        if name == "groups":
            return [self.spec.groups]
        found = {one: self.shapes[one][names.index(name)] for one, names in self.names.items() if name in names}
        for number, axis in enumerate(self.spec.axes):
            if name == f"axis{number}" and found["z"] != found["x"] * axis.stride:
                return [1]
        return [*found.values()]


class Plan(NamedTuple):
    """How operands and result lie on a mesh, and what each device computes of its parts."""

    operands: tuple[PartitionSpec, ...]
    result: PartitionSpec
    share: Callable[[jax.Array, jax.Array], jax.Array]


def plan(whole: Whole, laid: Mapping[str, PartitionSpec], mesh: Mapping[str, int], compute: Compute) -> Plan:
    """The split that follows how arrays are ``laid`` on a ``mesh`` of these sizes, those of the first operand first."""
    found = _found(whole, laid, mesh)
    reaching = "x" if whole.given == "z" else "z"
    summed = tuple(axis for name, axes in found.items() if name in whole.summed for axis in axes)

    def share(a: jax.Array, b: jax.Array) -> jax.Array:
        parts, axes, groups = {whole.taken[0]: a, whole.taken[1]: b}, [*whole.spec.axes], whole.spec.groups
        for number, (axis, position) in enumerate(zip(whole.spec.axes, whole.layout.spatial_axes, strict=True)):
            over = found.get(f"axis{number}", ())
            if over:
                before, after, axes[number] = _reach(axis, reaching)
                parts[reaching] = _with_halo(parts[reaching], position, over, _count(over, mesh), before, after)
        spec = Spec(tuple(axes), groups // _count(found.get("groups", ()), mesh))
        if not summed:
            return compute(*parts.values(), spec=spec, dtype=whole.dtype)
        part = compute(*parts.values(), spec=spec, dtype=sums_in(whole.dtype))
        return lax.psum(part, summed).astype(whole.dtype)

    def spec_of(one: str) -> PartitionSpec:
        return PartitionSpec(*(found.get(name) for name in whole.names[one]))

    return Plan(tuple(map(spec_of, whole.taken)), spec_of(whole.given), share)


def entries(spec: PartitionSpec, rank: int) -> list[tuple[str, ...]]:
    """The axes of a mesh along each axis of an array."""
    each = [*spec, *[None] * (rank - len(spec))]
    return [() if entry is None else (entry,) if isinstance(entry, str) else tuple(entry) for entry in each]


def explicit_axes(*operands: jax.Array) -> set[str]:
    """The explicit axes of a mesh that operands are split over."""
    return {axis for a in operands for entry in entries(jax.typeof(a).sharding.spec, a.ndim) for axis in entry}


def _found(whole: Whole, laid: Mapping[str, PartitionSpec], mesh: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """The axes of the mesh that each name is split over. No axis splits two."""
    found: dict[str, tuple[str, ...]] = {}
    free = {*mesh}
    for one, spec in laid.items():
        for name, entry in zip(whole.names[one], entries(spec, len(whole.shapes[one])), strict=True):
            axes = tuple(axis for axis in entry if axis in free)
            if name and axes and name not in found and not any(n % _count(axes, mesh) for n in whole.sizes(name)):
                found[name] = axes
                free -= {*axes}
    return found


def _count(axes: Sequence[str], mesh: Mapping[str, int]) -> int:
    return math.prod(mesh[axis] for axis in axes)


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
        for far in range(1, -(-rows // size) + 1):
            some = min(rows - (far - 1) * size, size)
            part = lax.slice_in_dim(a, 0 if ahead else size - some, some if ahead else size, axis=position)
            pairs = [(one + far, one) if ahead else (one, one + far) for one in range(count - far)]
            parts.append(lax.ppermute(part, over, pairs))
        return parts

    return lax.concatenate([*reversed(fetched(before, False)), a, *fetched(after, True)], position)


def explicit(whole: Whole, operands: Sequence[jax.Array], mapped: Sequence[int | None], compute: Compute) -> jax.Array:
    """A map of operands that are split over explicit axes of a mesh: their types say how.

    ``vmap`` may have ``mapped`` an axis of an operand. The result has it first.

    Raises:
      ArgumentError: the input is split along an axis that its output cannot be split along.
    """
    mesh = next(found for found in (jax.typeof(a).sharding.mesh for a in operands) if not found.empty)
    laid = [entries(jax.typeof(a).sharding.spec, a.ndim) for a in operands]
    first: tuple[str, ...] = ()
    for each, at in zip(laid, mapped, strict=True):
        first = first or (() if at is None else each[at])
    sizes = {axis: mesh.shape[axis] for axis in mesh.explicit_axes if axis not in first}
    inner = [
        PartitionSpec(*each[:at], *each[at + 1 :] if at is not None else ())
        for each, at in zip(laid, mapped, strict=True)
    ]
    if whole.given == "z":
        _check(whole, inner[0], sizes)
    found = plan(whole, dict(zip(whole.taken, inner, strict=True)), sizes, compute)
    specs = [
        spec if at is None else PartitionSpec(*spec[:at], first or None, *spec[at:])
        for spec, at in zip(found.operands, mapped, strict=True)
    ]
    share, result = found.share, found.result
    if any(at is not None for at in mapped):
        share, result = jax.vmap(share, mapped), PartitionSpec(first or None, *result)
    placed = [jax.sharding.reshard(a, NamedSharding(mesh, spec)) for a, spec in zip(operands, specs, strict=True)]
    # None named: all of the mesh, but for those that vmap maps over.
    names = explicit_axes(*operands) if mesh.auto_axes or mesh.manual_axes else set()
    return jax.shard_map(share, mesh=mesh, in_specs=(*specs,), out_specs=result, axis_names=names)(*placed)


def _check(whole: Whole, laid: PartitionSpec, mesh: Mapping[str, int]) -> None:
    """Refuses an input that would have to be gathered: who splits explicitly has to say that."""
    found, shape = _found(whole, {"x": laid}, mesh), whole.shapes["x"]
    for number, (name, entry) in enumerate(zip(whole.names["x"], entries(laid, len(shape)), strict=True)):
        count = _count([axis for axis in entry if axis in mesh], mesh)
        if count == 1 or name in found:
            continue
        if name == "groups":
            got, legal = f"{whole.spec.groups} groups", f"a number of groups that {count} divides, or 1"
        else:
            stride = whole.spec.axes[int(name.removeprefix("axis"))].stride
            got = f"output of size {whole.shapes['z'][number]} for size {shape[number]}"
            legal = f"an output of {stride * shape[number]}, stride times the size of the input"
        entry = PartitionSpec(*(None if at == number else each for at, each in enumerate([*laid])))
        raise ArgumentError(
            f"the input is split along axis {number}, and its output cannot be",
            got=f"{got}, over {count} devices",
            legal=legal,
            fix=f"split another axis, such as the batch, or gather this one: jax.sharding.reshard(input, {entry})",
        )
