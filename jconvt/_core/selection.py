"""Select the method of each map: the one that is predicted, or was measured, to be the fastest."""

import concurrent.futures
import dataclasses
import functools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from .._conventions import tensorflow
from .._geometry.arguments import integer, sequence
from .._geometry.axis import Axis
from .._geometry.maps import Map
from .._geometry.spec import Spec
from .._methods import METHODS, ProblemShape
from ..errors import ArgumentError, ArgumentTypeError
from . import timing
from .cost_model import PLATFORMS, predict


@dataclasses.dataclass(frozen=True)
class Decision:
    """The method of one map, the reason, and the seconds of each method, predicted or measured."""

    map: Map
    method: str
    reason: str
    costs: Mapping[str, float]
    measured: bool = False


@dataclasses.dataclass(frozen=True)
class Choice:
    """The methods chosen for a transposed convolution and its two gradients. ``print`` it for a report."""

    sizes: ProblemShape
    platform: str
    transposed_convolution: Decision
    forward_convolution: Decision
    kernel_gradient: Decision

    @property
    def method(self) -> str:
        """The method of the transposed convolution itself."""
        return self.transposed_convolution.method

    def __str__(self) -> str:
        shapes = self.sizes.shapes
        lines = [str(self.sizes.spec), f"{self.sizes.dtype} {shapes['x']} by {shapes['w']}, on {self.platform}:"]
        for decision in (self.transposed_convolution, self.forward_convolution, self.kernel_gradient):
            kind = "measured" if decision.measured else "predicted"
            ranked = sorted(decision.costs.items(), key=lambda item: item[1])
            lines += [f"  {decision.map.replace('_', ' ')}: {decision.method}", f"    {decision.reason}"]
            if ranked:
                costs = ", ".join(f"{method} {cost / ranked[0][1]:.3g}" for method, cost in ranked)
                lines.append(f"    {kind} times, relative: {costs}")
        return "\n".join(lines)


def choose(
    spec: Spec,
    input_shape: Sequence[int],
    filters_shape: Sequence[int],
    *,
    dtype: Any = "float32",
    data_format: str | None = None,
    platform: str | None = None,
    measure: bool = False,
    devices: int = 1,
) -> Choice:
    """Return the methods that ``method="auto"`` chooses for a geometry, and why.

    Args:
      spec: the geometry, for example from ``Spec.from_tensorflow``.
      input_shape: the shape of the input, with batch and channels.
      filters_shape: ``(k..., out / groups, in)``.
      dtype: the dtype of both operands.
      data_format: as in ``conv_transpose``.
      platform: ``"cpu"``, ``"cuda"``, ``"rocm"`` or ``"tpu"``. The default is the platform of JAX's default device.
      measure: whether to time the methods on the default device. ``"auto"`` then uses the fastest one for calls of
        these sizes in this process. Programs that are already compiled do not change.
      devices: the number of devices of the automatic mesh axes. With more than one, XLA shards the program, and jconvt
        ignores ``method`` and uses a form that XLA shards correctly.

    Returns:
      A ``Choice``, with a ``Decision`` for each of ``transposed_convolution``, ``forward_convolution`` and
      ``kernel_gradient``. Costs are in seconds. Predicted costs were fitted on one machine of each kind, so only
      their ratios matter.

    Raises:
      ArgumentError: the shapes do not match ``spec``, or the platform is unknown. With ``measure``: the platform is not
        that of the default device, there are several devices, or JAX is tracing the call.
      ArgumentTypeError: ``spec`` is not a ``Spec``, ``dtype`` not a numeric dtype, or ``measure`` not a boolean.

    >>> spec = Spec.from_tensorflow((8, 4, 4, 1024), (5, 5, 512, 1024), strides=2)
    >>> choose(spec, (8, 4, 4, 1024), (5, 5, 512, 1024), platform="tpu").method
    'dilated'
    """
    problem = _problem(spec, input_shape, filters_shape, dtype, data_format)
    devices = integer(devices, "devices", 1)
    if platform is not None and not (isinstance(platform, str) and platform in PLATFORMS):
        raise ArgumentError(
            "unknown platform",
            got=f"platform = {platform!r}",
            legal=", ".join(repr(name) for name in PLATFORMS),
            fix="leave it out for the platform of the default device",
        )
    if not isinstance(measure, bool):
        raise ArgumentTypeError(
            "measure must be a boolean", got=f"measure = {measure!r}", legal="True or False", fix="leave it out"
        )
    if measure:
        _check_measurable(platform, devices)
        platform = platform or default_platform()
        for map in Map:
            _MEASURED[map, problem, platform] = _measure(map, problem, platform)
    platform = platform or default_platform()
    if devices > 1:
        return Choice(problem, platform, *(_sharded(map, devices) for map in Map))
    return Choice(problem, platform, *(select(map, problem, platform) for map in Map))


