"""What TPU's compiler makes of the methods, maps, dtypes, layers, and of a training step. It needs no TPU.

``python -m pytest -m tpu_compile``, where ``jconvt[tpu-compile]`` is installed. ``python -m benchmarks --tpu-compile``
has the figures of all published layers, and ``test_tpu_results`` holds them to the same limits.
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
from tests.support.collectives import added_up, collectives

pytest.importorskip("libtpu", reason="TPU's compiler is not installed: pip install 'jconvt[tpu-compile]'")
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


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("map", MAPS)
def test_every_method_computes_every_map(map, dtype):
    useful = Problem(SMALL, "forward", "float32").flops
    rival = figures(SMALL, map, tpu.BASELINE, dtype)
    for method in METHODS:
        found = figures(SMALL, map, method, dtype)
        assert found.cycles > 0
        assert 0.9 * useful < found.flops <= 1.05 * (useful + rival.flops), method
        assert found.temporary == 0  # all of it is in the chip's own memory
        if method == "auto":
            assert found.flops <= 1.05 * max(useful, rival.flops)
            assert found.cycles <= 1.05 * rival.cycles


@pytest.mark.parametrize("topology", tpu_program.TOPOLOGIES)
@pytest.mark.parametrize("map", MAPS)
def test_every_generation(topology, map):
    for dtype in ("float32", "bfloat16"):
        rival, found = (figures(SMALL, map, method, dtype, topology) for method in (tpu.BASELINE, "auto"))
        assert found.cycles <= 1.05 * rival.cycles
        assert found.flops <= 1.05 * max(Problem(SMALL, "forward", "float32").flops, rival.flops)


@pytest.mark.parametrize("name", ["unet-up", "pix2pix-up", "unet3d-up"])
def test_published_layers_are_no_worse_than_jax_lax(name):
    workload = workloads.load()[name]
    rival, found = (figures(workload, "T", method, "bfloat16") for method in (tpu.BASELINE, "auto"))
    assert not tpu_limits.missed(found, rival, Problem(workload, "forward", "bfloat16").flops)


@pytest.mark.parametrize("workload", [GROUPS, VOLUME], ids=["groups", "volume"])
@pytest.mark.parametrize("method", METHODS)
def test_groups_and_volumes(workload, method):
    for map in MAPS:
        assert figures(workload, map, method, "bfloat16").cycles > 0


@pytest.mark.parametrize("dtype", ["int4", "int8", "uint8", "int16", "int32", "uint32"])
def test_integers(dtype):
    for method in ("auto", "dilated", "polyphase", "gemm") if dtype in ("int8", "int32") else ("auto",):
        assert figures(SMALL, "T", method, dtype).flops > 0


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "complex64", "float64"])
@pytest.mark.parametrize("map", MAPS)
def test_floats_that_a_tpu_has_in_part_or_not(dtype, map):
    assert figures(SMALL, map, "auto", dtype).flops > 0


@pytest.mark.parametrize("method", ["auto", "polyphase", "gemm", tpu.BASELINE])
def test_int64_is_what_the_compiler_refuses(method):
    row = tpu.measure("v5e", "int64", SMALL, "T", method)
    assert "UNIMPLEMENTED" in row.unsupported
    assert "element types" in row.unsupported


@pytest.mark.parametrize("map", MAPS)
def test_float32_is_multiplied_as_bfloat16_unless_more_is_asked_for(map):
    def found(precision):
        def call(x, w):
            return jconvt.conv_transpose(x, w, **SMALL.arguments, precision=precision)

        text = tpu.lower("v5e", "float32", SMALL, map, call).compile().as_text()
        ((operands, options),) = re.findall(r" convolution\(([^()]*)\)(.*)", text)
        types = {re.search(rf"^ *{re.escape(name)} = (\w+)", text, re.MULTILINE)[1] for name in operands.split(", ")}
        asked = re.search(r"operand_precision=\{(\w+),(\w+)\}", options)
        return types, asked and set(asked.groups())

    types, asked = found(None)
    assert "bf16" in types
    assert asked is None
    assert found("highest") == ({"f32"}, {"highest"})


def linen_layer(module):
    layer = module.ConvTranspose(16, (4, 4), (2, 2))
    x = jnp.ones(SMALL.input_shape, "float32")
    return layer.apply, jax.eval_shape(layer.init, jax.random.key(0), x), x


def nnx_layer(module):
    nnx = pytest.importorskip("flax.nnx")
    layer = module.ConvTranspose(32, 16, (4, 4), 2, rngs=nnx.Rngs(0))
    graph, state = nnx.split(layer)
    return lambda state, x: nnx.merge(graph, state)(x), state, jnp.ones(SMALL.input_shape, "float32")


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
        (nnx_layer, "jconvt.nnx", "flax.nnx"),
        (equinox_layer, "jconvt.equinox", "equinox.nn"),
    ],
)
def test_layers_and_their_gradients_beside_those_they_replace(layer, ours, theirs):
    chip = jax.sharding.SingleDeviceSharding(tpu_program.devices("v5e:2x2")[0])

    def found(name):
        apply, *operands = layer(pytest.importorskip(name))
        gradient = jax.jit(jax.grad(lambda variables, x: (apply(variables, x) ** 2).sum(), (0, 1)))
        return tpu_program.figures(gradient.lower(*described_on(chip, operands)).compile())

    found, rival = found(ours), found(theirs)
    assert 0.9 * Problem(SMALL, "gradient", "float32").flops < found.flops <= 1.05 * rival.flops
    assert found.peak <= 1.05 * rival.peak
    assert found.cycles <= 1.05 * rival.cycles


def described_on(sharding, tree):
    return jax.tree.map(lambda each: jax.ShapeDtypeStruct(each.shape, each.dtype, sharding=sharding), tree)


def mesh_of(chips):
    devices = tpu_program.devices("v5e:2x4" if chips > 4 else "v5e:2x2")[:chips]
    return jax.sharding.Mesh(np.array(devices), ("d",), axis_types=(AxisType.Auto,))


def generator(layer, width=16):
    """A DCGAN generator's training step in NNX, with plain gradient descent, and its abstract operands."""
    nnx = pytest.importorskip("flax.nnx")

    def build():
        rngs, layers = nnx.Rngs(0), []
        for wide, narrow in ((8 * width, 4 * width), (4 * width, 2 * width), (2 * width, width)):
            layers += [layer(wide, narrow, (4, 4), (2, 2), rngs=rngs), nnx.BatchNorm(narrow, rngs=rngs)]
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
    whole, split = NamedSharding(mesh, P()), NamedSharding(mesh, P("d"))
    operands = *described_on(whole, state), *described_on(split, batch)
    return jax.jit(step, out_shardings=whole).lower(*operands).compile()


