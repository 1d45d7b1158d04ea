"""Verification on the device at hand: TensorFlow's stored answers, the definition, adjoints and gradients.

Each check compares an array with what it ought to be, and measures the largest difference in units of a tolerance:

    whole numbers    1/2, so nothing but equality passes
    otherwise        eps(dtype) |y|  +  m eps(sums) S

``S`` is the largest sum of absolute products and ``m`` the largest number of terms in a sum, over the array. A sum of
``m`` rounded products errs by at most ``m / 2 * eps * S``, in whatever order a platform adds them up; twice that leaves
room for complex products, made of several real ones, and for the other side's rounding. ``eps(sums)`` is float32's for
float16 and bfloat16: their sums are held in float32, and rounded once, which is the first term.
"""

import contextlib
import dataclasses
import functools
import itertools
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from . import goldens, tensorflow
from .algorithms import METHODS, reference
from .algorithms.vjp import forward_convolution
from .conventions import tensorflow as convention
from .layout import Layout
from .spec import Spec

# TPUs multiply float32 in bfloat16 unless told otherwise.
_PRECISION = "highest"
_DTYPES = ("float32", "bfloat16", "float16", "int32", "complex64", "float64")
# What not every platform can convolve, and how that shows.
_OPTIONAL_DTYPES = ("int32", "complex64", "float64")
_REFUSALS = (TypeError, NotImplementedError, jax.errors.JaxRuntimeError)


@dataclasses.dataclass(frozen=True)
class Case:
    """A call of ``conv_transpose``, without its operands' values."""

    name: str
    input: tuple[int, ...]
    filters: tuple[int, ...]
    arguments: dict[str, Any]

    @property
    def geometry(self) -> tuple[Spec, Layout]:
        resolved = convention.resolve(self.input, self.filters, **self.arguments)
        return Spec(resolved.axes, resolved.groups), resolved.layout

    def operands(self, dtype: str, whole: bool = False) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Input, filters and an array of the output's shape: drawn, and the same each time."""
        spec, layout = self.geometry
        sizes = spec.output_sizes(layout.spatial(self.input))
        output = layout.shape(self.input[0], sizes, self.filters[-2] * spec.groups)
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))

        def draw(shape: tuple[int, ...]) -> NDArray[Any]:
            if whole or jnp.issubdtype(dtype, jnp.integer):
                return rng.integers(-9, 10, shape).astype(dtype)
            values = rng.standard_normal(shape)
            if jnp.issubdtype(dtype, jnp.complexfloating):
                values = values + 1j * rng.standard_normal(shape)
            return values.astype(jnp.dtype(dtype))

        return draw(self.input), draw(self.filters), draw(output)

    def compute(self, x: Any, w: Any, method: str) -> jax.Array:
        return tensorflow.conv_transpose(x, w, **self.arguments, method=method, precision=_PRECISION)

    def __str__(self) -> str:
        arguments = "".join(f", {name}={value!r}" for name, value in self.arguments.items())
        return f"conv_transpose(<input {self.input}>, <filters {self.filters}>{arguments})"


