"""Verification on this machine's device: TensorFlow's stored outputs, the definition, adjoints and gradients.

Each check compares an array with the array that it should be, and measures the largest difference in units of a
tolerance:

    whole numbers    1/2, so only equality passes
    otherwise        eps(dtype) |y|  +  m eps(sums) S

``S`` is the largest sum of absolute products and ``m`` the largest number of terms in a sum, over the array. A sum of
``m`` rounded products errs by at most ``m / 2 * eps * S``, in whatever order a platform adds them up; twice that leaves
room for complex products, made of several real ones, and for the other side's rounding. ``eps(sums)`` is float32's for
float16 and bfloat16: their sums are accumulated in float32, and rounded once, which is the first term.
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

from .._core.selection import methods_in_use
from .._geometry.layout import Layout
from .._methods import METHODS, reference
from .._methods.vjp import forward_convolution
from . import goldens
from .cases import CASES, PRECISION, SIZES

_DTYPES = ("float32", "bfloat16", "float16", "int32", "complex64", "float64")
# Some platforms cannot convolve these, and then raise one of these errors.
_OPTIONAL_DTYPES = ("int32", "complex64", "float64")
_UNSUPPORTED = (TypeError, NotImplementedError, jax.errors.JaxRuntimeError)
_GOLDENS = {stored.name: stored for stored in goldens.load()}
_CASES = {case.name: case for case in CASES + SIZES}


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing to verify. ``subject`` is the name of a golden or of a case."""

    kind: str
    subject: str
    method: str
    dtype: str

    @property
    def row(self) -> tuple[str, str, str]:
        """The row of the summary that counts this check."""
        return self.kind, self.method, self.dtype

    @property
    def call(self) -> str:
        """The call to check, as code with the operands' shapes in place of their values."""
        subject = _GOLDENS[self.subject] if self.kind == "golden" else _CASES[self.subject]
        x, w = (getattr(array, "shape", array) for array in (subject.input, subject.filters))
        arguments = "".join(f", {name}={value!r}" for name, value in subject.arguments.items())
        return f"jconvt.tensorflow.{subject.function}({self.dtype} {x}, {w}{arguments}, method={self.method!r})"

    def __str__(self) -> str:
        return f"jconvt._testing.check.perform(jconvt._testing.check.Check{dataclasses.astuple(self)})"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result of one check. ``error`` is in units of the tolerance; ``detail`` says why the check did not pass."""

    check: Check
    status: Literal["passed", "failed", "unsupported"]
    error: float
    detail: str = ""


def golden(name: str, method: str, dtype: str) -> float:
    """Return the worst error of a call against TensorFlow's output."""
    stored = _GOLDENS[name]

    def definition(x: NDArray[Any], w: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(dataclasses.replace(stored, input=x, filters=w).compute(method=reference.METHOD.name))

    found = stored.compute(method=method, precision=PRECISION)
    return _error(found, definition, stored.input, stored.filters, stored.output, stored.exact)


def result(name: str, method: str, dtype: str) -> float:
    """Return the worst error of a call against the definition."""
    case = _CASES[name]
    spec, layout = case.geometry
    x, w, _ = case.operands(dtype)
    found = _channels_last(case.compute(x, w, method), layout)
    return _error(found, functools.partial(reference.transpose, spec=spec), _channels_last(x, layout), w)


def adjoint(name: str, method: str, dtype: str) -> float:
    """Return the error of <F(z, w), x> = <z, T(x, w)> on whole numbers. F is the forward convolution."""
    case = _CASES[name]
    x, w, z = case.operands(dtype, whole=True)
    forward = forward_convolution(jnp.asarray(z), jnp.asarray(w), *case.geometry, z.dtype, PRECISION)
    left = np.vdot(np.float64(forward), np.float64(x))
    right = np.vdot(np.float64(z), np.float64(case.compute(x, w, method)))
    return float(abs(left - right) / 0.5)


def gradient(name: str, method: str, dtype: str) -> float:
    """Return the worst error of a call's gradients against the definition."""
    case = _CASES[name]
    spec, layout = case.geometry
    x, w, z = case.operands(dtype)
    in_x, in_w = jax.jit(lambda *xw, z: jax.vjp(lambda x, w: case.compute(x, w, method), *xw)[1](z))(x, w, z=z)
    x, z = _channels_last(x, layout), _channels_last(z, layout)
    return max(
        _error(_channels_last(in_x, layout), functools.partial(reference.forward, spec=spec), z, w),
        _error(in_w, functools.partial(reference.kernel_gradient, spec=spec), x, z),
    )


KINDS = {"golden": golden, "result": result, "adjoint": adjoint, "gradient": gradient}


def plan(methods: Sequence[str] | None = None, quick: bool = False) -> list[Check]:
    """Return all checks of these methods; with ``quick``, every tenth one of each kind, method and dtype."""
    methods = methods or ("auto", *methods_in_use())
    compiled = [method for method in methods if method not in METHODS or METHODS[method].traceable]
    features, names = [case.name for case in CASES], [*_CASES]
    checks = [
        *(Check("golden", stored.name, method, stored.dtype) for stored in _GOLDENS.values() for method in methods),
        *(Check("result", *each) for each in itertools.product(features, compiled, _DTYPES)),
        *(Check("result", case.name, method, "float32") for case in SIZES for method in compiled),
        *(Check("adjoint", name, method, "float32") for name in names for method in methods),
        *(Check("gradient", name, method, "float32") for name in names for method in compiled),
    ]
    counts = {check.row: itertools.count() for check in checks}
    return [check for check in checks if next(counts[check.row]) % 10 == 0] if quick else checks


def perform(check: Check) -> Outcome:
    """Make one check. An exception is a failure, unless the platform does not support an optional dtype."""
    try:
        with jax.enable_x64(True) if check.dtype == "float64" else contextlib.nullcontext():
            error = KINDS[check.kind](check.subject, check.method, check.dtype)
    except Exception as raised:
        reason = f"{type(raised).__name__}: {raised}".partition("\n")[0]
        if check.dtype in _OPTIONAL_DTYPES and isinstance(raised, _UNSUPPORTED):
            return Outcome(check, "unsupported", 0.0, reason)
        return Outcome(check, "failed", np.inf, reason)
    if error <= 1:
        return Outcome(check, "passed", error)
    return Outcome(check, "failed", error, f"off by {error:.3g} tolerances")


def summarize(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """Return a row for each kind, method and dtype: the number of checks with each status, and the worst error."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for outcome in outcomes:
        names = zip(("kind", "method", "dtype"), outcome.check.row, strict=True)
        new = dict(names) | {"passed": 0, "failed": 0, "unsupported": 0, "worst": 0.0}
        row = rows.setdefault(outcome.check.row, new)
        row[outcome.status] += 1
        row["worst"] = max(row["worst"], outcome.error)
    return [*rows.values()]


def _channels_last(array: Any, layout: Layout) -> NDArray[Any]:
    return np.moveaxis(np.asarray(array), layout.channel_axis, -1)


def _error(
    found: Any,
    definition: Callable[..., NDArray[Any]],
    a: NDArray[Any],
    b: NDArray[Any],
    expected: Any = None,
    exact: bool = False,
) -> float:
    """Return the largest error of ``found`` in tolerances, against the definition unless ``expected`` is passed."""
    expected = definition(a, b) if expected is None else expected
    found = np.asarray(found)
    if found.shape != expected.shape or found.dtype != a.dtype:
        raise ValueError(f"{found.dtype} of shape {found.shape} instead of {a.dtype} of shape {expected.shape}")
    if found.size == 0:
        return 0.0
    tolerance = 0.5
    if not (exact or jnp.issubdtype(a.dtype, jnp.integer)):
        eps = float(jnp.finfo(found.dtype).eps)
        terms, sums = (definition(*both).max() for both in ((abs(a) ** 0, abs(b) ** 0), (abs(a), abs(b))))
        tolerance = eps * abs(expected) + terms * min(eps, float(jnp.finfo("float32").eps)) * sums
    worst = (abs(found.astype(np.result_type(expected.dtype, np.float64)) - expected) / tolerance).max()
    return float(np.nan_to_num(worst, nan=np.inf))
