"""Operands split over eight devices, on meshes with automatic and with explicit axes: the numbers, and what moves."""

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
from jconvt._methods import reference, spmd_implementation
from tests.support.collectives import collectives
from tests.support.meshes import DEVICES, KINDS, METHODS, SPLITS, compiled, maps, mesh_of, placed, whole_numbers


def halo(spec, size, share, reaching):
    """The rows that a device needs of the others, counted pair by pair: the most that one of them needs."""
    (axis,) = spec.axes
    needed = {device: set() for device in range(size // share)}
    for pixel, tap in itertools.product(range(size), range(axis.kernel)):
        output = pixel * axis.stride + tap * axis.dilation - axis.lo
        if 0 <= output < size * axis.stride:
            mine, theirs = (output // axis.stride, pixel) if reaching == "x" else (pixel, output)
            needed[mine // share].add(theirs)
    width = share if reaching == "x" else share * axis.stride
    return max(len(rows - {*range(at * width, (at + 1) * width)}) for at, rows in needed.items())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("split", "kernel", "stride"),
    [*((split, 5, 2) for split in SPLITS), ("height", 2, 3), ("height", 5, 1), ("height of groups", 5, 1)],
)
def test_numbers_and_what_moves(method, kind, split, kernel, stride):
    mesh, (*laid, groups) = mesh_of(kind), SPLITS[split]
    x, w = whole_numbers(8, 16, 3, 16), whole_numbers(kernel, 3, 32 // groups, 16)
    arguments = {"strides": (stride, 1), "groups": groups}
    spec = jconvt.Spec.from_tensorflow(x.shape, w.shape, **arguments)
    z = whole_numbers(8, *spec.output_sizes((16, 3)), 32)
    forward, gradient = reference.forward(z, w, spec), reference.kernel_gradient(x, z, spec)
    expected = {"T": reference.transpose(x, w, spec), "F": forward, "G": gradient}
    for (name, function), result in zip(maps(method, **arguments).items(), (laid[2], laid[0], laid[1]), strict=True):
        program = compiled(kind, mesh, function, (x, w, z), laid, result)
        y = program(*placed(mesh, (x, w, z), laid))
        np.testing.assert_array_equal(y, expected[name])
        assert y.sharding.is_equivalent_to(NamedSharding(mesh, result), y.ndim)
        moved = {key: sum(sizes) for key, sizes in collectives(program.as_text()).items()}
        if split.startswith("height"):
            reaching = "x" if name == "T" else "z"
            row = {"x": x[:, 0], "z": z[:, 0]}[reaching].nbytes
            rows = halo(jconvt.Spec(spec.axes[:1]), 16, 16 // DEVICES, reaching)
            assert moved.pop("collective-permute", 0) == pytest.approx(rows * row, rel=0.1)
        summed = {"batch": ("G", w), "height": ("G", w), "output": ("F", x), "input": ("T", z)}
        which, added_up = summed.get(split.partition(" ")[0], ("", w))
        assert moved == ({"all-reduce": added_up.nbytes} if name == which else {})


@st.composite
def geometries(draw):
    """One axis whose output is ``stride`` times its pixels, as explicit padding says it."""
    kernel, stride, dilation = draw(st.integers(1, 6)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    extent = (kernel - 1) * dilation + 1
    total = max(0, extent - stride) + (draw(st.integers(0, stride - 1)) if extent > stride else 0)
    before = draw(st.integers(0, total))
    return kernel, stride, dilation, (before, total - before)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(geometry=geometries(), each=st.integers(1, 3), groups=st.sampled_from((1, 2)), first=st.booleans())
def test_rows_split_over_devices_that_may_hold_fewer_than_a_tap_reaches(kind, geometry, each, groups, first):
    kernel, stride, dilation, pads = geometry
    mesh = mesh_of(kind, (4,))
    x, w = whole_numbers(2, 4 * each, 2 * groups), whole_numbers(kernel, 3, 2 * groups)
    arguments = {"strides": stride, "dilations": dilation, "padding": [pads], "groups": groups}
    arguments["output_shape"] = [4 * each * stride]
    spec = jconvt.Spec.from_tensorflow(x.shape, w.shape, **arguments)
    z = whole_numbers(2, 4 * each * stride, 3 * groups)
    expected = reference.transpose(x, w, spec), reference.forward(z, w, spec), reference.kernel_gradient(x, z, spec)
    layout, rows = ("NCW", P(None, None, "d")) if first else ("NWC", P(None, "d"))

    @jax.jit
    def all_maps(x, w, z):
        y, pull = jax.vjp(functools.partial(jconvt.conv_transpose, data_format=layout, **arguments), x, w)
        return y, *pull(z)

    laid = [np.moveaxis(a, -1, 1) if first else a for a in (x, z)]
    with jax.set_mesh(mesh):
        x, w, z = placed(mesh, (laid[0], w, laid[1]), (rows, P(), rows))
        found = [np.asarray(a) for a in all_maps(x, w, z)]
    for one in (0, 1):
        found[one] = np.moveaxis(found[one], 1, -1) if first else found[one]
    jax.tree.map(np.testing.assert_array_equal, tuple(found), expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("split", ["batch", "height"])
@pytest.mark.parametrize("name", ["T", "F", "G"])
def test_a_device_holds_its_share_of_the_memory(kind, split, name):
    *laid, _ = SPLITS[split]
    x, w, z = (jax.ShapeDtypeStruct(s, np.float32) for s in ((8, 128, 4, 16), (4, 4, 8, 16), (8, 256, 8, 8)))
    result = {"T": laid[2], "F": laid[0], "G": laid[1]}[name]
    peaks = {}
    for count in (2, 8):
        program = compiled(kind, mesh_of(kind, (count,)), maps("auto", strides=2)[name], (x, w, z), laid, result)
        found = program.memory_analysis()
        peaks[count] = found.argument_size_in_bytes + found.output_size_in_bytes + found.temp_size_in_bytes
        peaks[count] -= w.size * 4  # the filters are whole on each
    assert peaks[2] / peaks[8] == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["T", "F", "G"])
def test_dilation_costs_nothing(kind, name):
    *laid, _ = SPLITS["batch"]
    x, w, z = (jax.ShapeDtypeStruct(s, np.float32) for s in ((8, 64, 8), (3, 8, 8), (8, 64, 8)))
    result = {"T": laid[2], "F": laid[0], "G": laid[1]}[name]
    flops = {
        dilation: compiled(kind, mesh_of(kind), maps("auto", dilations=dilation)[name], (x, w, z), laid, result)
        .cost_analysis()
        .get("flops")
        for dilation in (1, 16)
    }
    assert flops[16] <= 1.05 * flops[1]


SPECS = st.lists(st.sampled_from([None, None, "a", "b", ("a", "b")]), min_size=4, max_size=4)
PLATFORMS = {"cpu": "products", "tpu": "convolutions", "cuda": "both"}


@pytest.mark.parametrize("platform", PLATFORMS, ids=PLATFORMS.get)
@settings(max_examples=6, deadline=None)
@given(laid=st.tuples(SPECS, SPECS), one=st.sampled_from([2, 4]), kernel=st.integers(1, 5), stride=st.integers(1, 3))
@example(laid=([None, "a", None, None], [None, None, None, "b"]), one=2, kernel=3, stride=2)
@example(laid=([None, "a", None, None], [None, None, "b", None]), one=2, kernel=3, stride=1)
@example(laid=([None, "a", None, None], [None, None, None, None]), one=4, kernel=4, stride=2)
@example(laid=(["b", "a", None, None], [None, None, None, "a"]), one=2, kernel=5, stride=1)
def test_any_split_over_two_automatic_axes(platform, laid, one, kernel, stride):
    # Of which XLA miscalculates some convolutions, where one axis splits pixels, and the other one filters or nothing.
    mesh = mesh_of("automatic", (one, 8 // one), ("a", "b"))
    x, w = whole_numbers(8, 8, 8, 8), whole_numbers(kernel, kernel, 8, 8)
    spec = jconvt.Spec.from_tensorflow(x.shape, w.shape, strides=stride)
    z = whole_numbers(8, *spec.output_sizes((8, 8)), 8)
    operands = {"x": x, "w": w, "z": z}
    split = {"x": divided(mesh, x, laid[0]), "w": divided(mesh, w, laid[1]), "z": divided(mesh, z, laid[0])}
    loops = reference.transpose, reference.forward, reference.kernel_gradient
    for map, loop in zip(Map, loops, strict=True):
        for whole_batches in (False, True):
            compute = spmd_implementation(map, spec, platform, one_axis=False, whole_batches=whole_batches)
            call = jax.jit(lambda a, b, compute=compute: compute(a, b, spec, Layout(2), a.dtype, None))
            y = call(*placed(mesh, [operands[one] for one in map.inputs], [split[one] for one in map.inputs]))
            np.testing.assert_array_equal(y, loop(*(operands[one] for one in map.inputs), spec))


def divided(mesh, a, laid):
    """A way to lay ``a`` out: what is asked for, but for an axis that is split already, or that does not divide."""
    used, found = set(), []
    for size, entry in zip(a.shape, laid, strict=True):
        axes = (entry,) if isinstance(entry, str) else entry or ()
        fits = not used & {*axes} and size % math.prod(mesh.shape[axis] for axis in axes) == 0
        found.append(entry if fits else None)
        used |= {*axes} if fits else set()
    return P(*found)
