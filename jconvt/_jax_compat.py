"""JAX names that are not part of JAX's public API, or that have changed between releases, in one place."""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax.interpreters import mlir

_CONVOLUTION_PARAMETERS = {
    "batch_group_count", "dimension_numbers", "feature_group_count", "lhs_dilation", "out_sharding", "padding",
    "precision", "preferred_element_type", "rhs_dilation", "window_strides",
}  # fmt: skip


def lower_convolutions(rule: Callable[..., Any]) -> Callable[..., Any]:
    """Have ``rule`` lower the convolutions of ``jax.lax`` for CPU, and return JAX's own rule for them.

    Raises:
      NotImplementedError: this version of JAX has another primitive.
    """
    try:
        from jax._src.effects import no_effects
        from jax._src.interpreters import mlir as internal

        of_platform, default = internal._platform_specific_lowerings, internal._lowerings
        image = jax.ShapeDtypeStruct((1, 1, 1), "float32")
        program = jax.make_jaxpr(lambda x: lax.conv_general_dilated(x, x, (1,), "VALID"))(image)
        (equation,) = program.eqns
        primitive, found = equation.primitive, set(equation.params)
        own, lower = default[primitive].rule, internal.lower_per_platform
    except (ImportError, AttributeError, KeyError, ValueError) as error:
        found, cause = {"none that jconvt knows"}, error
    else:
        cause = None
        if found == _CONVOLUTION_PARAMETERS:
            rules = {name: each[primitive].rule for name, each in of_platform.items() if primitive in each}
            own_cpu, rules["cpu"] = rules.get("cpu", own), rule

            def by_platform(context: Any, *operands: Any, **parameters: Any) -> Any:
                context = context.replace(
                    avals_out=[*context.avals_out]
                )  # JAX prepends effects to it, for several platforms
                ordered = {name: rules[name] for name in context.module_context.platforms if name in rules}
                return lower(context, str(primitive), ordered, own, no_effects, *operands, **parameters)

            for each in of_platform.values():
                each.pop(primitive, None)
            # Not cacheable: for a cached rule, JAX does not know where in the program the convolution is.
            mlir.register_lowering(primitive, by_platform, cacheable=False)
            return own_cpu
    raise NotImplementedError(
        f"jconvt does not know the convolutions of JAX {jax.__version__}: parameters {sorted(found)}. "
        f"It knows {sorted(_CONVOLUTION_PARAMETERS)}"
    ) from cause


def set_in_all_threads(context: Any, value: Any) -> None:
    """Set the value of a ``jax.make_user_context`` where no ``with`` block sets it."""
    config = context if hasattr(context, "set_global") else context._obj  # in JAX 0.10.0
    config.set_global(value)


def match_vma(*operands: jax.Array) -> list[jax.Array]:
    """Return the operands with the same varying manual axes, those of any of them.

    Inside ``jax.shard_map``, transposing the cast inserts the sum that the gradient of a replicated operand needs.
    """
    axes = [jax.typeof(operand).manual_axis_type.varying for operand in operands]
    missing = [tuple(frozenset.union(*axes) - varying) for varying in axes]
    return [
        lax.pcast(operand, names, to="varying") if names else operand
        for operand, names in zip(operands, missing, strict=True)
    ]


def abstract_like(a: jax.Array, shape: tuple[Any, ...], dtype: Any) -> jax.ShapeDtypeStruct:
    """Return an abstract array for ``jax.linear_transpose`` that varies over the same manual axes as ``a``.

    If it were replicated instead, JAX would sum its cotangent over the devices.
    """
    varying = jax.typeof(a).manual_axis_type
    if varying.empty:
        return jax.ShapeDtypeStruct(shape, dtype)
    replicated = jax.sharding.PartitionSpec(*[None] * len(shape))
    sharding = jax.typeof(a).sharding.update(spec=replicated)
    return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding, manual_axis_type=varying)


def default_matmul_precision() -> str | None:
    """Return the value of ``jax.default_matmul_precision``, or ``None`` if JAX applies it itself."""
    name = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    try:
        return None if name is None else lax.Precision(name).name.lower()
    except ValueError:  # the name of an algorithm
        return None


def jit_is_disabled() -> bool:
    """Return whether ``jax.disable_jit`` is active."""
    return jax.config.jax_disable_jit  # pyright: ignore[reportAttributeAccessIssue]


def is_for_export(context: Any) -> bool:
    """Return whether ``jax.export`` lowers the program. ``context`` is a lowering rule's context."""
    return context.module_context.lowering_parameters.for_export


def auto_sharded_devices(context: Any) -> tuple[int | None, bool]:
    """Return how many devices XLA shards a program over, and whether the mesh is known to have one axis.

    ``context`` is a lowering rule's context. The number is ``None`` if JAX does not know it.
    """
    devices = context.module_context.axis_context
    if isinstance(devices, mlir.SPMDAxisContext):  # inside jax.shard_map, manual axes are sharded already
        return math.prod(size for name, size in devices.mesh.shape.items() if name not in devices.manual_axes), False
    mesh = context.avals_in[0].sharding.mesh
    return getattr(devices, "num_devices", None), not mesh.empty and mesh.size == max(mesh.axis_sizes)
