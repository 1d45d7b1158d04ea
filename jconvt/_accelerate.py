"""Compute the convolutions of any JAX program by jconvt's methods, where these are predicted to be faster than XLA.

JAX lowers every convolution by one rule, after all transformations. ``accelerate`` registers another rule for CPU. It
reads the convolution as one of the three maps, predicts the time of each method and of XLA's own convolution, and
takes the fastest.
"""

import contextlib
import dataclasses
import functools
import operator
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax.interpreters import mlir

from ._conventions.dimension_numbers import Dimensions
from ._core import plain, xla_convolution
from ._core.halo import explicit_axes
from ._core.primitives import REPLACES_CONVOLUTIONS
from ._core.recognition import Convolution, Reading, readings
from ._core.selection import supported
from ._geometry.maps import Map
from ._jax_compat import auto_sharded_devices, is_for_export, lower_convolutions, set_in_all_threads
from ._methods import METHODS, cpu_transposition_seconds
from ._text_table import table
from .errors import ArgumentTypeError

_LOCK = threading.RLock()
_MIN_GAIN = 1.0
"""A convolution is replaced if a method is predicted to be this many times as fast as XLA, or more."""
_MIN_SECONDS = 3e-6
"""A convolution that takes XLA less is left: a call costs as much."""


@dataclasses.dataclass(frozen=True)
class LoweredConvolution:
    """A convolution in a program that was lowered for CPU.

    Attributes:
      where: the functions and scopes that it is in.
      lhs_shape, rhs_shape, dtype: of its operands.
      convolution: its parameters, or ``None`` if they are not known integers.
      map: the map that computes it, or ``None``.
      method: the method that computes it, or ``None`` if XLA does.
      gain: the predicted time of XLA's convolution, divided by that of the fastest method, also if it was left.
      reason: why it was left to XLA, or "".
      times: how often it was lowered.
    """

    where: str
    lhs_shape: tuple[int, ...]
    rhs_shape: tuple[int, ...]
    dtype: str
    convolution: Convolution | None = None
    map: Map | None = None
    method: str | None = None
    gain: float | None = None
    reason: str = ""
    times: int = 1


class Report(tuple[LoweredConvolution, ...]):
    """The convolutions, in the order in which they were first lowered. ``print`` it for a table."""

    def __str__(self) -> str:
        rows = [("where", "lhs", "rhs", "dtype", "times", "map", "method", "predicted gain", "left to XLA because")]
        for each in self:
            gain = "" if each.gain is None else f"{each.gain:.3g}"
            lhs, rhs = (str(shape).replace(" ", "") for shape in (each.lhs_shape, each.rhs_shape))
            name = (each.map or "").replace("_", " ")
            rows.append(
                (each.where, lhs, rhs, each.dtype, str(each.times), name, each.method or "XLA", gain, each.reason)
            )
        replaced = sum(each.times for each in self if each.method is not None)
        total = sum(each.times for each in self)
        return "\n".join([table(rows), f"{replaced} of {total} convolutions are computed by jconvt"])


class Acceleration:
    """The result of ``accelerate``: leave its ``with`` block to undo the call."""

    def __init__(self, on: bool):
        self.on = on

    def __enter__(self) -> "Acceleration":
        _apply(self)  # again, if it has been undone
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        _undo(self)


class Accelerate(Protocol):
    """The type of the function ``accelerate``, which has its report as an attribute."""

    def __call__(self, on: bool = True) -> Acceleration: ...

    def report(self) -> Report: ...


def report() -> Report:
    """Return the convolutions that were lowered for CPU while they could be replaced. ``print`` it for a table.

    It is a tuple, in the order in which they were first lowered. It lists equal entries once, and forgets the oldest
    beyond 10,000. Each entry has the attributes ``where`` (the functions and scopes that it is in), ``lhs_shape``,
    ``rhs_shape``, ``dtype``, ``times`` (how often it was lowered), ``convolution`` (a ``jconvt.lax.Convolution``),
    ``map`` and ``method`` (``None`` if XLA computes it), ``gain`` (the predicted time of XLA, divided by that of the
    fastest method, also if it was left) and ``reason`` (why it was left to XLA, or "").
    """
    with _LOCK:
        return Report(dataclasses.replace(each, times=times) for each, times in _seen.items())