@pytest.mark.parametrize("chips", [1, 4, 8])
def test_training_step_of_a_generator(chips):
    theirs = pytest.importorskip("flax.nnx").ConvTranspose
    ours = pytest.importorskip("jconvt.nnx").ConvTranspose
    compiled = compiled_step(ours, chips)
    found, sent = tpu_program.figures(compiled), collectives(compiled.as_text())
    parameters = sum(math.prod(each.shape) * 4 for each in jax.tree.leaves(generator(ours)[1][0]))
    if chips == 1:
        assert sent == {}
    else:
        assert set(sent) == {"all-reduce"}  # of the gradients, the loss, and what is normalised over the batch
        assert parameters <= sum(sent["all-reduce"]) <= 1.05 * parameters
    if chips == 1:
        rival = tpu_program.figures(compiled_step(theirs, chips))
        assert found.flops <= 1.05 * rival.flops
        assert found.peak <= rival.peak
        assert found.cycles <= 1.02 * rival.cycles


WIDE = dataclasses.replace(SMALL, name="wide", batch=8, input_sizes=(16, 16), output_sizes=(32, 32))


def sent(chips, method, x, w, z):
    """What T sends, and what F and G send together, with operands and results of these shardings."""
    mesh = mesh_of(chips)
    shapes = WIDE.input_shape, WIDE.filters_shape, WIDE.output_shape
    x, w, z = (NamedSharding(mesh, spec) for spec in (x, w, z))
    operands = [
        jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=s) for shape, s in zip(shapes, (x, w, z), strict=True)
    ]
    call = tpu.function(WIDE, method)
    forward = jax.jit(call, out_shardings=z).lower(*operands[:2]).compile()
    backward = jax.jit(lambda x, w, z: jax.vjp(call, x, w)[1](z), out_shardings=(x, w)).lower(*operands).compile()
    return collectives(forward.as_text()), collectives(backward.as_text())


