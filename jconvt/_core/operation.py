"""The operation on arrays: operands and options checked, the method chosen, the result computed.

Everything here is the same for every convention; what a convention says has become a ``Spec`` and a ``Layout``.
"""

import functools
import math
import os
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import Tracer

from .._geometry.arguments import LARGEST
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from .._methods import METHODS, REFUSALS, vjp
from ..errors import ArgumentError, ArgumentTypeError
from . import out_sharding as placement
from . import primitives
from .selection import generation

_KINDS = (jnp.signedinteger, jnp.unsignedinteger, jnp.floating, jnp.complexfloating)


def operands(**arrays: Any) -> list[jax.Array]:
    """The named arguments as arrays of one numeric dtype.

    Dtypes that differ are promoted as ``jax.numpy`` promotes them, which under
    ``jax.numpy_dtype_promotion("strict")`` is an error.
    """
    found = [_array(value, name) for name, value in arrays.items()]
    dtypes = [array.dtype for array in found]
    if len(set(dtypes)) == 1 and _kind(dtypes[0]) is not None:
        return found
    *names, last = arrays
    given = ", ".join(f"{name} {dtype}" for name, dtype in zip(arrays, dtypes, strict=True))
    if any(_kind(dtype) is None for dtype in dtypes):
        raise ArgumentTypeError(
            "booleans and keys have no products to sum",
            got=given,
            legal="integer, floating or complex dtypes",
            fix="convert with .astype(jnp.float32)",
        )
    try:
        dtype = jnp.result_type(*found)
    except ValueError as error:
        raise ArgumentTypeError(
            f"the dtypes of {', '.join(names)} and {last} differ, and JAX does not promote them",
            got=given,
            legal="one dtype, or two that JAX promotes: none under jax_numpy_dtype_promotion='strict'",
            fix="convert one with .astype",
        ) from error
    return [array.astype(dtype) for array in found]


