"""Operands split over several devices, on meshes with automatic and with explicit axes."""

import os
import subprocess
import sys

SCRIPT = """
import jax, numpy as np, jconvt
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

rng = np.random.default_rng(0)
x = rng.integers(-9, 10, (4, 4, 4, 4)).astype(np.float32)
w = rng.integers(-9, 10, (3, 3, 2, 4)).astype(np.float32)
expected = np.asarray(jconvt.conv2d_transpose(x, w, strides=2, method="reference"))
count = 0
for kind in (AxisType.Auto, AxisType.Explicit):
    mesh = jax.make_mesh((4,), ("batch",), axis_types=(kind,))
    split = jax.device_put(x, NamedSharding(mesh, P("batch")))
    for method in ("auto", "dilated", "vjp"):
        for asked in (None, NamedSharding(mesh, P("batch")), NamedSharding(mesh, P()), P("batch")):
            def f(x, w):
                return jconvt.conv2d_transpose(x, w, strides=2, method=method, out_sharding=asked)
            with jax.set_mesh(mesh):
                for y in (f(split, w), jax.jit(f)(split, w)):
                    np.testing.assert_array_equal(y, expected)
                    spec = P("batch") if asked is None else getattr(asked, "spec", asked)
                    assert y.sharding.is_equivalent_to(NamedSharding(mesh, spec), y.ndim), (kind, method, asked)
                    count += 1
    for method in ("polyphase", "gemm"):
        with jax.set_mesh(mesh):
            try:
                np.testing.assert_array_equal(jconvt.conv2d_transpose(split, w, strides=2, method=method), expected)
                assert kind is AxisType.Auto
            except jconvt.ArgumentError as error:
                assert kind is AxisType.Explicit and "'auto', 'dilated' or 'vjp'" in str(error)
            count += 1
    with jax.set_mesh(mesh):
        for spec, said in ((P("rows"), "not fit"), (P(*"NHWCX"), "5 entries"), (P(None, None, None, "batch"), "fit")):
            try:
                jconvt.conv2d_transpose(split, w, strides=2, out_sharding=spec)
            except jconvt.ArgumentError as error:
                assert said in str(error), error
                count += 1
print(count, "layouts")

# Mapped over an axis that is split: to the call it is no axis of its operands.
groups = rng.integers(-9, 10, (4, 3, 4, 4, 4)).astype(np.float32)
for kind in (AxisType.Auto, AxisType.Explicit):
    mesh = jax.make_mesh((4,), ("batch",), axis_types=(kind,))
    split = jax.device_put(groups, NamedSharding(mesh, P("batch")))
    def loss(x):
        y = jax.vmap(lambda x: jconvt.conv2d_transpose(x, w, strides=2))(x)
        return (y ** 2).sum(), y
    plain = jax.value_and_grad(loss, has_aux=True)(groups)
    with jax.set_mesh(mesh):
        found = jax.jit(jax.value_and_grad(loss, has_aux=True))(split)
        assert found[0][1].sharding.is_equivalent_to(split.sharding, 5), kind
        jax.tree.map(np.testing.assert_array_equal, found, plain)
        for method in ("polyphase", "gemm"):
            try:
                jax.vmap(lambda x: jconvt.conv2d_transpose(x, w, strides=2, method=method))(split)
                assert kind is AxisType.Auto
            except jconvt.ArgumentError as error:
                assert kind is AxisType.Explicit and "'auto', 'dilated' or 'vjp'" in str(error)

# Under shard_map, each device's share, and gradients that are sums over devices.
mesh = jax.make_mesh((4,), ("d",), axis_types=(AxisType.Auto,))
taps = rng.integers(-9, 10, (3, 3, 4, 4)).astype(np.float32)
for method in ("auto", "dilated", "vjp", "polyphase", "gemm"):
    def f(x, w):
        return jconvt.conv2d_transpose(x, w, strides=2, method=method)
    plain = jax.jit(jax.value_and_grad(lambda x, w: (f(x, w) ** 2).sum(), (0, 1)))(x, taps)
    for specs, out in (((P("d"), P()), P("d")), ((P(), P(None, None, "d")), P(None, None, None, "d"))):
        split = jax.shard_map(f, mesh=mesh, in_specs=specs, out_specs=out)
        found = jax.jit(jax.value_and_grad(lambda x, w: (split(x, w) ** 2).sum(), (0, 1)))(x, taps)
        jax.tree.map(np.testing.assert_array_equal, found, plain)

# A batch that one device would compute in turns stays where it is when it is split over several.
many = jax.device_put(np.ones((32, 16, 16, 64), np.float32), NamedSharding(mesh, P("d")))
kernel = jax.device_put(np.ones((5, 5, 64, 64), np.float32), NamedSharding(mesh, P()))
def loss(x, w):
    return (jconvt.conv2d_transpose(x, w, strides=2) ** 2).sum()
text = jax.jit(jax.grad(loss, (0, 1))).lower(many, kernel).compile().as_text()
print("all-gather" in text, "while" in text)
"""


def test_operands_split_over_the_batch():
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=os.environ | environment, capture_output=True, text=True, timeout=300
    )
    assert found.stdout.split("\n")[:2] == ["58 layouts", "False False"], found.stderr
