"""Three primitives that are each other's transposes: one trilinear form, read three ways (see ``_geometry.maps``).

    <z, T(x, w)>  =  sum over n, i, t, c, o of   x[n, i, c] * w[t, o, c] * z[n, i * stride + t * dilation - lo, o]

Their rules follow from that sum:

- A derivative in one operand is the map itself, with the tangent in place of that operand.
- The transpose in one operand is the map that returns this operand, from the other operand and the cotangent. So
  derivatives of every order are again these three maps, and save nothing but operands.
- ``vmap`` over one operand folds the batched axis into the axis that this operand and the result share and the other
  operand lacks: the batch for ``x`` and ``z``, the input channels for ``x`` and ``w``, the output channels for ``z``
  and ``w``. ``vmap`` over both operands folds it into the groups, which all three have.
- The method is selected when the program is lowered, for the platform that it is lowered for.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from .._geometry.arguments import Size
from .._geometry.layout import Layout
from .._geometry.maps import Map
from .._geometry.spec import Spec
from .._jax_compat import auto_sharded_devices, is_for_export, jit_is_disabled, match_vma
from .._methods import METHODS, ProblemShape, spmd_implementation
from . import plain
from .halo import GlobalMap, explicit_axes, output_sharding, shard_mapped
from .selection import select, tuning_epoch

REPLACES_CONVOLUTIONS = jax.make_user_context(False)
"""Whether methods replace the convolutions of ``jax.lax`` on CPU (``jconvt.accelerate``), except those of a method."""


def bind(map: Map, a: Array, b: Array, **parameters: Any) -> Array:
    """Apply the primitive of ``map`` to its two operands, or under ``jconvt.plain_jax`` compute it.

    ``parameters`` are ``spec``, ``layout``, the ``dtype`` of the result, ``precision`` and ``method``, which also
    computes the derivatives.
    """
    if plain.is_active():
        return plain.compute(map, *match_vma(a, b), **parameters)
    return _PRIMITIVES[map].bind(*match_vma(a, b), **parameters)


def _output_shape(map: Map, a: Any, b: Any, spec: Spec, layout: Layout) -> tuple[Size, ...]:
    if map is Map.KERNEL_GRADIENT:
        kernel = [axis.kernel for axis in spec.axes]
        return (*kernel, b.shape[layout.channel_axis] // spec.groups, a.shape[layout.channel_axis])
    if map is Map.TRANSPOSE:
        sizes, channels = spec.output_sizes(layout.spatial(a.shape)), b.shape[spec.rank] * spec.groups
    else:
        sizes, channels = spec.input_sizes(layout.spatial(a.shape)), b.shape[spec.rank + 1]
    return layout.shape(a.shape[0], sizes, channels)


def _abstract(map: Map, a: Any, b: Any, *, spec: Spec, layout: Layout, dtype: Any, **_: Any) -> Any:
    shape = _output_shape(map, a, b, spec, layout)
    if explicit_axes(a, b):
        sharding = output_sharding(_global_map(map, a, b, spec, layout, dtype), a, b)
    else:
        sharding = a.sharding.update(spec=jax.sharding.PartitionSpec(*[None] * len(shape)))
    return a.update(shape=shape, dtype=dtype, weak_type=False, sharding=sharding)


def _transpose(map: Map, wanted: str, cotangent: Any, a: Any, b: Any, *, dtype: Any, **parameters: Any) -> Any:
    """The cotangent of the operand ``wanted``."""
    del dtype  # of the cotangent; the operand may have another one
    arrays = dict(zip(map.inputs, (a, b), strict=True)) | {map.output: cotangent}
    target, aval = Map.with_output(wanted), arrays[wanted].aval
    if aval.dtype == jax.dtypes.float0:  # integers have no cotangent
        return ad.Zero(aval)
    result = bind(target, *(arrays[name] for name in target.inputs), dtype=aval.dtype, **parameters)
    if aval.sharding.mesh.explicit_axes and jax.typeof(result).sharding != aval.sharding:
        return jax.sharding.reshard(result, aval.sharding)
    return result


def _batch(map: Map, operands: Any, bdims: Any, *, spec: Spec, layout: Layout, **parameters: Any) -> Any:
    count = next(a.shape[axis] for a, axis in zip(operands, bdims, strict=True) if axis is not None)
    if isinstance(count, int) and count == 0:
        a, b = (_unbatched(a, axis) for a, axis in zip(operands, bdims, strict=True))
        return jnp.zeros((0, *_output_shape(map, a, b, spec, layout)), parameters["dtype"]), 0
    if explicit_axes(*(jax.typeof(operand) for operand in operands)):  # only this rule sees the batched axis
        return _explicitly_sharded(map, operands, bdims, spec=spec, layout=layout, **parameters), 0
    if None not in bdims:
        fold_into, folded_spec = "groups", dataclasses.replace(spec, groups=spec.groups * count)
    else:
        shared = {*map.inputs, map.output} - {map.inputs[bdims.index(None)]}
        fold_into, folded_spec = _SHARED[frozenset(shared)], spec
    folded = [
        a if axis is None else _fold(a, axis, *_fold_axis(name, fold_into, spec, layout))
        for name, a, axis in zip(map.inputs, operands, bdims, strict=True)
    ]
    result = bind(map, *folded, spec=folded_spec, layout=layout, **parameters)
    return _unfold(result, count, *_fold_axis(map.output, fold_into, spec, layout)), 0


_SHARED = {
    frozenset("xz"): "batch",
    frozenset("xw"): "input channels",
    frozenset("zw"): "output channels",
}
"""The axis that these two arrays have and the third lacks."""


def _unbatched(a: Array, axis: int | None) -> jax.ShapeDtypeStruct:
    shape = a.shape if axis is None else (*a.shape[:axis], *a.shape[axis + 1 :])
    return jax.ShapeDtypeStruct(shape, a.dtype)


def _fold_axis(name: str, fold_into: str, spec: Spec, layout: Layout) -> tuple[int, int]:
    """The axis of ``x``, ``w`` or ``z`` that a batched axis is folded into, and the number of groups outside of it.

    Channels are (groups, channels of a group), except that ``w`` has the output channels of one group only.
    """
    if fold_into == "batch":
        return 0, 1
    if name == "w" and fold_into == "output channels":
        return spec.rank, 1
    axis = spec.rank + 1 if name == "w" else layout.channel_axis
    return axis, 1 if fold_into == "groups" else spec.groups


def _fold(a: Array, bdim: int, axis: int, outer: int) -> Array:
    """Fold the axis ``bdim`` into ``axis`` of the other axes, inside the first ``outer`` parts of it."""
    count = a.shape[bdim]
    a = jnp.moveaxis(a, bdim, axis)
    size = a.shape[axis + 1]
    a = a.reshape(*a.shape[: axis + 1], outer, size // outer, *a.shape[axis + 2 :])
    return jnp.moveaxis(a, axis, axis + 1).reshape(*a.shape[:axis], count * size, *a.shape[axis + 3 :])


def _unfold(a: Array, count: Size, axis: int, outer: int) -> Array:
    """The inverse of ``_fold``, with the batched axis first."""
    size = a.shape[axis] // count
    a = a.reshape(*a.shape[:axis], outer, count, size // outer, *a.shape[axis + 1 :])
    a = jnp.moveaxis(a, axis + 1, 0)
    return a.reshape(*a.shape[: axis + 1], size, *a.shape[axis + 3 :])


def _explicitly_sharded(
    map: Map,
    operands: Sequence[Array],
    bdims: Sequence[int | None],
    *,
    spec: Spec,
    layout: Layout,
    dtype: Any,
    **options: Any,
) -> Array:
    """A map of operands that are sharded over explicit mesh axes: each device computes its shard."""
    a, b = (_unbatched(a, axis) for a, axis in zip(operands, bdims, strict=True))
    compute = functools.partial(bind, map, layout=layout, **options)
    return shard_mapped(_global_map(map, a, b, spec, layout, dtype), operands, bdims, compute)


def _global_map(map: Map, a: Any, b: Any, spec: Spec, layout: Layout, dtype: Any) -> GlobalMap:
    shapes = {map.inputs[0]: a.shape, map.inputs[1]: b.shape, map.output: _output_shape(map, a, b, spec, layout)}
    return GlobalMap(map, shapes, spec, layout, dtype)


def _problem(map: Map, a: Any, b: Any, spec: Spec, layout: Layout) -> ProblemShape:
    channel, spatial = layout.channel_axis, layout.spatial(a.shape)
    if map is Map.KERNEL_GRADIENT:
        channels = a.shape[channel], b.shape[channel]
    else:
        channels = b.shape[spec.rank + 1], b.shape[spec.rank] * spec.groups
    pixels = spec.input_sizes(spatial) if map is Map.FORWARD else spatial
    return ProblemShape.of(spec, layout, a.dtype, a.shape[0], pixels, channels)


def _compute(
    a: Array,
    b: Array,
    *,
    map: Map,
    platform: str | None,
    devices: int | None,
    one_axis: bool,
    for_export: bool,
    spec: Spec,
    layout: Layout,
    dtype: Any,
    precision: Any,
    method: str,
) -> Array:
    """The operations that a map is lowered to for ``platform``.

    With several ``devices``, XLA shards the program, and ``method`` is ignored. A program ``for_export`` has a method
    that runs everywhere.
    """
    shape = _output_shape(map, a, b, spec, layout)
    if any(isinstance(size, int) and size == 0 for size in (*a.shape, *b.shape, *shape)):
        return jnp.zeros(shape, dtype)
    if devices != 1:
        whole_batches = bool(devices) and isinstance(a.shape[0], int) and a.shape[0] % devices == 0
        compute = spmd_implementation(map, spec, a.dtype, platform, one_axis, whole_batches)
        return compute(a, b, spec, layout, dtype, precision)
    problem = _problem(map, a, b, spec, layout)
    if method != "auto" and (error := METHODS[method].unsupported_on(platform, problem.dtype, for_export)):
        if not for_export:
            raise error
        method = "auto"
    if method == "auto":
        method = select(map, problem, platform, for_export).method
    return METHODS[method].implementation(map)(a, b, spec, layout, dtype, precision)


def _lower(map: Map, platform: str | None, context: Any, *operands: Any, **parameters: Any) -> Any:
    compute: Callable[..., Array]
    if explicit_axes(*context.avals_in):
        compute = lambda *operands, **parameters: _explicitly_sharded(map, operands, (None, None), **parameters)  # noqa: E731
    else:
        devices, one_axis = auto_sharded_devices(context)
        compute = functools.partial(
            _compute,
            map=map,
            platform=platform,
            devices=devices,
            one_axis=one_axis,
            for_export=is_for_export(context),
        )
    with REPLACES_CONVOLUTIONS(False):
        return mlir.lower_fun(compute, multiple_results=False)(context, *operands, **parameters)


def _primitive(map: Map) -> Primitive:
    primitive = Primitive(f"jconvt_{map}")

    @functools.lru_cache(4096)
    def compiled(epoch: int, **parameters: Any) -> Callable[..., Array]:
        del epoch  # a new measurement may change the method
        return jax.jit(functools.partial(primitive.bind, **parameters))

    @primitive.def_impl
    def evaluate(a: Array, b: Array, **parameters: Any) -> Array:
        function = compiled(tuning_epoch(), **parameters)
        if not jit_is_disabled():
            return function(a, b)
        with jax.disable_jit(False):  # the platform is known only when a program is lowered
            return function(a, b)

    primitive.def_abstract_eval(functools.partial(_abstract, map))
    ad.defbilinear(primitive, *(functools.partial(_transpose, map, wanted) for wanted in map.inputs))
    batching.primitive_batchers[primitive] = functools.partial(_batch, map)
    for platform in (None, "cpu", "cuda", "rocm", "tpu"):
        mlir.register_lowering(primitive, functools.partial(_lower, map, platform), platform=platform)
    return primitive


_PRIMITIVES = {map: _primitive(map) for map in Map}
