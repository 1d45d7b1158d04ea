"""Halo exchange: a map of sharded arrays, computed by each device on its own block.

Axes of ``x``, ``w`` and ``z`` with the same name are sharded together: the batch; each spatial axis; the groups or,
without groups, the input channels and the output channels. Each device owns a block of the rows of ``x`` and
``stride`` times as many rows of ``z``. It

- fetches a halo, the rows next to its block that its taps reach, from its neighbors (zeros at the border);
- computes the same map with another crop, by any method;
- sums its result over the devices, if a sharded axis is summed over.

Every device holds all kernel taps, and all of an axis if the number of devices does not divide it or if ``z`` does not
have ``stride`` times the rows of ``x``.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from jax import lax
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

from .._geometry.axis import Axis
from .._geometry.layout import Layout
from .._geometry.maps import Map
from .._geometry.spec import Spec
from .._methods import acc_dtype
from ..errors import ArgumentError

Partition = dict[str, tuple[str, ...]]
"""The mesh axes that the axes of each name are sharded over."""


@dataclasses.dataclass(frozen=True)
class GlobalMap:
    """A map of arrays with these global shapes."""

    map: Map
    shapes: Mapping[str, tuple[int, ...]]
    spec: Spec
    layout: Layout
    dtype: Any

    @property
    def axis_names(self) -> dict[str, tuple[str, ...]]:
        """The name of each axis of each array, or "" for an axis that is never sharded."""
        spatial = [f"spatial {number}" for number in range(self.spec.rank)]
        inputs, outputs, kernel_outputs = "inputs", "outputs", "outputs"
        if self.spec.groups > 1:
            inputs, outputs, kernel_outputs = "groups", "groups", ""
        return {
            "x": self.layout.shape("batch", spatial, inputs),
            "w": (*[""] * self.spec.rank, kernel_outputs, inputs),
            "z": self.layout.shape("batch", spatial, outputs),
        }

    def can_shard(self, name: str, count: int) -> bool:
        """Whether ``count`` devices can own equal blocks of the axes with this name."""
        if name == "groups":
            return self.spec.groups % count == 0
        sizes = [self.shapes[array][names.index(name)] for array, names in self.axis_names.items() if name in names]
        if name.startswith("spatial") and sizes[1] != sizes[0] * self.spec.axes[int(name.split()[1])].stride:
            return False
        return name != "" and not any(size % count for size in sizes)

    def partition(self, specs: Sequence[PartitionSpec], mesh: Mapping[str, int]) -> Partition:
        """Return the partition for operands with these specs; the first operand has precedence.

        ``mesh`` has the sizes of the mesh axes. A mesh axis shards the axes of one name only.

        Raises:
          ArgumentError: T would have to gather its input, since the output cannot be sharded in the same way.
        """
        found: Partition = {}
        for array, spec in zip(self.map.inputs, specs, strict=True):
            for number, entry in enumerate(entries(spec, len(self.shapes[array]))):
                name = self.axis_names[array][number]
                axes = tuple(axis for axis in entry if axis in mesh and axis not in sum(found.values(), ()))
                count = math.prod(mesh[axis] for axis in axes)
                if axes and name not in found and self.can_shard(name, count):
                    found[name] = axes
                elif count > 1 and self.map is Map.TRANSPOSE and array == "x":
                    raise _unshardable(self, spec, number, count)
        return found

    def partition_spec(self, partition: Partition, array: str) -> PartitionSpec:
        """The PartitionSpec of ``x``, ``w`` or ``z``."""
        return PartitionSpec(*map(partition.get, self.axis_names[array]))

    def compute_shard(
        self, partition: Partition, compute: Callable[..., jax.Array], a: jax.Array, b: jax.Array
    ) -> jax.Array:
        """Compute one device's shard of the output from its shards of the inputs.

        ``compute`` takes two operands and the keywords ``spec`` and ``dtype``.
        """
        shards, axes = dict(zip(self.map.inputs, (a, b), strict=True)), [*self.spec.axes]
        halo_operand = "x" if self.map is Map.TRANSPOSE else "z"
        for number, position in enumerate(self.layout.spatial_axes):
            mesh_axes = partition.get(f"spatial {number}")
            if mesh_axes:
                before, after, axes[number] = _halo(axes[number], halo_operand)
                shards[halo_operand] = _exchange(shards[halo_operand], position, mesh_axes, before, after)
        groups = self.spec.groups // math.prod(map(lax.axis_size, partition.get("groups", ())))
        compute = functools.partial(compute, *shards.values(), spec=Spec(tuple(axes), groups))
        first, second = (self.axis_names[array] for array in self.map.inputs)
        summed = {*first} & {*second} - {*self.axis_names[self.map.output]}
        mesh_axes = tuple(axis for name, each in partition.items() if name in summed for axis in each)
        if not mesh_axes:
            return compute(dtype=self.dtype)
        return lax.psum(compute(dtype=acc_dtype(self.dtype)), mesh_axes).astype(self.dtype)


def _unshardable(global_map: GlobalMap, spec: PartitionSpec, number: int, count: int) -> ArgumentError:
    size, output_size = global_map.shapes["x"][number], global_map.shapes["z"][number]
    if global_map.axis_names["x"][number] == "groups":
        got, legal = f"{global_map.spec.groups} groups", f"1 group, or a multiple of {count} groups"
    else:
        stride = global_map.spec.axes[global_map.layout.spatial_axes.index(number)].stride
        got = f"output of size {output_size} for size {size}"
        legal = f"an output of size {stride * size}, stride times the size of the input"
    gathered = PartitionSpec(*(None if at == number else each for at, each in enumerate(spec)))
    return ArgumentError(
        f"the input is sharded along axis {number}, but the output cannot be",
        got=f"{got}, over {count} devices",
        legal=legal,
        fix=f"shard another axis, such as the batch, or gather this one: jax.sharding.reshard(input, {gathered})",
    )


def entries(spec: PartitionSpec, rank: int) -> list[tuple[str, ...]]:
    """Return the mesh axes that shard each axis of an array."""
    padded = [*spec, *[None] * (rank - len(spec))]
    unsharded = (None, PartitionSpec.UNCONSTRAINED)
    return [() if entry in unsharded else (entry,) if isinstance(entry, str) else tuple(entry) for entry in padded]


def explicit_axes(*types: Any) -> set[str]:
    """Return the explicit mesh axes that shard operands of these types."""
    return {axis for type in types for entry in entries(type.sharding.spec, type.ndim) for axis in entry}


def output_sharding(global_map: GlobalMap, *types: Any) -> NamedSharding:
    """Return the sharding of the result of ``shard_mapped`` for operands of these types."""
    mesh = _mesh(types)
    sizes = {axis: mesh.shape[axis] for axis in mesh.explicit_axes}
    partition = global_map.partition([type.sharding.spec for type in types], sizes)
    return NamedSharding(mesh, global_map.partition_spec(partition, global_map.map.output))


def shard_mapped(
    global_map: GlobalMap, operands: Sequence[jax.Array], bdims: Sequence[int | None], compute: Callable[..., jax.Array]
) -> jax.Array:
    """Compute a map of operands that are sharded over explicit mesh axes, under ``jax.shard_map``.

    ``bdims`` are the axes that ``vmap`` batches over, or ``None``. The result has the batched axis first.
    """
    types = [jax.typeof(operand) for operand in operands]
    mesh, specs = _mesh(types), [entries(type.sharding.spec, type.ndim) for type in types]
    # Remove the batched axes and the mesh axes that shard them.
    batched = [() if bdim is None else spec.pop(bdim) for spec, bdim in zip(specs, bdims, strict=True)]
    over = next(filter(None, batched), None)
    sizes = {axis: mesh.shape[axis] for axis in mesh.explicit_axes if axis not in (over or ())}
    partition = global_map.partition([PartitionSpec(*spec) for spec in specs], sizes)
    in_specs = [global_map.partition_spec(partition, array) for array in global_map.map.inputs]
    out_specs = global_map.partition_spec(partition, global_map.map.output)
    shard = functools.partial(global_map.compute_shard, partition, compute)
    if any(bdim is not None for bdim in bdims):
        shard, out_specs = jax.vmap(shard, bdims), PartitionSpec(over, *out_specs)
        in_specs = [
            spec if bdim is None else PartitionSpec(*spec[:bdim], over, *spec[bdim:])
            for spec, bdim in zip(in_specs, bdims, strict=True)
        ]
    resharded = [jax.sharding.reshard(a, NamedSharding(mesh, spec)) for a, spec in zip(operands, in_specs, strict=True)]
    # No names mean all axes of the mesh, except those that an outer vmap maps over.
    names = explicit_axes(*types) if mesh.auto_axes or mesh.manual_axes else set()
    return jax.shard_map(shard, mesh=mesh, in_specs=(*in_specs,), out_specs=out_specs, axis_names=names)(*resharded)


def _mesh(types: Sequence[Any]) -> AbstractMesh:
    return next(type.sharding.mesh for type in types if not type.sharding.mesh.empty)


def _halo(axis: Axis, halo_operand: str) -> tuple[int, int, Axis]:
    """The rows of ``x`` or ``z`` that a device fetches before and after its block, and the geometry with them."""
    stride, reach = axis.stride, axis.extent - axis.lo
    if halo_operand == "x":  # the rows whose stamps reach the device's block of z
        before, after = max(0, (reach - 1) // stride), max(0, -(-axis.lo // stride))
        lo, hi = axis.lo + before * stride, (after - 1) * stride + reach
    else:  # the rows under the stamps of the device's block of x
        before, after = max(0, axis.lo), max(0, reach - stride)
        lo, hi = axis.lo - before, reach - stride - after
    return before, after, dataclasses.replace(axis, lo=lo, hi=hi)


def _exchange(block: jax.Array, position: int, mesh_axes: tuple[str, ...], before: int, after: int) -> jax.Array:
    """Return the ``block`` with the rows before and after it from the other devices, and zeros past the border."""
    size, count = block.shape[position], lax.axis_size(mesh_axes)

    def fetch(rows: int, following: bool) -> list[jax.Array]:
        """The nearest rows first. ``following`` devices hold the rows after the block."""
        parts = []
        for distance in range(1, min(-(-rows // size), count - 1) + 1):
            sent = min(rows - (distance - 1) * size, size)
            part = lax.slice_in_dim(block, *((0, sent) if following else (size - sent, size)), axis=position)
            pairs = [(device, device + distance) for device in range(count - distance)]
            if following:
                pairs = [(target, source) for source, target in pairs]
            parts.append(lax.ppermute(part, mesh_axes, pairs))
        past_all_devices = rows - (count - 1) * size
        if past_all_devices > 0:
            shape = (*block.shape[:position], past_all_devices, *block.shape[position + 1 :])
            parts.append(lax.full_like(block, 0, shape=shape))
        return parts

    return lax.concatenate([*reversed(fetch(before, False)), block, *fetch(after, True)], position)
