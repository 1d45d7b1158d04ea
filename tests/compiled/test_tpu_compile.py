"""Programs of the TPU compiler, which needs no TPU: methods, maps, dtypes, layers, and a training step.

Install ``jconvt[tpu-compile]`` and run ``python -m pytest -m tpu_compile``. These tests compile a sample. By hand, run
``python -m benchmarks --tpu-compile`` for each ``--topology``: all layers, dtypes and methods, in about an hour.
``test_tpu_results`` checks its stored results against the same limits.
"""

import dataclasses
import json
import math
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jconvt
from benchmarks import workloads
from benchmarks.problem import Problem
from tests.support import meshes, tpu_limits
from tests.support.collectives import all_reduce_groups, collectives

pytest.importorskip("libtpu", reason="the TPU compiler is not installed: pip install 'jconvt[tpu-compile]'")
pytest.importorskip("benchmarks", reason="not in sys.path: run python -m pytest in a checkout")
from benchmarks import tpu, tpu_program

pytestmark = pytest.mark.tpu_compile

ROOT = pathlib.Path(__file__).parents[2]
METHODS = ("auto", "dilated", "vjp", "polyphase", "gemm")
MAPS = ("T", "F", "G")
SMALL = dataclasses.replace(
    workloads.load()["pix2pix-up"],
    **dict(name="small", batch=2, input_sizes=(8, 8), output_sizes=(16, 16), input_channels=32, output_channels=16),
)
GROUPS = dataclasses.replace(SMALL, groups=4, kernel=3)
VOLUME = dataclasses.replace(SMALL, batch=1, input_sizes=(4, 4, 4), output_sizes=(8, 8, 8), kernel=2)


@pytest.fixture(autouse=True, scope="module")
def _compiler():
    tpu_program.use_only_compiler()
    with jax.default_matmul_precision(None):  # TPU's own
        yield


def figures(workload, map, method, dtype, topology="v5e"):
    row = tpu.measure(topology, dtype, workload, map, method)
    assert row.figures is not None, row.unsupported
    return row.figures


def compile_all_maps(workload, method, dtype):
    """One program with T, F and G."""
    call = tpu.function(workload, method)
    chip = jax.sharding.SingleDeviceSharding(tpu_program.devices("v5e:2x2")[0])
    shapes = workload.input_shape, workload.filters_shape, workload.output_shape
    operands = [jax.ShapeDtypeStruct(shape, jnp.dtype(dtype), sharding=chip) for shape in shapes]

    def all_maps(x, w, z):
        y, pull = jax.vjp(call, x, w)
        return y, *pull(z)

    return tpu_program.figures(jax.jit(all_maps).lower(*operands).compile())


@pytest.mark.parametrize("map", MAPS)
def test_methods__flops_memory_and_cycles(map):
    useful = Problem(SMALL, "forward", "float32").flops
    rival = figures(SMALL, map, tpu.BASELINE, "bfloat16")
    for method in METHODS:
        found = figures(SMALL, map, method, "bfloat16")
        assert found.cycles > 0
        assert 0.9 * useful < found.flops <= 1.05 * (useful + rival.flops), method
        assert found.temporary == 0  # everything stays in on-chip memory
        if method == "auto":
            assert found.flops <= 1.05 * max(useful, rival.flops)
            assert found.cycles <= 1.05 * rival.cycles


GENERATIONS = [("v5e", "float32"), *((each, "bfloat16") for each in tpu_program.TOPOLOGIES if each != "v5e")]


@pytest.mark.parametrize(("topology", "dtype"), GENERATIONS)
@pytest.mark.parametrize("map", MAPS)
def test_auto__no_slower_than_jax_lax_on_every_generation(topology, dtype, map):
    rival, found = (figures(SMALL, map, method, dtype, topology) for method in (tpu.BASELINE, "auto"))
    assert found.cycles <= 1.05 * rival.cycles
    assert found.flops <= 1.05 * max(Problem(SMALL, "forward", "float32").flops, rival.flops)


