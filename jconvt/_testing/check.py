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
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from .._geometry.layout import Layout
from .._methods import METHODS, reference
from .._methods.vjp import forward_convolution
from . import goldens
from .cases import CASES, PRECISION, SIZES, Case

_DTYPES = ("float32", "bfloat16", "float16", "int32", "complex64", "float64")
# What not every platform can convolve, and how that shows.
_OPTIONAL_DTYPES = ("int32", "complex64", "float64")
_REFUSALS = (TypeError, NotImplementedError, jax.errors.JaxRuntimeError)


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing to verify. ``subject`` names a golden or a case."""

    kind: str
    subject: str
    method: str
    dtype: str

    @property
    def call(self) -> str:
        """The call that is checked, with the shapes of its operands in their place."""
        if self.kind == "golden":
            stored = _goldens()[self.subject]
            return _call(stored.function, stored.input.shape, stored.filters.shape, stored.arguments, self)
        case = _case(self.subject)
        return _call("conv_transpose", case.input, case.filters, case.arguments, self)

    def __str__(self) -> str:
        return f"jconvt._testing.check.perform(jconvt._testing.check.Check{dataclasses.astuple(self)})"


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
    passed: int
    failed: int
    unsupported: int
    worst: float


def golden(name: str, method: str, dtype: str) -> float:
    """The worst error of a call against what TensorFlow answered."""
    stored = _goldens()[name]

    def definition(x: NDArray[Any], w: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(dataclasses.replace(stored, input=x, filters=w).compute(method="reference"))

    found = stored.compute(method=method, precision=PRECISION)
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
    forward = forward_convolution(jnp.asarray(z), jnp.asarray(w), *case.geometry, z.dtype, PRECISION)
    left = np.vdot(np.float64(forward), np.float64(x))
    right = np.vdot(np.float64(z), np.float64(case.compute(x, w, method)))
    return float(abs(left - right) / 0.5)


def gradient(name: str, method: str, dtype: str) -> float:
    """The worst error of the gradients of a call in its input and its filters against the definition."""
    case = _case(name)
    spec, layout = case.geometry
    x, w, z = case.operands(dtype)

    @jax.jit
    def gradients(x: jax.Array, w: jax.Array, z: jax.Array) -> Any:
        return jax.vjp(lambda x, w: case.compute(x, w, method), x, w)[1](z)

    in_x, in_w = gradients(x, w, z)
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
    features, sizes = [case.name for case in CASES], [case.name for case in SIZES]
    parts = [
        [Check("golden", stored.name, method, stored.dtype) for stored in _goldens().values() for method in methods],
        [Check("result", *each) for each in itertools.product(features, differentiable, _DTYPES)],
        [Check("result", *each) for each in itertools.product(sizes, differentiable, ["float32"])],
        [Check("adjoint", *each) for each in itertools.product(features + sizes, methods, ["float32"])],
        [Check("gradient", *each) for each in itertools.product(features + sizes, differentiable, ["float32"])],
    ]
    checks = list(itertools.chain(*parts))
    if quick:
        rows = {_row(check): itertools.count() for check in checks}
        checks = [check for check in checks if next(rows[_row(check)]) % 10 == 0]
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
    rows: dict[tuple[str, str, str], list[Outcome]] = {}
    for outcome in outcomes:
        rows.setdefault(_row(outcome.check), []).append(outcome)
    summary = []
    for row, group in rows.items():
        statuses = [outcome.status for outcome in group]
        passed, failed, unsupported = map(statuses.count, ("passed", "failed", "unsupported"))
        summary.append(Row(*row, passed, failed, unsupported, worst=max(outcome.error for outcome in group)))
    return summary


def _row(check: Check) -> tuple[str, str, str]:
    return check.kind, check.method, check.dtype


@functools.cache
def _goldens() -> dict[str, goldens.Golden]:
    return {stored.name: stored for stored in goldens.load()}


def _case(name: str) -> Case:
    return next(case for case in CASES + SIZES if case.name == name)


def _call(function: str, input: Any, filters: Any, arguments: dict[str, Any], check: Check) -> str:
    given = "".join(f", {name}={value!r}" for name, value in arguments.items())
    return f"jconvt.tensorflow.{function}({check.dtype} {input}, {filters}{given}, method={check.method!r})"


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
        terms, sums = (definition(*both).max() for both in ((abs(a) ** 0, abs(b) ** 0), (abs(a), abs(b))))
        tolerance = eps * abs(wanted) + terms * min(eps, float(jnp.finfo("float32").eps)) * sums
    worst = (abs(found.astype(np.result_type(wanted.dtype, np.float64)) - wanted) / tolerance).max()
    return float(np.nan_to_num(worst, nan=np.inf))