_ALL_SIZES = [
    *((f"1d-same-{n}", (1, 3, 2), (4, 3, 2), dict(output_shape=[n], strides=3)) for n in (7, 8, 9)),
    *(
        (f"1d-valid-{n}", (1, 3, 2), (4, 3, 2), dict(output_shape=[n], strides=3, padding="VALID"))
        for n in (10, 11, 12)
    ),
    *((f"1d-gaps-{n}", (1, 3, 2), (2, 3, 2), dict(output_shape=[n], strides=3)) for n in (7, 8, 9)),
    *((f"1d-pads-{n}", (1, 3, 2), (5, 3, 2), dict(output_shape=[n], strides=2, padding=[(2, 1)])) for n in (6, 7)),
    *(
        (f"2d-valid-{m}-{n}", (1, 2, 3, 2), (3, 2, 2, 2), dict(output_shape=[m, n], strides=2, padding="VALID"))
        for m, n in itertools.product((5, 6), (6, 7))
    ),
]
CASES = [
    Case(*case)
    for case in [
        ("1d", (2, 5, 3), (3, 2, 3), dict(strides=2)),
        ("1d-one-pixel", (2, 1, 3), (7, 2, 3), dict(strides=2)),
        ("1d-channels-first", (2, 3, 4), (4, 2, 3), dict(strides=2, data_format="NCW", padding="VALID")),
        ("1d-dilated", (1, 4, 2), (3, 3, 2), dict(strides=2, dilations=3)),
        *_ALL_SIZES,
        ("2d", (2, 3, 4, 3), (3, 3, 2, 3), dict(strides=2)),
        ("2d-stride-1", (1, 4, 3, 2), (3, 2, 3, 2), dict()),
        ("2d-even", (1, 3, 3, 4), (4, 4, 2, 4), dict(strides=2)),
        ("2d-gaps", (1, 3, 2, 2), (2, 1, 3, 2), dict(strides=(3, 4))),
        ("2d-unequal", (1, 3, 4, 2), (2, 5, 3, 2), dict(strides=(3, 1), padding="VALID")),
        ("2d-explicit", (1, 4, 3, 2), (4, 3, 3, 2), dict(strides=2, padding=[(1, 2), (0, 1)])),
        ("2d-output-padding", (1, 3, 3, 2), (3, 3, 3, 2), dict(strides=2, output_padding=1)),
        ("2d-dilated", (1, 3, 3, 2), (3, 2, 3, 2), dict(strides=2, dilations=(2, 3))),
        ("2d-groups", (1, 3, 3, 4), (3, 3, 3, 4), dict(strides=2, groups=2)),
        ("2d-depthwise", (2, 3, 3, 4), (4, 4, 1, 4), dict(strides=2, groups=4)),
        ("2d-channels-first", (1, 3, 4, 3), (3, 2, 2, 3), dict(strides=2, data_format="NCHW")),
        (
            "2d-everything",
            (2, 4, 3, 2),
            (3, 2, 2, 4),
            dict(strides=(2, 3), dilations=(2, 1), groups=2, padding=[(1, 0), (0, 1)], data_format="NCHW"),
        ),
        ("3d", (1, 2, 3, 2, 2), (3, 2, 3, 2, 2), dict(strides=2)),
        ("3d-valid", (1, 2, 2, 3, 2), (2, 3, 4, 3, 2), dict(strides=(3, 1, 2), padding="VALID")),
        (
            "3d-groups",
            (1, 4, 2, 2, 2),
            (3, 2, 2, 1, 4),
            dict(strides=(2, 1, 2), dilations=(1, 2, 1), groups=4, data_format="NCDHW"),
        ),
    ]
]


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing to verify. As text, it is the expression that does so and gives the worst error in tolerances."""

    kind: str
    subject: str
    method: str
    dtype: str

    def __str__(self) -> str:
        return f"jconvt.check.{self.kind}({self.subject!r}, {self.method!r}, {self.dtype!r})"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a check came to. ``error`` is in units of the tolerance; ``detail`` says what went wrong, if anything."""

    check: Check
    status: Literal["passed", "failed", "unsupported"]
    error: float
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class Row:
    """The checks of one kind, method and dtype, counted."""

    kind: str
    method: str
    dtype: str
    run: int
    passed: int
    failed: int
    unsupported: int
    worst: float


