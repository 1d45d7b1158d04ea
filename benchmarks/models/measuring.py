"""One network in a process of its own: plain JAX, under ``jconvt.accelerate``, and PyTorch."""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jconvt
from jconvt._accelerate import LoweredConvolution
from jconvt._core import timing

from . import NETWORKS, Entry
from .network import Network, normal

PROGRAMS = ("inference", "training")
_TOLERANCE, _SMALLEST_TOLERANCES = 10, {"inference": 1e-4, "training": 0.03}
"""The largest difference between the results of plain JAX and under ``accelerate``: in multiples of the one that JAX's
own have if the last digits of the batch change. A gradient also jumps where an activation's sign changes."""
_CHANGES = 3
_RATE, _CHECKED_RATE = 1e-3, 2.0**30
"""Of the step of gradient descent. The parameters after a step at the second one are the gradients."""
_LEAST_UNIT = 1e-3
_ROUNDS, _BUDGET = (30, 4.0)
_QUICK_ROUNDS, _QUICK_BUDGET = (2, 0.1)


def measure(name: str, quick: bool) -> dict[str, dict[str, Any]]:
    """Return the figures of each program of a network."""
    entry = NETWORKS[name]
    network = entry.build(quick)
    try:
        built, reason = _torch(entry, quick)
    except Exception as error:
        built, reason = {}, f"{type(error).__name__}: {error}".partition("\n")[0]
    return {program: _measure(network, program, built, quick) | {"without_torch": reason} for program in PROGRAMS}


def _torch(entry: Entry, quick: bool) -> tuple[dict[str, Any], str]:
    """Return PyTorch's networks by contender, or the reason why there are none."""
    from . import torch

    built = {name: entry.torch(quick) for name in torch.LAYOUTS}
    return (built, "") if all(built.values()) else ({}, "PyTorch has no network of these layers")


def convolutions(name: str, quick: bool) -> list[LoweredConvolution]:
    """Return the convolutions of a network's programs, as ``accelerate`` reports them. None is computed."""
    network = NETWORKS[name].build(quick)
    with jconvt.accelerate():
        for program in PROGRAMS:
            jax.jit(getattr(network, program)).lower(*_operands(network, program, _RATE))
    return [*jconvt.accelerate.report()]


def _measure(network: Network, program: str, built: dict[str, Any], quick: bool) -> dict[str, Any]:
    function, operands = getattr(network, program), _operands(network, program, _RATE)
    jax.eval_shape(function, *operands)  # what the libraries do only once is not part of tracing
    compiled, contenders, before = {}, {}, len(jconvt.accelerate.report())
    for contender, on in (("plain", False), ("accelerated", True)):
        jax.clear_caches()
        with jconvt.accelerate(on):
            start = time.perf_counter()
            traced = jax.jit(function).trace(*operands)
            middle = time.perf_counter()
            compiled[contender] = traced.lower().compile()
            end = time.perf_counter()
        contenders[contender] = {"trace_seconds": middle - start, "compile_seconds": end - middle}
    found = jconvt.accelerate.report()[before:]
    checked = _operands(network, program, _CHECKED_RATE)
    expected = compiled["plain"](*checked)
    difference = _largest_difference(expected, compiled["accelerated"](*checked))
    rounding = 0.0
    for seed in range(_CHANGES):
        checked[2] = network.batch * (1 + 1e-6 * normal(seed, *network.batch.shape))
        rounding = max(rounding, _largest_difference(expected, compiled["plain"](*checked)))
    result = {
        "convolutions": sum(each.times for each in found),
        "replaced": sum(each.times for each in found if each.method is not None),
        "difference": difference,
        "rounding": rounding,
        "contenders": contenders,
    }
    if not difference <= max(_TOLERANCE * rounding, _SMALLEST_TOLERANCES[program]):  # NaN, too
        detail = f"results differ by {difference:.2g}, and by {rounding:.2g} if the batch's last digits change"
        return result | {"status": "wrong", "detail": detail}
    calls: dict[str, Callable[[], Any]] = {
        name: timing.Enqueued(functools.partial(each, *operands), jax.block_until_ready)
        for name, each in compiled.items()
    }
    for name, each in built.items():
        from . import torch

        calls[name] = torch.call(each, program, _RATE, name)
    rounds, budget = (_QUICK_ROUNDS, _QUICK_BUDGET) if quick else (_ROUNDS, _BUDGET)
    for name, times in timing.interleaved(calls, rounds=rounds, budget=budget).items():
        contenders.setdefault(name, {})["times"] = [*times]
    return result | {"status": "timed"}


def _operands(network: Network, program: str, rate: float) -> list[Any]:
    operands = [network.parameters, network.state, network.batch]
    return operands if program == "inference" else [*operands, network.target, np.float32(rate)]


def _largest_difference(expected: Any, found: Any) -> float:
    """Return the largest difference in the outputs, or in the loss, the gradients and the state."""
    parts = zip(expected, found, strict=True) if isinstance(expected, tuple) else [(expected, found)]
    return float(np.max([_difference(*pair) for pair in parts]))


def _difference(expected: Any, found: Any) -> float:
    """Return the largest norm of a difference of two arrays of these pytrees, in the norm of the expected array.

    Or in a thousandth of the largest norm of all arrays, if this is more: the gradient of a bias before a batch
    normalization is nothing but rounding errors.
    """
    pairs = [
        (np.asarray(one, np.float64), np.asarray(other, np.float64))
        for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True)
        if jnp.issubdtype(one.dtype, np.floating)
    ]
    norms = [float(np.linalg.norm(one)) for one, _ in pairs]
    units = [max(norm, _LEAST_UNIT * max(norms)) or 1.0 for norm in norms]
    differences = [float(np.linalg.norm(one - other)) / unit for (one, other), unit in zip(pairs, units, strict=True)]
    return float(np.max(differences, initial=0.0))
