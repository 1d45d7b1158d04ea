"""Sharded operands under transformations, in several precisions, and the shardings that are not supported."""

import functools
import itertools

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jconvt
from jconvt._methods import reference
from tests.support.collectives import collectives
from tests.support.meshes import KINDS, METHODS, integers, mesh_of, put, squares_gradients

up = functools.partial(jconvt.conv2d_transpose, strides=2)


def squares(x, w, **options):
    return (up(x, w, **options) ** 2).sum()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("x_spec", "w_spec"),
    [
        (P("a", "b"), P()),
        (P("b", None, "a"), P()),
        (P(None, ("a", "b")), P()),
        (P(None, "a", "b"), P()),
        (P("a", None, None, "b"), P()),
        (P("a"), P(None, None, "a")),  # the filters are gathered
    ],
)
def test_sharding__over_two_mesh_axes(kind, x_spec, w_spec):
    mesh = mesh_of(kind, (4, 2), ("a", "b"))
    x, w = integers(4, 8, 8, 2), integers(3, 4, 4, 2)
    with jax.set_mesh(mesh):
        placed = put(mesh, (x, w), (x_spec, w_spec))
        found = jax.jit(jax.grad(squares, (0, 1)))(*placed)
    jax.tree.map(np.testing.assert_array_equal, found, squares_gradients(x, w, strides=2))
    if kind == "explicit":
        assert all(a.sharding.is_equivalent_to(b.sharding, 4) for a, b in zip(found, placed, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_vmap__over_a_sharded_axis(kind):
    mesh = mesh_of(kind)
    x, w = integers(8, 2, 4, 4, 2), integers(8, 3, 3, 3, 2)
    one_x, one_w = integers(2, 4, 4, 2), integers(3, 3, 3, 2)
    gradients = jax.grad(squares, (0, 1))
    calls = {
        "input": (jax.vmap(up, (0, None)), (x, one_w)),
        "filters": (jax.vmap(up, (None, 0)), (one_x, w)),
        "both": (jax.vmap(up), (x, w)),
        "gradient of vmap": (jax.grad(lambda x, w: (jax.vmap(up)(x, w) ** 2).sum(), (0, 1)), (x, w)),
        "vmap of gradient": (jax.vmap(gradients), (x, w)),
        "per-example gradient": (jax.vmap(jax.grad(squares, 1), (0, None)), (x, one_w)),
    }

    @jax.jit
    def found(all_operands):
        return {name: call(*all_operands[name]) for name, (call, _) in calls.items()}

    with jax.set_mesh(mesh):
        y = found(
            {
                name: put(mesh, operands, [P("d") if a.ndim == 5 else P() for a in operands])
                for name, (_, operands) in calls.items()
            }
        )
    spec = jconvt.Spec.from_tensorflow(one_x.shape, one_w.shape, strides=2)
    both = [np.stack(each) for each in zip(*map(functools.partial(squares_gradients, strides=2), x, w), strict=True)]
    expected = {
        "input": [reference.transpose(each, one_w, spec) for each in x],
        "filters": [reference.transpose(one_x, each, spec) for each in w],
        "both": [reference.transpose(*each, spec) for each in zip(x, w, strict=True)],
        "gradient of vmap": both,
        "vmap of gradient": both,
        "per-example gradient": [squares_gradients(each, one_w, strides=2)[1] for each in x],
    }
    for name in calls:
        for a, b in zip(y[name], expected[name], strict=True):
            np.testing.assert_array_equal(a, b)


def second_derivatives(x, w):
    def loss(x, w):
        return (jax.checkpoint(up)(x, w) ** 2).sum()

    inner = jax.grad(lambda x, w: (jax.grad(loss)(x, w) * x).sum(), (0, 1))
    return inner(x, w), jax.jvp(jax.grad(loss, (0, 1)), (x, w), (x, w))[1]


def test_sharding__second_derivatives():
    x, w = integers(2, 16, 2, 1), integers(3, 3, 1, 1)
    expected = jax.jit(second_derivatives)(x, w)
    for kind in KINDS:
        mesh = mesh_of(kind)
        with jax.set_mesh(mesh):
            found = jax.jit(second_derivatives)(*put(mesh, (x, w), (P(None, "d"), P())))
        jax.tree.map(np.testing.assert_array_equal, found, expected)


GRADIENTS = {
    "outside shard_map": lambda x, w: jax.grad(
        lambda x, w: (jax.shard_map(up, in_specs=(P("a"), P()), out_specs=P("a"), axis_names={"a"})(x, w) ** 2).sum(),
        (0, 1),
    )(x, w),
    "inside shard_map": lambda x, w: jax.shard_map(
        jax.grad(squares, (0, 1)), in_specs=(P("a"), P()), out_specs=(P("a"), P()), axis_names={"a"}
    )(x, w),
    "of vmap": lambda x, w: jax.grad(lambda x, w: (jax.vmap(up, (0, None))(x[:, None], w) ** 2).sum(), (0, 1))(x, w),
    "under vmap": lambda x, w: jax.vmap(jax.grad(lambda x, w: squares(x[None], w)), (0, None))(x, w),
}


@pytest.mark.parametrize("call", GRADIENTS.values(), ids=GRADIENTS)
@pytest.mark.parametrize("kinds", [*itertools.product(KINDS, KINDS)], ids="-".join)
def test_gradients__one_mesh_axis_is_mapped_and_another_shards_rows(call, kinds):
    types = tuple(KINDS[kind] for kind in kinds)
    mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=types, devices=mesh_of("explicit").devices.flat)
    x, w = integers(4, 8, 4, 2), integers(3, 3, 2, 2)
    with jax.set_mesh(mesh):
        found = jax.jit(call)(*put(mesh, (x, w), (P("a", "b"), P())))
    found = found if isinstance(found, tuple) else (found,)
    for a, b in zip(found, squares_gradients(x, w, strides=2), strict=False):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("kind", KINDS)
def test_kernel_gradient__half_precision_is_summed_in_float32(kind, dtype):
    mesh = mesh_of(kind)
    x, w = (integers(*shape).astype(dtype) for shape in ((8, 8, 8, 4), (3, 3, 4, 4)))
    z = np.random.default_rng(0).normal(size=(8, 16, 16, 4)).astype(dtype)
    spec = jconvt.Spec.from_tensorflow(x.shape, w.shape, strides=2)
    exact = reference.kernel_gradient(x.astype(np.float64), z.astype(np.float64), spec)
    with jax.set_mesh(mesh):
        found = jax.jit(lambda x, w, z: jax.vjp(up, x, w)[1](z)[1])(*put(mesh, (x, w, z), (P("d"), P(), P("d"))))
    assert found.dtype == dtype
    step = jax.numpy.finfo(dtype).eps
    np.testing.assert_allclose(found.astype(np.float64), exact, rtol=0.51 * step, atol=1e-4)


def test_halo__mesh_axis_of_size_one_shards_nothing():
    mesh = mesh_of("explicit", (8, 1), ("a", "b"))
    x, w = integers(8, 4, 4, 2), integers(3, 3, 2, 2)
    with jax.set_mesh(mesh):
        y = up(*put(mesh, (x, w), (P("a", "b"), P())), padding="VALID")
    np.testing.assert_array_equal(y, up(x, w, padding="VALID", method="reference"))


def test_halo__rows_past_all_devices_are_not_sent():
    mesh = mesh_of("explicit", (2,))
    x, w = integers(1, 2, 1), integers(21, 1, 1)
    compute = functools.partial(jconvt.conv1d_transpose, strides=1, padding="SAME")
    with jax.set_mesh(mesh):
        placed = put(mesh, (x, w), (P(None, "d"), P()))
        program = jax.jit(compute).lower(*placed).compile()
        np.testing.assert_array_equal(program(*placed), compute(x, w, method="reference"))
    assert collectives(program.as_text()) == {"collective-permute": [8, 8]}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("specs", "out_spec"), [((P("d"), P()), P("d")), ((P(), P(None, None, "d")), P(None, None, None, "d"))]
)
def test_shard_map__numbers_and_gradients(method, specs, out_spec):
    x, w = integers(8, 4, 4, 4), integers(3, 3, 8, 4)
    compute = functools.partial(up, method=method)
    sharded = jax.shard_map(compute, mesh=mesh_of("automatic"), in_specs=specs, out_specs=out_spec)
    found = jax.jit(jax.grad(lambda x, w: (sharded(x, w) ** 2).sum(), (0, 1)))(x, w)
    jax.tree.map(np.testing.assert_array_equal, found, squares_gradients(x, w, strides=2))


