"""Programs that jconvt leaves as they are, and programs of other processes."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jconvt
from jconvt import _accelerate
from tests.support.meshes import mesh_of

ROOT = pathlib.Path(__file__).parents[2]
NUMBERS = ("NHWC", "HWIO", "NHWC")
IMAGES, KERNEL = (
    np.random.default_rng(0).standard_normal(shape).astype(np.float32) for shape in [(8, 8, 8, 4), (3, 3, 4, 4)]
)


def layer(lhs, rhs):
    return jax.lax.conv_general_dilated(lhs, rhs, (2, 2), "SAME", dimension_numbers=NUMBERS)


def gradients(lhs, rhs):
    return jax.grad(lambda *operands: (layer(*operands) ** 2).sum(), (0, 1))(lhs, rhs)


@pytest.mark.usefixtures("all_replaced")
def test_export__has_no_custom_call_and_the_same_bits(seen):
    exported = jax.export.export(jax.jit(gradients))(IMAGES, KERNEL)
    with jconvt.accelerate():
        found = jax.export.export(jax.jit(gradients))(IMAGES, KERNEL)
        assert {each.reason for each in seen()} == {"jax.export saves the program"}
        results = found.call(IMAGES, KERNEL)
        assert {each.reason for each in seen()} == set()
    assert "stablehlo.custom_call" not in found.mlir_module()
    assert found.mlir_module().count("stablehlo.convolution") == 3
    for a, b in zip(results, exported.call(IMAGES, KERNEL), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures("all_replaced")
def test_export__with_symbolic_sizes(seen):
    batch = jax.export.symbolic_shape("batch")[0]
    images = jax.ShapeDtypeStruct((batch, 8, 8, 4), np.float32)
    with jconvt.accelerate():
        found = jax.export.export(jax.jit(layer))(images, KERNEL)
    np.testing.assert_allclose(found.call(IMAGES, KERNEL), layer(IMAGES, KERNEL), 1e-4, 1e-4)
    assert {each.reason for each in seen()} <= {"a size is symbolic", "jax.export saves the program"}


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.usefixtures("all_replaced")
def test_other_platforms__have_the_same_text(seen, platform):
    def text():
        return jax.jit(gradients).trace(IMAGES, KERNEL).lower(lowering_platforms=(platform,)).as_text()

    expected = text()
    with jconvt.accelerate():
        assert text() == expected
    assert not seen()


@pytest.mark.parametrize("kind", ["automatic", "explicit"])
@pytest.mark.usefixtures("all_replaced")
def test_sharded_programs__are_left(seen, kind):
    mesh = mesh_of(kind)
    images = jax.device_put(IMAGES, NamedSharding(mesh, P("d")))
    kernel = jax.device_put(KERNEL, NamedSharding(mesh, P()))
    with jax.set_mesh(mesh):
        expected = jax.jit(layer)(images, kernel)
        with jconvt.accelerate():
            y = jax.jit(layer)(images, kernel)
    np.testing.assert_array_equal(y, expected)
    assert y.sharding.is_equivalent_to(expected.sharding, y.ndim)
    assert [each.reason for each in seen()] == ["XLA shards the program"]


@pytest.mark.usefixtures("all_replaced")
def test_shard_map__is_replaced(seen):
    def step(images, kernel):
        return jax.grad(lambda kernel: (layer(images, kernel) ** 2).sum())(kernel)

    sharded = jax.jit(jax.shard_map(step, mesh=mesh_of("automatic"), in_specs=(P("d"), P()), out_specs=P()))
    expected = jax.jit(step)(IMAGES, KERNEL)
    with jconvt.accelerate():
        y = sharded(IMAGES, KERNEL)
    np.testing.assert_allclose(y, expected, 1e-4, 1e-3)
    assert len([each for each in seen() if each.method]) == 2


def test_what_is_not_faster__has_the_same_bits(seen, monkeypatch):
    expected, without = jax.jit(gradients)(IMAGES, KERNEL), jax.jit(gradients).lower(IMAGES, KERNEL).as_text()
    monkeypatch.setattr(_accelerate, "_MIN_SECONDS", 0)
    monkeypatch.setattr(_accelerate, "_MIN_GAIN", float("inf"))
    with jconvt.accelerate():
        found, text = jax.jit(gradients)(IMAGES, KERNEL), jax.jit(gradients).lower(IMAGES, KERNEL).as_text()
    assert text == without
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert {each.reason for each in seen()} == {"XLA is predicted to be faster"}


def test_plain_jax__has_no_primitive_of_jconvt(seen):
    with jconvt.accelerate(), jconvt.plain_jax():
        jax.jit(layer)(IMAGES, KERNEL)
    assert [each.reason for each in seen()] == ["jconvt.plain_jax is active"]


def run(program, *arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


CACHED = """
import json, pathlib, sys
import jax, numpy as np, jconvt
jax.config.update("jax_compilation_cache_dir", sys.argv[2])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
jconvt._accelerate._MIN_GAIN = jconvt._accelerate._MIN_SECONDS = 0
jconvt.accelerate(sys.argv[1] == "on")

@jax.jit
def layer(lhs, rhs):
    return jax.lax.conv_general_dilated(lhs, rhs, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

operands = np.arange(-128, 128, dtype="f4").reshape(1, 8, 8, 4) % 17, np.arange(144, dtype="f4").reshape(3, 3, 4, 4) % 7
y = layer(*operands)
files = sorted(path.name for path in pathlib.Path(sys.argv[2]).glob("jit_layer*-cache"))
print(json.dumps([np.asarray(y).tolist(), len(jconvt.accelerate.report()), files]))
"""


def test_persistent_cache__keeps_programs_apart(tmp_path):
    (y, replaced, first), (y2, none, second), (y3, again, third) = (
        run(CACHED, switch, str(tmp_path)) for switch in ("on", "off", "on")
    )
    assert y == y2 == y3
    assert (replaced, none, again) == (1, 0, 1)
    assert (len(first), len(second), third) == (1, 2, second)


FIT = """
import json
import jax, keras, numpy as np, jconvt
jconvt._accelerate._MIN_GAIN = jconvt._accelerate._MIN_SECONDS = 0

def losses(on):
    jconvt.accelerate(on)
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential([
        keras.Input((8, 8, 3)), layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
        layers.DepthwiseConv2D(3, padding="same"), layers.Conv2D(8, 1), layers.BatchNormalization(),
        layers.Conv2DTranspose(3, 4, strides=2, padding="same"),
    ])
    model.compile("sgd", "mse")
    images = np.random.default_rng(0).standard_normal((8, 8, 8, 3)).astype("float32")
    return model.fit(images, images, batch_size=4, epochs=3, shuffle=False, verbose=0).history["loss"]

expected, found = losses(False), losses(True)
replaced = [each.map for each in jconvt.accelerate.report() if each.method]
print(json.dumps([expected, found, replaced]))
"""


def test_keras_fit__has_the_same_losses():
    pytest.importorskip("keras")
    expected, found, replaced = run(FIT, KERAS_BACKEND="jax")
    assert expected[-1] < expected[0]
    assert found == pytest.approx(expected, rel=1e-5)
    assert {*replaced} == {"forward_convolution", "transposed_convolution", "kernel_gradient"}
