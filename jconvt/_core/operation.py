"""The operation on arrays: check operands and options, and compute the transposed convolution.

This code is the same for every convention: their arguments have become a ``Spec`` and a ``Layout``.
"""

import functools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import Tracer

from .._geometry.arguments import LARGEST
from .._geometry.kernel_layout import KernelLayout, filters_layout
from .._geometry.layout import Layout
from .._geometry.maps import Map
from .._geometry.spec import Spec
from .._jax_compat import default_matmul_precision
from .._methods import METHODS
from ..errors import ArgumentError, ArgumentTypeError
from . import out_sharding as sharding
from . import plain
from .primitives import bind

_NUMBERS = (jnp.signedinteger, jnp.unsignedinteger, jnp.floating, jnp.complexfloating)
_KINDS = (jnp.bool_, *_NUMBERS)
_SMALL = 1 << 28
"""Outputs of fewer bytes are allocated without a look at the memory of the device."""


def operands(**arrays: Any) -> list[jax.Array]:
    """Return the named arguments as arrays of one numeric dtype.

    Different dtypes are promoted as in ``jax.numpy``. Under ``jax.numpy_dtype_promotion("strict")`` that is an error.
    """
    return _operands(arrays, _NUMBERS)


def numbers_or_booleans(**arrays: Any) -> list[jax.Array]:
    """Return the named arguments as ``operands`` does, or as booleans if all are."""
    return _operands(arrays, _KINDS)


def _operands(arrays: Mapping[str, Any], kinds: Sequence[Any]) -> list[jax.Array]:
    found = [value if isinstance(value, jax.Array) else _array(value, name) for name, value in arrays.items()]
    dtypes = [array.dtype for array in found]
    computed = all(_kind(dtype) in kinds for dtype in dtypes)
    if len(set(dtypes)) == 1 and computed:
        return found
    *names, last = arrays
    got = ", ".join(f"{name} {dtype}" for name, dtype in zip(arrays, dtypes, strict=True))
    if not computed:
        wrong, more = ("PRNG-key", "boolean, ") if jnp.bool_ in kinds else ("boolean and PRNG-key", "")
        raise ArgumentTypeError(
            f"{wrong} arrays cannot be convolved",
            got=got,
            legal=f"{more}integer, floating-point or complex dtypes",
            fix="convert with .astype(jnp.float32)",
        )
    try:
        dtype = jnp.result_type(*found)
    except ValueError as error:
        raise ArgumentTypeError(
            f"the dtypes of {', '.join(names)} and {last} differ, and JAX does not promote them",
            got=got,
            legal="one dtype, or two that JAX promotes: none under jax_numpy_dtype_promotion='strict'",
            fix="convert one with .astype",
        ) from error
    return [array.astype(dtype) for array in found]


def filters(kernel: jax.Array, kernel_layout: KernelLayout) -> jax.Array:
    """``kernel`` of this layout as ``(k..., out / groups, in)``, in one compiled program."""
    return kernel if kernel_layout == filters_layout(kernel_layout.rank) else _to_filters(kernel_layout)(kernel)


