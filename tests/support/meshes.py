"""Meshes of CPU devices with automatic or explicit axes, sharded operands, and results of the definition."""

import functools
import math

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jconvt
from jconvt._methods import reference
from tests.support import laws

DEVICES = 8
KINDS = {"automatic": AxisType.Auto, "explicit": AxisType.Explicit}
METHODS = ("auto", *(name for name in laws.TRACED if name != "auto"))
SHARDINGS = {
    "batch": (P("d"), P(), P("d"), 1),
    "height": (P(None, "d"), P(), P(None, "d"), 1),
    "height of groups": (P(None, "d"), P(), P(None, "d"), 2),
    "output": (P(), P(None, None, "d"), P(None, None, None, "d"), 1),
    "input": (P(None, None, None, "d"), P(None, None, None, "d"), P(), 1),
    "groups": (P(None, None, None, "d"), P(None, None, None, "d"), P(None, None, None, "d"), DEVICES),
}
"""The specs of x, w and z, and the number of groups."""


def mesh_of(kind, shape=(DEVICES,), names=("d",)):
    devices = jax.devices("cpu")
    if len(devices) < math.prod(shape):
        pytest.skip(f"needs {math.prod(shape)} CPU devices: set JAX_NUM_CPU_DEVICES")
    types = (KINDS[kind],) * len(shape)
    return jax.make_mesh(shape, names, axis_types=types, devices=devices[: math.prod(shape)])


def integers(*shape):
    """Integers in float64, so that sums in any order are equal."""
    return np.random.default_rng(len(repr(shape))).integers(-9, 10, shape).astype(np.float64)


def put(mesh, operands, specs):
    return [jax.device_put(a, NamedSharding(mesh, spec)) for a, spec in zip(operands, specs, strict=True)]


def maps(method, **arguments):
    """T, F and G as functions of ``x``, ``w`` and ``z``."""
    compute = functools.partial(jconvt.conv_transpose, method=method, **arguments)
    return {
        "T": lambda x, w, z: compute(x, w),
        "F": lambda x, w, z: jax.vjp(lambda x: compute(x, w), x)[1](z)[0],
        "G": lambda x, w, z: jax.vjp(lambda w: compute(x, w), w)[1](z)[0],
    }


def definition(x, w, z, spec):
    """The results of T, F and G by the definition."""
    return reference.transpose(x, w, spec), reference.forward(z, w, spec), reference.kernel_gradient(x, z, spec)


def squares_gradients(x, w, **arguments):
    """The gradients in ``x`` and ``w`` of the sum of the squared outputs, by the definition."""
    spec = jconvt.Spec.from_tensorflow(x.shape, w.shape, **arguments)
    z = 2 * reference.transpose(x, w, spec)
    return reference.forward(z, w, spec), reference.kernel_gradient(x, z, spec)


def lowered(mesh, function, operands, specs, out_specs):
    """``function`` lowered for operands with these specs. Explicit axes shard the result without ``out_specs``."""
    abstract = [
        jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=NamedSharding(mesh, spec))
        for a, spec in zip(operands, specs, strict=True)
    ]
    shardings = jax.tree.map(lambda spec: NamedSharding(mesh, spec), out_specs)
    options = {} if mesh.explicit_axes else {"out_shardings": shardings}
    with jax.set_mesh(mesh):
        return jax.jit(function, **options).lower(*abstract)
