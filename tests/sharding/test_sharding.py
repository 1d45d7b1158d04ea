"""Operands sharded over eight devices, on automatic and on explicit axes: the numbers, and the communication."""

import functools
import itertools
import math

import jax
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jconvt
from jconvt._geometry.layout import Layout
from jconvt._geometry.maps import Map
from jconvt._methods import _spmd_matmul, native, spmd_implementation
from tests.support.collectives import collectives
from tests.support.meshes import DEVICES, KINDS, METHODS, SHARDINGS, definition, integers, lowered, maps, mesh_of, put


def halo_rows(axis, size, shard, halo_operand):
    """The largest number of rows that a device needs from the others, counted tap by tap."""
    needed = {device: set() for device in range(size // shard)}
    for pixel, tap in itertools.product(range(size), range(axis.kernel)):
        output = pixel * axis.stride + tap * axis.dilation - axis.lo
        if 0 <= output < size * axis.stride:
            mine, row = (output // axis.stride, pixel) if halo_operand == "x" else (pixel, output)
            needed[mine // shard].add(row)
    rows = shard if halo_operand == "x" else shard * axis.stride
    return max(len(found - {*range(device * rows, (device + 1) * rows)}) for device, found in needed.items())


GEOMETRIES = [*((name, 5, 2) for name in SHARDINGS), ("height", 2, 3), ("height", 5, 1), ("height of groups", 5, 1)]
CASES = [
    *((kind, "auto", geometry) for kind in KINDS for geometry in GEOMETRIES),
    # Automatic axes ignore the method. The others have a halo, or a sum over devices.
    *(("explicit", method, (name, 5, 2)) for method in METHODS[1:] for name in ("height of groups", "input")),
]


@pytest.mark.parametrize(("kind", "method", "geometry"), CASES)
def test_sharding__numbers_and_communication(kind, method, geometry):
    sharding, kernel, stride = geometry
    mesh, (*specs, groups) = mesh_of(kind), SHARDINGS[sharding]
    x, w = integers(8, 16, 3, 16), integers(kernel, 3, 32 // groups, 16)
    arguments = {"strides": (stride, 1), "groups": groups}
    spec = jconvt.Spec.from_tensorflow(x.shape, w.shape, **arguments)
    z = integers(8, *spec.output_sizes((16, 3)), 32)
    expected, out_specs = definition(x, w, z, spec), (specs[2], specs[0], specs[1])
    for (symbol, function), result, out_spec in zip(
        maps(method, **arguments).items(), expected, out_specs, strict=True
    ):
        program = lowered(mesh, function, (x, w, z), specs, out_spec).compile()
        y = program(*put(mesh, (x, w, z), specs))
        np.testing.assert_array_equal(y, result)
        assert y.sharding.is_equivalent_to(NamedSharding(mesh, out_spec), y.ndim)
        sent = {name: sum(sizes) for name, sizes in collectives(program.as_text()).items()}
        if sharding.startswith("height"):
            halo_operand, a = ("x", x) if symbol == "T" else ("z", z)
            rows = halo_rows(spec.axes[0], 16, 16 // DEVICES, halo_operand)
            assert sent.pop("collective-permute", 0) == pytest.approx(rows * a[:, 0].nbytes, rel=0.1)
        summed = {"batch": "G", "height": "G", "output": "F", "input": "T"}
        reduces = symbol == summed.get(sharding.split()[0])
        assert sent == ({"all-reduce": result.nbytes} if reduces else {})


def test_sharding__automatic_axes_ignore_the_method():
    *specs, _ = SHARDINGS["height"]
    operands, mesh = (integers(8, 16, 3, 2), integers(5, 3, 2, 2), integers(8, 32, 3, 2)), mesh_of("automatic")
    for symbol, out_spec in zip("TFG", (specs[2], specs[0], specs[1]), strict=True):
        functions = [maps(method, strides=(2, 1))[symbol] for method in METHODS]
        assert len({lowered(mesh, function, operands, specs, out_spec).as_text() for function in functions}) == 1


@st.composite
def axes(draw):
    """One axis whose output is ``stride`` times its input, by explicit padding."""
    kernel, stride, dilation = draw(st.integers(1, 6)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    extent = (kernel - 1) * dilation + 1
    total = max(0, extent - stride) + (draw(st.integers(0, stride - 1)) if extent > stride else 0)
    before = draw(st.integers(0, total))
    return kernel, stride, dilation, (before, total - before)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=7, deadline=None)
@given(geometry=st.tuples(axes(), axes()), each=st.integers(1, 3), groups=st.sampled_from((1, 2)), first=st.booleans())
def test_halo__any_geometry_and_shards_smaller_than_the_halo(kind, geometry, each, groups, first):
    kernel, strides, dilations, padding = map(list, zip(*geometry, strict=True))
    mesh, sizes = mesh_of(kind, (4, 2), ("a", "b")), [4 * each, 2 * each]
    x, w = integers(1, *sizes, groups), integers(*kernel, 2, groups)
    arguments = {"strides": strides, "dilations": dilations, "padding": padding, "groups": groups}
    arguments["output_shape"] = [size * stride for size, stride in zip(sizes, strides, strict=True)]
    spec = jconvt.Spec.from_tensorflow(x.shape, w.shape, **arguments)
    z = integers(1, *arguments["output_shape"], 2 * groups)
    expected = definition(x, w, z, spec)
    layout, rows = ("NCHW", P(None, None, "a", "b")) if first else ("NHWC", P(None, "a", "b"))

    @jax.jit
    def all_maps(x, w, z):
        y, pull = jax.vjp(functools.partial(jconvt.conv_transpose, data_format=layout, **arguments), x, w)
        return y, *pull(z)

    x, z = (np.moveaxis(a, -1, 1) if first else a for a in (x, z))
    with jax.set_mesh(mesh):
        found = [np.asarray(a) for a in all_maps(*put(mesh, (x, w, z), (rows, P(), rows)))]
    found[:2] = [np.moveaxis(a, 1, -1) if first else a for a in found[:2]]
    jax.tree.map(np.testing.assert_array_equal, tuple(found), expected)


def all_maps_compiled(mesh, sharding, shapes, **arguments):
    """One program that computes T, F and G."""
    *specs, _ = SHARDINGS[sharding]
    operands = [jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes]
    functions = maps("auto", **arguments).values()
    out_specs = (specs[2], specs[0], specs[1])
    return lowered(mesh, lambda *a: tuple(f(*a) for f in functions), operands, specs, out_specs).compile()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sharding", ["batch", "height"])
def test_sharding__memory_is_proportional_to_the_shard(kind, sharding, monkeypatch):
    # Except for the scratch memory of the compiled kernels, which the images exceed by far if there are two threads.
    monkeypatch.setattr(native, "_cores", lambda: 2)
    shapes, peaks = ((8, 2048, 4, 16), (4, 4, 8, 16), (8, 4096, 8, 8)), {}
    for count in (2, 8):
        found = all_maps_compiled(mesh_of(kind, (count,)), sharding, shapes, strides=2).memory_analysis()
        peaks[count] = found.argument_size_in_bytes + found.output_size_in_bytes + found.temp_size_in_bytes
        peaks[count] -= 2 * math.prod(shapes[1]) * 4  # every device holds the filters and their gradient
    assert peaks[2] / peaks[8] == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("kind", KINDS)
def test_sharding__dilation_adds_no_flops(kind):
    shapes = (8, 64, 8), (3, 8, 8), (8, 64, 8)
    flops = [
        all_maps_compiled(mesh_of(kind), "batch", shapes, dilations=dilation).cost_analysis()["flops"]
        for dilation in (1, 16)
    ]
    assert flops[1] <= 1.05 * flops[0]


SPECS = st.lists(st.sampled_from([None, None, "a", "b", ("a", "b")]), min_size=4, max_size=4)


@pytest.mark.parametrize("platform", ["cpu", "tpu"], ids=["products", "convolutions"])
@settings(max_examples=6, deadline=None)
@given(specs=st.tuples(SPECS, SPECS), size=st.sampled_from([2, 4]), kernel=st.integers(1, 5), stride=st.integers(1, 3))
@example(specs=([None, "a", None, None], [None, None, None, "b"]), size=2, kernel=3, stride=2)
@example(specs=([None, "a", None, None], [None, None, "b", None]), size=2, kernel=3, stride=1)
@example(specs=([None, "a", None, None], [None, None, None, None]), size=4, kernel=4, stride=2)
@example(specs=(["b", "a", None, None], [None, None, None, "a"]), size=2, kernel=5, stride=1)
def test_spmd_implementation__any_sharding_over_two_automatic_axes(platform, specs, size, kernel, stride):
    # XLA miscalculates some plain convolutions where one mesh axis shards pixels, and the other one filters or nothing.
    mesh = mesh_of("automatic", (size, 8 // size), ("a", "b"))
    x, w = integers(8, 8, 8, 8), integers(kernel, kernel, 8, 8)
    spec = jconvt.Spec.from_tensorflow(x.shape, w.shape, strides=stride)
    z = integers(8, *spec.output_sizes((8, 8)), 8)
    specs = [possible(mesh, a, each) for a, each in zip((x, w, z), (*specs, specs[0]), strict=True)]
    options = {"one_axis": False, "whole_batches": True}
    computes = [spmd_implementation(map, spec, x.dtype, platform, **options) for map in Map]

    @jax.jit
    def all_maps(x, w, z):
        operands = (x, w), (z, w), (x, z)
        return tuple(f(*each, spec, Layout(2), x.dtype, None) for f, each in zip(computes, operands, strict=True))

    found = all_maps(*put(mesh, (x, w, z), specs))
    jax.tree.map(np.testing.assert_array_equal, found, definition(x, w, z, spec))


@pytest.mark.parametrize(("dtype", "products"), [("int32", True), ("float32", False)])
def test_spmd_implementation__has_no_convolutions_of_integers_on_gpu(dtype, products):
    spec = jconvt.Spec.from_tensorflow((8, 8, 8, 8), (3, 3, 8, 8), strides=2)
    for map in Map:
        found = spmd_implementation(map, spec, np.dtype(dtype), "cuda", one_axis=True, whole_batches=True)
        assert (found is getattr(_spmd_matmul, map.value)) == products


def possible(mesh, a, spec):
    """The spec without mesh axes that do not divide an axis of the array, or already shard another one."""
    used, found = set(), []
    for size, entry in zip(a.shape, spec, strict=True):
        axes = (entry,) if isinstance(entry, str) else entry or ()
        fits = not used & {*axes} and size % math.prod(mesh.shape[axis] for axis in axes) == 0
        found.append(entry if fits else None)
        used |= {*axes} if fits else set()
    return P(*found)
