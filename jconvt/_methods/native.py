"""Transposed convolution by direct convolution in compiled code: C++ for CPUs, in ``jconvt/_native``.

XLA calls it in the middle of a program, on its own threads. No zero is inserted between pixels. The kernels have the
channels last: XLA transposes images with channels first, before and after. Images in float16, and in bfloat16 without
its instructions, are copied once, to the precision of the sums. The code is tied to this machine, so a program that XLA
shards or that ``jax.export`` saves uses another method.
"""

import functools
import math
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .. import _native
from .._geometry.layout import Layout
from .._geometry.maps import Map
from .._geometry.spec import Spec
from .._jax_compat import abstract_like
from ..errors import ArgumentError, ArgumentTypeError
from ._method import Method, ProblemShape
from ._rates import cpu_transposition_seconds

_MAX_RANK = 3


def kernel_dtype(*dtypes: Any) -> Any:
    """The dtype that the kernels compute in, for operands and a result of these dtypes.

    Operands become this dtype, and the result is rounded from it once. In half precision, sums are in float32.
    """
    (dtype, *others) = {jnp.dtype(each) for each in dtypes if jnp.issubdtype(each, jnp.floating)}
    if not others:
        return dtype
    return jnp.dtype(jnp.float64 if any(each.itemsize == 8 for each in (dtype, *others)) else jnp.float32)


