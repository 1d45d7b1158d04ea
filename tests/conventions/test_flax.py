"""The arguments of Flax's layers, against ``flax.linen.ConvTranspose`` and ``flax.nnx.ConvTranspose``."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jconvt import ArgumentError, ArgumentTypeError, Axis, Spec
from jconvt._conventions import flax as convention
from jconvt._methods import reference
from tests.support.conventions import assert_raises, broken
from tests.support.layers import UNSHRUNK, all_compiled, integers

linen = pytest.importorskip("flax.linen")
nnx = pytest.importorskip("flax.nnx")


def in_flax(function, x, kernel, transpose_kernel, arguments):
    """The output of the layer of that name with this kernel."""
    arguments = arguments | {"use_bias": False, "kernel_init": lambda _, shape, dtype: np.zeros(shape, dtype)}
    in_features, out = kernel.shape[-2:][::-1] if transpose_kernel else kernel.shape[-2:]
    if function == "flax.nnx.ConvTranspose":
        layer = nnx.ConvTranspose(in_features, out, rngs=nnx.Rngs(0), **arguments)
        layer.kernel = nnx.Param(kernel)
        return layer(x)
    assert function == "flax.linen.ConvTranspose"
    return linen.ConvTranspose(out, **arguments).apply({"params": {"kernel": kernel}}, x)


@st.composite
def layers(draw):
    """An input's shape, a kernel's, and the layer's arguments."""
    rank = draw(st.integers(1, 3))
    most = {1: 5, 2: 4, 3: 2}[rank]
    sizes, kernel = ([draw(st.integers(1, most)) for _ in range(rank)] for _ in range(2))
    numbers, pads = st.integers(1, 3), st.integers(-1, 4)
    for_each = st.sampled_from([None, draw(numbers), tuple(draw(numbers) for _ in range(rank))])
    pairs = tuple(draw(st.sampled_from([draw(pads), (draw(pads), draw(pads))])) for _ in range(rank))
    arguments = {
        "kernel_size": tuple(kernel),
        "strides": draw(for_each),
        "kernel_dilation": draw(for_each),
        "padding": draw(st.sampled_from(["SAME", "VALID", draw(pads), pairs])),
        "transpose_kernel": draw(st.booleans()),
    }
    in_features, out = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    channels = (out, in_features) if arguments["transpose_kernel"] else (in_features, out)
    for name in ("strides", "kernel_dilation", "padding", "transpose_kernel"):
        if name != "transpose_kernel" and draw(st.integers(0, 4)) == 0:
            del arguments[name]
    return (2, *sizes, in_features), (*kernel, *channels), arguments


FUNCTIONS = st.sampled_from(["flax.linen.ConvTranspose", "flax.nnx.ConvTranspose"])


@settings(max_examples=6, deadline=None, phases=UNSHRUNK)
@given(drawn=st.lists(st.tuples(layers(), FUNCTIONS), min_size=10, max_size=10))
def test_flax__resolve_equals_flax(drawn):
    calls, operands, expected = [], [], []
    for (shape, kernel_shape, arguments), function in drawn:
        x, kernel = integers(shape), integers(kernel_shape)
        transpose_kernel = arguments["transpose_kernel"]

        def call(operands, function=function, transpose_kernel=transpose_kernel, arguments=arguments):
            return in_flax(function, *operands, transpose_kernel, arguments)

        try:
            jax.eval_shape(call, (x, kernel))
        except ValueError as error:
            if "Negative padding is larger" not in str(error):
                raise
            with pytest.raises(ArgumentError, match="removes more than there is"):
                convention.resolve(shape, kernel_shape, **arguments)
            continue
        spec, layout = convention.resolve(shape, kernel_shape, **arguments)
        assert (spec.groups, layout.channels_first) == (1, False)
        filters = convention.kernel_layout(spec.rank, transpose_kernel).filters(kernel)
        calls.append(call)
        operands.append((x, kernel))
        expected.append((reference.transpose(x, filters, spec), str((shape, arguments, function))))
    for y, (z, case) in zip(all_compiled(calls, operands), expected, strict=True):
        np.testing.assert_array_equal(z, y, case)