@pytest.mark.parametrize("chips", [4, 8])
@pytest.mark.parametrize("method", METHODS)
def test_a_split_batch_sends_the_gradient_of_the_filters_alone(chips, method):
    forward, backward = sent(chips, method, P("d"), P(), P("d"))
    filters = math.prod(WIDE.filters_shape)
    assert forward == {}
    assert backward in ({"all-reduce": [2 * filters]}, {"all-reduce": [4 * filters]})  # sums may be in float32


REDUCE, PERMUTE = {"all-reduce"}, {"collective-permute"}
SENT = {
    "batch": {"G": REDUCE},
    "height": {"T": PERMUTE, "F": PERMUTE, "G": REDUCE | PERMUTE},
    "output": {"F": REDUCE},
    "input": {"T": REDUCE},
    "groups": {},
}


@pytest.mark.parametrize("split", SENT)
@pytest.mark.parametrize("kind", meshes.KINDS)
def test_what_moves(kind, split):
    devices = np.array(tpu_program.devices("v5e:2x4"))
    mesh = jax.sharding.Mesh(devices.reshape(8), ("d",), axis_types=(meshes.KINDS[kind],))
    *laid, groups = meshes.SPLITS[split]
    shapes = (8, 64, 4, 64), (5, 3, 32 // groups, 64), (8, 128, 4, 32)
    operands = [jax.ShapeDtypeStruct(shape, jnp.bfloat16) for shape in shapes]
    results = laid[2], laid[0], laid[1]
    calls = meshes.maps("auto", strides=(2, 1), groups=groups)
    for (name, function), result in zip(calls.items(), results, strict=True):
        moved = collectives(meshes.compiled(kind, mesh, function, operands, laid, result).as_text())
        assert moved.keys() == SENT[split].get(name, set())
        if (split, name) == ("height", "T"):
            assert sum(moved["collective-permute"]) == 2 * (8 * 4 * 64) * 2  # a row of pixels from either side


# Of x, w and z on a mesh of 4 by 2 chips: what T, F and G send, and over how many chips they add up.
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


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("split", TWO_AXES)
@pytest.mark.parametrize("kind", meshes.KINDS)
def test_what_moves_over_two_axes(kind, split, stride):
    """What XLA splits itself is added up over the right chips: those that a plain convolution is, are not."""
    devices = np.array(tpu_program.devices("v5e:2x4"))
    mesh = jax.sharding.Mesh(devices.reshape(4, 2), ("a", "b"), axis_types=(meshes.KINDS[kind],) * 2)
    *laid, expected = TWO_AXES[split]
    shapes = (4, 64, 4, 64), (5, 3, 32, 64), (4, 64 * stride, 4, 32)
    operands = [jax.ShapeDtypeStruct(shape, jnp.bfloat16) for shape in shapes]
    results = laid[2], laid[0], laid[1]
    for (name, function), result in zip(meshes.maps("auto", strides=(stride, 1)).items(), results, strict=True):
        text = meshes.compiled(kind, mesh, function, operands, laid, result).as_text()
        moved, devices = expected.get(name, (set(), 0))
        assert collectives(text).keys() == moved
        assert math.prod(added_up(text)) == (devices or 1), added_up(text)
        image = 4 * 64 // 4 * 4 * 64 // 2 * 2  # a share, at the least
        assert sum(collectives(text).get("collective-permute", [])) < image


def test_tables_are_written_and_what_was_there_is_kept(tmp_path):
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