@functools.lru_cache(1024)
def _to_filters(kernel_layout: KernelLayout) -> Callable[[jax.Array], jax.Array]:
    return jax.jit(kernel_layout.filters, inline=True)


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
    """Transposed convolution of ``x``, ``(batch, spatial..., c)`` in ``layout``, with ``w``, ``(k..., o / groups, c)``.

    ``name`` names the operation in profiles and compiled programs.
    """
    _check_method(method)
    if plain.is_active():
        method = "auto"  # so that no limit of a method that does not compute raises an error
    dtype = x.dtype if preferred_element_type is None else _result_dtype(x.dtype, preferred_element_type)
    if x.dtype == bool:  # the sum of products of 0 and 1 counts those that are true
        are_booleans = _kind(dtype) is jnp.bool_
        numbers = jnp.float32 if are_booleans else dtype
        y = transposed_convolution(
            x.astype(numbers), w.astype(numbers), spec, layout, name=name, method=method, precision=precision,
            out_sharding=out_sharding,
        )  # fmt: skip
        return y > 0.5 if are_booleans else y  # a device may round 0, as Winograd's algorithm does
    precision = _precision(default_matmul_precision() if precision is None else precision)
    sizes = spec.output_sizes(layout.spatial(x.shape))
    shape = layout.shape(x.shape[0], sizes, w.shape[spec.rank] * spec.groups)
    _check_size(shape, dtype, x, w, spec, layout)
    sharding.check(out_sharding, shape, x, w)
    with jax.named_scope(name):
        if any(isinstance(size, int) and size == 0 for size in (*shape, *x.shape)):
            # No pixel, no channel or no output: the empty sum is zero, on the devices of x.
            y = jnp.broadcast_to(jnp.sum(x, dtype=dtype), shape)
        elif method != "auto" and not METHODS[method].traceable:
            y = METHODS[method].transpose(x, w, spec, layout, dtype, precision)
            y = jax.device_put(y, next(iter(x.devices())))
        else:
            error = None if method == "auto" else METHODS[method].unsupported(Map.TRANSPOSE, spec, dtype)
            if error is not None:
                raise error
            options = {"spec": spec, "layout": layout, "dtype": dtype, "precision": precision, "method": method}
            y = bind(Map.TRANSPOSE, x, w, **options)
        return sharding.apply(y, out_sharding)


def _check_method(method: Any) -> None:
    if not isinstance(method, str) or (method != "auto" and method not in METHODS):
        raise ArgumentError(
            "unknown method",
            got=f"method = {method!r}",
            legal=", ".join(map(repr, ("auto", *METHODS))),
            fix="leave it out for 'auto'",
        )


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
    try:
        wanted = jax.dtypes.canonicalize_dtype(preferred)
    except (TypeError, ValueError):
        wanted = None
    # Integers may become wider ones of their sign, or signed from unsigned, or floating; booleans any numbers.
    kinds = {
        jnp.bool_: _KINDS,
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
    """Raise if the compiler cannot index the output, or if it does not fit on the devices of ``x``."""
    canvas = [axis.full_size(size) + axis.extent for axis, size in zip(spec.axes, layout.spatial(x.shape), strict=True)]
    needed = math.prod(size for size in shape if isinstance(size, int)) * jnp.dtype(dtype).itemsize
    if needed >= 2**63 or any(isinstance(size, int) and size > LARGEST for size in canvas):
        raise ArgumentError(
            "the output is too large to index",
            got=f"output of shape {shape}, from strides {[a.stride for a in spec.axes]} "
            f"and dilations {[a.dilation for a in spec.axes]}",
            legal=f"canvases of at most {LARGEST} along each axis, and less than 2**63 bytes in all",
            fix="pass smaller strides, dilations or sizes",
        )
    if needed < _SMALL or isinstance(x, Tracer) or isinstance(w, Tracer):
        return  # traced programs may run on devices that this process lacks
    limit = sum(
        _memory(device) for device in {d.process_index if d.platform == "cpu" else d: d for d in x.devices()}.values()
    )
    if needed > limit:
        raise ArgumentError(
            "the output is too large to allocate",
            got=f"output of shape {shape} and dtype {jnp.dtype(dtype)}, which takes {_readable(needed)}",
            legal=f"at most {_readable(limit)}, the memory of {', '.join(sorted(map(str, x.devices())))}",
            fix="split the batch, or shard the operands over more devices",
        )


def _memory(device: Any) -> float:
    """The bytes that a device can hold; infinite if it does not report them."""
    if device.platform == "cpu":
        try:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (AttributeError, ValueError, OSError):  # not reported by every operating system
            return math.inf
    return (device.memory_stats() or {}).get("bytes_limit", math.inf)


def _readable(count: float) -> str:
    unit = min(int(math.log2(max(count, 1)) // 10), 6)
    return f"{count / 1024**unit:.1f} {('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB')[unit]}"