@st.composite
def geometries(draw):
    """Axes with outputs, and sizes of the input."""
    axes, sizes = [], []
    for _ in range(draw(st.integers(1, 3))):
        kernel, stride, dilation, n = (draw(st.integers(1, most)) for most in (4, 3, 2, 3))
        bare = Axis(kernel, stride, dilation)
        lo = draw(st.integers(-2, 3))
        hi = draw(st.integers(-3, max(-3, bare.full_size(n) - lo)))
        named = [
            (resolved.axes[0].lo, resolved.axes[0].hi)
            for name in ("SAME", "VALID")
            for resolved, _ in [convention.resolve((1, 3, 1), (kernel, 1, 1), stride, name, dilation)]
        ]
        ends = draw(st.sampled_from([*named, (lo, hi) if lo + hi <= bare.full_size(n) else (0, 0)]))
        axes.append(Axis(kernel, stride, dilation, *ends))
        sizes.append(n)
    return tuple(axes), tuple(sizes)


@settings(max_examples=4, deadline=None, phases=UNSHRUNK)
@given(drawn=st.lists(st.tuples(geometries(), st.booleans(), st.booleans()), min_size=8, max_size=8))
def test_flax__call_computes_the_geometry(drawn):
    calls, operands, expected = [], [], []
    for (axes, sizes), transpose_kernel, as_nnx in drawn:
        filters_shape = (*(axis.kernel for axis in axes), 2, 3)
        x, w = integers((2, *sizes, 3)), integers(filters_shape)
        call = convention.call(Spec(axes), transpose_kernel=transpose_kernel, nnx=as_nnx)
        assert call.exact
        resolved = convention.resolve(x.shape, call.kernel.shape(filters_shape), **call.arguments)
        assert resolved == (Spec(axes), call.layout)
        calls.append(lambda operands, t=transpose_kernel, c=call: in_flax(c.function, *operands, t, c.arguments))
        operands.append((x, call.kernel.kernel(w)))
        expected.append((reference.transpose(x, w, Spec(axes)), str((axes, sizes, call))))
    for y, (z, case) in zip(all_compiled(calls, operands), expected, strict=True):
        np.testing.assert_array_equal(y, z, case)


def test_flax__call_leaves_out_defaults():
    plain = convention.call(Spec((Axis(4, 2, 1, 1, 1),)))
    assert (plain.function, plain.arguments) == ("flax.linen.ConvTranspose", {"kernel_size": (4,), "strides": (2,)})
    assert convention.call(Spec((Axis(3, 1, 2),)), transpose_kernel=True).arguments == {
        "kernel_size": (3,),
        "padding": "VALID",
        "kernel_dilation": (2,),
        "transpose_kernel": True,
    }


def test_flax__kernel_of_another_convention_gives_another_result():
    x, kernel = integers((1, 4, 2)), integers((3, 2, 2))
    spec, _ = convention.resolve(x.shape, kernel.shape, 2)
    arguments = {"kernel_size": (3,), "strides": 2}
    expected = np.asarray(in_flax("flax.linen.ConvTranspose", x, kernel, False, arguments))
    right = convention.kernel_layout(1)
    np.testing.assert_array_equal(reference.transpose(x, right.filters(kernel), spec), expected)
    for layout in (convention.kernel_layout(1, transpose_kernel=True), *broken(right)[:2]):
        with pytest.raises(AssertionError):
            np.testing.assert_array_equal(reference.transpose(x, layout.filters(kernel), spec), expected)


def test_flax__resolve_symbolic_sizes():
    batch, width = jax.export.symbolic_shape("b, w")
    known = convention.resolve((2, 5, 3), (4, 3, 6), 2, "VALID", 2)
    assert convention.resolve((batch, width, 3), (4, 3, 6), 2, "VALID", 2) == known


