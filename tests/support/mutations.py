"""Methods that are wrong on purpose: what the laws and the commands must find.

A mutation computes by ``compute``, a method's map, on operands or to a result that it changes. ``register`` puts a
mutated method into the registry under a name of its own, so that JAX has no compiled program for it.
"""

import jax
import jax.numpy as jnp

from jconvt._methods import METHODS


def flipped(compute, x, w, spec, *rest):
    """The kernel flipped along every axis."""
    return compute(x, jnp.flip(w, range(spec.rank)), spec, *rest)


def shifted(compute, x, w, spec, layout, *rest):
    """The output moved by one pixel along the last spatial axis."""
    return jnp.roll(compute(x, w, spec, layout, *rest), 1, layout.spatial_axes[-1])


def rounded(compute, x, w, *rest):
    """Operands rounded to bfloat16, as a TPU rounds float32 at its default precision."""
    x, w = (jax.lax.reduce_precision(array, exponent_bits=8, mantissa_bits=7) for array in (x, w))
    return compute(x, w, *rest)


def doubled(compute, *arguments):
    """Twice the result."""
    return 2 * compute(*arguments)


def register(monkeypatch, mutation, method):
    """Register ``method`` with its transposed convolution mutated, and return the new name."""
    name = f"{mutation.__name__} {method}"
    compute = METHODS[method]
    monkeypatch.setitem(METHODS, name, lambda *arguments: mutation(compute, *arguments))
    return name
