"""The ``out_sharding`` argument: validated before computing, and applied to the result."""

import math
from collections.abc import Iterable, Sequence

import jax
from jax import lax
from jax.core import Tracer
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from .._geometry.arguments import Size
from ..errors import ArgumentError, ArgumentTypeError
from .halo import entries


def check(out_sharding: NamedSharding | PartitionSpec | None, shape: Sequence[Size], *operands: jax.Array) -> None:
    """Validate ``out_sharding`` against the shape of the result and the devices of the operands.

    Raises:
      ArgumentTypeError: it is not a sharding.
      ArgumentError: there is no mesh, the operands are on another mesh, or the mesh does not fit the result.
    """
    if out_sharding is None:
        return
    mesh, spec = _mesh_and_spec(out_sharding)

    def misfit(problem: str, legal: str) -> ArgumentError:
        return ArgumentError(
            "out_sharding does not fit the result",
            got=f"{spec} for a result of shape {(*shape,)}: {problem}",
            legal=legal,
            fix="shard another axis of the result, or leave out_sharding out",
        )

    if len(spec) > len(shape):
        raise misfit(f"{len(spec)} entries for {len(shape)} axes", f"at most {len(shape)} entries")
    sharded = entries(spec, len(shape))
    axes = [axis for entry in sharded for axis in entry]
    if not {*axes} <= {*mesh.axis_names}:
        missing = " and ".join(repr(axis) for axis in axes if axis not in mesh.axis_names)
        raise misfit(f"the mesh has no axis {missing}", f"axes of {mesh.axis_names}")
    if len({*axes}) < len(axes):
        raise misfit("it names a mesh axis twice", "each mesh axis at most once")
    manual = {*jax.sharding.get_abstract_mesh().manual_axes} & {*axes}
    if manual:
        raise ArgumentError(
            "out_sharding names a mesh axis that shard_map already maps over",
            got=f"{spec} inside jax.shard_map over {', '.join(map(repr, sorted(manual)))}",
            legal="mesh axes that are not in the axis_names of shard_map",
            fix="leave out_sharding out, and shard the result with the out_specs of shard_map",
        )
    for number, (size, entry) in enumerate(zip(shape, sharded, strict=True)):
        count = math.prod(mesh.shape[axis] for axis in entry)
        if isinstance(size, int) and size % count:
            others = [str(axis) for axis, other in enumerate(shape) if isinstance(other, int) and other % count == 0]
            legal = f"over {count} devices, axis {' or '.join(others)}" if others else f"no axis over {count} devices"
            raise misfit(f"axis {number} of size {size} over {count} devices", legal)
    for operand in operands:
        _check_mesh(mesh, operand)


def apply(y: jax.Array, out_sharding: NamedSharding | PartitionSpec | None) -> jax.Array:
    """Apply ``out_sharding``, which ``check`` has accepted, to ``y``; do nothing for ``None``."""
    if out_sharding is None:
        return y
    mesh, spec = _mesh_and_spec(out_sharding)
    y_mesh = jax.typeof(y).sharding.mesh
    if AxisType.Explicit in mesh.axis_types:
        return jax.sharding.reshard(y, out_sharding)
    if y_mesh.explicit_axes:
        return jax.sharding.reshard(y, NamedSharding(y_mesh, spec))
    return lax.with_sharding_constraint(y, out_sharding)


def check_unsharded(a: jax.Array, axes: Iterable[int], axis_kind: str) -> None:
    """Raise an ArgumentError if ``a`` is sharded along one of these ``axes`` over explicit mesh axes."""
    spec = jax.typeof(a).sharding.spec
    sharded = entries(spec, a.ndim)
    for number in axes:
        if sharded[number]:
            gathered = PartitionSpec(*(None if at == number else entry or None for at, entry in enumerate(sharded)))
            raise ArgumentError(
                f"{axis_kind} cannot be sharded",
                got=f"an input of shape {a.shape}, sharded as {spec}",
                legal="another axis, such as the first batch axis",
                fix=f"gather axis {number} before the call: jax.sharding.reshard(input, {gathered})",
            )


def _mesh_and_spec(out_sharding: NamedSharding | PartitionSpec) -> tuple[Mesh | AbstractMesh, PartitionSpec]:
    if isinstance(out_sharding, NamedSharding):
        return out_sharding.mesh, out_sharding.spec
    if not isinstance(out_sharding, PartitionSpec):
        raise ArgumentTypeError(
            "out_sharding is not a sharding",
            got=f"out_sharding = {out_sharding!r}",
            legal="a jax.sharding.NamedSharding, or a PartitionSpec for the mesh in context",
            fix="pass jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(...))",
        )
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        raise ArgumentError(
            "out_sharding is a PartitionSpec, and there is no mesh in context",
            got=f"out_sharding = {out_sharding!r}",
            legal="a NamedSharding, which has a mesh, or a PartitionSpec under jax.set_mesh",
            fix="pass jax.sharding.NamedSharding(mesh, spec), or enter jax.set_mesh(mesh)",
        )
    return mesh, out_sharding


def _check_mesh(mesh: Mesh | AbstractMesh, operand: jax.Array) -> None:
    """Raise if ``mesh`` does not have the devices of the operand in the same order, as far as they are known."""
    operand_mesh, context = jax.typeof(operand).sharding.mesh, jax.sharding.get_abstract_mesh()
    fits, place = True, f"a mesh of {dict(operand_mesh.shape or context.shape)}"
    if operand_mesh.explicit_axes:
        explicit = AxisType.Explicit in mesh.axis_types
        fits = mesh.size == operand_mesh.size and (explicit or mesh.shape == operand_mesh.shape)
    elif isinstance(operand, Tracer):
        fits = context.empty or mesh.size == context.size
    if fits and not isinstance(operand, Tracer):
        fits = _has_devices_of(mesh, operand)
        place = f"devices {sorted(device.id for device in operand.sharding.device_set)}"
    if not fits:
        devices = f" over devices {[device.id for device in mesh.devices.flat]}" if isinstance(mesh, Mesh) else ""
        raise ArgumentError(
            "out_sharding and an operand are on different meshes",
            got=f"a mesh of {dict(mesh.shape)}{devices}, and an operand on {place}",
            legal="a sharding over the devices of the operands, in the order of their mesh",
            fix="use one mesh for both shardings, or move the result afterwards with jax.device_put",
        )


def _has_devices_of(mesh: Mesh | AbstractMesh, operand: jax.Array) -> bool:
    """Whether JAX can compute on the devices of ``mesh`` with this operand. It moves arrays that are not committed."""
    devices = operand.sharding.device_set
    if not operand.committed:
        return True
    if not isinstance(mesh, Mesh):
        return mesh.size == len(devices)
    operand_mesh = getattr(operand.sharding, "mesh", None)
    return (
        {*mesh.devices.flat} == devices
        if operand_mesh is None
        else [*mesh.devices.flat] == [*operand_mesh.devices.flat]
    )
