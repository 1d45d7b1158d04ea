"""The features that ``jconvt.linen`` and ``jconvt.nnx`` add to Flax's layers, and their errors."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jconvt
from jconvt import Axis, Spec
from jconvt._core import operation
from jconvt._methods import reference
from tests.support import laws
from tests.support.layers import WHOLE, all_compiled, integers
from tests.support.meshes import mesh_of

nn = pytest.importorskip("flax.linen")
nnx = pytest.importorskip("flax.nnx")

from jconvt import linen as jlinen  # noqa: E402
from jconvt import nnx as jnnx  # noqa: E402

KEY = jax.random.key(0, impl="rbg")  # made before conftest says so


def in_linen(layer, **keywords):
    """A function of an input: the output of a Linen layer with new parameters."""
    return lambda x: layer.init_with_output(KEY, x, **keywords)[0]


@pytest.mark.parametrize("transpose_kernel", [False, True])
def test_groups__are_independent_layers(transpose_kernel):
    x = integers((2, 5, 4, 6))
    arguments = {"kernel_size": (3, 4), "strides": 2, "transpose_kernel": transpose_kernel} | WHOLE
    methods = laws.TRACED
    linen = [jlinen.ConvTranspose(4, groups=2, method=method, **arguments) for method in methods]
    in_nnx = [jnnx.ConvTranspose(6, 4, groups=2, method=m, rngs=nnx.Rngs(1), **arguments) for m in methods]
    kernel, bias = in_nnx[0].kernel[...], in_nnx[0].bias[...]
    shapes = jax.tree.map(np.shape, jax.eval_shape(linen[0].init, KEY, x))
    assert shapes == {"params": {"bias": bias.shape, "kernel": kernel.shape}}
    assert kernel.shape == ((3, 4, 2, 6) if transpose_kernel else (3, 4, 3, 4))
    part = nn.ConvTranspose(2, **arguments)
    halves = zip(np.split(kernel, 2, -1), np.split(bias, 2, -1), strict=True)
    parts = [lambda x, k=k, b=b: part.apply({"params": {"kernel": k, "bias": b}}, x) for k, b in halves]
    calls, half = [*map(in_linen, linen), *in_nnx], np.split(x, 2, -1)
    first, second, *results = all_compiled([*parts, *calls], [*half, *[x] * len(calls)])
    for y, method in zip(results, methods * 2, strict=True):
        np.testing.assert_array_equal(y, np.concatenate([first, second], -1), method)


PADDINGS = ["SAME", "VALID", ((1, 2),)]


@pytest.mark.parametrize("padding", PADDINGS)
def test_output_shape__is_tensorflows(padding):
    """With ``use_consistent_padding`` pairs are TensorFlow's, too."""
    x, s, k = integers((2, 4, 3)), 3, 5
    least = {"SAME": 3 * s + 1, "VALID": 3 * s + k}.get(padding, 3 * s + k - 3)
    arguments = {"strides": s, "padding": padding, "use_bias": False, "transpose_kernel": True}
    arguments |= WHOLE | {"use_consistent_padding": True}
    layer, kernel = jlinen.ConvTranspose(2, k, **arguments), integers((k, 2, 3))
    in_nnx = jnnx.ConvTranspose(3, 2, k, rngs=nnx.Rngs(0), **arguments)
    calls, expected = [], []
    for out in range(least, least + 3):
        spec = Spec.from_tensorflow(x.shape, kernel.shape, (out,), s, padding)
        expected += [reference.transpose(x, kernel, spec)] * 3
        assert expected[-1].shape == (2, out, 2)
        calls += [in_linen(layer.copy(output_shape=(out,))), in_linen(layer, output_shape=(out,))]
        calls.append(lambda x, out=out: in_nnx(x, output_shape=(out,)))
    for y, z in zip(all_compiled(calls, [x] * len(calls)), expected, strict=True):
        np.testing.assert_array_equal(y, z)


