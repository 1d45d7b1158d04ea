"""The kernels inside of JAX: the programs that contain them, their threads, and the errors of Python."""

import functools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconvt
from jconvt import _native
from jconvt._methods import native

X, W = np.ones((2, 16, 16, 64), np.float32), np.ones((3, 3, 64, 64), np.float32)  # "auto" takes the kernels
needs_library = pytest.mark.skipif(
    _native.loaded_library() is None, reason=f"no compiled kernels: {_native.native_status().reason}"
)
SPEC = jconvt.Spec.from_tensorflow(X.shape, W.shape, strides=2)
upsample = functools.partial(jconvt.conv2d_transpose, strides=2, method="native")


def in_new_process(script, *arguments, **environment):
    """Run Python code in a process with these environment variables, and return what it prints."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", **environment}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("shape", "dtype", "error", "text"),
    [
        ((1, 2, 2, 2, 2, 1), float, jconvt.ArgumentError, "more than 3 spatial axes"),
        ((1, 4, 1), int, jconvt.ArgumentTypeError, "dtype int64.*float32, float64"),
        ((1, 4, 1), complex, jconvt.ArgumentTypeError, "dtype complex128"),
    ],
)
def test_native__says_what_it_does_not_serve(shape, dtype, error, text):
    x, w = np.ones(shape, dtype), np.ones((3,) * (len(shape) - 2) + (1, 1), dtype)
    with pytest.raises(error, match=rf"(?s)method 'native'.*{text}.*leave method out for 'auto'"):
        jconvt.conv_transpose(x, w, method="native", strides=1)
    np.testing.assert_array_equal(
        jconvt.conv_transpose(x, w, strides=1), jconvt.conv_transpose(x, w, strides=1, method="reference")
    )


def test_native__says_why_there_is_no_library(monkeypatch):
    status = _native.NativeStatus(None, "installed without a compiler", "install g++")
    monkeypatch.setattr(_native, "native_status", lambda: status)
    with pytest.raises(jconvt.ArgumentError, match=r"(?s)not in use.*without a compiler.*leave method out.*install g"):
        upsample(X, W)
    chosen = jconvt.choose(SPEC, X.shape, W.shape, platform="cpu")
    assert "native" not in chosen.transposed_convolution.costs


@needs_library
@pytest.mark.parametrize("platform", ["cuda", "rocm", "tpu"])
def test_native__other_platforms_raise_in_python(platform):
    def gradient(x, w):  # the transposed convolution itself is not part of the program
        return jax.linear_transpose(lambda x: upsample(x, w), x)(jnp.ones((2, 32, 32, 64), x.dtype))

    for function in (upsample, gradient):
        traced = jax.jit(function).trace(X, W)
        with pytest.raises(jconvt.ArgumentError, match=rf"(?s)does not run on.*{platform}.*cpu.*leave method out"):
            traced.lower(lowering_platforms=(platform,))
    choice = jconvt.choose(SPEC, X.shape, W.shape, platform=platform)
    assert "native" not in choice.transposed_convolution.costs


@needs_library
def test_programs__contain_the_kernels_where_they_run_only():
    def derivatives(method):
        return jax.value_and_grad(lambda x, w: jconvt.conv2d_transpose(x, w, strides=2, method=method).sum(), (0, 1))

    traced = jax.jit(derivatives("native")).trace(X, W)
    assert traced.lower().as_text().count("@jconvt_") == 3
    assert "@jconvt_transpose" in jax.jit(derivatives("auto")).lower(X, W).as_text()
    for method in ("native", "auto"):
        exported = jax.export.export(jax.jit(derivatives(method)))(X, W)
        assert "@jconvt_" not in exported.mlir_module()
        assert "convolution" in exported.mlir_module() or "dot_general" in exported.mlir_module()
        with jconvt.plain_jax():
            assert "@jconvt_" not in jax.jit(derivatives(method)).lower(X, W).as_text()


@needs_library
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_kernels__temporary_memory_is_known_to_xla(monkeypatch, dtype):
    monkeypatch.setattr(native, "_cores", lambda: 2)
    shapes = (64, 32, 32, 64), (5, 5, 64, 64)
    assert jconvt.choose(jconvt.Spec.from_tensorflow(*shapes, strides=2), *shapes, platform="cpu").method == "native"
    x, w = (jax.ShapeDtypeStruct(shape, dtype) for shape in shapes)
    found = jax.jit(upsample).lower(x, w).compile().memory_analysis().temp_size_in_bytes
    # Only packed taps, except where the images are copied to be multiplied in float32.
    copied = dtype == "bfloat16" and _native.native_status().instruction_set != "avx512_bf16"
    assert 0 < found <= 5 * 5 * 64 * 64 * 4 + (64 * 32 * 32 * 64 * 4 if copied else 0)


@needs_library
def test_donated_operand__is_not_overwritten_while_it_is_read():
    # An input of the size of the output, which XLA could write to.
    x, w = np.random.default_rng(0).standard_normal((2, 16, 16, 8), np.float32), np.ones((3, 3, 8, 8), np.float32)
    same = functools.partial(jconvt.conv2d_transpose, strides=1, method="native")
    expected = jax.jit(same)(x, w)
    np.testing.assert_array_equal(jax.jit(same, donate_argnums=0)(jnp.asarray(x), w), expected)


def test_kernel_dtype__is_the_widest_that_is_not_rounded_twice():
    dtypes = {name: jnp.dtype(name) for name in ("float64", "float32", "float16", "bfloat16", "int32")}
    for (a, b, result), computed in {
        ("float32", "float32", "float32"): "float32",
        ("float64", "float64", "float64"): "float64",
        ("float16", "float16", "float16"): "float16",
        ("bfloat16", "bfloat16", "bfloat16"): "bfloat16",
        ("float16", "float16", "float32"): "float32",
        ("bfloat16", "bfloat16", "float32"): "float32",
        ("float32", "bfloat16", "bfloat16"): "float32",
        ("bfloat16", "bfloat16", "float16"): "float32",
        ("float32", "float32", "float64"): "float64",
        ("int32", "int32", "float32"): "float32",
    }.items():
        assert native.kernel_dtype(dtypes[a], dtypes[b], dtypes[result]) == computed


BITS = """
import hashlib, jax, numpy as np, jconvt
rng = np.random.default_rng(0)
digest = hashlib.sha256()
for x, w, options in (
    ((2, 16, 16, 96), (3, 3, 80, 96), dict(strides=2)),
    ((1, 4, 4, 256), (4, 4, 128, 256), dict(strides=2)),
    ((1, 2048, 32), (25, 16, 32), dict(strides=4)),
    ((2, 64, 64, 32), (3, 3, 1, 32), dict(strides=2, groups=32)),
    ((2, 64, 64, 3), (5, 5, 21, 3), dict(strides=3, data_format="NHWC")),
    ((2, 32, 12, 12, 12), (3, 3, 3, 24, 32), dict(strides=2, data_format="NCDHW")),
):
    f = lambda x, w: jconvt.conv_transpose(x, w, method="native", **options)
    x, w = (rng.standard_normal(shape, np.float32) for shape in (x, w))
    z = rng.standard_normal(jax.eval_shape(f, x, w).shape, np.float32)
    maps = jax.jit(lambda x, w, z: (f(x, w), *jax.vjp(f, x, w)[1](z)))
    first = [np.asarray(each).tobytes() for each in maps(x, w, z)]
    for _ in range(3):
        assert [np.asarray(each).tobytes() for each in maps(x, w, z)] == first
    for each in first:
        digest.update(each)