@pytest.mark.parametrize(
    ("arguments", "shape", "spec", "words"),
    [
        ({}, (2, 8, 4, 4, 2), P(None, "d"), "cannot be sharded(?s:.)*gather axis 1"),
        ({"padding": "CIRCULAR"}, (2, 8, 4, 2), P(None, "d"), "cannot be sharded(?s:.)*gather axis 1"),
    ],
)
def test_layer__unsupported_explicit_sharding_raises(arguments, shape, spec, words):
    linen = pytest.importorskip("jconvt.linen")
    mesh = mesh_of("explicit")
    layer = linen.ConvTranspose(2, (3, 3), (2, 2), **arguments)
    parameters = {"params": {"kernel": integers(3, 3, 2, 2), "bias": integers(2)}}
    with jax.set_mesh(mesh):
        (x,) = put(mesh, (np.ones(shape),), (spec,))
        with pytest.raises(jconvt.ArgumentError, match=words):
            layer.apply(parameters, x)
        (x,) = put(mesh, (np.ones((8, *shape[1:])),), (P("d"),))
        assert layer.apply(parameters, x).sharding.is_equivalent_to(NamedSharding(mesh, P("d")), x.ndim)


@pytest.mark.parametrize(
    ("spec", "arguments", "words"),
    [
        (P(None, "d"), {"padding": "VALID"}, "output of size 33 for size 16(?s:.)*an output of size 32(?s:.)*reshard"),
        (P(None, None, None, "d"), {"groups": 4}, "4 groups, over 8 devices(?s:.)*1 group, or a multiple of 8"),
    ],
)
def test_sharding__unsupported_explicit_sharding_raises(spec, arguments, words):
    x, w = integers(1, 16, 2, 8), integers(3, 3, 2, 8)
    with pytest.raises(jconvt.ArgumentError, match=words):
        up(*put(mesh_of("explicit"), (x, w), (spec, P())), **arguments)
    y = up(*put(mesh_of("automatic"), (x, w), (spec, P())), **arguments)  # XLA gathers
    np.testing.assert_array_equal(y, up(x, w, method="reference", **arguments))


def test_export__sharded_program():
    mesh = mesh_of("automatic", (2,))
    x, w = integers(2, 4, 4, 2), integers(3, 3, 2, 2)
    placed = put(mesh, (x, w), (P("d"), P()))
    exported = jax.export.export(jax.jit(up), platforms=["cpu"])(*placed)
    np.testing.assert_array_equal(jax.jit(exported.call)(*placed), up(x, w, method="reference"))