def golden(name: str, method: str, dtype: str) -> float:
    """The worst error of a call against what TensorFlow answered."""
    stored = next(stored for stored in goldens.load() if stored.name == name)

    def definition(x: NDArray[Any], w: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(dataclasses.replace(stored, input=x, filters=w).compute(method="reference"))

    found = stored.compute(method=method, precision=_PRECISION)
    return _units(found, stored.output, definition, stored.input, stored.filters, stored.exact)


def result(name: str, method: str, dtype: str) -> float:
    """The worst error of a call against the definition."""
    case = _case(name)
    spec, layout = case.geometry
    x, w, _ = case.operands(dtype)
    found = _channels_last(case.compute(x, w, method), layout)
    return _compare(found, functools.partial(reference.transpose, spec=spec), _channels_last(x, layout), w)


def adjoint(name: str, method: str, dtype: str) -> float:
    """The error of <F(z, w), x> = <z, T(x, w)>, with F the forward convolution, on whole numbers."""
    case = _case(name)
    x, w, z = case.operands(dtype, whole=True)
    forward = forward_convolution(jnp.asarray(z), jnp.asarray(w), *case.geometry, _PRECISION)
    left = np.vdot(np.float64(forward), np.float64(x))
    right = np.vdot(np.float64(z), np.float64(case.compute(x, w, method)))
    return float(abs(left - right) / 0.5)


def gradient(name: str, method: str, dtype: str) -> float:
    """The worst error of the gradients of a call in its input and its filters against the definition."""
    case = _case(name)
    spec, layout = case.geometry
    x, w, z = case.operands(dtype)
    _, pull = jax.vjp(lambda x, w: case.compute(x, w, method), jnp.asarray(x), jnp.asarray(w))
    in_x, in_w = pull(jnp.asarray(z))
    x, z = _channels_last(x, layout), _channels_last(z, layout)
    return max(
        _compare(_channels_last(in_x, layout), functools.partial(reference.forward, spec=spec), z, w),
        _compare(in_w, functools.partial(reference.kernel_gradient, spec=spec), x, z),
    )


KINDS = {"golden": golden, "result": result, "adjoint": adjoint, "gradient": gradient}


def plan(methods: Sequence[str] | None = None, quick: bool = False) -> list[Check]:
    """All checks of these methods, or of every method; with ``quick``, each tenth of a kind, method and dtype."""
    methods = methods or ("auto", *METHODS)
    differentiable = [method for method in methods if method != "reference"]
    names = [case.name for case in CASES]
    parts = [
        [Check("golden", stored.name, method, stored.dtype) for stored in goldens.load() for method in methods],
        [Check("result", *each) for each in itertools.product(names, differentiable, _DTYPES)],
        [Check("adjoint", *each) for each in itertools.product(names, methods, ["float32"])],
        [Check("gradient", *each) for each in itertools.product(names, differentiable, ["float32"])],
    ]
    counts: dict[tuple[str, ...], int] = {}
    checks = []
    for check in itertools.chain(*parts):
        seen = counts[_row(check)] = counts.get(_row(check), -1) + 1
        if not quick or seen % 10 == 0:
            checks.append(check)
    return checks


def perform(check: Check) -> Outcome:
    """Does one check. What raises is a failure, unless it shows that the platform lacks an optional dtype."""
    wide = jax.enable_x64(True) if check.dtype == "float64" else contextlib.nullcontext()
    try:
        with wide:
            error = KINDS[check.kind](check.subject, check.method, check.dtype)
    except Exception as raised:
        lacking = check.dtype in _OPTIONAL_DTYPES and isinstance(raised, _REFUSALS)
        reason = f"{type(raised).__name__}: {raised}".partition("\n")[0]
        return Outcome(check, "unsupported" if lacking else "failed", 0.0 if lacking else np.inf, reason)
    if error <= 1:
        return Outcome(check, "passed", error)
    return Outcome(check, "failed", error, f"off by {error:.3g} tolerances")


def summarize(outcomes: Iterable[Outcome]) -> list[Row]:
    """The outcomes counted by kind, method and dtype, in the order in which these came first."""
    rows: dict[tuple[str, ...], list[Outcome]] = {}
    for outcome in outcomes:
        rows.setdefault(_row(outcome.check), []).append(outcome)
    summary = []
    for (kind, method, dtype), group in rows.items():
        passed, failed, unsupported = (
            sum(outcome.status == status for outcome in group) for status in ("passed", "failed", "unsupported")
        )
        worst = max(outcome.error for outcome in group)
        summary.append(Row(kind, method, dtype, passed + failed, passed, failed, unsupported, worst))
    return summary


def _row(check: Check) -> tuple[str, ...]:
    return check.kind, check.method, check.dtype


def _case(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


def _channels_last(array: Any, layout: Layout) -> NDArray[Any]:
    return np.moveaxis(np.asarray(array), layout.channel_axis, -1)


Product = Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]


def _compare(found: Any, definition: Product, a: NDArray[Any], b: NDArray[Any]) -> float:
    """The largest error of ``found`` against the definition, in tolerances."""
    return _units(found, definition(a, b), definition, a, b, jnp.issubdtype(a.dtype, jnp.integer))


def _units(found: Any, wanted: Any, definition: Product, a: NDArray[Any], b: NDArray[Any], exact: bool) -> float:
    """The largest difference of two arrays, in the tolerance for what the definition makes of ``a`` and ``b``."""
    found = np.asarray(found)
    if found.shape != wanted.shape or found.dtype != a.dtype:
        raise ValueError(f"{found.dtype} of shape {found.shape} instead of {a.dtype} of shape {wanted.shape}")
    if found.size == 0:
        return 0.0
    tolerance = 0.5
    if not exact:
        eps = float(jnp.finfo(found.dtype).eps)
        terms, sums = definition(np.ones_like(a), np.ones_like(b)).real.max(), definition(abs(a), abs(b)).max()
        tolerance = eps * abs(wanted) + terms * min(eps, float(jnp.finfo("float32").eps)) * sums
    worst = (abs(found.astype(np.result_type(wanted.dtype, np.float64)) - wanted) / tolerance).max()
    return float(np.nan_to_num(worst, nan=np.inf))