def _with_report(function: Any) -> Accelerate:
    function.report = report
    return function


@_with_report
def accelerate(on: bool = True) -> Acceleration:
    """Compute the convolutions of every JAX program on CPU by jconvt's methods, where these are predicted to be faster.

    From here on, each convolution that is lowered for CPU is computed by the method that is predicted to be the
    fastest, or by XLA as before: those of ``jax.lax``, Flax, Haiku, Equinox and Keras on JAX, and their gradients.
    Models do not change. Results are equal up to the rounding of their dtype, and to the last digit where nothing
    is replaced. Programs for GPU and TPU, programs that ``jax.export`` saves, and programs that XLA shards over
    several devices keep all convolutions.

    ``jax.jit`` compiles a function anew when it is first called after a change, in every thread. Programs that were
    compiled explicitly, with ``.lower().compile()``, stay as they are. ``jax.clear_caches()`` frees the programs of
    before.

    Args:
      on: whether convolutions are replaced. The state before the call is restored at the end of a ``with`` block.

    Raises:
      ArgumentTypeError: ``on`` is not a boolean.
      NotImplementedError: this version of JAX has convolutions that jconvt does not know.

    >>> import jax, jax.numpy as jnp, jconvt
    >>> images, kernel = jnp.ones((8, 32, 32, 64)), jnp.ones((3, 3, 64, 64))
    >>> def layer(images):
    ...     numbers = ("NHWC", "HWIO", "NHWC")
    ...     return jax.lax.conv_general_dilated(images, kernel, (2, 2), "SAME", dimension_numbers=numbers)
    >>> with jconvt.accelerate():
    ...     y = jax.jit(layer)(images)
    >>> jconvt.accelerate.report()[-1].map
    <Map.FORWARD: 'forward_convolution'>
    """
    if not isinstance(on, bool):
        raise ArgumentTypeError("on must be a boolean", got=f"on = {on!r}", legal="True or False", fix="leave it out")
    _register()
    acceleration = Acceleration(on)
    _apply(acceleration)
    return acceleration


_calls: list[tuple[weakref.ref[Acceleration], bool]] = []
"""The calls of ``accelerate`` that hold or can be restored, the last one in effect."""
_seen: dict[LoweredConvolution, int] = {}
"""The entries of the report, and the number of times that a convolution was lowered for each."""
_MOST = 10_000
"""The report forgets the oldest entries beyond these."""


def _apply(acceleration: Acceleration) -> None:
    with _LOCK:
        # The state before a call that no ``with`` block can undo is never restored.
        kept = next((i for i, (each, _) in reversed([*enumerate(_calls)]) if each() is None), 0)
        others = [each for each in _calls[kept:] if each[0]() is not acceleration]
        _calls[:] = [*others, (weakref.ref(acceleration), acceleration.on)]
        set_in_all_threads(REPLACES_CONVOLUTIONS, acceleration.on)


def _undo(acceleration: Acceleration) -> None:
    with _LOCK:
        _calls[:] = [each for each in _calls if each[0]() is not acceleration]
        set_in_all_threads(REPLACES_CONVOLUTIONS, _calls[-1][1] if _calls else False)


def _register() -> None:
    with _LOCK:
        if not _jax_rule:
            _jax_rule.append(lower_convolutions(_lower))


_jax_rule: list[Callable[..., Any]] = []
"""JAX's own rule, once the other one is registered."""


