"""The stage of whole models: a training step of a DCGAN generator and of a U-Net, with jconvt's layers and Flax's."""

import functools
import importlib
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jconvt._core import timing

from ..comparison import ratio
from ..tables import milliseconds
from .stage import Results, Stage, median, table

_ROUNDS, _BUDGET = 20, 3.0
_RATE = 1e-3
_TOLERANCE = 0.02
"""The largest difference of the losses, relative: TF32 keeps 11 bits."""


def _plan(quick: bool) -> Mapping[str, Callable[[], Any]]:
    try:
        importlib.import_module("flax.linen")
    except ImportError as error:
        reason = str(error)
        return {"Flax": lambda: {"detail": reason}}
    small = quick or jax.default_backend() == "cpu"
    chosen = itertools.product(("generator", "unet"), ("float32",) if quick else ("float32", "bfloat16"))
    return {f"{name}, {dtype}": functools.partial(_train, name, dtype, small) for name, dtype in chosen}


def _train(name: str, dtype: str, small: bool) -> dict[str, Any]:
    """Return the figures of one training step with each library's layers."""
    import flax.linen

    import jconvt.linen

    from . import models

    layers = {"jconvt": jconvt.linen.ConvTranspose, "flax": flax.linen.ConvTranspose}
    keys = jax.random.split(jax.random.key(0), 3)
    if name == "generator":
        batch, width = (2, 4) if small else (64, 64)
        build = functools.partial(models.Generator, width=width, dtype=jnp.dtype(dtype))
        shapes = (batch, 100), (batch, 64, 64, 3)
    else:
        batch, side, width, depth = (1, 16, 4, 2) if small else (8, 256, 32, 4)
        build = functools.partial(models.UNet, width=width, depth=depth, dtype=jnp.dtype(dtype))
        shapes = (batch, side, side, 3), (batch, side, side, 3)
    operand, target = (jax.random.normal(key, shape, dtype) for key, shape in zip(keys[:2], shapes, strict=True))
    steps, losses, figures = {}, {}, {}
    for library, layer in layers.items():
        module = build(layer)
        variables = jax.jit(module.init)(keys[2], operand)
        start = time.perf_counter()
        compiled = jax.jit(functools.partial(_step, module)).lower(variables, operand, target).compile()
        seconds = time.perf_counter() - start
        figures[library] = {"trace_and_compile_seconds": seconds, **_memory(compiled)}
        steps[library] = _blocking(compiled, variables, operand, target)
        losses[library] = [float(loss) for loss in _losses(compiled, variables, operand, target)]
    difference = max(abs(a - b) / abs(b) for a, b in zip(*losses.values(), strict=True))
    if difference > _TOLERANCE:
        return {"status": "wrong", "detail": f"losses differ by {difference:.2g}", "losses": losses}
    for library, times in timing.interleaved(steps, rounds=_ROUNDS, budget=_BUDGET).items():
        figures[library]["times"] = times
    return {"candidates": figures, "difference": difference}


def _step(module: Any, variables: Any, operand: jax.Array, target: jax.Array) -> tuple[Any, jax.Array]:
    """Return the variables after a step of gradient descent, and the loss before it."""
    rest = {name: value for name, value in variables.items() if name != "params"}

    def loss(params: Any) -> tuple[jax.Array, Any]:
        output, changed = module.apply({"params": params, **rest}, operand, mutable=list(rest))
        return jnp.mean(jnp.square(output.astype(jnp.float32) - target.astype(jnp.float32))), changed

    (value, changed), gradients = jax.value_and_grad(loss, has_aux=True)(variables["params"])
    params = jax.tree.map(lambda p, g: p - _RATE * g, variables["params"], gradients)
    return {"params": params, **changed}, value


def _losses(step: Callable[..., tuple[Any, jax.Array]], variables: Any, operand: jax.Array, target: jax.Array):
    for _ in range(3):
        variables, loss = step(variables, operand, target)
        yield loss


def _blocking(step: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    return lambda: jax.block_until_ready(step(*arguments))


def _memory(compiled: Any) -> dict[str, int]:
    """Return the bytes of a compiled program: between operands and results, and at its peak."""
    try:
        memory = compiled.memory_analysis()
        sizes = [getattr(memory, f"{part}_size_in_bytes") for part in ("temp", "argument", "output")]
    except Exception:  # some platforms have no such analysis
        return {}
    return {"temporary_bytes": sizes[0], "bytes": sum(sizes)}


def _section(results: Results) -> Sequence[str]:
    lines, rows, ratios = [], [], []
    for item, each in results.items():
        if "candidates" not in each:
            lines.append(f"- {item}: {each['detail']}")
            continue
        ours, theirs = each["candidates"]["jconvt"], each["candidates"]["flax"]
        ratios.append(f"{item} {ratio(theirs['times'], ours['times']):.2f}")
        rows.append(
            [
                item,
                *(milliseconds(median(found)) for found in (ours, theirs)),
                f"{ratio(theirs['times'], ours['times']):.2f}",
                *(f"{found['bytes'] / 1e6:,.0f}" if "bytes" in found else "-" for found in (ours, theirs)),
                *(f"{found['trace_and_compile_seconds']:.1f}" for found in (ours, theirs)),
            ]
        )
    header = ["model, dtype", *("jconvt, ms", "Flax, ms", "Flax / jconvt"), *("jconvt, MB", "Flax, MB")]
    note = (
        "float32 has JAX's default precision: TF32 on a recent GPU. MB: operands, results and temporaries of the "
        "compiled step. Seconds: to trace and compile it."
    )
    first = f"Flax's time / jconvt's: {', '.join(ratios)}." if rows else "Nothing was measured."
    return [first, "", *lines, *([note, *table([*header, "jconvt, s", "Flax, s"], rows)] if rows else [])]


STAGE = Stage("training", "Training steps: jconvt's and Flax's layers", 2, _section, _plan)
