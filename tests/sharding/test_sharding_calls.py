"""What goes together with operands that are split over devices: transformations, ``out_sharding``, and errors."""

import functools
import itertools

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jconvt
from tests.support.collectives import collectives
from tests.support.meshes import KINDS, METHODS, mesh_of, placed, program, whole_numbers

up = functools.partial(jconvt.conv2d_transpose, strides=2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "laid", [P("a", "b"), P("b", None, "a"), P(None, ("a", "b")), P(None, "a", "b"), P("a", None, None, "b")]
)
def test_two_axes_of_a_mesh(kind, laid):
    mesh = mesh_of(kind, (4, 2), ("a", "b"))
    x, w = whole_numbers(4, 8, 8, 2), whole_numbers(3, 4, 2, 2)

    def loss(x, w):
        y = jconvt.conv2d_transpose(x, w, strides=2)
        return (y**2).sum(), y

    compute = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))
    expected = compute(x, w)
    with jax.set_mesh(mesh):
        found = compute(*placed(mesh, (x, w), (laid, P())))
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_filters_split_over_the_axis_of_the_batch_are_gathered_and_their_gradient_is_split_again(kind):
    mesh = mesh_of(kind)
    x, w = whole_numbers(8, 4, 4, 2), whole_numbers(3, 3, 8, 2)

    def loss(w, x):
        return (jconvt.conv2d_transpose(x, w, strides=2) ** 2).sum()

    expected = jax.grad(loss)(w, x)
    with jax.set_mesh(mesh):
        x, w = placed(mesh, (x, w), (P("d"), P(None, None, "d")))
        found = jax.jit(jax.grad(loss))(w, x)
    np.testing.assert_array_equal(found, expected)
    assert kind == "automatic" or found.sharding.is_equivalent_to(w.sharding, 4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_mapped_over_an_axis_that_is_split(kind, method):
    mesh = mesh_of(kind)
    x, w = whole_numbers(8, 2, 4, 4, 2), whole_numbers(8, 3, 3, 3, 2)
    compute = functools.partial(jconvt.conv2d_transpose, strides=2, method=method)

    def squares(x, w):
        return (compute(x, w) ** 2).sum()

    calls = {
        "input": (jax.vmap(compute, (0, None)), (x, w[0])),
        "filters": (jax.vmap(compute, (None, 0)), (x[0], w)),
        "both": (jax.vmap(compute), (x, w)),
        "gradient of the map": (jax.grad(lambda x, w: (jax.vmap(compute)(x, w) ** 2).sum(), (0, 1)), (x, w)),
        "map of the gradient": (jax.vmap(jax.grad(squares, (0, 1))), (x, w)),
        "gradient for each example": (jax.vmap(jax.grad(squares, 1), (0, None)), (x, w[0])),
    }
    for call, operands in calls.values():
        expected = program(call, operands)(*operands)
        with jax.set_mesh(mesh):
            split = placed(mesh, operands, [P("d") if a.ndim == 5 else P() for a in operands])
            found = program(call, split)(*split)
        jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_of_higher_order(kind):
    mesh = mesh_of(kind)
    x, w = whole_numbers(2, 16, 2, 1), whole_numbers(3, 3, 1, 1)

    def loss(x, w):
        return (jax.checkpoint(lambda x, w: jconvt.conv2d_transpose(x, w, strides=2))(x, w) ** 2).sum()

    def both(x, w):
        inner = jax.grad(lambda x, w: (jax.grad(loss)(x, w) * x).sum(), (0, 1))
        return inner(x, w), jax.jvp(jax.grad(loss, (0, 1)), (x, w), (x, w))[1]

    expected = jax.jit(both)(x, w)
    with jax.set_mesh(mesh):
        found = jax.jit(both)(*placed(mesh, (x, w), (P(None, "d"), P())))
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def squares(x, w):
    return (jconvt.conv2d_transpose(x, w, strides=2) ** 2).sum()


GRADIENTS = {
    "outside of shard_map": lambda x, w: jax.grad(
        lambda x, w: (jax.shard_map(up, in_specs=(P("a"), P()), out_specs=P("a"), axis_names={"a"})(x, w) ** 2).sum(),
        (0, 1),
    )(x, w),
    "inside of shard_map": lambda x, w: jax.shard_map(
        jax.grad(squares, (0, 1)), in_specs=(P("a"), P()), out_specs=(P("a"), P()), axis_names={"a"}
    )(x, w),
    "of vmap": lambda x, w: jax.grad(lambda x, w: (jax.vmap(up, (0, None))(x[:, None], w) ** 2).sum(), (0, 1))(x, w),
    "under vmap": lambda x, w: jax.vmap(jax.grad(lambda x, w: squares(x[None], w)), (0, None))(x, w),
}


@pytest.mark.parametrize("call", GRADIENTS.values(), ids=GRADIENTS)
@pytest.mark.parametrize("kinds", [*itertools.product(KINDS, KINDS)], ids="-".join)
def test_gradients_where_one_axis_is_mapped_and_another_one_splits_rows(call, kinds):
    types = tuple(KINDS[kind] for kind in kinds)
    mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=types, devices=mesh_of("explicit").devices.flat)
    x, w = whole_numbers(4, 8, 4, 2), whole_numbers(3, 3, 2, 2)
    expected = jax.jit(jax.grad(squares, (0, 1)))(x, w)
    with jax.set_mesh(mesh):
        found = jax.jit(call)(*placed(mesh, (x, w), (P("a", "b"), P())))
    found = found if isinstance(found, tuple) else (found,)
    for each, whole in zip(found, expected, strict=False):
        np.testing.assert_array_equal(each, whole)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_a_gradient_in_half_precision_are_added_up_in_more(kind, dtype):
    mesh = mesh_of(kind)
    x, w = (whole_numbers(*shape).astype(dtype) for shape in ((8, 8, 8, 4), (3, 3, 4, 4)))
    z = np.random.default_rng(0).normal(size=(8, 16, 16, 4)).astype(dtype)

    def gradient(x, w, z):
        return jax.vjp(up, x, w)[1](z)[1]

    exact = gradient(*(a.astype(np.float64) for a in (x, w, z)))
    with jax.set_mesh(mesh):
        found = jax.jit(gradient)(*placed(mesh, (x, w, z), (P("d"), P(), P("d"))))
    assert found.dtype == dtype
    step = jax.numpy.finfo(dtype).eps
    np.testing.assert_allclose(found.astype(np.float64), exact, rtol=0.51 * step, atol=1e-4)