SHAPES = ((2, 4, 4, 6), (3, 3, 6, 5))
CASES = [
    (((2, 6), (6, 5)), {}, ArgumentError, r"one to three spatial axes.*\(6, 5\)"),
    (((2, 1, 1, 1, 1, 6), (1, 1, 1, 1, 6, 5)), {}, ArgumentError, "one to three spatial axes.*jconvt.lax"),
    (((2, 4, 6), (3, 3, 6, 5)), {}, ArgumentError, "inputs and kernel differ in their number of axes"),
    (((2, 4, 4, 5), (3, 3, 6, 5)), {}, ArgumentError, "channels of inputs and kernel differ.*5 in inputs"),
    (((2, 4, 4, 6), (3, 0, 6, 5)), {}, ArgumentError, "kernel has an axis without taps"),
    ((None, (3, 6, 5)), {}, ArgumentTypeError, "inputs.shape must be a sequence"),
    (((2, 4, 6), 3), {}, ArgumentTypeError, "kernel.shape must be a sequence"),
    (((2, 4, 6), (3, 6, 5.0)), {}, ArgumentTypeError, r"kernel.shape\[2\] must be an integer"),
    (SHAPES, {"strides": 0}, ArgumentError, "strides is out of range"),
    (SHAPES, {"strides": -1}, ArgumentError, "strides is out of range"),
    (SHAPES, {"strides": True}, ArgumentTypeError, "strides must be an integer"),
    (SHAPES, {"strides": 2.0}, ArgumentTypeError, "strides must be an integer"),
    (SHAPES, {"strides": (2,)}, ArgumentError, "strides has the wrong length"),
    (SHAPES, {"strides": (2, 2, 2)}, ArgumentError, "strides has the wrong length"),
    (SHAPES, {"strides": "2"}, ArgumentTypeError, "strides must be a sequence"),
    (SHAPES, {"kernel_dilation": 0}, ArgumentError, "kernel_dilation is out of range"),
    (SHAPES, {"kernel_dilation": (1, 2, 3)}, ArgumentError, "kernel_dilation has the wrong length"),
    (SHAPES, {"padding": "CAUSAL"}, ArgumentError, "unknown padding.*'CAUSAL'"),
    (SHAPES, {"padding": "CIRCULAR"}, ArgumentError, "circular padding wraps.*jconvt.linen.ConvTranspose"),
    (SHAPES, {"padding": None}, ArgumentTypeError, "padding must be a sequence.*an integer"),
    (SHAPES, {"padding": 0.5}, ArgumentTypeError, r"padding\[0\] must be an integer"),
    (SHAPES, {"padding": [1]}, ArgumentError, "padding has the wrong length"),
    (SHAPES, {"padding": [(1, 1), (1, 1, 1)]}, ArgumentError, r"padding\[1\] has the wrong length"),
    (SHAPES, {"padding": -7}, ArgumentError, "removes more than there is along axis 1"),
    (SHAPES, {"transpose_kernel": 1}, ArgumentTypeError, "transpose_kernel must be True or False"),
    (SHAPES, {"transpose_kernel": True}, ArgumentError, "6 in inputs, 5 in kernel"),
    (SHAPES, {"kernel_size": 3}, ArgumentError, "kernel_size differs from the shape of the kernel.*= 3"),
    (SHAPES, {"kernel_size": (3, 4)}, ArgumentError, "kernel_size differs from the shape of the kernel"),
    (SHAPES, {"kernel_size": (3, 3.0)}, ArgumentTypeError, r"kernel_size\[1\] must be an integer"),
]


@pytest.mark.parametrize(("shapes", "keywords", "error", "text"), CASES)
def test_flax__wrong_argument_raises(shapes, keywords, error, text):
    assert_raises(convention.resolve, shapes, keywords, error, text)


def test_flax__call_of_unsupported_geometry_raises():
    for axes, groups in (((Axis(3),), 2), ((Axis(3),) * 4, 1)):
        with pytest.raises(ArgumentError, match="Flax's ConvTranspose has"):
            convention.call(Spec(axes, groups))
