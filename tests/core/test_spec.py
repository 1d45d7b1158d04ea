"""``Spec`` and ``Axis``, compared with counted windows and counted stamps."""

import dataclasses
import inspect

import jax
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import jconvt
from jconvt import Axis, Spec
from tests.support.geometries import forward_size, legal_sizes

numbers = st.integers(1, 6)
paddings = st.one_of(st.sampled_from(["SAME", "VALID"]), st.tuples(st.integers(0, 4), st.integers(0, 4)))


def spec_of(n, k, s, d, padding, **arguments):
    pads = padding if isinstance(padding, str) else [padding]
    return Spec.from_tensorflow((1, n, 1), (k, 1, 1), strides=s, dilations=d, padding=pads, **arguments)


@given(st.integers(0, 5), numbers, numbers, st.integers(1, 3), paddings)
def test_output_shape__is_legal_where_the_forward_convolution_maps_it_back(n, k, s, d, padding):
    legal = legal_sizes(n, k, s, d, padding)
    for out in range((n + 1) * s + k * d + 3):
        if out in legal:
            spec = spec_of(n, k, s, d, padding, output_shape=[out])
            assert spec.output_sizes([n]) == (out,)
            assert spec.input_sizes([out]) == (n,)
        else:
            with pytest.raises(jconvt.ArgumentError, match=r"illegal|removes"):
                spec_of(n, k, s, d, padding, output_shape=[out])


@given(st.integers(1, 5), numbers, numbers, st.integers(1, 3), paddings)
@example(1, 2, 2, 1, (0, 3))  # the last stamp ends before the padding begins
def test_output_shape__default_is_legal_and_that_of_keras(n, k, s, d, padding):
    legal = legal_sizes(n, k, s, d, padding)
    if not legal:
        return
    (out,) = spec_of(n, k, s, d, padding).output_sizes([n])
    e = (k - 1) * d + 1
    removed = 0 if isinstance(padding, str) else sum(padding)
    assert out == (n * s if padding == "SAME" else max(n * s + max(e - s, 0) - removed, 0))
    assert out in legal