print(digest.hexdigest())
"""


@needs_library
def test_kernels__give_the_same_bits_for_any_number_of_threads():
    # XLA reads the number of its threads from NPROC.
    assert len({in_new_process(BITS, NPROC=threads) for threads in ("1", "2", "3", "7")}) == 1


CACHED = """
import sys, jax, numpy as np, jconvt
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
x, w = (np.random.default_rng(0).standard_normal(n, np.float32) for n in ((2, 8, 8, 64), (3, 3, 64, 64)))
f = lambda x, w: (jconvt.conv2d_transpose(x, w, strides=2) ** 2).sum()
expected = (np.asarray(jconvt.conv2d_transpose(x, w, strides=2, method="reference"), float) ** 2).sum()
value, _ = jax.jit(jax.value_and_grad(f))(x, w)
assert abs(value - expected) < 1e-5 * expected
print("native" if "@jconvt_" in jax.jit(f).lower(x, w).as_text() else "plain")
"""


@needs_library
@pytest.mark.parametrize("order", ["101", "010"])
def test_persistent_cache__serves_processes_with_and_without_the_kernels(tmp_path, order):
    found = [in_new_process(CACHED, str(tmp_path), JCONVT_NATIVE=used) for used in order]
    assert found == [{"1": "native", "0": "plain"}[used] for used in order]
    assert any(tmp_path.iterdir())


CROWD = """
import functools, threading
import jax, jax.numpy as jnp, numpy as np, jconvt
from jax.sharding import PartitionSpec as P
devices = jax.devices()
assert len(devices) == 8
f = functools.partial(jconvt.conv2d_transpose, strides=2, method="native")
rng = np.random.default_rng(0)
x, w = rng.integers(-3, 4, (8, 16, 16, 32)).astype(np.float32), rng.integers(-3, 4, (3, 3, 32, 32)).astype(np.float32)
def loss(x, w):
    def step(carry, _):  # a loop, with branches that call kernels, too
        y = jax.lax.cond(carry > 0, lambda: f(x, w), lambda: -f(x, w))
        return carry + jnp.mean(y * y) + jnp.mean(f(x[:, ::2], w)), None
    return jax.lax.scan(step, jnp.float32(1), None, length=3)[0]