def test_auto__no_worse_than_jax_lax_for_a_published_layer():
    workload = workloads.load()["unet3d-up"]
    rival, found = (figures(workload, "T", method, "bfloat16") for method in (tpu.BASELINE, "auto"))
    assert not tpu_limits.missed(found, rival, Problem(workload, "forward", "bfloat16").flops)


@pytest.mark.parametrize("workload", [GROUPS, VOLUME], ids=["groups", "volume"])
@pytest.mark.parametrize("method", METHODS)
def test_methods__groups_and_volumes_compile(workload, method):
    assert compile_all_maps(workload, method, "bfloat16").cycles > 0


@pytest.mark.parametrize(
    ("dtype", "method"),
    [*((each, "auto") for each in ("int4", "int8", "uint8", "int32")), *(("int8", each) for each in METHODS[3:])],
)
def test_integers__compile(dtype, method):
    assert figures(SMALL, "T", method, dtype).flops > 0


@pytest.mark.parametrize("dtype", ["float16", "float8_e4m3fn", "complex64", "float64"])
def test_floats__emulated_dtypes_compile(dtype):
    assert compile_all_maps(SMALL, "auto", dtype).flops > 0


@pytest.mark.parametrize("method", ["auto", "gemm", tpu.BASELINE])
def test_int64__is_not_supported_by_the_compiler(method):
    row = tpu.measure("v5e", "int64", SMALL, "T", method)
    assert "UNIMPLEMENTED" in row.unsupported
    assert "element types" in row.unsupported


@pytest.mark.parametrize("map", MAPS)
def test_precision__float32_is_multiplied_as_bfloat16_by_default(map):
    def found(precision):
        def call(x, w):
            return jconvt.conv_transpose(x, w, **SMALL.arguments, precision=precision)

        text = tpu.lower("v5e", "float32", SMALL, map, call).compile().as_text()
        ((operands, options),) = re.findall(r" convolution\(([^()]*)\)(.*)", text)
        types = {re.search(rf"^ *{re.escape(name)} = (\w+)", text, re.MULTILINE)[1] for name in operands.split(", ")}
        precisions = re.search(r"operand_precision=\{(\w+),(\w+)\}", options)
        return types, precisions and set(precisions.groups())

    types, precisions = found(None)
    assert "bf16" in types
    assert precisions is None
    assert found("highest") == ({"f32"}, {"highest"})


def linen_layer(module):
    layer = module.ConvTranspose(16, (4, 4), (2, 2))
    x = jnp.ones(SMALL.input_shape, "float32")
    return layer.apply, jax.eval_shape(layer.init, jax.random.key(0), x), x


def equinox_layer(module):
    eqx = pytest.importorskip("equinox")
    layer = module.ConvTranspose(2, 32, 16, 4, 2, 1, dtype="float32", key=jax.random.key(0))
    arrays, rest = eqx.partition(layer, eqx.is_array)
    x = jnp.ones((SMALL.batch, 32, *SMALL.input_sizes), "float32")
    return lambda arrays, x: jax.vmap(eqx.combine(arrays, rest))(x), arrays, x


@pytest.mark.parametrize(
    ("layer", "ours", "theirs"),
    [
        (linen_layer, "jconvt.linen", "flax.linen"),
        (equinox_layer, "jconvt.equinox", "equinox.nn"),
    ],
)
def test_layers__gradients_are_no_slower_than_the_original_layers(layer, ours, theirs):
    chip = jax.sharding.SingleDeviceSharding(tpu_program.devices("v5e:2x2")[0])

    def found(name):
        apply, *operands = layer(pytest.importorskip(name))
        gradient = jax.jit(jax.grad(lambda variables, x: (apply(variables, x) ** 2).sum(), (0, 1)))
        return tpu_program.figures(gradient.lower(*abstract(chip, operands)).compile())

    found, rival = found(ours), found(theirs)
    assert 0.9 * Problem(SMALL, "gradient", "float32").flops < found.flops <= 1.05 * rival.flops
    assert found.peak <= 1.05 * rival.peak
    assert found.cycles <= 1.05 * rival.cycles


def abstract(sharding, tree):
    return jax.tree.map(lambda each: jax.ShapeDtypeStruct(each.shape, each.dtype, sharding=sharding), tree)


