"""Checking a loaded model: its output is compared with that of the original model."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...errors import ArgumentError, ArgumentTypeError
from .._errors import listed
from ..report import Report

Arrays = Mapping[str, Mapping[str, np.ndarray]]
Check = tuple[Any, Any] | None
"""Inputs of the model, as one array or a tuple of its arguments, and the output of the original model for them."""

_UNSTORED = (
    "strides, paddings and activations, which a file may not have; the order of axes of the input and the output"
)


def checked(report: Report, call: Callable[..., Any], check: Check, tolerance: float | None, fitted: Arrays) -> Report:
    """Return the report with the largest difference of the outputs, relative to the largest number of the original.

    Args:
      call: the loaded model, in evaluation mode; ``fitted`` are its parameters.
      tolerance: the largest difference that is accepted; by default the square root of the machine epsilon of the
        coarsest dtype in the parameters and the outputs: 3e-4 for float32.

    Raises:
      ArgumentError: the outputs differ in shape or by more than the tolerance, or the reference has only zeros or NaN.
      ArgumentTypeError: ``check`` is not a pair, or ``tolerance`` not a number.
    """
    if not isinstance(check, tuple) or len(check) != 2:
        got, legal = f"check of type {type(check).__name__}", "a pair"
        fix = "pass check=(inputs, output), with a tuple for several inputs"
        raise ArgumentTypeError("check is not a pair of inputs and an output", got=got, legal=legal, fix=fix)
    if tolerance is not None and not (isinstance(tolerance, int | float) and tolerance >= 0):
        got, fix = f"tolerance = {tolerance!r}", "leave it out for the rounding of the dtypes"
        raise ArgumentTypeError("tolerance must be a number", got=got, legal="0 or more", fix=fix)
    inputs, output = check
    with jax.default_matmul_precision("highest"):
        found = call(*inputs) if isinstance(inputs, tuple) else call(inputs)
    ours, wanted = ([np.asarray(leaf) for leaf in jax.tree.leaves(each)] for each in (found, output))
    shapes, legal = ([each.shape for each in side] for side in (ours, wanted))
    if shapes != legal:
        fix = f"pass the output as the model has it, with channels first or last; look at {_UNSTORED}"
        problem = "the loaded model's output has another shape than the reference output"
        raise ArgumentError(problem, got=listed(map(str, shapes)), legal=listed(map(str, legal)), fix=fix)
    if not any((np.isfinite(each) & (each != 0)).any() for each in wanted):
        got = f"no finite number but 0, in shapes {listed(map(str, legal))}"
        problem, legal = "the reference output says nothing", "an output that depends on the weights"
        fix = "pass other inputs, and the original model's output for them"
        raise ArgumentError(problem, got=got, legal=legal, fix=fix)
    if tolerance is None:
        parameters = [array for arrays in fitted.values() for array in arrays.values()]
        tolerance = max(precision(each.dtype) for each in (*parameters, *ours, *wanted))
    difference = max(map(difference_of, ours, wanted), default=0.0)
    if not difference <= tolerance:
        suspects = [f"the pair {row.source!r}, {row.target!r} by order" for row in report.guesses]
        fix = f"look at {listed([*suspects, *report.notes, _UNSTORED])}"
        got = f"a largest difference of {difference:.3g} of the largest number in the reference output"
        problem = "the loaded model does not give the reference output"
        raise ArgumentError(problem, got=got, legal=f"{tolerance:.3g} or less", fix=fix)
    return dataclasses.replace(report, difference=difference)


def precision(dtype: Any) -> float:
    """Return the relative difference that counts as rounding: the square root of the machine epsilon."""
    return float(jnp.finfo(dtype).eps) ** 0.5 if jnp.issubdtype(dtype, jnp.inexact) else 0.0


def difference_of(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return the largest difference, relative to the largest number wanted. It is infinite for other NaNs."""
    if not wanted.size:
        return 0.0
    dtype = np.complex128 if np.iscomplexobj(wanted) or np.iscomplexobj(found) else np.float64
    found, wanted = found.astype(dtype), wanted.astype(dtype)
    differing = ~((found == wanted) | (np.isnan(found) & np.isnan(wanted)))
    if not differing.any():
        return 0.0
    largest = np.abs(found - wanted)[differing].max()
    scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)
    return float(largest / scale) if np.isfinite(largest) and scale else np.inf