def test_an_axis_of_one_device_splits_nothing():
    mesh = mesh_of("explicit", (8, 1), ("a", "b"))
    x, w = whole_numbers(8, 4, 4, 2), whole_numbers(3, 3, 2, 2)
    with jax.set_mesh(mesh):
        y = jconvt.conv2d_transpose(*placed(mesh, (x, w), (P("a", "b"), P())), strides=2, padding="VALID")
    np.testing.assert_array_equal(y, jconvt.conv2d_transpose(x, w, strides=2, padding="VALID"))


def test_a_halo_beyond_all_devices_is_not_sent():
    mesh = mesh_of("explicit", (2,))
    x, w = whole_numbers(1, 2, 1), whole_numbers(21, 1, 1)
    compute = jax.jit(lambda x, w: jconvt.conv1d_transpose(x, w, strides=1, padding="SAME"))
    with jax.set_mesh(mesh):
        x, w = placed(mesh, (x, w), (P(None, "d"), P()))
        sent = collectives(compute.lower(x, w).compile().as_text())
        found = compute(x, w)
    np.testing.assert_array_equal(found, compute(np.asarray(x), np.asarray(w)))
    assert sent == {"collective-permute": [8, 8]}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("laid", "result"),
    [((P("d"), P()), P("d")), ((P(), P(None, None, "d")), P(None, None, None, "d"))],
)
def test_under_shard_map_each_device_computes_its_share_and_gradients_are_sums(method, laid, result):
    mesh = mesh_of("automatic")
    x, w = whole_numbers(8, 4, 4, 4), whole_numbers(3, 3, 8, 4)
    compute = functools.partial(jconvt.conv2d_transpose, strides=2, method=method)
    split = jax.shard_map(compute, mesh=mesh, in_specs=laid, out_specs=result)
    expected, found = (
        jax.jit(jax.value_and_grad(lambda x, w, f=f: (f(x, w) ** 2).sum(), (0, 1)))(x, w) for f in (compute, split)
    )
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_images_in_turns_under_shard_map():
    mesh = mesh_of("automatic", (2,))
    x, w = np.ones((32, 16, 16, 64), np.float32), np.ones((5, 5, 64, 64), np.float32)
    compute = functools.partial(jconvt.conv2d_transpose, strides=2)
    split = jax.shard_map(compute, mesh=mesh, in_specs=(P("d"), P()), out_specs=P("d"))
    program = jax.jit(jax.grad(lambda x, w: (split(x, w) ** 2).sum(), (0, 1))).lower(x, w).compile()
    assert "while" in program.as_text()
    expected = jax.jit(jax.grad(lambda x, w: (compute(x, w) ** 2).sum(), (0, 1)))(x, w)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), program(x, w), expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_out_sharding(kind, method):
    mesh = mesh_of(kind)
    x, w = whole_numbers(8, 4, 4, 4), whole_numbers(3, 3, 8, 4)
    expected = np.asarray(jconvt.conv2d_transpose(x, w, strides=2, method="reference"))
    with jax.set_mesh(mesh):
        (split,) = placed(mesh, (x,), (P("d"),))
        for asked in (P("d"), P(), P(None, "d"), P(None, None, None, "d"), NamedSharding(mesh, P("d"))):
            compute = functools.partial(jconvt.conv2d_transpose, strides=2, method=method, out_sharding=asked)
            for y in (compute(split, w), jax.jit(compute)(split, w)):
                np.testing.assert_array_equal(y, expected)
                spec = getattr(asked, "spec", asked)
                assert y.sharding.is_equivalent_to(NamedSharding(mesh, spec), y.ndim)


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (P("rows"), "no axis 'rows'"),
        (P("d", "d"), "names a mesh axis twice"),
        (P(*"NHWCX"), "5 entries for 4 axes"),
        (P(None, None, None, "d"), "axis 3 of size 4 over 8 devices(?s:.)*axis 0 or 1 or 2"),
        (lambda: NamedSharding(mesh_of("automatic", (4,), ("r",)), P("r")), "different meshes"),
    ],
)
def test_an_out_sharding_that_does_not_fit(kind, asked, words, transform):
    mesh = mesh_of(kind)
    asked = asked() if callable(asked) else asked
    compute = transform(lambda x, w: jconvt.conv2d_transpose(x, w, strides=2, out_sharding=asked))
    with jax.set_mesh(mesh), pytest.raises(jconvt.ArgumentError, match=words):
        compute(*placed(mesh, (whole_numbers(8, 4, 4, 4), whole_numbers(3, 3, 4, 4)), (P("d"), P())))


