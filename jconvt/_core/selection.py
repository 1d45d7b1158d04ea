"""Which method computes a map: the one that is predicted, or was measured, to be the fastest."""

import dataclasses
import functools
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from .._conventions import tensorflow
from .._geometry.arguments import integer, sequence
from .._geometry.spec import Spec
from .._methods import MAPS, REFUSALS
from .._methods._batch_chunking import in_turns
from ..errors import ArgumentError, ArgumentTypeError
from . import timing
from .cost_model import OPERANDS, PLATFORMS, Map, Sizes, images, seconds


@dataclasses.dataclass(frozen=True)
class Decision:
    """The method that computes one map, why, and the seconds that each method takes: predicted, or measured.

    ``images`` of the batch are computed at a time.
    """

    map: Map
    method: str
    images: int
    reason: str
    costs: Mapping[str, float]
    measured: bool = False


@dataclasses.dataclass(frozen=True)
class Choice:
    """What ``method="auto"`` computes a transposed convolution and its two gradients by. It prints itself."""

    sizes: Sizes
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
            best = decision.costs[decision.method]
            costs = ", ".join(
                f"{method} {cost / best:.3g}"
                for method, cost in sorted(decision.costs.items(), key=lambda item: item[1])
            )
            lines += [
                f"  {decision.map.replace('_', ' ')}: {decision.method}",
                f"    {decision.reason}",
                f"    {kind} times, relative: {costs}",
            ]
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
) -> Choice:
    """The methods that ``method="auto"`` takes for a geometry, and why.

    Args:
      spec: the geometry, as ``Spec.from_tensorflow`` gives it.
      input_shape: the input's shape, batch and channels included.
      filters_shape: ``(k..., out / groups, in)``.
      dtype: of both operands.
      data_format: as ``conv_transpose`` takes it.
      platform: ``"cpu"``, ``"cuda"``, ``"rocm"`` or ``"tpu"``; left out, that of JAX's default device.
      measure: whether to time the methods on the default device, and to have ``"auto"`` remember the fastest for calls
        of these sizes in this process. Programs that are compiled already stay as they are.

    Returns:
      A ``Choice``, with a ``Decision`` for each of ``transposed_convolution``, ``forward_convolution`` and
      ``kernel_gradient``. Its costs are in seconds; predicted ones are those of one machine of each kind, so only their
      ratios matter.

    Raises:
      ArgumentError: the shapes do not fit ``spec``, or the platform is unknown. With ``measure``: the platform is not
        the default device's, or JAX is tracing the call.
      ArgumentTypeError: ``spec`` is no ``Spec``, ``dtype`` no dtype, or ``measure`` no boolean.

    >>> spec = Spec.from_tensorflow((8, 4, 4, 1024), (5, 5, 512, 1024), strides=2)
    >>> choose(spec, (8, 4, 4, 1024), (5, 5, 512, 1024), platform="cpu").method
    'gemm'
    """
    sizes = _checked(spec, input_shape, filters_shape, dtype, data_format)
    here = _platform()
    if platform is not None and not (isinstance(platform, str) and platform in PLATFORMS):
        raise ArgumentError(
            "unknown platform",
            got=f"platform = {platform!r}",
            legal=", ".join(map(repr, PLATFORMS)),
            fix="leave it out for the default device's",
        )
    platform = platform or here
    if not isinstance(measure, bool):
        raise ArgumentTypeError(
            "measure must be a boolean", got=f"measure = {measure!r}", legal="True or False", fix="leave it out"
        )
    if measure:
        _refuse_to_measure(platform, here)
        for name in OPERANDS:
            _MEASURED[name, sizes, platform] = _measured(name, sizes, platform)
    return Choice(sizes, platform, *(decide(name, sizes, platform) for name in OPERANDS))


class _Measured(dict[tuple[str, Sizes, str | None], dict[str, float]]):
    """The seconds that were measured, and how often there was something new."""

    generation = 0

    def __setitem__(self, key: tuple[str, Sizes, str | None], costs: dict[str, float]) -> None:
        super().__setitem__(key, costs)
        self.generation += 1


_MEASURED = _Measured()


def generation() -> int:
    """Grows with each measurement: what was lowered before may have been decided otherwise."""
    return _MEASURED.generation


def decide(name: Map, sizes: Sizes, platform: str | None) -> Decision:
    """The method with the lowest measured or else predicted cost among those that serve the geometry."""
    measured = _MEASURED.get((name, sizes, platform))
    costs = measured or {method: seconds(name, method, sizes, platform) for method in _served(name, sizes)}
    method = min(costs, key=lambda method: costs[method])
    others = sorted(cost for other, cost in costs.items() if other != method)
    how = _HOW[name, method]
    if sizes.depthwise and method == "gemm" and name != "transposed_convolution":
        how = "products of elements, as every group is one channel"
    ahead = f"{others[0] / costs[method]:.3g} times as fast as the next" if others else "the only one that serves"
    turn = images(name, method, sizes, platform)
    return Decision(name, method, turn, f"{how}, {ahead}", dict(costs), measured is not None)