def _compute(map: Map, a: Array, b: Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> Array:
    del precision  # sums use full precision
    computed = kernel_dtype(a.dtype, b.dtype, dtype)
    a, b = a.astype(computed), b.astype(computed)
    if layout.channels_first:  # not by jnp.moveaxis, which is a program of its own to trace and to lower
        to_last, to_first = [0, *layout.spatial_axes, 1], [0, spec.rank + 1, *range(1, spec.rank + 1)]
        a, b = (
            each if name == "w" else lax.transpose(each, to_last) for name, each in zip(map.inputs, (a, b), strict=True)
        )
        result = _compute(map, a, b, spec, Layout(layout.rank), dtype, None)
        return result if map is Map.KERNEL_GRADIENT else lax.transpose(result, to_first)
    batch, *sizes, channels = a.shape
    if map is Map.KERNEL_GRADIENT:
        shape = (*(axis.kernel for axis in spec.axes), b.shape[-1] // spec.groups, channels)
    elif map is Map.TRANSPOSE:
        shape = (batch, *spec.output_sizes(sizes), b.shape[-2] * spec.groups)
    else:
        shape = (batch, *spec.input_sizes(sizes), b.shape[-1])
    shapes = {map.inputs[0]: a.shape, map.inputs[1]: b.shape, map.output: shape}
    geometry = {name: [getattr(axis, name) for axis in spec.axes] for name in ("stride", "dilation", "lo")}
    arrays, threads = [*(shapes[name] for name in "xwz"), *geometry.values()], _threads(shapes, computed)
    scratch = _native.scratch_bytes(map, computed.name, arrays, spec.groups, threads)
    call = jax.ffi.ffi_call(
        _native.TARGETS[map], (abstract_like(a, shape, computed), abstract_like(a, (scratch,), jnp.uint8))
    )
    arguments = {name: np.array(values, np.int64) for name, values in geometry.items()}
    result, _ = call(a, b, **arguments, groups=np.int64(spec.groups), threads=np.int64(threads))
    return result.astype(dtype)


_WORK_OF_THREAD = 2**20
"""Operations and bytes. To wake another thread costs as much."""


def _threads(shapes: Mapping[str, tuple[int, ...]], dtype: Any) -> int:
    """Return how many of XLA's threads a call keeps busy."""
    work = 2 * math.prod(shapes["x"]) * math.prod(shapes["w"][:-1])
    work += dtype.itemsize * sum(map(math.prod, shapes.values()))
    return max(1, min(_cores(), work // _WORK_OF_THREAD))


@functools.cache
def _cores() -> int:
    """Return the number of XLA's threads: NPROC, or the cores that the process may use."""
    if (number := os.environ.get("NPROC", "")).isdecimal():
        return int(number)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _unsupported(map: Map, spec: Spec, dtype: Any) -> ArgumentError | ArgumentTypeError | None:
    del map
    if spec.rank > _MAX_RANK:
        return ArgumentError(
            f"method 'native' has no kernels for more than {_MAX_RANK} spatial axes",
            got=f"{spec.rank} spatial axes",
            legal=f"1 to {_MAX_RANK} spatial axes",
            fix="leave method out for 'auto'",
        )
    if jnp.dtype(dtype).name not in _native.DTYPES:
        return ArgumentTypeError(
            "method 'native' has no kernels for this dtype",
            got=f"a result of dtype {jnp.dtype(dtype)}",
            legal=", ".join(_native.DTYPES),
            fix="leave method out for 'auto', or convert the operands with .astype",
        )
    status = _native.native_status()
    if status.instruction_set is None:
        return ArgumentError(
            "method 'native' needs the compiled CPU kernels, which are not in use",
            got=status.reason,
            legal="the other methods",
            fix=f"leave method out for 'auto'; for the kernels: {status.fix}",
        )
    return None


_VECTOR_BYTES = {"avx512_bf16": 64, "avx512": 64, "avx2": 32, "baseline": 16}


_CALL = 2e-6
"""The seconds that XLA needs for a custom call beyond one of its own operations."""


_MANY_TAPS = 200
"""T and F pack the taps one by one, and have few pixels where a kernel gradient is read as F."""


def _cpu(map: Map, problem: ProblemShape) -> float:
    """Seconds relative to those of the other methods. These also depend on the CPU's vectors, so the rate does not."""
    moved = problem.bytes("x", "w", "z")
    bytes_per_second = 50e9 if moved < 16e6 else 12e9
    transposition = cpu_transposition_seconds(_temporary_bytes(map, problem))
    return _CALL + max(problem.flops / _flops(map, problem), moved / bytes_per_second) + transposition


def _temporary_bytes(map: Map, problem: ProblemShape) -> int:
    """The copies of images whose channels are not last."""
    del map
    return problem.bytes("x", "z") if problem.layout.channels_first else 0


def _flops(map: Map, problem: ProblemShape) -> float:
    instruction_set = _native.native_status().instruction_set or "baseline"
    groups, last = problem.spec.groups, problem.spec.axes[-1]
    inputs, outputs = problem.input_channels // groups, problem.output_channels // groups
    if groups > 1 and inputs == outputs == 1:
        return 30e9
    rate = 205e9 if map is Map.KERNEL_GRADIENT else 230e9
    if map is not Map.KERNEL_GRADIENT and math.prod(axis.kernel for axis in problem.spec.axes) > _MANY_TAPS:
        rate *= 0.6
    if problem.dtype == jnp.bfloat16 and instruction_set == "avx512_bf16":
        rate = 390e9
    lanes = _VECTOR_BYTES[instruction_set] // max(4, problem.dtype.itemsize)
    width = outputs if map is Map.TRANSPOSE else inputs
    joined = inputs if map is Map.FORWARD else outputs
    share = _share(width, lanes)
    if last.dilation == 1 and (map is not Map.FORWARD or last.stride == 1):  # taps fill the lanes, too
        share = max(share, 0.6 * _share(joined * last.kernel, lanes))
    return rate * share


def _share(width: int, lanes: int) -> float:
    """The share of lanes that are in use."""
    return width / (-(-width // lanes) * lanes)


METHOD = Method(
    name="native",
    summary="direct convolution by compiled kernels, on CPU",
    transpose=functools.partial(_compute, Map.TRANSPOSE),
    forward=functools.partial(_compute, Map.FORWARD),
    kernel_gradient=functools.partial(_compute, Map.KERNEL_GRADIENT),
    how=dict.fromkeys(Map, "a compiled kernel"),
    cost={"cpu": _cpu},
    platforms=("cpu",),
    unsupported=_unsupported,
    temporary_bytes=_temporary_bytes,
)
