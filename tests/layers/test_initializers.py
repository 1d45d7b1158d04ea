"""Initialisers against their definitions, and in the layers that they are for."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jconvt
from jconvt.initializers import bilinear, icnr

KEY = jax.random.key(0, impl="rbg")  # made before conftest says so


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_bilinear__enlarges_as_image_resizing_does(rank):
    n, channels = 4, 2
    x = jax.random.normal(KEY, (1, *[n] * rank, channels))
    factors = (2, 3, 4, 5)

    @jax.jit
    def enlarge(x):
        results = []
        for factor in factors:
            kernel = bilinear()(KEY, (*[2 * factor - factor % 2] * rank, channels, channels), x.dtype)
            y = jconvt.lax.conv_transpose(x, kernel, [factor] * rank, "SAME")
            results.append((y, jax.image.resize(x, y.shape, "linear")))
        return results

    for factor, (y, expected) in zip(factors, enlarge(x), strict=True):
        inside = (slice(None), *[slice(factor, -factor)] * rank)  # only image.resize repeats pixels at the border
        np.testing.assert_allclose(y[inside], expected[inside], atol=1e-13)


def test_bilinear__kernels_are_triangles():
    """Numbers by hand."""
    for taps in ([0.25, 0.75, 0.75, 0.25], [0.5, 1, 0.5], [1], [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3], [0.5, 0.5]):
        kernel = bilinear()(KEY, (len(taps), len(taps), 1, 1), jnp.float64)
        np.testing.assert_allclose(kernel[..., 0, 0], np.outer(taps, taps), rtol=1e-15)


def test_bilinear__copies_channels_one_to_one():
    dense = bilinear()(KEY, (3, 4, 4))
    assert [np.flatnonzero(dense[1, :, o]).tolist() for o in range(4)] == [[0], [1], [2], [3]]
    depthwise = bilinear()(KEY, (3, 1, 4))
    assert (depthwise == depthwise[..., :1]).all()
    kernels = [bilinear()(KEY, (3, 4 // groups, 4)) for groups in (1, 2, 4)]

    @jax.jit
    def enlarge(x, kernels):
        return [
            jconvt.lax.conv_transpose(
                x, kernel, (2,), "SAME", transpose_kernel=transposed, feature_group_count=4 // kernel.shape[1]
            )
            for kernel in kernels
            for transposed in (False, True)
        ]

    whole, *others = enlarge(jax.random.normal(KEY, (2, 5, 4)), kernels)
    for y in others:
        np.testing.assert_allclose(y, whole, rtol=1e-12)
    first = bilinear(in_axis=1, out_axis=0)(KEY, (4, 2, 3))
    np.testing.assert_array_equal(first, bilinear()(KEY, (3, 2, 4)).transpose(2, 1, 0))


@pytest.mark.parametrize("k", [4, 6])
def test_icnr__starts_as_nearest_neighbour(k):
    """Every block of outputs is one number, so there is no checkerboard; with a normal kernel there is one."""
    draw = jax.nn.initializers.lecun_normal()

    @jax.jit
    def enlarge(x):
        kernels = (init(KEY, (k, k, 3, 2), x.dtype) for init in (icnr(2, draw), draw))
        return [jconvt.lax.conv_transpose(x, kernel, (2, 2), [(k - 1, k - 1)] * 2) for kernel in kernels]

    blocks = [y.reshape(1, (k + 8) // 2, 2, (k + 8) // 2, 2, 2) for y in enlarge(jax.random.normal(KEY, (1, 5, 5, 3)))]
    differences = [np.ptp(block, axis=(2, 4)).max() for block in blocks]
    assert differences[0] < 1e-14 < 0.1 < differences[1]


def test_icnr__repeats_along_each_axis():
    kernel = icnr((2, 3))(KEY, (4, 7, 1, 1))[..., 0, 0]
    rows, columns = ([t // s for t in range(k)] for k, s in ((4, 2), (7, 3)))
    drawn = jax.nn.initializers.lecun_normal()(KEY, (2, 3, 1, 1), kernel.dtype)[..., 0, 0]
    np.testing.assert_array_equal(kernel, drawn[np.ix_(rows, columns)])


@pytest.mark.parametrize("order", ["DCR", "CRD"])
def test_icnr__before_depth_to_space(order):
    torch = pytest.importorskip("torch")

    @jax.jit
    def enlarge(x):
        kernel = icnr(2, depth_to_space=order)(KEY, (3, 3, 2, 8))
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    y = enlarge(jax.random.normal(KEY, (1, 4, 4, 2)))
    if order == "CRD":
        y = torch.nn.functional.pixel_shuffle(torch.tensor(np.moveaxis(y, -1, 1).copy()), 2).numpy()
        y = np.moveaxis(y, 1, -1)
    else:  # the channel counts the row and the column in the block first, then the output channels
        y = np.asarray(y).reshape(1, 4, 4, 2, 2, 2).transpose(0, 1, 3, 2, 4, 5).reshape(1, 8, 8, 2)
    blocks = y.reshape(1, 4, 2, 4, 2, 2)
    np.testing.assert_array_equal(blocks, np.broadcast_to(blocks[:, :, :1, :, :1], blocks.shape))
    assert np.ptp(y) > 0.1
    assert not np.array_equal(y[..., 0], y[..., 1])


@pytest.mark.parametrize("init", [bilinear, lambda **keywords: icnr(2, **keywords)])
def test_initialisers__have_jaxs_signature(init):
    signature, theirs = inspect.signature(init()), inspect.signature(jax.nn.initializers.lecun_normal())
    assert list(signature.parameters) == list(theirs.parameters)
    shape = (4, 2, 2)
    for dtype in (None, jnp.float32, jnp.bfloat16, jnp.float16, jnp.complex64):
        for call in (lambda dtype=dtype: init()(KEY, shape, dtype), lambda dtype=dtype: init(dtype=dtype)(KEY, shape)):
            kernel = jax.eval_shape(call)
            assert (kernel.shape, kernel.dtype) == (shape, jnp.dtype(dtype or jnp.float64))
    assert jax.jit(init(), static_argnums=(1, 2))(KEY, shape, "float32").dtype == jnp.float32
    mesh = jax.make_mesh((len(jax.devices()),), ("i",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec(None, None, "i"))
    kernel = init()(KEY, (4, 1, 2 * len(jax.devices())), None, sharding)
    assert kernel.sharding.is_equivalent_to(sharding, 3)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: bilinear()(KEY, (3, 2, 3)), jconvt.ArgumentError, "copies channels one to one"),
        (lambda: bilinear()(KEY, (3, 2)), jconvt.ArgumentError, "not that of a kernel"),
        (lambda: bilinear(5)(KEY, (3, 2, 2)), jconvt.ArgumentError, "not that of a kernel"),
        (lambda: bilinear()(KEY, (0, 2, 2)), jconvt.ArgumentError, r"shape\[0\] is out of range"),
        (lambda: bilinear()(KEY, 3), jconvt.ArgumentTypeError, "shape must be a sequence"),
        (lambda: icnr(0)(KEY, (3, 2, 2)), jconvt.ArgumentError, "scale is out of range"),
        (lambda: icnr((2, 2))(KEY, (3, 2, 2)), jconvt.ArgumentError, "scale has the wrong length"),
        (lambda: icnr(2, depth_to_space="NHWC"), jconvt.ArgumentError, "unknown depth_to_space"),
        (lambda: icnr(2, depth_to_space="DCR")(KEY, (3, 3, 2, 6)), jconvt.ArgumentError, "not a multiple of"),
    ],
)
def test_initialisers__wrong_argument_raises(call, error, text):
    with pytest.raises(error, match=text):
        call()
