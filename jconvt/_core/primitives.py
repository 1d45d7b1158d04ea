"""Three primitives that are each other's transposes: one trilinear form, read three ways.

    <z, T(x, w)>  =  sum over n, i, t, c, o of   x[n, i, c] * w[t, o, c] * z[n, i * stride + t * dilation - lo, o]

    T(x, w) -> z   transposed convolution
    F(z, w) -> x   forward convolution
    G(x, z) -> w   kernel gradient

Each takes two of ``x``, ``w`` and ``z``, and gives the third. That is all there is to know for their rules:

- a derivative in one operand is the map itself, with the tangent in that operand's place;
- the transpose in one operand is the map that gives this operand, from the other one and the cotangent. So derivatives
  of every order stay among the three, and keep nothing but operands;
- ``vmap`` over one operand moves the mapped axis into the axis that this operand and the result share and the other
  operand has not: the batch for ``x`` and ``z``, the input channels for ``x`` and ``w``, the output channels for ``z``
  and ``w``; over both operands, it moves into the groups, which all three have;
- what a map is computed by is decided when the program is lowered, for the platform that it is lowered for.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from .._geometry.arguments import Size
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from .._methods import computing, computing_split
from .._methods._batch_chunking import in_turns
from .._methods._vma import vary_alike
from .cost_model import OPERANDS, Map, Sizes, images
from .halo import Whole, explicit, explicit_axes, type_of
from .selection import decide, generation

_OPERANDS = {given: taken for taken, given in OPERANDS.values()}
"""What each map takes, by what it gives."""

_NAMES: dict[str, Map] = {given: name for name, (_, given) in OPERANDS.items()}


def transposed_convolution(
    x: jax.Array, w: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any, method: str = "auto"
) -> jax.Array:
    """T, by ``method`` or by what ``choice.decide`` picks; so are its derivatives."""
    return _bind("z", x, w, spec=spec, layout=layout, dtype=dtype, precision=precision, method=method)


def _bind(given: str, *operands: jax.Array, **parameters: Any) -> jax.Array:
    return _PRIMITIVES[given].bind(*vary_alike(*operands), **parameters)


def _split(
    given: str,
    operands: Sequence[jax.Array],
    mapped: Sequence[int | None],
    *,
    spec: Spec,
    layout: Layout,
    dtype: Any,
    **options: Any,
) -> jax.Array:
    """A map of operands that are split over explicit axes of a mesh, computed by each device for its share."""
    a, b = (_without(a, axis) for a, axis in zip(operands, mapped, strict=True))
    compute = functools.partial(_bind, given, layout=layout, **options)
    return explicit(_whole(given, a, b, spec, layout, dtype), operands, mapped, compute)


def _whole(given: str, a: Any, b: Any, spec: Spec, layout: Layout, dtype: Any) -> Whole:
    taken = _OPERANDS[given]
    shapes = {taken[0]: a.shape, taken[1]: b.shape, given: _shape(given, a, b, spec, layout)}
    return Whole(taken, given, shapes, spec, layout, dtype)


def _shape(given: str, a: Any, b: Any, spec: Spec, layout: Layout) -> tuple[Size, ...]:
    """The shape of what a map gives."""
    if given == "w":
        kernel = [axis.kernel for axis in spec.axes]
        return (*kernel, b.shape[layout.channel_axis] // spec.groups, a.shape[layout.channel_axis])
    if given == "z":
        sizes, channels = spec.output_sizes(layout.spatial(a.shape)), b.shape[spec.rank] * spec.groups
    else:
        sizes, channels = spec.input_sizes(layout.spatial(a.shape)), b.shape[spec.rank + 1]
    return layout.shape(a.shape[0], sizes, channels)


def _abstract(given: str, a: Any, b: Any, *, spec: Spec, layout: Layout, dtype: Any, **_: Any) -> Any:
    shape = _shape(given, a, b, spec, layout)
    if explicit_axes(a, b):
        sharding = type_of(_whole(given, a, b, spec, layout, dtype), a, b)
    else:
        sharding = a.sharding.update(spec=jax.sharding.PartitionSpec(*[None] * len(shape)))
    return a.update(shape=shape, dtype=dtype, weak_type=False, sharding=sharding)


def _transposed(given: str, wanted: str, cotangent: Any, a: Any, b: Any, *, dtype: Any, **parameters: Any) -> Any:
    """The cotangent of the operand ``wanted`` of the map that gives ``given``."""
    del dtype  # the cotangent's; what is wanted has its own
    known = dict(zip(_OPERANDS[given], (a, b), strict=True)) | {given: cotangent}
    operands, own = [known[name] for name in _OPERANDS[wanted]], known[wanted].aval
    result = _bind(wanted, *operands, dtype=own.dtype, **parameters)
    if own.sharding.mesh.explicit_axes and jax.typeof(result).sharding != own.sharding:
        return jax.sharding.reshard(result, own.sharding)
    return result


def _batched(given: str, operands: Any, mapped: Any, *, spec: Spec, layout: Layout, **parameters: Any) -> Any:
    names = _OPERANDS[given]
    count = next(a.shape[axis] for a, axis in zip(operands, mapped, strict=True) if axis is not None)
    if isinstance(count, int) and count == 0:
        a, b = (_without(a, axis) for a, axis in zip(operands, mapped, strict=True))
        return jnp.zeros((0, *_shape(given, a, b, spec, layout)), parameters["dtype"]), 0
    if explicit_axes(*map(jax.typeof, operands)):  # a mapped axis is seen here alone: to the call itself it is no axis
        return _split(given, operands, mapped, spec=spec, layout=layout, **parameters), 0
    if None not in mapped:
        into, folded_spec = "groups", dataclasses.replace(spec, groups=spec.groups * count)
    else:
        into = _SHARED[frozenset(names + given) - {names[mapped.index(None)]}]
        folded_spec = spec
    folded = [
        a if axis is None else _fold(a, axis, *_place(name, into, spec, layout))
        for name, a, axis in zip(names, operands, mapped, strict=True)
    ]
    result = _bind(given, *folded, spec=folded_spec, layout=layout, **parameters)
    return _unfold(result, count, *_place(given, into, spec, layout)), 0


_SHARED = {
    frozenset("xz"): "batch",
    frozenset("xw"): "input channels",
    frozenset("zw"): "output channels",
}
"""The axis that two of the three have, and the third has not."""


def _without(a: jax.Array, axis: int | None) -> jax.ShapeDtypeStruct:
    """What ``a`` is without its mapped axis."""
    shape = a.shape if axis is None else (*a.shape[:axis], *a.shape[axis + 1 :])
    return jax.ShapeDtypeStruct(shape, a.dtype)


def _place(name: str, into: str, spec: Spec, layout: Layout) -> tuple[int, int]:
    """The axis of ``x``, ``w`` or ``z`` that a mapped axis is folded into, and how many parts of it go before.

    Channels are (groups, channels of a group), but for the output channels of ``w``, which are those of a group.
    """
    if into == "batch":
        return 0, 1
    if name == "w" and into == "output channels":
        return spec.rank, 1
    axis = spec.rank + 1 if name == "w" else layout.channel_axis
    return axis, 1 if into == "groups" else spec.groups


def _fold(a: jax.Array, mapped: int, axis: int, before: int) -> jax.Array:
    """``a`` with the axis ``mapped`` folded into ``axis`` of the others."""
    count = a.shape[mapped]
    a = jnp.moveaxis(a, mapped, axis)
    size = a.shape[axis + 1]
    a = a.reshape(*a.shape[: axis + 1], before, size // before, *a.shape[axis + 2 :])
    return jnp.moveaxis(a, axis, axis + 1).reshape(*a.shape[:axis], count * size, *a.shape[axis + 3 :])


def _unfold(a: jax.Array, count: Size, axis: int, before: int) -> jax.Array:
    """The inverse of ``_fold``, with the mapped axis first."""
    size = a.shape[axis] // count
    a = a.reshape(*a.shape[:axis], before, count, size // before, *a.shape[axis + 1 :])
    a = jnp.moveaxis(a, axis + 1, 0)
    return a.reshape(*a.shape[: axis + 1], size, *a.shape[axis + 3 :])


def _computed(
    a: jax.Array,
    b: jax.Array,
    *,
    given: str,
    platform: str | None,
    spec: Spec,
    layout: Layout,
    dtype: Any,
    precision: Any,
    method: str,
    devices: int | None,
    one_axis: bool,
) -> jax.Array:
    """What a map gives, as the operations that it is lowered to for ``platform``.

    Where there are several ``devices``, XLA splits what is computed over them. Images are not computed in turns there,
    as a turn would be gathered from all of them.
    """
    shape = _shape(given, a, b, spec, layout)
    if any(isinstance(size, int) and size == 0 for size in (*a.shape, *b.shape, *shape)):
        return jnp.zeros(shape, dtype)
    name, sizes = _NAMES[given], _sizes(given, a, b, spec, layout)
    if devices != 1:
        whole_batches = bool(devices) and isinstance(a.shape[0], int) and a.shape[0] % devices == 0
        compute = computing_split(name, spec, platform, one_axis, whole_batches)
        return compute(a, b, spec, layout, dtype, precision)
    if method == "auto":
        method = decide(name, sizes, platform).method
    turn = images(name, method, sizes, platform) if isinstance(a.shape[0], int) else a.shape[0]
    return in_turns(computing(name, method), turn, shape, given == "w", a, b, spec, layout, dtype, precision)


def _sizes(given: str, a: Any, b: Any, spec: Spec, layout: Layout) -> Sizes:
    """The sizes behind a map's two operands."""
    channel, spatial = layout.channel_axis, layout.spatial(a.shape)
    if given == "w":
        channels = a.shape[channel], b.shape[channel]
    else:
        channels = b.shape[spec.rank + 1], b.shape[spec.rank] * spec.groups
    pixels = spec.input_sizes(spatial) if given == "x" else spatial
    return Sizes.of(spec, layout, a.dtype, a.shape[0], pixels, channels)