value_and_gradients = jax.jit(jax.value_and_grad(loss, (0, 1)))
expected = value_and_gradients(x, w)
# Eight devices at once, by shard_map, and by programs that several threads start.
mesh = jax.make_mesh((8,), ("i",), axis_types=(jax.sharding.AxisType.Auto,))
y = jax.jit(jax.shard_map(f, mesh=mesh, in_specs=(P("i"), P()), out_specs=P("i")))
gradient = jax.jit(jax.grad(lambda x, w: (y(x, w) ** 2).sum(), (0, 1)))
assert "@jconvt_transpose" in y.lower(x, w).as_text()
assert "@jconvt_" not in jax.jit(f, in_shardings=(jax.NamedSharding(mesh, P("i")), None)).lower(x, w).as_text()
whole, gradients = jax.jit(f)(x, w), jax.jit(jax.grad(lambda x, w: (f(x, w) ** 2).sum(), (0, 1)))(x, w)
for _ in range(20):
    np.testing.assert_array_equal(y(x, w), whole)
    jax.tree.map(np.testing.assert_array_equal, gradient(x, w), gradients)
def run(device, found):
    operands = jax.device_put((x, w), device)
    for _ in range(20):
        found.append(value_and_gradients(*operands))
results = [[] for _ in devices]
threads = [threading.Thread(target=run, args=each) for each in zip(devices, results, strict=True)]
for thread in threads: thread.start()
for thread in threads: thread.join()
for found in sum(results, []):
    jax.tree.map(np.testing.assert_array_equal, found, expected)
print(sum(map(len, results)))
"""


@needs_library
@pytest.mark.parametrize("threads", ["1", "8"])
def test_kernels__do_not_deadlock_with_eight_devices(threads):
    found = in_new_process(CROWD, XLA_FLAGS="--xla_force_host_platform_device_count=8", NPROC=threads)
    assert found == "160"