class _Measured(dict[tuple[Map, ProblemShape, str | None], dict[str, float]]):
    """The measured seconds, and a counter that every measurement increases."""

    epoch = 0

    def __setitem__(self, key: tuple[Map, ProblemShape, str | None], costs: dict[str, float]) -> None:
        super().__setitem__(key, costs)
        self.epoch += 1


_MEASURED = _Measured()


def tuning_epoch() -> int:
    """A counter that every measurement increases: as part of the jit cache key, it has stale choices lowered anew."""
    return _MEASURED.epoch


def select(map: Map, problem: ProblemShape, platform: str | None, for_export: bool = False) -> Decision:
    """Select the supported method with the lowest measured, or else predicted, cost."""
    methods = supported(map, problem, platform, for_export)
    if not methods:  # too many taps for products, and no convolutions of integers
        raise ArgumentTypeError(
            f"no method computes integers with so large a kernel on {platform}",
            got=f"dtype {problem.dtype}, kernel {[axis.kernel for axis in problem.spec.axes]}",
            legal="a floating-point or complex dtype",
            fix="convert the operands",
        )
    measured = _MEASURED.get((map, problem, platform))
    costs = measured or predict(map, methods, problem, platform)
    costs = {method: cost for method, cost in costs.items() if method in methods}
    method = min(costs, key=lambda method: costs[method])
    others = sorted(cost for other, cost in costs.items() if other != method)
    lead = f"{others[0] / costs[method]:.3g} times as fast as the next" if others else "the only supported method"
    reason = f"{METHODS[method].how[map]}, {lead}"
    return Decision(map, method, reason, dict(costs), measured is not None)


def _sharded(map: Map, devices: int) -> Decision:
    reason = f"XLA shards the program over {devices} devices: method is ignored, for a form that XLA shards correctly"
    return Decision(map, "spmd", reason, {})


def supported(map: Map, problem: ProblemShape, platform: str | None, for_export: bool = False) -> list[str]:
    """The methods that ``auto`` may choose for the geometry, the dtype and the platform."""
    return [
        name
        for name, method in METHODS.items()
        if map in method.how
        and method.unsupported_on(platform, problem.dtype, for_export) is None
        and method.unsupported(map, problem.spec, problem.dtype) is None
    ]


