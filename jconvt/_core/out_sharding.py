"""Where a result lies: ``out_sharding``, checked against the result and the operands, and done."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import jax
from jax import lax
from jax.core import Tracer
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from .._geometry.arguments import Size
from ..errors import ArgumentError, ArgumentTypeError
from .halo import entries


def check(out_sharding: Any, shape: Sequence[Size], *operands: jax.Array) -> None:
    """Refuses what a result of this ``shape`` cannot be laid out as, or not from these ``operands``.

    Raises:
      ArgumentTypeError: it is no sharding.
      ArgumentError: there is no mesh, it is not that of the operands, or its axes do not fit the result.
    """
    if out_sharding is None:
        return
    mesh, spec = _mesh(out_sharding), _spec(out_sharding)
    if len(spec) > len(shape):
        raise _misfit(
            out_sharding, shape, f"{len(spec)} entries for {len(shape)} axes", f"at most {len(shape)} entries"
        )
    each = entries(spec, len(shape))
    axes = [axis for entry in each for axis in entry]
    if not {*axes} <= {*mesh.axis_names}:
        missing = " and ".join(repr(axis) for axis in axes if axis not in mesh.axis_names)
        raise _misfit(out_sharding, shape, f"the mesh has no axis {missing}", f"axes of {mesh.axis_names}")
    if len({*axes}) < len(axes):
        raise _misfit(out_sharding, shape, "an axis of the mesh stands twice", "each axis of the mesh at most once")
    manual = {*jax.sharding.get_abstract_mesh().manual_axes} & {*axes}
    if manual:
        raise ArgumentError(
            "out_sharding names an axis that shard_map splits already",
            got=f"{spec} inside of jax.shard_map over {', '.join(map(repr, sorted(manual)))}",
            legal="axes that shard_map leaves, which its axis_names says",
            fix="leave out_sharding out, and say in the out_specs of shard_map how the result is split",
        )
    for number, (size, entry) in enumerate(zip(shape, each, strict=True)):
        count = math.prod(mesh.shape[axis] for axis in entry)
        if isinstance(size, int) and size % count:
            others = [str(axis) for axis, other in enumerate(shape) if isinstance(other, int) and other % count == 0]
            raise _misfit(
                out_sharding,
                shape,
                f"axis {number} of size {size} over {count} devices",
                f"over {count} devices, axis {' or '.join(others)}" if others else f"no axis over {count} devices",
            )
    _check_meshes(out_sharding, mesh, operands)


def sharded(y: jax.Array, out_sharding: Any) -> jax.Array:
    """``y`` laid out as asked, on a mesh whose axes are explicit or automatic; ``None`` asks for nothing.

    Raises:
      ArgumentError, ArgumentTypeError: as ``check`` raises them.
    """
    if out_sharding is None:
        return y
    check(out_sharding, y.shape, y)
    own = jax.typeof(y).sharding.mesh
    if AxisType.Explicit in _mesh(out_sharding).axis_types:
        return jax.sharding.reshard(y, out_sharding)
    if own.explicit_axes:
        return jax.sharding.reshard(y, NamedSharding(own, _spec(out_sharding)))
    return lax.with_sharding_constraint(y, out_sharding)


def _mesh(out_sharding: Any) -> Any:
    """The mesh that ``out_sharding`` is for, once it is seen to be a sharding and to have one."""
    if isinstance(out_sharding, NamedSharding):
        return out_sharding.mesh
    if not isinstance(out_sharding, PartitionSpec):
        raise ArgumentTypeError(
            "out_sharding is no sharding",
            got=f"out_sharding = {out_sharding!r}",
            legal="a jax.sharding.NamedSharding, or a PartitionSpec of the mesh in context",
            fix="pass jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(...))",
        )
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        raise ArgumentError(
            "out_sharding names axes of a mesh, and there is none",
            got=f"out_sharding = {out_sharding!r}, and no mesh in context",
            legal="a NamedSharding, which has its mesh, or a PartitionSpec under jax.set_mesh",
            fix="pass jax.sharding.NamedSharding(mesh, spec), or enter jax.set_mesh(mesh)",
        )
    return mesh


def _spec(out_sharding: Any) -> PartitionSpec:
    return out_sharding.spec if isinstance(out_sharding, NamedSharding) else out_sharding


def _misfit(out_sharding: Any, shape: Sequence[Size], wrong: str, legal: str) -> ArgumentError:
    return ArgumentError(
        "out_sharding does not fit the result",
        got=f"{_spec(out_sharding)} for a result of shape {(*shape,)}: {wrong}",
        legal=legal,
        fix="shard another axis of the result, or leave out_sharding out",
    )


def _check_meshes(out_sharding: Any, mesh: Any, operands: Sequence[jax.Array]) -> None:
    """Refuses a mesh that is not of the devices that the operands are on, in their order."""
    for operand in operands:
        own, context = jax.typeof(operand).sharding.mesh, jax.sharding.get_abstract_mesh()
        fits, there = True, f"a mesh of {dict(own.shape or context.shape)}"
        if own.explicit_axes:
            fits = mesh.size == own.size and (AxisType.Explicit in mesh.axis_types or mesh.shape == own.shape)
        elif isinstance(operand, Tracer):
            fits = context.empty or mesh.size == context.size
        if fits and not isinstance(operand, Tracer):
            fits, there = _on_devices_of(mesh, operand), f"devices {sorted(d.id for d in operand.sharding.device_set)}"
        if not fits:
            over = f" over devices {[device.id for device in mesh.devices.flat]}" if isinstance(mesh, Mesh) else ""
            raise ArgumentError(
                "out_sharding is for another mesh than the operands are on",
                got=f"a mesh of {dict(mesh.shape)}{over}, and an operand on {there}",
                legal="a sharding over the devices of the operands, in the order of their mesh",
                fix="make both shardings with one mesh, or move the result afterwards with jax.device_put",
            )


def _on_devices_of(mesh: Any, operand: jax.Array) -> bool:
    """Whether JAX computes with an operand on the devices of ``mesh``. It moves an array that nobody has placed."""
    devices = operand.sharding.device_set
    if not operand.committed:
        return True
    if not isinstance(mesh, Mesh):
        return mesh.size == len(devices)
    own = getattr(operand.sharding, "mesh", None)
    return {*mesh.devices.flat} == devices if own is None else [*mesh.devices.flat] == [*own.devices.flat]


def check_whole(a: jax.Array, axes: Iterable[int], what: str) -> None:
    """Refuses an array that is split over explicit axes of a mesh along one of these, where ``what`` has to be whole.

    Raises:
      ArgumentError: it is.
    """
    spec = jax.typeof(a).sharding.spec
    each = entries(spec, a.ndim)
    for number in axes:
        if each[number]:
            kept = PartitionSpec(*(None if at == number else entry or None for at, entry in enumerate(each)))
            raise ArgumentError(
                f"{what} cannot be split",
                got=f"an input of shape {a.shape}, split as {spec}",
                legal="another axis, such as the first one of the batch",
                fix=f"gather axis {number} before the call: jax.sharding.reshard(input, {kept})",
            )
