"""Inside the modules of Flax and Equinox, under the transformations of each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconvt
from jconvt._methods import reference

X = np.random.default_rng(0).integers(-9, 10, (2, 3, 4, 5)).astype(np.float32)
W = np.random.default_rng(1).integers(-9, 10, (4, 4, 2, 5)).astype(np.float32)
SPEC = jconvt.Spec.from_tensorflow(X.shape, W.shape, strides=2)
Y = reference.transpose(X, W, SPEC)
GRADIENT = reference.kernel_gradient(X, 2 * Y, SPEC)


def test_conv2d_transpose__in_a_linen_module():
    nn = pytest.importorskip("flax.linen")

    class Up(nn.Module):
        @nn.compact
        def __call__(self, x):
            kernel = self.param("kernel", lambda key: jnp.asarray(W))
            return jconvt.conv2d_transpose(x, kernel, strides=2)

    module = Up()
    variables = module.init(jax.random.key(0), X)
    np.testing.assert_array_equal(jax.jit(module.apply)(variables, X), Y)
    gradient = jax.grad(lambda variables: (module.apply(variables, X) ** 2).sum())(variables)
    np.testing.assert_array_equal(gradient["params"]["kernel"], GRADIENT)


def test_conv2d_transpose__in_an_nnx_module():
    nnx = pytest.importorskip("flax.nnx")

    class Up(nnx.Module):
        def __init__(self):
            self.kernel = nnx.Param(jnp.asarray(W))

        def __call__(self, x):
            return jconvt.conv2d_transpose(x, self.kernel[...], strides=2)

    np.testing.assert_array_equal(nnx.jit(lambda module, x: module(x))(Up(), X), Y)
    gradient = nnx.jit(nnx.grad(lambda module: (module(X) ** 2).sum()))(Up())
    np.testing.assert_array_equal(gradient.kernel[...], GRADIENT)


def test_conv2d_transpose__in_an_equinox_module():
    eqx = pytest.importorskip("equinox")

    class Up(eqx.Module):
        kernel: jax.Array

        def __call__(self, x):
            return jconvt.conv2d_transpose(x[None], self.kernel, strides=2)[0]

    module = Up(jnp.asarray(W))
    np.testing.assert_array_equal(eqx.filter_jit(lambda module, x: jax.vmap(module)(x))(module, X), Y)
    gradient = eqx.filter_jit(eqx.filter_grad(lambda module: (jax.vmap(module)(X) ** 2).sum()))(module)
    np.testing.assert_array_equal(gradient.kernel, GRADIENT)