def test_an_out_sharding_over_devices_that_the_operands_are_not_on():
    mesh, x, w = mesh_of("automatic"), whole_numbers(8, 4, 4, 4), whole_numbers(3, 3, 4, 4)
    compute = functools.partial(jconvt.conv2d_transpose, strides=2, out_sharding=NamedSharding(mesh, P("d")))
    assert compute(x, w).sharding == NamedSharding(mesh, P("d"))  # nobody has said where these are to be
    backwards = jax.sharding.Mesh(mesh.devices[::-1], ("d",), axis_types=mesh.axis_types)
    for placed_there in (jax.device_put(x, mesh.devices[3]), *placed(backwards, (x,), (P("d"),))):
        with pytest.raises(jconvt.ArgumentError, match=r"different meshes(?s:.)*devices \[0(?s:.)*devices"):
            compute(placed_there, w)


@pytest.mark.parametrize("kind", KINDS)
def test_an_out_sharding_over_other_devices_inside_of_jit_is_left_to_jax(kind):
    both = mesh_of(kind)
    mesh, others = (jax.sharding.Mesh(half, ("d",), axis_types=both.axis_types) for half in np.split(both.devices, 2))
    x, w = placed(mesh, (whole_numbers(4, 4, 4, 4), whole_numbers(3, 3, 4, 4)), (P("d"), P()))
    there = functools.partial(jconvt.conv2d_transpose, strides=2, out_sharding=NamedSharding(others, P("d")))
    with pytest.raises(jconvt.ArgumentError, match="different meshes"):
        there(x, w)
    if kind == "explicit":
        y = jax.jit(there)(x, w)
        assert y.sharding.is_equivalent_to(NamedSharding(mesh, P("d")), y.ndim)
        np.testing.assert_array_equal(y, up(np.asarray(x), np.asarray(w)))
    else:
        with pytest.raises(ValueError, match="incompatible devices"):
            jax.jit(there)(x, w)