def _lowered(given: str, platform: str | None, context: Any, *operands: Any, **parameters: Any) -> Any:
    compute: Callable[..., jax.Array]
    if explicit_axes(*context.avals_in):
        compute = lambda *operands, **parameters: _split(given, operands, (None, None), **parameters)  # noqa: E731
    else:
        devices, one_axis = _split_over(context)
        compute = functools.partial(_computed, given=given, platform=platform, devices=devices, one_axis=one_axis)
    return mlir.lower_fun(compute, multiple_results=False)(context, *operands, **parameters)


def _split_over(context: Any) -> tuple[int | None, bool]:
    """How many devices XLA is to split a program over, if it is known, and whether along one axis of a mesh."""
    devices = context.module_context.axis_context
    if isinstance(devices, mlir.SPMDAxisContext):  # inside of shard_map: each device by itself, along manual axes
        return math.prod(size for name, size in devices.mesh.shape.items() if name not in devices.manual_axes), False
    mesh = context.avals_in[0].sharding.mesh
    return getattr(devices, "num_devices", None), not mesh.empty and mesh.size == max(mesh.axis_sizes)


def _primitive(given: str) -> Primitive:
    primitive = Primitive(f"jconvt_{_NAMES[given]}")

    @functools.partial(jax.jit, static_argnames=("since", "spec", "layout", "dtype", "precision", "method"))
    def compiled(a: jax.Array, b: jax.Array, since: int, **parameters: Any) -> jax.Array:
        del since  # what was measured since has to be lowered anew
        return primitive.bind(a, b, **parameters)

    @primitive.def_impl
    def evaluate(a: jax.Array, b: jax.Array, **parameters: Any) -> jax.Array:
        with jax.disable_jit(False):  # only a program that is lowered knows its platform
            return compiled(a, b, since=generation(), **parameters)

    primitive.def_abstract_eval(functools.partial(_abstract, given))
    ad.defbilinear(primitive, *(functools.partial(_transposed, given, wanted) for wanted in _OPERANDS[given]))
    batching.primitive_batchers[primitive] = functools.partial(_batched, given)
    for platform in (None, "cpu", "cuda", "rocm", "tpu"):
        mlir.register_lowering(primitive, functools.partial(_lowered, given, platform), platform=platform)
    return primitive


_PRIMITIVES = {given: _primitive(given) for given in _OPERANDS}