def _problem(spec: Spec, input_shape: Any, filters_shape: Any, dtype: Any, data_format: str | None) -> ProblemShape:
    if not isinstance(spec, Spec):
        raise ArgumentTypeError(
            "spec must be a Spec", got=f"spec = {spec!r}", legal="jconvt.Spec", fix="make one with Spec.from_tensorflow"
        )
    try:
        dtype = jax.dtypes.canonicalize_dtype(dtype)
        if not jnp.issubdtype(dtype, jnp.number):
            raise TypeError
    except TypeError as error:
        raise ArgumentTypeError(
            "dtype is not numeric",
            got=f"dtype = {dtype!r}",
            legal="an integer, floating-point or complex dtype",
            fix="pass 'float32'",
        ) from error
    layout = tensorflow.layout_of(data_format, spec.rank)
    shapes = {"input_shape": input_shape, "filters_shape": filters_shape}
    for name, shape in shapes.items():
        numbers = sequence(shape, name, f"{spec.rank + 2} sizes")
        shapes[name] = tuple(integer(n, f"{name}[{i}]", 1) for i, n in enumerate(numbers))
        if len(shapes[name]) != spec.rank + 2:
            raise ArgumentError(
                f"{name} has the wrong length",
                got=f"{name} = {shapes[name]}",
                legal=f"{spec.rank + 2} sizes",
                fix=f"spec has {spec.rank} spatial axes; also pass the sizes of batch and channels",
            )
    x, w = shapes.values()
    kernel = tuple(axis.kernel for axis in spec.axes)
    channels = x[layout.channel_axis]
    if (*w[: spec.rank], w[-1]) != (*kernel, channels) or channels % spec.groups:
        raise ArgumentError(
            "the shapes do not match the geometry",
            got=f"input_shape = {x}, filters_shape = {w}, kernel {kernel}, groups {spec.groups}",
            legal=f"filters of ({', '.join(map(str, kernel))}, out / groups, in), and in a multiple of groups",
            fix="pass the shapes that spec was made from",
        )
    problem = ProblemShape.of(spec, layout, dtype, x[0], layout.spatial(x), (channels, w[spec.rank] * spec.groups))
    if min(problem.shapes["z"]) < 1:
        raise ArgumentError(
            "there is no output to compute",
            got=f"output of shape {problem.shapes['z']} for input_shape = {x}",
            legal="an output size of at least 1 along each axis",
            fix="pass a larger input, or crop less",
        )
    return problem


def default_platform() -> str:
    """The platform of the default device, by the name that programs are lowered for."""
    name = jax.default_backend()
    return "cuda" if name == "gpu" else name


def methods_in_use() -> list[str]:
    """The methods that compute on the default device: compiled code is for some platforms, and may be missing."""
    spec, dtype, platform = Spec((Axis(1),)), jnp.dtype(jnp.float32), default_platform()
    return [
        name
        for name, method in METHODS.items()
        if method.unsupported_on(platform, dtype) is None and method.unsupported(Map.TRANSPOSE, spec, dtype) is None
    ]


def _check_measurable(platform: str | None, devices: int) -> None:
    if isinstance(jnp.zeros(()), Tracer):
        raise ArgumentError(
            "measure=True times programs, which cannot run while JAX traces",
            got="a call that JAX is tracing",
            legal="a call outside of jit, grad, vmap and other transformations",
            fix="call choose(..., measure=True) before tracing: 'auto' then uses the measurement",
        )
    if platform not in (None, default_platform()) or devices > 1:
        raise ArgumentError(
            "measure=True times programs on the default device",
            got=f"platform = {platform!r}, devices = {devices}",
            legal=f"platform {default_platform()!r}, devices 1",
            fix="leave out platform and devices, or leave out measure for a prediction",
        )


def _measure(map: Map, problem: ProblemShape, platform: str) -> dict[str, float]:
    """The median seconds of each method. Much slower methods than the fastest are called only once."""
    shapes = problem.shapes
    keys = jax.random.split(jax.random.key(0))
    operands = [jax.random.normal(k, shapes[a]).astype(problem.dtype) for k, a in zip(keys, map.inputs, strict=True)]
    options = problem.spec, problem.layout, problem.dtype, None
    lowered = {}
    for method in supported(map, problem, platform):
        compute = METHODS[method].implementation(map)
        lowered[method] = jax.jit(lambda a, b, compute=compute: compute(a, b, *options)).lower(*operands)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        programs = pool.map(lambda each: each.compile(), lowered.values())
        calls = {
            method: timing.Enqueued(functools.partial(each, *operands), jax.block_until_ready)
            for method, each in zip(lowered, programs, strict=True)
        }
    costs = {method: timing.seconds(call) for method, call in calls.items()}
    close = {method: call for method, call in calls.items() if costs[method] <= _CLOSE * min(costs.values())}
    times = timing.interleaved(close, budget=_BUDGET)
    return costs | {method: statistics.median(each) for method, each in times.items()}


_CLOSE, _BUDGET = 10, 1.0
"""A first call this many times slower than the fastest decides; the other methods are timed for these seconds."""