def _served(name: Map, sizes: Sizes) -> list[str]:
    """The methods that serve the geometry and the dtype."""
    derived = () if jnp.issubdtype(sizes.dtype, jnp.inexact) or name != "kernel_gradient" else ("dilated", "vjp")
    return [
        method
        for method in MAPS[name]
        if method not in derived  # JAX transposes no integers
        and not (method in REFUSALS and REFUSALS[method](sizes.spec))
    ]


def _checked(spec: Spec, input_shape: Any, filters_shape: Any, dtype: Any, data_format: str | None) -> Sizes:
    if not isinstance(spec, Spec):
        raise ArgumentTypeError(
            "spec must be a Spec", got=f"spec = {spec!r}", legal="jconvt.Spec", fix="make one by Spec.from_tensorflow"
        )
    try:
        dtype = jax.dtypes.canonicalize_dtype(dtype)
        if not jnp.issubdtype(dtype, jnp.number):
            raise TypeError
    except TypeError as error:
        raise ArgumentTypeError(
            "dtype is no dtype that has products",
            got=f"dtype = {dtype!r}",
            legal="an integer, floating or complex dtype",
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
                fix=f"spec has {spec.rank} spatial axes; batch and channels go with them",
            )
    x, w = shapes.values()
    kernel = tuple(axis.kernel for axis in spec.axes)
    taken = x[layout.channel_axis]
    if (*w[: spec.rank], w[-1]) != (*kernel, taken) or taken % spec.groups:
        raise ArgumentError(
            "the shapes do not fit the geometry",
            got=f"input_shape = {x}, filters_shape = {w}, kernel {kernel}, groups {spec.groups}",
            legal=f"filters of ({', '.join(map(str, kernel))}, out / groups, in), and in a multiple of groups",
            fix="pass the shapes that spec was made for",
        )
    sizes = Sizes.of(spec, layout, dtype, x[0], layout.spatial(x), (taken, w[spec.rank] * spec.groups))
    if min(sizes.shapes["z"]) < 1:
        raise ArgumentError(
            "there is no output to compute",
            got=f"output of shape {sizes.shapes['z']} for input_shape = {x}",
            legal="an output size of at least 1 along each axis",
            fix="pass a larger input, or crop less",
        )
    return sizes


def _platform() -> str:
    """The default device's platform, by the name that programs are lowered for."""
    name = jax.default_backend()
    return "cuda" if name == "gpu" else name


def _refuse_to_measure(platform: str, here: str) -> None:
    if isinstance(jnp.zeros(()), Tracer):
        raise ArgumentError(
            "measure=True times programs, and inside jax.jit nothing runs yet",
            got="a call that JAX is tracing",
            legal="a call outside of jit, grad, vmap and other transformations",
            fix="call choose(..., measure=True) once before: 'auto' remembers it when it is traced",
        )
    if platform != here:
        raise ArgumentError(
            "measure=True times programs on the default device",
            got=f"platform = {platform!r}",
            legal=repr(here),
            fix="leave platform out, or measure out for a prediction",
        )


def _measured(name: Map, sizes: Sizes, platform: str) -> dict[str, float]:
    """The median seconds of each method. What is many times slower than the fastest is called once alone."""
    shapes, (taken, given) = sizes.shapes, OPERANDS[name]
    keys = jax.random.split(jax.random.key(0))
    operands = [jax.random.normal(key, shapes[one]).astype(sizes.dtype) for key, one in zip(keys, taken, strict=True)]
    calls = {}
    for method in _served(name, sizes):
        turn = images(name, method, sizes, platform)
        options = sizes.spec, sizes.layout, sizes.dtype, None
        compute = functools.partial(in_turns, MAPS[name][method], turn, shapes[given], given == "w")
        compiled = jax.jit(lambda a, b, compute=compute, options=options: compute(a, b, *options))
        calls[method] = _waiting(compiled.lower(*operands).compile(), operands)
    costs = {method: timing.seconds(call) for method, call in calls.items()}
    close = {method: call for method, call in calls.items() if costs[method] <= _CLOSE * min(costs.values())}
    times = timing.race(close, budget=_BUDGET)
    return costs | {method: statistics.median(each) for method, each in times.items()}


def _waiting(compiled: Callable[..., jax.Array], operands: Sequence[jax.Array]) -> Callable[[], jax.Array]:
    return lambda: compiled(*operands).block_until_ready()


_CLOSE, _BUDGET = 10, 1.0
"""A first call of this many times the fastest one's time says enough; the others are timed for these seconds."""


_HOW = {
    ("transposed_convolution", "dilated"): "one convolution over the dilated input",
    ("transposed_convolution", "polyphase"): "one dense convolution for each phase",
    ("transposed_convolution", "gemm"): "one product, whose stamps are added up",
    ("forward_convolution", "vjp"): "one strided convolution",
    ("forward_convolution", "polyphase"): "one product for each phase, added up on the pixels that it meets",
    ("forward_convolution", "gemm"): "one product of patches",
    ("kernel_gradient", "dilated"): "one convolution with the dilated input, transposed",
    ("kernel_gradient", "vjp"): "one convolution with the output for a window",
    ("kernel_gradient", "polyphase"): "one product for each phase, with the pixels that it meets",
    ("kernel_gradient", "gemm"): "one product of patches and pixels",
}
