"""Meshes of CPU devices, of both kinds, and arrays and programs that are laid out on them."""

import functools
import itertools
import math

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jconvt

DEVICES = 8
KINDS = {"automatic": AxisType.Auto, "explicit": AxisType.Explicit}
METHODS = ("auto", "dilated", "vjp", "polyphase", "gemm")
# Of the input, the filters and the output, and how many groups there are.
SPLITS = {
    "batch": (P("d"), P(), P("d"), 1),
    "height": (P(None, "d"), P(), P(None, "d"), 1),
    "height of groups": (P(None, "d"), P(), P(None, "d"), 2),
    "output": (P(), P(None, None, "d"), P(None, None, None, "d"), 1),
    "input": (P(None, None, None, "d"), P(None, None, None, "d"), P(), 1),
    "groups": (P(None, None, None, "d"), P(None, None, None, "d"), P(None, None, None, "d"), DEVICES),
}


def mesh_of(kind, shape=(DEVICES,), names=("d",)):
    devices = jax.devices("cpu")
    if len(devices) < math.prod(shape):
        pytest.skip(f"{math.prod(shape)} CPU devices are needed: JAX_NUM_CPU_DEVICES says how many there are")
    types = (KINDS[kind],) * len(shape)
    return jax.make_mesh(shape, names, axis_types=types, devices=devices[: math.prod(shape)])


def whole_numbers(*shape):
    return np.random.default_rng(len(repr(shape))).integers(-9, 10, shape).astype(np.float64)


def maps(method, **arguments):
    """The transposed convolution and its two gradients, each a function of ``x``, ``w`` and ``z``."""
    compute = functools.partial(jconvt.conv_transpose, method=method, **arguments)
    return {
        "T": lambda x, w, z: compute(x, w),
        "F": lambda x, w, z: jax.vjp(lambda x: compute(x, w), x)[1](z)[0],
        "G": lambda x, w, z: jax.vjp(lambda w: compute(x, w), w)[1](z)[0],
    }


def compiled(kind, mesh, function, operands, laid, result):
    """A program for operands laid out on a mesh, which has its result laid out, too."""
    structs = [
        jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=NamedSharding(mesh, spec))
        for a, spec in zip(operands, laid, strict=True)
    ]
    asked = {"out_shardings": NamedSharding(mesh, result)} if kind == "automatic" else {}
    with jax.set_mesh(mesh):
        return program(function, structs, **asked)


_PROGRAMS = {}
"""By what was lowered: several methods are often lowered to one program, and compiling is slow."""


def program(function, operands, **options):
    """``function`` compiled for operands of these shapes, laid out as these are."""
    traced = jax.jit(function, **options).trace(*operands)
    lowered, jaxpr = traced.lower(), traced.jaxpr.jaxpr
    # What the text does not tell: which operands were dropped, as nothing uses them, and where all of it lies.
    used = {*map(id, itertools.chain(*(equation.invars for equation in jaxpr.eqns), jaxpr.outvars))}
    laid = [getattr(a, "sharding", None) for a in operands]
    key = lowered.as_text(), *(id(v) in used for v in jaxpr.invars), *laid, jax.sharding.get_mesh(), *options.values()
    if key not in _PROGRAMS:
        _PROGRAMS[key] = lowered.compile()
    return _PROGRAMS[key]


def placed(mesh, operands, laid):
    return [jax.device_put(a, NamedSharding(mesh, spec)) for a, spec in zip(operands, laid, strict=True)]