def mesh_of(chips):
    devices = tpu_program.devices("v5e:2x4" if chips > 4 else "v5e:2x2")[:chips]
    return jax.sharding.Mesh(np.array(devices), ("d",), axis_types=(AxisType.Auto,))


def generator(layer, width=16):
    """A training step of a DCGAN generator in NNX, with gradient descent, and its abstract operands."""
    nnx = pytest.importorskip("flax.nnx")

    def build():
        rngs, layers = nnx.Rngs(0), []
        for inputs, outputs in ((8 * width, 4 * width), (4 * width, 2 * width), (2 * width, width)):
            layers += [layer(inputs, outputs, (4, 4), (2, 2), rngs=rngs), nnx.BatchNorm(outputs, rngs=rngs)]
            layers += [nnx.relu]
        return nnx.Sequential(*layers, layer(width, 3, (4, 4), (2, 2), rngs=rngs), nnx.tanh)

    graph, parameters, rest = nnx.split(nnx.eval_shape(build), nnx.Param, ...)

    def step(parameters, rest, seed, images):
        def loss(parameters):
            model = nnx.merge(graph, parameters, rest, copy=True)
            error = ((model(seed) - images) ** 2).mean()
            return error, nnx.state(model, nnx.Not(nnx.Param))

        gradient, rest = jax.grad(loss, has_aux=True)(parameters)
        return jax.tree.map(lambda p, g: p - jnp.asarray(0.1, p.dtype) * g, parameters, gradient), rest

    batch = jax.ShapeDtypeStruct((8, 4, 4, 8 * width), jnp.float32), jax.ShapeDtypeStruct((8, 64, 64, 3), jnp.float32)
    return step, (parameters, rest), batch


def compiled_step(layer, chips):
    step, state, batch = generator(layer)
    mesh = mesh_of(chips)
    replicated, batch_sharded = NamedSharding(mesh, P()), NamedSharding(mesh, P("d"))
    operands = *abstract(replicated, state), *abstract(batch_sharded, batch)
    return jax.jit(step, out_shardings=replicated).lower(*operands).compile()


@pytest.mark.parametrize("chips", [1, 8])
def test_training_step__communication_and_cycles(chips):
    theirs = pytest.importorskip("flax.nnx").ConvTranspose
    ours = pytest.importorskip("jconvt.nnx").ConvTranspose
    compiled = compiled_step(ours, chips)
    found, sent = tpu_program.figures(compiled), collectives(compiled.as_text())
    parameters = sum(math.prod(each.shape) * 4 for each in jax.tree.leaves(generator(ours)[1][0]))
    if chips == 1:
        assert sent == {}
    else:
        assert set(sent) == {"all-reduce"}  # gradients, loss, and batch statistics
        assert parameters <= sum(sent["all-reduce"]) <= 1.05 * parameters
    if chips == 1:
        rival = tpu_program.figures(compiled_step(theirs, chips))
        assert found.flops <= 1.05 * rival.flops
        assert found.peak <= rival.peak
        assert found.cycles <= 1.02 * rival.cycles


REDUCE, PERMUTE = {"all-reduce"}, {"collective-permute"}
SENT = {
    "batch": {"G": REDUCE},
    "height": {"T": PERMUTE, "F": PERMUTE, "G": REDUCE | PERMUTE},
    "output": {"F": REDUCE},
    "input": {"T": REDUCE},
    "groups": {},
}