@pytest.mark.parametrize("padding", PADDINGS)
def test_output_padding__is_that_of_conv_transpose(padding):
    x, kernel = integers((2, 4, 3)), integers((5, 2, 3))
    arguments = {"strides": 3, "padding": padding, "use_bias": False, "transpose_kernel": True}
    layer = jlinen.ConvTranspose(2, 5, output_padding=1, use_consistent_padding=True, **arguments, **WHOLE)
    spec = Spec.from_tensorflow(x.shape, kernel.shape, None, 3, padding, output_padding=1)
    np.testing.assert_array_equal(in_linen(layer)(x), reference.transpose(x, kernel, spec))


@pytest.mark.parametrize(("p", "plus", "k", "s", "d"), [(1, 1, 4, 2, 1), (0, 0, 3, 2, 2), (2, 2, 5, 3, 1)])
def test_use_consistent_padding__is_pytorchs_padding(p, plus, k, s, d):
    x = integers((2, 5, 6))
    arguments = {"transpose_kernel": True, "use_bias": False, "groups": 2, "output_padding": plus} | WHOLE
    layer = jlinen.ConvTranspose(4, (k,), s, p, d, use_consistent_padding=True, **arguments)
    kernel = integers((k, 2, 6))
    spec = Spec.from_torch((2, 6, 5), (6, 2, k), s, p, plus, 2, d)
    np.testing.assert_array_equal(in_linen(layer)(x), reference.transpose(x, kernel, spec))


