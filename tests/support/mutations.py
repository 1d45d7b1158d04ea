"""Methods that are wrong on purpose: what the laws and the commands must find.

A mutation calls ``compute``, a map of a method, and changes its operands or its result. ``register`` adds a mutated
method to the registry under a new name, so that JAX has no compiled program for it, and later tests keep theirs.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jconvt._geometry.maps import Map
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


def register(monkeypatch, mutation, method, map=Map.TRANSPOSE):
    """Register ``method`` with one map mutated, and return the new name. ``auto`` never chooses it.

    The gradients of a mutated transposed convolution are derived from it.
    """
    name = f"{mutation.__name__} {method}"
    compute = METHODS[method].implementation(map)
    field = {Map.TRANSPOSE: "transpose", Map.FORWARD: "forward", Map.KERNEL_GRADIENT: "kernel_gradient"}[map]
    changes = {"forward": None, "kernel_gradient": None} if map is Map.TRANSPOSE else {}
    changes |= {field: lambda *arguments: mutation(compute, *arguments)}
    monkeypatch.setitem(METHODS, name, dataclasses.replace(METHODS[method], name=name, how={}, **changes))
    return name