@pytest.mark.parametrize(
    ("kind", "sharding"), [*(("automatic", name) for name in SENT), ("explicit", "height"), ("explicit", "input")]
)
def test_sharding__communication(kind, sharding):
    mesh = eight_chips(kind, (8,), ("d",))
    *specs, groups = meshes.SHARDINGS[sharding]
    shapes = (8, 64, 4, 64), (5, 3, 32 // groups, 64), (8, 128, 4, 32)
    for symbol, text in compiled_maps(mesh, specs, shapes, strides=(2, 1), groups=groups):
        sent = collectives(text)
        assert sent.keys() == SENT[sharding].get(symbol, set())
        if (sharding, symbol) == ("height", "T"):
            assert sum(sent["collective-permute"]) == 2 * (8 * 4 * 64) * 2  # one row of pixels from each side
        if (sharding, symbol) == ("batch", "G"):
            assert sum(sent["all-reduce"]) in [size * math.prod(shapes[1]) for size in (2, 4)]  # sums may be float32


def eight_chips(kind, shape, names):
    devices = np.array(tpu_program.devices("v5e:2x4")).reshape(shape)
    return jax.sharding.Mesh(devices, names, axis_types=(meshes.KINDS[kind],) * len(shape))


def compiled_maps(mesh, specs, shapes, **arguments):
    """The text of the program of each map."""
    operands = [jax.ShapeDtypeStruct(shape, jnp.bfloat16) for shape in shapes]
    functions, out_specs = meshes.maps("auto", **arguments), (specs[2], specs[0], specs[1])
    for (symbol, function), out_spec in zip(functions.items(), out_specs, strict=True):
        yield symbol, meshes.lowered(mesh, function, operands, specs, out_spec).compile().as_text()


# The specs of x, w and z on a mesh of 4 by 2 chips, and for each map its collectives and the chips that it sums over.
TWO_AXES = {
    "batch, output": (P("a"), P(None, None, "b"), P("a", None, None, "b"), {"F": (REDUCE, 2), "G": (REDUCE, 4)}),
    "batch, height": (
        P("a", "b"),
        P(),
        P("a", "b"),
        {"T": (PERMUTE, 0), "F": (PERMUTE, 0), "G": (REDUCE | PERMUTE, 8)},
    ),
    "height, output": (
        P(None, "a"),
        P(None, None, "b"),
        P(None, "a", None, "b"),
        {"T": (PERMUTE, 0), "F": (REDUCE | PERMUTE, 2), "G": (REDUCE | PERMUTE, 4)},
    ),
    "height, input": (
        P(None, "a", None, "b"),
        P(None, None, None, "b"),
        P(None, "a"),
        {"T": (REDUCE | PERMUTE, 2), "F": (PERMUTE, 0), "G": (REDUCE | PERMUTE, 4)},
    ),
}


@pytest.mark.parametrize(("kind", "stride"), [("automatic", 1), ("automatic", 2), ("explicit", 2)])
@pytest.mark.parametrize("sharding", TWO_AXES)
def test_sharding__communication_over_two_mesh_axes(kind, sharding, stride):
    """XLA sums over the right chips, which it does not for plain convolutions."""
    mesh = eight_chips(kind, (4, 2), ("a", "b"))
    *specs, expected = TWO_AXES[sharding]
    shapes = (4, 64, 4, 64), (5, 3, 32, 64), (4, 64 * stride, 4, 32)
    for symbol, text in compiled_maps(mesh, specs, shapes, strides=(stride, 1)):
        names, devices = expected.get(symbol, (set(), 0))
        assert collectives(text).keys() == names
        assert math.prod(all_reduce_groups(text)) == (devices or 1), all_reduce_groups(text)
        smallest_shard = 4 * 64 // 4 * 4 * 64 // 2 * 2
        assert sum(collectives(text).get("collective-permute", [])) < smallest_shard


def test_tables__keep_earlier_rows(tmp_path):
    def run(*options):
        command = [sys.executable, "-m", "benchmarks", "--tpu-compile", "--workload", "tiny", "--dtype", "float32"]
        command += ["--output", str(tmp_path), *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("--map", "T", "--method", "gemm")
    shown = run("--map", "T", "--map", "F", "--method", "auto")
    rows = json.loads((tmp_path / "tpu.json").read_text())["rows"]
    assert [(row["map"], row["method"]) for row in rows] == [
        *(("T", method) for method in ("jax.lax", "gemm", "auto")),
        *(("F", method) for method in ("jax.lax", "auto")),
    ]
    assert all(row["figures"]["cycles"] > 0 for row in rows)
    assert "TPU v5e float32: cycles" in shown
    assert "gemm" not in shown
    page = (tmp_path / "tpu.md").read_text()
    assert "| workload | map | choice | jax.lax | auto | gemm |" in page
    assert page.count("| tiny | T |") == page.count("| tiny | F |") == 2