def test_same_lower__with_consistent_padding_crops_more_at_the_start():
    x = integers((1, 4, 1))
    calls, expected = [], []
    for k in range(1, 7):
        full = reference.transpose(x, integers((k, 1, 1))[::-1], Spec((Axis(k, 2, hi=min(0, k - 2)),)))
        removed = max(0, k - 2)
        for padding, lo in (("SAME", removed // 2), ("SAME_LOWER", removed - removed // 2)):
            layer = jlinen.ConvTranspose(1, k, 2, padding, use_bias=False, use_consistent_padding=True, **WHOLE)
            calls.append(in_linen(layer))
            expected.append(full[:, lo : lo + 8])
    for y, z in zip(all_compiled(calls, [x] * len(calls)), expected, strict=True):
        np.testing.assert_array_equal(y, z)


def test_circular_padding__is_the_period_of_a_repeated_input():
    """By the definition: tile the input, convolve without padding, and cut a period from the middle."""
    calls, inputs, expected = [], [], []
    for k, s, d, n in ((6, 2, 1, 5), (3, 1, 3, 2), (1, 3, 1, 4), (5, 2, 2, 1), (2, 3, 1, 3)):
        x = integers((2, n, 2))
        call = in_linen(jlinen.ConvTranspose(3, k, s, "CIRCULAR", d, use_bias=False, **WHOLE))
        extent, times = (k - 1) * d + 1, 21
        spec = Spec((Axis(k, s, d, hi=min(0, extent - s)),))
        tiled = reference.transpose(np.tile(x, (1, times, 1)), integers((k, 2, 3))[::-1].swapaxes(1, 2), spec)
        start = 10 * n * s + max(0, extent - s) // 2
        y = tiled[:, start : start + n * s]
        calls += [call, jax.vmap(call)]
        inputs += [x, np.stack([x, 2 * x])]
        expected += [y, np.stack([y, 2 * y])]
    for y, z in zip(all_compiled(calls, inputs), expected, strict=True):
        np.testing.assert_array_equal(y, z)
    assert call(np.zeros((2, 0, 2))).shape == (2, 0, 3)


def test_out_sharding__is_that_of_the_output():
    devices = jax.devices()
    mesh = jax.make_mesh((len(devices),), ("batch",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec(None, "batch"))
    x = integers((2, 4 * len(devices), 4, 2))
    layer = jlinen.ConvTranspose(2, 3, out_sharding=sharding, **WHOLE)
    y = jax.jit(layer.apply)(layer.init(KEY, x), x)
    assert y.sharding.is_equivalent_to(sharding, y.ndim)
    in_nnx = jnnx.ConvTranspose(2, 2, 3, out_sharding=sharding, rngs=nnx.Rngs(0), **WHOLE)
    assert in_nnx(x).sharding.is_equivalent_to(sharding, y.ndim)


def test_out_sharding__is_checked_before_computing(monkeypatch):
    def compute(*_, **__):
        raise AssertionError

    monkeypatch.setattr(operation, "transposed_convolution", compute)
    mesh = mesh_of("automatic", (4,), ("i",))
    for spec in (PartitionSpec(None, None, "i"), PartitionSpec(*[None] * 4)):
        layer = jnnx.ConvTranspose(2, 2, 3, out_sharding=NamedSharding(mesh, spec), rngs=nnx.Rngs(0), **WHOLE)
        with pytest.raises(jconvt.ArgumentError, match=r"(?s)out_sharding does not fit .*\(2, 4, 2\)"):
            layer(integers((2, 4, 2)))


def test_resolver__equal_numbers_of_other_types_raise():
    """Resolving is cached, and 2 == 2.0 and 1 == True."""
    for stride in (2, 1):
        jnnx.ConvTranspose(6, 4, 3, (stride,), rngs=nnx.Rngs(0), **WHOLE)(np.zeros((1, 4, 6)))
    for strides in ((2.0,), (np.float32(2),), (True,)):
        layer = jnnx.ConvTranspose(6, 4, 3, strides, rngs=nnx.Rngs(0), **WHOLE)
        with pytest.raises(jconvt.ArgumentTypeError, match=r"strides\[0\] must be an integer"):
            layer(np.zeros((1, 4, 6)))


X = np.zeros((2, 4, 4, 6), np.float32)
CASES = [
    ({"features": 0}, X, ValueError, r"\w*features is out of range.*fix:"),
    ({"features": 4.0}, X, TypeError, r"\w*features must be an integer"),
    ({"features": 4, "groups": 4}, X, ValueError, r"groups does not divide in_features.*= 4.*6"),
    ({"features": 4, "groups": 3}, X, ValueError, r"groups does not divide \w*features.*= 3.*4"),
    ({"features": 4, "groups": 0}, X, ValueError, "groups is out of range"),
    ({"kernel_size": (3, 0)}, X, ValueError, r"kernel_size\[1\] is out of range"),
    ({"kernel_size": (3, 3, 3, 3)}, X, ValueError, "kernel_size has the wrong length"),
    ({"kernel_size": "33"}, X, TypeError, "kernel_size must be a sequence"),
    ({"kernel_size": (3, 3, 3)}, X[0], ValueError, r"too few axes for kernel_size.*\(4, 4, 6\)"),
    ({}, X[0, 0], ValueError, "too few axes for kernel_size"),
    ({}, np.float64(3), ValueError, "too few axes for kernel_size"),
    ({"strides": (2, 2, 2)}, X, ValueError, "strides has the wrong length"),
    ({"strides": 0}, X, ValueError, "strides is out of range"),
    ({"kernel_dilation": (1,)}, X, ValueError, "kernel_dilation has the wrong length"),
    ({"padding": "CAUSAL"}, X, ValueError, "unknown padding.*'CAUSAL'.*SAME_LOWER.*CIRCULAR"),
    ({"padding": "REFLECT"}, X, ValueError, "unknown padding"),
    ({"padding": "same", "strides": 2}, X, ValueError, "unknown padding.*write 'SAME'"),
    ({"padding": "same", "use_consistent_padding": True}, X, ValueError, "unknown padding.*write 'SAME'"),
    ({"padding": "circular"}, X, ValueError, "unknown padding.*write 'CIRCULAR'"),
    ({"padding": "SAME_LOWER", "strides": (1, 2)}, X, ValueError, "at stride 1 only.*use_consistent_padding=True"),
    ({"padding": [(1, 1)]}, X, ValueError, "padding has the wrong length"),
    ({"padding": -9}, X, ValueError, "padding removes more than there is"),
    ({"padding": None}, X, TypeError, "padding must be a sequence"),
    ({"padding": "CIRCULAR", "output_shape": (8, 8)}, X, ValueError, "circular padding is one period.*output_shape"),
    ({"padding": "CIRCULAR", "output_padding": 0}, X, ValueError, "circular padding is one period.*output_padding"),
    ({"output_shape": (2, 8, 8, 4), "strides": 2}, X, ValueError, "output_shape has the wrong length"),
    ({"output_shape": (8, 9), "strides": 2}, X, ValueError, "output_shape is illegal along axis 2.*7 to 8"),
    ({"output_shape": 8}, X, TypeError, "output_shape must be a sequence"),
    ({"output_shape": (8, 8), "output_padding": 1}, X, ValueError, "both choose the output size"),
    ({"output_padding": 9}, X, ValueError, "output_padding is illegal along axis 1"),
    ({"transpose_kernel": 1}, X, TypeError, "transpose_kernel must be True or False"),
    ({"use_consistent_padding": 1}, X, TypeError, "use_consistent_padding must be True or False"),
    ({"mask": np.ones((3, 3, 4, 6))}, X, ValueError, r"mask and kernel.*\(3, 3, 4, 6\).*\(3, 3, 6, 4\)"),
    ({"method": "fast"}, X, ValueError, "unknown method"),
    ({"precision": "low"}, X, ValueError, "unknown precision"),
    ({"out_sharding": "batch"}, X, TypeError, "out_sharding is not a sharding"),
]


@pytest.mark.parametrize(("keywords", "x", "error", "text"), CASES)
@pytest.mark.parametrize("framework", ["linen", "nnx"])
def test_layers__wrong_argument_raises(framework, keywords, x, error, text):
    arguments = {"features": 4, "kernel_size": (3, 3)} | WHOLE | {"param_dtype": jnp.float32} | keywords
    features = arguments.pop("features")

    def call():
        if framework == "linen":
            return jlinen.ConvTranspose(features, **arguments).init(KEY, x)
        return jnnx.ConvTranspose(6, features, rngs=nnx.Rngs(0), **arguments)(x)

    with pytest.raises(error) as raised:
        call()
    message = str(raised.value)
    assert isinstance(raised.value, jconvt.ArgumentError | jconvt.ArgumentTypeError), repr(raised.value)
    assert re.search(text, message, re.DOTALL), message
    assert re.fullmatch(r".+\n  got:   .+\n  legal: .+\n  fix:   .+", message, re.DOTALL), message


def test_nnx__wrong_input_or_rngs_raises():
    layer = jnnx.ConvTranspose(6, 4, (3, 3), rngs=nnx.Rngs(0), **WHOLE)
    with pytest.raises(jconvt.ArgumentError, match="inputs and layer differ in their number of features"):
        layer(np.zeros((2, 6, 4, 4), np.float32))
    with pytest.raises(TypeError, match="rngs"):
        jnnx.ConvTranspose(6, 4, (3, 3))
    for wrong in (None, KEY, 0):
        with pytest.raises(jconvt.ArgumentTypeError, match="rngs is not an RNG"):
            jnnx.ConvTranspose(6, 4, (3, 3), rngs=wrong)


def test_linen__missing_key_raises_flaxs_error():
    with pytest.raises(Exception, match="PRNG"):
        jlinen.ConvTranspose(4, (3, 3)).init({}, X)


def test_linen__checkpoint_of_another_shape_raises():
    x = integers((1, 4, 2))
    variables = {"params": {"kernel": jnp.ones((3, 5, 2)), "bias": jnp.ones(2)}}
    with pytest.raises(Exception, match=r"\(3, 2, 2\)"):
        jlinen.ConvTranspose(2, 3).apply(variables, x)