def _lower(context: Any, lhs: Any, rhs: Any, **parameters: Any) -> Any:
    """The lowering rule. No error of jconvt's stops a program: XLA's convolution is the fallback."""
    if not REPLACES_CONVOLUTIONS.value:
        return _jax_rule[0](context, lhs, rhs, **parameters)
    a, b = context.avals_in
    seen, result = LoweredConvolution(str(context.name_stack), a.shape, b.shape, str(a.dtype)), None
    is_wide = any(each.dtype == jnp.float64 for each in (a, b, *context.avals_out))
    # A method or JAX's rule may emit convolutions. 64 bits may be enabled in a part of the program only.
    with REPLACES_CONVOLUTIONS(False), jax.enable_x64(True) if is_wide else contextlib.nullcontext():
        try:
            convolution = _convolution(a, b, parameters)
            seen = dataclasses.replace(seen, convolution=convolution)
            _check_computable(context)
            if xla_convolution.seconds(convolution, a.dtype) < _MIN_SECONDS:
                raise _LeftError("it is small")
            reading, method, gain = fastest(convolution, a.dtype)
            seen = dataclasses.replace(seen, gain=gain)
            if gain < _MIN_GAIN:
                raise _LeftError("XLA is predicted to be faster")
            options = reading, method, context.avals_out[0].dtype, parameters["precision"]
            result = mlir.lower_fun(functools.partial(compute, *options), multiple_results=False)(context, lhs, rhs)
            seen = dataclasses.replace(seen, map=reading.map, method=method)
        except _LeftError as left:
            seen = dataclasses.replace(seen, reason=str(left))
        except Exception as error:
            text = str(error) or type(error).__name__
            seen = dataclasses.replace(seen, reason=text.splitlines()[0])
        if result is None:
            result = _jax_rule[0](context, lhs, rhs, **parameters)
    with _LOCK:
        _seen[seen] = _seen.get(seen, 0) + 1
        if len(_seen) > _MOST:
            del _seen[next(iter(_seen))]
    return result


class _LeftError(Exception):
    """The reason why a convolution is left to XLA."""


def _convolution(lhs: Any, rhs: Any, parameters: Mapping[str, Any]) -> Convolution:
    def integers(values: Any) -> tuple[int, ...]:
        return tuple(map(operator.index, values))

    try:
        return Convolution(
            integers(lhs.shape),
            integers(rhs.shape),
            integers(parameters["window_strides"]),
            tuple((lo, hi) for lo, hi in map(integers, parameters["padding"])),
            integers(parameters["lhs_dilation"]),
            integers(parameters["rhs_dilation"]),
            Dimensions(*map(integers, parameters["dimension_numbers"])),
            operator.index(parameters["feature_group_count"]),
            operator.index(parameters["batch_group_count"]),
        )
    except TypeError:
        raise _LeftError("a size is symbolic") from None


def _check_computable(context: Any) -> None:
    """Raise for a program or a dtype in which no method replaces a convolution."""
    a, b = context.avals_in
    if is_for_export(context):
        raise _LeftError("jax.export saves the program")
    if plain.is_active():
        raise _LeftError("jconvt.plain_jax is active")
    if auto_sharded_devices(context)[0] != 1 or explicit_axes(a, b):
        raise _LeftError("XLA shards the program")
    if a.dtype != b.dtype or not jnp.issubdtype(a.dtype, jnp.floating) or a.dtype.itemsize < 2:
        raise _LeftError(f"dtypes {a.dtype} and {b.dtype}: only floating-point ones of 16 bits or more are replaced")


@functools.lru_cache(4096)
def fastest(convolution: Convolution, dtype: Any) -> tuple[Reading, str, float]:
    """Return how a convolution is computed in the least time, by which method, and the predicted gain over XLA's.

    Raises:
      ArgumentError: it is none of the maps.
    """
    seconds, reading, method = min(predicted(convolution, dtype), key=lambda each: each[0])
    return reading, method, xla_convolution.seconds(convolution, dtype) / seconds


def predicted(convolution: Convolution, dtype: Any) -> Iterator[tuple[float, Reading, str]]:
    """Yield each way to compute a convolution: its predicted seconds, how it is read, and the method.

    The formulas predict, also where methods were measured: XLA's own convolution has only a formula.
    """
    for reading in readings(convolution):
        problem, transposition = reading.problem(dtype), cpu_transposition_seconds(reading.transposed_bytes(dtype))
        for method in supported(reading.map, problem, "cpu"):
            if not METHODS[method].convolves:
                yield METHODS[method].cost["cpu"](reading.map, problem) + transposition, reading, method


def compute(reading: Reading, method: str, dtype: Any, precision: Any, lhs: jax.Array, rhs: jax.Array) -> jax.Array:
    """Compute a convolution as one of its readings, by a method."""
    a, b = reading.operands(lhs, rhs)
    implementation = METHODS[method].implementation(reading.map)
    return reading.result(implementation(a, b, reading.spec, reading.layout, dtype, precision))
