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
"""


def test_operands_split_over_the_batch():
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=os.environ | environment, capture_output=True, text=True, timeout=300
    )
    assert found.stdout.strip() == "58 layouts", found.stderr