@given(st.integers(1, 5), numbers, numbers, st.integers(1, 3), paddings, st.integers(0, 6))
def test_output_padding__adds_to_the_smallest_size_of_keras(n, k, s, d, padding, p):
    e = (k - 1) * d + 1
    out = (n - 1) * s + e + p - (2 * (e // 2) if padding == "SAME" else 0 if padding == "VALID" else sum(padding))
    if out in legal_sizes(n, k, s, d, padding):
        assert spec_of(n, k, s, d, padding, output_padding=p) == spec_of(n, k, s, d, padding, output_shape=[out])
    else:
        with pytest.raises(jconvt.ArgumentError, match=r"output_padding is illegal|removes more"):
            spec_of(n, k, s, d, padding, output_padding=p)


@given(st.integers(1, 5), numbers, numbers, st.integers(1, 3))
def test_same_padding__puts_the_smaller_half_first(n, k, s, d):
    # The forward convolution pads max((n-1) s + e - out, 0) in all, the smaller half first.
    for out in legal_sizes(n, k, s, d, "SAME"):
        (axis,) = spec_of(n, k, s, d, "SAME", output_shape=[out]).axes
        total = max((n - 1) * s + (k - 1) * d + 1 - out, 0)
        assert axis.lo == total // 2
        assert max(axis.hi, 0) == total - total // 2


def test_output_shape__of_another_size_moves_the_alignment():
    # So output_shape and output_padding are not interchangeable.
    crops = [(a.lo, a.hi) for out in (7, 8) for a in spec_of(4, 3, 2, 1, "SAME", output_shape=[out]).axes]
    assert crops == [(1, 1), (0, 1)]


@pytest.mark.parametrize("padding", ["SAME", "VALID", (1, 2)])
def test_from_tensorflow__symbolic_sizes_give_the_same_spec(padding):
    (n,) = jax.export.symbolic_shape("n")
    spec = spec_of(n, 4, 3, 2, padding)
    assert spec == spec_of(5, 4, 3, 2, padding)
    (out,) = spec.output_sizes([n])
    assert spec_of(n, 4, 3, 2, padding, output_shape=[out]) == spec
    assert spec_of(n, 4, 3, 2, padding, output_shape=[1, out, 1]) == spec
    assert spec.input_sizes([out]) == (n,)


def test_from_tensorflow__reads_arguments_of_all_axes_in_the_order_of_data_format():
    last = Spec.from_tensorflow(
        (2, 5, 6, 3), (4, 3, 2, 3), strides=[1, 2, 3, 1], padding=[(0, 0), (1, 0), (0, 2), (0, 0)]
    )
    first = Spec.from_tensorflow(
        (2, 3, 5, 6), (4, 3, 2, 3), strides=[1, 1, 2, 3], padding=[(0, 0), (0, 0), (1, 0), (0, 2)], data_format="NCHW"
    )
    assert last == first == Spec.from_tensorflow((2, 5, 6, 3), (4, 3, 2, 3), strides=[2, 3], padding=[(1, 0), (0, 2)])
    assert last.axes == (Axis(4, 2, 1, 1, 0), Axis(3, 3, 1, 0, 2))


def test_from_tensorflow__one_number_is_for_every_axis():
    assert Spec.from_tensorflow((1, 4, 4, 1), (3, 3, 1, 1), strides=[2], dilations=(3,)) == Spec.from_tensorflow(
        (1, 4, 4, 1), (3, 3, 1, 1), strides=(2, 2), dilations=3
    )
    assert Spec.from_tensorflow((1, 4, 4, 1), (3, 3, 1, 1), strides=None).axes[0].stride == 1


def test_from_tensorflow__groups_may_follow_from_the_output_shape():
    assert Spec.from_tensorflow((1, 4, 6), (3, 2, 6), [1, 4, 6]).groups == 3
    assert Spec.from_tensorflow((1, 4, 6), (3, 2, 6), [1, 4, 2]).groups == 1
    assert Spec.from_tensorflow((1, 4, 6), (3, 2, 6), [1, 4, 6], groups=3).groups == 3
    assert Spec.from_tensorflow((1, 4, 6), (3, 2, 6), groups=6).groups == 6


def test_spec__str_is_a_table():
    spec = Spec((Axis(3, 2), Axis(5, 1, 2, 3, 4), Axis(1, 4, hi=-3)), groups=2)
    assert str(spec).splitlines() == [
        "transposed convolution, 3-D, groups 2",
        "  axis  kernel  stride  dilation  crop     output size",
        "  0     3       2       1         (0, 0)   2n + 1",
        "  1     5       1       2         (3, 4)   n + 1",
        "  2     1       4       1         (0, -3)  4n",
    ]
    assert eval(repr(spec)) == spec


def test_axis__numpy_integers_become_int():
    assert Spec.from_tensorflow(np.array([1, 4, 1]), np.array([3, 1, 1]), np.array([4])).output_sizes(
        np.array([4])
    ) == (4,)
    axis = Axis(np.int64(3), np.int32(2))
    assert axis == Axis(3, 2)
    assert type(axis.kernel) is int
    assert forward_size(5, 3, 2, 1, "VALID") == axis.input_size(5) == 2


@pytest.mark.parametrize(
    ("from_call", "function"),
    [
        (Spec.from_tensorflow, jconvt.conv_transpose),
        (Spec.from_torch, jconvt.torch.conv_transpose2d),
        (Spec.from_keras, jconvt.keras.conv_transpose),
        (Spec.from_onnx, jconvt.onnx.conv_transpose),
        (Spec.from_lax, jconvt.lax.conv_transpose),
    ],
)
def test_spec__defaults_are_those_of_the_function(from_call, function):
    expected = {name: each.default for name, each in inspect.signature(function).parameters.items()}
    defaults = {name: each.default for name, each in inspect.signature(from_call).parameters.items()}
    arguments = [name for name in defaults if not name.endswith("_shape") or name in expected]
    assert arguments
    assert {name: defaults[name] for name in arguments} == {name: expected[name] for name in arguments}


def test_spec__flax_defaults_are_those_of_the_layer():
    linen = pytest.importorskip("jconvt.linen")
    fields = {field.name: field.default for field in dataclasses.fields(linen.ConvTranspose)}
    defaults = {name: each.default for name, each in inspect.signature(Spec.from_flax).parameters.items()}
    layer = {name: fields[name] for name in defaults if not name.endswith("_shape")}
    assert {name: defaults[name] for name in layer} == layer
    assert set(layer) == {"strides", "padding", "kernel_dilation", "transpose_kernel"}


@pytest.mark.parametrize("sizes", [(2, -1), (-1, 2), (2, 2.0), (True, 2), (2,), (2, 2, 2), (2, 2**31)])
def test_spec__rejects_wrong_sizes(sizes):
    spec = Spec((Axis(3, 2), Axis(3, 2)))
    for convert in (spec.output_sizes, spec.input_sizes):
        with pytest.raises((jconvt.ArgumentError, jconvt.ArgumentTypeError), match="sizes"):
            convert(sizes)


@pytest.mark.parametrize(
    ("framework", "arguments"),
    [
        ("tensorflow", ((1, 4, 1), (3, 1, 1))),
        ("torch", ((1, 1, 4), (1, 1, 3))),
        ("keras", ((1, 4, 1), (3, 1, 1))),
        ("onnx", ((1, 1, 4), (1, 1, 3))),
        ("lax", ((1, 4, 1), (3, 1, 1), (2,), "SAME")),
        ("flax", ((1, 4, 1), (3, 1, 1))),
    ],
)
def test_spec__subclasses_are_made_from_calls(framework, arguments):
    class Named(Spec):
        pass

    made = getattr(Named, f"from_{framework}")(*arguments)
    assert type(made) is Named
    expected = getattr(Spec, f"from_{framework}")(*arguments)
    assert (made.axes, made.groups) == (expected.axes, expected.groups)


def test_spec__rejects_a_list_that_contains_itself():
    endless: list[object] = [1]
    endless.append(endless)
    with pytest.raises(jconvt.ArgumentTypeError, match="strides"):
        Spec.from_tensorflow((1, 2, 2, 1), (3, 3, 1, 1), strides=endless)


def test_axis__defaults_are_one_step_and_no_crop():
    assert Axis(3) == Axis(kernel=3, stride=1, dilation=1, lo=0, hi=0)
