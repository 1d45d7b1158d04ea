"""Circular layers are the adjoints of circular convolutions: ``<conv(x), y> == <x, T(y)>``, exactly."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.layers import all_compiled, integers

IN, OUT = 4, 6

CASES = [
    *(((k,), (s,), (d,), (m,), 1) for k, s, d, m in itertools.product(range(1, 6), (1, 2, 3), (1, 2), (1, 3))),
    *(((k,), (s,), (1,), (3,), 2) for k, s in itertools.product((1, 2, 3, 4), (1, 2, 3))),
    *(((k, 3), (s, 3), (1, d), (2, 3), g) for k, s, d, g in ((4, 1, 1, 1), (3, 2, 2, 2), (5, 4, 1, 2))),
    ((2, 3, 4), (1, 3, 2), (1, 1, 2), (2, 1, 3), 1),
]
"""Kernel, strides, dilations, sizes of the small image, groups."""


def adjoints(calls):
    """The sums ``<conv(x), y>`` and ``<x, T(y)>`` of each case, from one program. ``calls`` makes both functions."""
    sums, inputs = [], []
    for k, s, d, m, g in CASES:
        x = integers((2, *(size * stride for size, stride in zip(m, s, strict=True)), IN))
        y = integers((2, *m, OUT))
        w = integers((*k, IN // g, OUT))
        conv, transposed = calls(k, s, d, g, w)
        sums.append(lambda a, f=conv, g=transposed: (jnp.vdot(f(a[0]), a[1]), jnp.vdot(a[0], g(a[1]))))
        inputs.append((x, y))
    return all_compiled(sums, inputs)


def check_adjoint(calls):
    for case, (expected, found) in zip(CASES, adjoints(calls), strict=True):
        assert found == expected != 0, case


def in_linen(**arguments):
    nn, jlinen = pytest.importorskip("flax.linen"), pytest.importorskip("jconvt.linen")

    def calls(k, s, d, g, w):
        both = {"padding": "CIRCULAR", "use_bias": False, "param_dtype": w.dtype}
        conv = nn.Conv(OUT, k, s, kernel_dilation=d, feature_group_count=g, **both)
        up = jlinen.ConvTranspose(IN, k, s, kernel_dilation=d, groups=g, transpose_kernel=True, **both, **arguments)
        return [lambda x, layer=layer: layer.apply({"params": {"kernel": w}}, x) for layer in (conv, up)]

    return calls


def test_linen__consistent_padding_is_the_adjoint():
    check_adjoint(in_linen(use_consistent_padding=True))


def test_linen__flaxs_alignment_is_not():
    sums = adjoints(in_linen())
    agree = {case: expected == found for case, (expected, found) in zip(CASES, sums, strict=True)}
    assert not agree[(4,), (1,), (1,), (3,), 1]
    assert not agree[(3,), (3,), (1,), (3,), 1]
    assert agree[(4,), (2,), (1,), (3,), 1]


def test_nnx__consistent_padding_is_the_adjoint():
    nnx, jnnx = pytest.importorskip("flax.nnx"), pytest.importorskip("jconvt.nnx")

    def calls(k, s, d, g, w):
        both = {"padding": "CIRCULAR", "use_bias": False, "param_dtype": w.dtype, "rngs": nnx.Rngs(0)}
        conv = nnx.Conv(IN, OUT, k, s, kernel_dilation=d, feature_group_count=g, **both)
        arguments = {"groups": g, "transpose_kernel": True, "use_consistent_padding": True}
        up = jnnx.ConvTranspose(OUT, IN, k, s, kernel_dilation=d, **arguments, **both)
        conv.kernel[...] = up.kernel[...] = jnp.asarray(w)
        return conv, up

    check_adjoint(calls)


def test_nnx__without_transpose_kernel_it_is_the_adjoint_of_the_flipped_kernel():
    nnx, jnnx = pytest.importorskip("flax.nnx"), pytest.importorskip("jconvt.nnx")

    def calls(k, s, d, g, w):
        both = {"padding": "CIRCULAR", "use_bias": False, "param_dtype": w.dtype, "rngs": nnx.Rngs(0)}
        conv = nnx.Conv(IN, OUT, k, s, kernel_dilation=d, feature_group_count=g, **both)
        up = jnnx.ConvTranspose(OUT, IN, k, s, kernel_dilation=d, groups=g, use_consistent_padding=True, **both)
        conv.kernel[...] = jnp.asarray(w)
        flipped = w[(slice(None, None, -1),) * len(k)]  # (k..., in / groups, out), to (k..., out / groups, in)
        grouped = flipped.reshape(*k, IN // g, g, OUT // g)
        up.kernel[...] = jnp.asarray(np.moveaxis(grouped, (-3, -2, -1), (-1, -2, -3)).reshape(*k, OUT // g, IN))
        return conv, up

    check_adjoint(calls)


@pytest.mark.parametrize("padding", ["SAME", "SAME_LOWER"])
def test_equinox__is_the_adjoint_by_default(padding):
    eqx, jequinox = pytest.importorskip("equinox"), pytest.importorskip("jconvt.equinox")

    def calls(k, s, d, g, w):
        key, rank = jax.random.key(0), len(k)
        both = {
            "padding": padding,
            "padding_mode": "CIRCULAR",
            "use_bias": False,
            "dilation": d,
            "groups": g,
            "key": key,
        }
        weight = np.moveaxis(w, (-1, -2), (0, 1))  # (out, in / groups, k...), and backwards (in, out / groups, k...)
        grouped = weight[(slice(None), slice(None), *[slice(None, None, -1)] * rank)].reshape(g, OUT // g, IN // g, *k)
        layers = eqx.nn.Conv(rank, IN, OUT, k, s, **both), jequinox.ConvTranspose(rank, OUT, IN, k, s, **both)
        weights = weight, grouped.swapaxes(1, 2).reshape(IN, OUT // g, *k)

        def last(layer):
            return lambda x: jnp.moveaxis(jax.vmap(layer)(jnp.moveaxis(x, -1, 1)), 1, -1)

        return [
            last(eqx.tree_at(lambda layer: layer.weight, layer, jnp.asarray(kernel)))
            for layer, kernel in zip(layers, weights, strict=True)
        ]

    check_adjoint(calls)