def transposed_convolution(
    x: jax.Array,
    w: jax.Array,
    spec: Spec,
    layout: Layout,
    *,
    name: str,
    method: str = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> jax.Array:
    """``x``, ``(batch, spatial..., c)`` in ``layout``, convolved transposed with ``w``, ``(k..., o / groups, c)``."""
    if not isinstance(method, str) or method not in ("auto", *METHODS):
        raise ArgumentError(
            "unknown method",
            got=f"method = {method!r}",
            legal=", ".join(map(repr, ("auto", *METHODS))),
            fix="leave it out for 'auto'",
        )
    if not isinstance(name, str):
        raise ArgumentTypeError(
            "name must be a string",
            got=f"name = {name!r}",
            legal="a name for the operation in profiles and compiled programs",
            fix="leave it out for the function's own name",
        )
    dtype = _result_dtype(x.dtype, preferred_element_type)
    precision = _precision(_default_precision() if precision is None else precision)
    sizes = spec.output_sizes(layout.spatial(x.shape))
    shape = layout.shape(x.shape[0], sizes, w.shape[spec.rank] * spec.groups)
    _check_size(shape, dtype, x, w, spec, layout)
    placement.check(out_sharding, shape, x, w)
    with jax.named_scope(name):
        if any(isinstance(size, int) and size == 0 for size in (*shape, *x.shape)):
            # No pixel, no channel or no output: nothing to sum. The empty sum is where x is, and zero.
            y = jnp.broadcast_to(jnp.sum(x, dtype=dtype), shape)
        elif method == "reference":
            y = jax.device_put(METHODS[method](x, w, spec, layout, dtype, precision), next(iter(x.devices())))
        else:
            _check_served(method, spec, dtype)
            y = _compute(x, w, spec, layout, dtype, precision, method, generation() if method == "auto" else 0)
        return placement.sharded(y, out_sharding)


@functools.partial(jax.jit, static_argnums=(2, 3, 4, 5, 6, 7))
def _compute(x, w, spec: Spec, layout: Layout, dtype: Any, precision: Any, method: str, since: int) -> jax.Array:
    del since  # what was measured since has to be lowered anew
    return primitives.transposed_convolution(x, w, spec, layout, dtype, precision, method)


def _check_served(method: str, spec: Spec, dtype: Any) -> None:
    """Refuses what a method does not serve; ``auto`` serves everything."""
    if method == "vjp":
        vjp.check_dtype(dtype)
    error = REFUSALS[method](spec) if method in REFUSALS else None
    if error is not None:
        raise error


def _array(value: Any, name: str) -> jax.Array:
    try:
        return jnp.asarray(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ArgumentTypeError(
            f"{name} is not an array of numbers",
            got=f"{name} of type {type(value).__name__}",
            legal="a JAX or NumPy array, or nested lists of numbers of equal lengths",
            fix=f"convert {name} with jax.numpy.asarray",
        ) from error


def _kind(dtype: Any) -> Any:
    return next((kind for kind in _KINDS if jnp.issubdtype(dtype, kind)), None)


def _result_dtype(dtype: Any, preferred: Any) -> Any:
    """The dtype of sums and result: what ``jax.lax`` allows for ``preferred_element_type``."""
    if preferred is None:
        return dtype
    try:
        wanted = jax.dtypes.canonicalize_dtype(preferred)
    except (TypeError, ValueError):
        wanted = None
    # Integers may become wider ones of their sign, or of either sign from none, or floating.
    kinds = {
        jnp.signedinteger: (jnp.signedinteger, jnp.floating),
        jnp.unsignedinteger: (jnp.unsignedinteger, jnp.signedinteger, jnp.floating),
    }.get(_kind(dtype), (_kind(dtype),))
    if wanted is None or _kind(wanted) not in kinds or wanted.itemsize < dtype.itemsize:
        raise ArgumentTypeError(
            "preferred_element_type does not fit the operands",
            got=f"preferred_element_type = {preferred!r} for {dtype}",
            legal=f"a {' or '.join(kind.__name__ for kind in kinds)} dtype at least as wide as {dtype}",
            fix="leave it out, and convert the result with .astype",
        )
    return wanted


def _default_precision() -> str | None:
    """What ``jax.default_matmul_precision`` says here and now: a program may be lowered elsewhere and later."""
    name = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    try:
        return None if name is None else lax.Precision(name).name.lower()
    except ValueError:  # the name of an algorithm, which JAX applies itself
        return None


def _precision(precision: Any) -> Any:
    """``precision`` as ``jax.lax`` takes it: one for both operands, or a pair; hashable."""
    if precision is None or isinstance(precision, lax.DotAlgorithm | lax.DotAlgorithmPreset):
        return precision
    each = tuple(precision) if isinstance(precision, tuple | list) else (precision, precision)
    try:
        if len(each) != 2 or not all(isinstance(one, str | lax.Precision) for one in each):
            raise ValueError
        return tuple(lax.Precision(one) for one in each)
    except ValueError:
        raise ArgumentError(
            "unknown precision",
            got=f"precision = {precision!r}",
            legal="None, 'default', 'high', 'highest', a jax.lax.Precision or DotAlgorithm, or a pair of the first",
            fix="leave it out, or pass 'highest' for full float32 on TPU and GPU",
        ) from None


def _check_size(shape: tuple[Any, ...], dtype: Any, x: jax.Array, w: jax.Array, spec: Spec, layout: Layout) -> None:
    """Refuses what a compiler could not index and, where the device is known, what it could not hold."""
    canvas = [axis.full_size(size) + axis.extent for axis, size in zip(spec.axes, layout.spatial(x.shape), strict=True)]
    known = [size for size in shape if isinstance(size, int)]
    itemsize = jnp.dtype(dtype).itemsize
    needed = math.prod(known) * itemsize
    if needed >= 2**63 or any(isinstance(size, int) and size > LARGEST for size in canvas):
        raise ArgumentError(
            "the output is too large to index",
            got=f"output of shape {shape}, from strides {[a.stride for a in spec.axes]} "
            f"and dilations {[a.dilation for a in spec.axes]}",
            legal=f"canvases of at most {LARGEST} along each axis, and less than 2**63 bytes in all",
            fix="pass smaller strides, dilations or sizes",
        )
    if isinstance(x, Tracer) or isinstance(w, Tracer):
        return  # compiled for devices that this process may not have
    limit = sum(
        _memory(device) for device in {d.process_index if d.platform == "cpu" else d: d for d in x.devices()}.values()
    )
    if needed > limit:
        raise ArgumentError(
            "the output is too large to allocate",
            got=f"output of shape {shape} and dtype {jnp.dtype(dtype)}, which takes {_bytes(needed)}",
            legal=f"at most {_bytes(limit)}, the memory of {', '.join(sorted(map(str, x.devices())))}",
            fix="split the batch, or shard the operands over more devices",
        )


def _memory(device: Any) -> float:
    """The bytes that a device can hold; infinite where it does not say."""
    if device.platform == "cpu":
        try:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (AttributeError, ValueError, OSError):  # not every operating system tells
            return math.inf
    return (device.memory_stats() or {}).get("bytes_limit", math.inf)


def _bytes(count: float) -> str:
    unit = min(int(math.log2(max(count, 1)) // 10), 6)
    return f"{count / 1024**unit:.1f} {('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB')[unit]}"
