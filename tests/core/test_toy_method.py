"""One ``Method`` object and one entry in ``METHODS`` are all that a new method needs."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconvt
from jconvt._geometry.maps import Map
from jconvt._methods import METHODS, Method
from tests.support import laws
from tests.support.geometries import Call

# No other test has these shapes: a program that another test compiled for method="auto" would be used again.
CALL = Call((2, 3, 7, 4), (3, 2, 5, 4), {"strides": (2, 3), "dilations": (1, 2), "groups": 2, "padding": "VALID"})


def stamps_in_a_loop(x, w, spec, layout, dtype, precision):
    """T: for each tap, the pixels times that tap's matrix are added to every ``stride``-th position of the canvas."""
    x = jnp.moveaxis(x, layout.channel_axis, -1)
    pixels = x.reshape(*x.shape[:-1], spec.groups, -1).astype(dtype)
    w = w.reshape(*w.shape[:-1], spec.groups, -1).astype(dtype)
    sizes = x.shape[1:-1]
    ends = [a.full_size(n) + max(-a.hi, 0) for a, n in zip(spec.axes, sizes, strict=True)]
    canvas = jnp.zeros((x.shape[0], *ends, spec.groups, w.shape[-3]), dtype)
    for tap in itertools.product(*(range(axis.kernel) for axis in spec.axes)):
        places = [
            slice(t * a.dilation, t * a.dilation + n * a.stride, a.stride)
            for t, a, n in zip(tap, spec.axes, sizes, strict=True)
        ]
        places = [slice(each.start, min(each.stop, end), each.step) for each, end in zip(places, ends, strict=True)]
        stamps = jnp.einsum("n...gc,ogc->n...go", pixels, w[tap], precision=precision)
        canvas = canvas.at[:, *places].add(stamps)
    crops = [slice(a.lo, a.lo + out) for a, out in zip(spec.axes, spec.output_sizes(sizes), strict=True)]
    z = canvas[:, *crops]
    return jnp.moveaxis(z.reshape(*z.shape[:-2], -1), -1, layout.channel_axis)


@pytest.fixture
def toy(monkeypatch):
    """The maps and geometries that the toy method computes, while it is registered with a cost below all others."""
    computed = []

    def transpose(x, w, spec, *rest):
        computed.append(spec)
        return stamps_in_a_loop(x, w, spec, *rest)

    method = Method(
        name="toy",
        summary="stamps added in a loop",
        transpose=transpose,
        how={Map.TRANSPOSE: "a loop over toy stamps", Map.FORWARD: "the transpose of a loop over toy stamps"},
        cost=dict.fromkeys(("cpu", "cuda", "rocm", "tpu"), lambda *_: 1e-12),
    )
    monkeypatch.setitem(METHODS, method.name, method)
    return computed


def test_toy_method__is_served_and_satisfies_every_law(toy):
    for law in (*laws.ARITHMETIC, laws.nan_reaches_its_stamp_only):
        law(CALL, "toy")
    assert set(toy) == {laws.spec_of(CALL)}


def test_toy_method__gives_the_stored_results_of_tensorflow(toy):
    stored = [golden for golden in laws.goldens.load() if golden.function == "conv2d_transpose"]
    for golden, y in zip(stored, laws.stored_results(stored, "toy"), strict=True):
        laws.equals_tensorflow(golden, y)
    assert toy


@pytest.mark.parametrize("platform", ["cpu", "cuda", "rocm", "tpu"])
def test_toy_method__is_priced_chosen_and_explained(toy, platform):
    chosen = jconvt.choose(laws.spec_of(CALL), CALL.input, CALL.filters, platform=platform)
    assert chosen.method == chosen.forward_convolution.method == "toy"
    assert chosen.transposed_convolution.costs["toy"] == 1e-12
    assert len(chosen.transposed_convolution.costs) > 1
    assert "toy" not in chosen.kernel_gradient.costs  # it does not offer this map
    report = str(chosen)
    assert "transposed convolution: toy\n    a loop over toy stamps, " in report
    assert "forward convolution: toy\n    the transpose of a loop over toy stamps, " in report
    assert not toy  # a prediction computes nothing


def test_toy_method__computes_what_auto_chooses_it_for(toy):
    x, w = CALL.operands()
    z = laws.cotangent(CALL)
    y, pull = jax.vjp(functools.partial(jconvt.conv_transpose, **CALL.arguments), x, w)
    assert len(toy) == 1
    np.testing.assert_array_equal(y, laws.definition(CALL, x, w))
    in_x, _ = pull(z)
    assert len(toy) == 2  # the gradient in x, which JAX derives from it
    np.testing.assert_array_equal(in_x, laws.reference.forward(z, w, laws.spec_of(CALL)))


def test_toy_method__is_unknown_without_an_entry():
    with pytest.raises(jconvt.ArgumentError, match="toy"):
        jconvt.conv_transpose(*CALL.operands(), method="toy", **CALL.arguments)


def test_toy_method__needs_a_cost_to_be_chosen():
    with pytest.raises(ValueError, match="'toy' has reasons in how, but no cost for 'tpu'"):
        Method("toy", "a toy", METHODS["dilated"].transpose, how={Map.TRANSPOSE: "why"}, cost={"cpu": lambda *_: 1.0})