def test_an_out_sharding_that_leaves_an_axis_to_xla():
    mesh = mesh_of("automatic")
    (x,) = placed(mesh, (whole_numbers(8, 4, 4, 4),), (P("d"),))
    with jax.set_mesh(mesh):
        call = jax.jit(lambda x, w: up(x, w, out_sharding=P(P.UNCONSTRAINED, None)))
        np.testing.assert_array_equal(call(x, whole_numbers(3, 3, 4, 4)), up(x, whole_numbers(3, 3, 4, 4)))


def test_an_out_sharding_over_an_axis_that_shard_map_splits():
    call = functools.partial(jconvt.conv2d_transpose, strides=2, out_sharding=P("d"))
    split = jax.shard_map(call, mesh=mesh_of("automatic"), in_specs=(P("d"), P()), out_specs=P("d"))
    with pytest.raises(jconvt.ArgumentError, match=r"shard_map over 'd'(?s:.)*out_specs"):
        split(whole_numbers(64, 4, 4, 4), whole_numbers(3, 3, 4, 4))


@pytest.mark.parametrize(
    ("arguments", "shape", "laid", "words"),
    [
        ({}, (2, 8, 4, 4, 2), P(None, "d"), "batch after its first one(?s:.)*axis 1"),
        ({"padding": "CIRCULAR"}, (2, 8, 4, 2), P(None, "d"), "padded with what lies at its other end(?s:.)*axis 1"),
    ],
)
def test_an_explicit_split_that_a_layer_cannot_keep(arguments, shape, laid, words):
    linen = pytest.importorskip("jconvt.linen")
    mesh = mesh_of("explicit")
    layer = linen.ConvTranspose(2, (3, 3), (2, 2), **arguments)
    parameters = layer.init(jax.random.key(0), np.ones(shape, np.float32))
    with jax.set_mesh(mesh):
        (x,) = placed(mesh, (np.ones(shape, np.float32),), (laid,))
        with pytest.raises(jconvt.ArgumentError, match=words):
            layer.apply(parameters, x)
        (x,) = placed(mesh, (np.ones((8, *shape[1:]), np.float32),), (P("d"),))
        assert layer.apply(parameters, x).sharding.is_equivalent_to(NamedSharding(mesh, P("d")), x.ndim)


@pytest.mark.parametrize(
    ("laid", "arguments", "words"),
    [
        (P(None, "d"), {"padding": "VALID"}, "output of size 33 for size 16(?s:.)*an output of size 32(?s:.)*reshard"),
        (P(None, None, None, "d"), {"groups": 4}, "4 groups, over 8 devices(?s:.)*1 group, or a multiple of 8"),
    ],
)
def test_an_explicit_split_that_the_output_cannot_have(laid, arguments, words):
    mesh = mesh_of("explicit")
    x, w = (
        whole_numbers(1, 16, 2, 8),
        whole_numbers(3, 3, 2, 8 // arguments.get("groups", 1) * arguments.get("groups", 1)),
    )
    with pytest.raises(jconvt.ArgumentError, match=words):
        jconvt.conv2d_transpose(*placed(mesh, (x, w), (laid, P())), strides=2, **arguments)
    mesh = mesh_of("automatic")  # here XLA may do as it likes
    y = jconvt.conv2d_transpose(*placed(mesh, (x, w), (laid, P())), strides=2, **arguments)
    np.testing.assert_array_equal(y, jconvt.conv2d_transpose(x, w, strides=2, **arguments))


def test_a_program_for_a_mesh_is_exported():
    mesh = mesh_of("automatic", (2,))
    x, w = whole_numbers(2, 4, 4, 2), whole_numbers(3, 3, 2, 2)
    lowered = jax.jit(lambda x, w: jconvt.conv2d_transpose(x, w, strides=2))
    exported = jax.export.export(lowered, platforms=["cpu"])(*placed(mesh, (x, w), (P("d"), P())))
    y = jax.jit(exported.call)(*placed(mesh, (x, w), (P("d"), P())))
    np.testing.assert_array_equal(y, jconvt.conv2d_transpose(x, w, strides=2))
