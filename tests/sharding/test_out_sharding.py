"""The argument ``out_sharding``: where it applies, and the errors where it does not fit."""

import functools

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jconvt
from tests.support.meshes import KINDS, integers, mesh_of, put

up = functools.partial(jconvt.conv2d_transpose, strides=2)


@pytest.mark.parametrize("kind", KINDS)
def test_out_sharding__is_the_sharding_of_the_result(kind):
    mesh = mesh_of(kind)
    x, w = integers(8, 4, 4, 4), integers(3, 3, 8, 4)
    expected = np.asarray(up(x, w, method="reference"))
    with jax.set_mesh(mesh):
        (x,) = put(mesh, (x,), (P("d"),))
        for out_sharding in (P("d"), P(), P(None, "d"), P(None, None, None, "d"), NamedSharding(mesh, P("d"))):
            compute = functools.partial(up, out_sharding=out_sharding)
            for y in (compute(x, w), jax.jit(compute)(x, w)):
                np.testing.assert_array_equal(y, expected)
                spec = getattr(out_sharding, "spec", out_sharding)
                assert y.sharding.is_equivalent_to(NamedSharding(mesh, spec), y.ndim)


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("out_sharding", "words"),
    [
        (P("rows"), "no axis 'rows'"),
        (P("d", "d"), "names a mesh axis twice"),
        (P(*"NHWCX"), "5 entries for 4 axes"),
        (P(None, None, None, "d"), "axis 3 of size 4 over 8 devices(?s:.)*axis 0 or 1 or 2"),
        (lambda: NamedSharding(mesh_of("automatic", (4,), ("r",)), P("r")), "different meshes"),
    ],
)
def test_out_sharding__misfit_raises(kind, out_sharding, words, transform):
    mesh = mesh_of(kind)
    out_sharding = out_sharding() if callable(out_sharding) else out_sharding
    compute = transform(lambda x, w: up(x, w, out_sharding=out_sharding))
    with jax.set_mesh(mesh), pytest.raises(jconvt.ArgumentError, match=words):
        compute(*put(mesh, (integers(8, 4, 4, 4), integers(3, 3, 4, 4)), (P("d"), P())))


def test_out_sharding__layer_checks_it():
    linen = pytest.importorskip("jconvt.linen")
    mesh = mesh_of("automatic")
    parameters = {"params": {"kernel": integers(3, 3, 4, 4), "bias": integers(4)}}
    for spec, words in ((P(None, None, None, "d"), "axis 3 of size 4"), (P("rows"), "no axis 'rows'")):
        layer = linen.ConvTranspose(4, (3, 3), (2, 2), out_sharding=spec)
        with jax.set_mesh(mesh), pytest.raises(jconvt.ArgumentError, match=words):
            layer.apply(parameters, integers(8, 4, 4, 4))


def test_out_sharding__operands_on_other_devices_raise():
    mesh, x, w = mesh_of("automatic"), integers(8, 4, 4, 4), integers(3, 3, 4, 4)
    compute = functools.partial(up, out_sharding=NamedSharding(mesh, P("d")))
    assert compute(x, w).sharding == NamedSharding(mesh, P("d"))  # these operands are not committed to a device
    backwards = jax.sharding.Mesh(mesh.devices[::-1], ("d",), axis_types=mesh.axis_types)
    for elsewhere in (jax.device_put(x, mesh.devices[3]), *put(backwards, (x,), (P("d"),))):
        with pytest.raises(jconvt.ArgumentError, match=r"different meshes(?s:.)*devices \[0(?s:.)*devices"):
            compute(elsewhere, w)


@pytest.mark.parametrize("kind", KINDS)
def test_out_sharding__jax_handles_other_devices_inside_jit(kind):
    both = mesh_of(kind)
    mesh, others = (jax.sharding.Mesh(half, ("d",), axis_types=both.axis_types) for half in np.split(both.devices, 2))
    x, w = put(mesh, (integers(4, 4, 4, 4), integers(3, 3, 4, 4)), (P("d"), P()))
    compute = functools.partial(up, out_sharding=NamedSharding(others, P("d")))
    with pytest.raises(jconvt.ArgumentError, match="different meshes"):
        compute(x, w)
    if kind == "explicit":
        y = jax.jit(compute)(x, w)
        assert y.sharding.is_equivalent_to(NamedSharding(mesh, P("d")), y.ndim)
        np.testing.assert_array_equal(y, up(np.asarray(x), np.asarray(w), method="reference"))
    else:
        with pytest.raises(ValueError, match="incompatible devices"):
            jax.jit(compute)(x, w)


def test_out_sharding__leaves_unconstrained_axes_to_xla():
    mesh, w = mesh_of("automatic"), integers(3, 3, 4, 4)
    (x,) = put(mesh, (integers(8, 4, 4, 4),), (P("d"),))
    with jax.set_mesh(mesh):
        y = jax.jit(lambda x, w: up(x, w, out_sharding=P(P.UNCONSTRAINED, None)))(x, w)
    np.testing.assert_array_equal(y, up(np.asarray(x), w, method="reference"))


def test_out_sharding__mesh_axis_of_shard_map_raises():
    compute = functools.partial(up, out_sharding=P("d"))
    sharded = jax.shard_map(compute, mesh=mesh_of("automatic"), in_specs=(P("d"), P()), out_specs=P("d"))
    with pytest.raises(jconvt.ArgumentError, match=r"shard_map over 'd'(?s:.)*out_specs"):
        sharded(integers(64, 4, 4, 4), integers(3, 3, 4, 4))
