"""The products of an explanation: its sums and its three views, against the library, the definition and TensorFlow."""

import dataclasses
import itertools
from unittest import mock

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import jconvt
from jconvt import explain
from jconvt._explain import products
from jconvt._explain.formatting import format_number
from jconvt._methods import reference
from jconvt._testing import example, goldens
from tests.support.geometries import calls


def explained(call, x, w, **options):
    """Explain a drawn call; those that are too large or empty do not count."""
    try:
        return explain(x, w, **call.arguments, **options)
    except jconvt.ArgumentError as error:
        assume("can be read" not in str(error) and "nothing to explain" not in str(error))
        raise


def check_sums(why, x, w):
    """Every sum has the products of the pixels and taps that land there, and over input channels it is the answer."""
    c, o = why.input_channel, why.output_channel
    np.testing.assert_array_equal(why.input, x[..., c])
    np.testing.assert_array_equal(why.kernel, w[..., o % w.shape[-2], c])
    # Compute where every pair of a pixel and a tap lands, with no table and no loop of the library.
    wanted = {cell: set() for cell in np.ndindex(why.output.shape)}
    for pixel, tap in itertools.product(np.ndindex(why.input.shape), np.ndindex(why.kernel.shape)):
        cell = tuple(i * a.stride + t * a.dilation - a.lo for i, t, a in zip(pixel, tap, why.spec.axes, strict=True))
        if cell in wanted:
            wanted[cell].add((pixel, tap, why.input[pixel] * why.kernel[tap]))
    assert {cell: set(terms) for cell, terms in why.sums.items()} == wanted
    for cell, terms in wanted.items():
        assert why.output[cell] == sum(product for *_, product in terms)
        assert why.overlap[cell] == len(terms)
    for channel in range(why.answer.shape[-1]):
        total = sum(why.pair(*pair).output for pair in why.pairs if pair[1] == channel)
        np.testing.assert_array_equal(total, why.answer[..., channel])
    assert why.agrees


def forward_convolution(z, kernel, axes):
    """F for one pair of channels: the kernel's windows on ``z``, which is padded by the crop."""
    canvas = np.pad(z, [(axis.lo, max(axis.hi, 0)) for axis in axes])
    canvas = canvas[tuple(slice(None, axis.hi if axis.hi < 0 else None) for axis in axes)]
    windows = np.lib.stride_tricks.sliding_window_view(canvas, [axis.extent for axis in axes])
    windows = windows[tuple(slice(None, None, axis.stride) for axis in axes)]
    windows = windows[(..., *(slice(None, None, axis.dilation) for axis in axes))]
    return (windows * kernel).sum(axis=tuple(range(-len(axes), 0)))


def check_views(why):
    """The stamps, the sliding window and the matrix give the same output."""
    # 1: stamps add up, and each is the whole call with one nonzero pixel.
    np.testing.assert_array_equal(sum(why.stamps.values()), why.output)
    single = jconvt.Spec(why.spec.axes)
    for pixel, stamp in why.stamps.items():
        one = np.zeros_like(why.input)
        one[pixel] = why.input[pixel]
        wanted = reference.transpose(one[None, ..., None], why.kernel[..., None, None], single)
        np.testing.assert_array_equal(stamp, wanted[0, ..., 0])
    # 2: the flipped kernel slides over the zero-filled input.
    windows = np.lib.stride_tricks.sliding_window_view(why.zero_filled, why.flipped_kernel.shape)
    axes = tuple(range(-why.spec.rank, 0))
    np.testing.assert_array_equal((windows * why.flipped_kernel).sum(axis=axes), why.output)
    kept = set(why.zero_filled_pixels.ravel()) - {-1}
    assert kept >= {row for row, taps in enumerate(why.taps) if (taps >= 0).any()}
    # 3: C is the forward convolution, and its transpose is the operation.
    np.testing.assert_array_equal((why.matrix.T @ why.input.ravel()).reshape(why.output.shape), why.output)
    z = np.random.default_rng(0).integers(-9, 10, why.output.shape).astype(np.float64)
    forward = forward_convolution(z, why.kernel, why.spec.axes)
    np.testing.assert_array_equal((why.matrix @ z.ravel()).reshape(why.input.shape), forward)


def in_numpy(x, w, spec, layout, **options):
    return reference.transposed_convolution(x, w, spec, layout, x.dtype, None)


@mock.patch.object(jconvt._core.operation, "transposed_convolution", in_numpy)  # compiled ones are in the next test
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_products__sums_and_three_views_are_the_output(data):
    call = data.draw(calls(ranks=(1, 2)))
    x, w = call.operands()
    assume(x.shape[0] > 0)
    why = explained(call, x, w, image=x.shape[0] - 1)
    why = why.pair(*data.draw(st.sampled_from(why.pairs)))
    channels_first = call.arguments["data_format"].startswith("NC")
    check_sums(why, np.moveaxis(x[-1], 0, -1) if channels_first else x[-1], w)
    check_views(why)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16", "int32", "int8", "uint8", "complex64"])
@settings(max_examples=3, deadline=None)
@given(data=st.data())
def test_agrees__the_library_computes_the_same_in_every_dtype(dtype, data):
    call = data.draw(calls(ranks=(1, 2)))
    for shift in range(3):  # other numbers for the same compiled program
        if dtype == "complex64":
            x, w = (array + shift for array in call.operands(dtype))
        else:
            x, w = ((abs(array + shift) % 5).astype(jnp.dtype(dtype)) for array in call.operands(np.int32))
        assume(x.shape[0] > 0)
        why = explained(call, x, w, image=x.shape[0] - 1)
        assert why.agrees
        assert why.answer.dtype == jnp.dtype(dtype)


@pytest.mark.parametrize("break_it", ["flip", "shift", "drop"])
def test_agrees__is_false_for_a_wrong_answer(monkeypatch, break_it):
    right = jconvt._core.operation.transposed_convolution

    def wrong(x, w, spec, layout, **options):
        if break_it == "flip":
            w = jnp.flip(w, (0, 1))
        y = right(x, w, spec, layout, **options)
        return jnp.roll(y, 1, 1) if break_it == "shift" else y.at[0, 0, 0, 0].set(0) if break_it == "drop" else y

    monkeypatch.setattr(jconvt._core.operation, "transposed_convolution", wrong)
    assert not explain(example.INPUT, example.FILTERS, **example.ARGUMENTS).agrees


@pytest.mark.parametrize(
    "change", [lambda at: (at[0], at[1], (at[2][0], at[2][1] + 1)), lambda at: (at[0], at[1][::-1], at[2])]
)
def test_taps__a_wrong_table_changes_the_sums(monkeypatch, corner, change):
    """The laws above can fail: a moved landing, or a transposed kernel, changes the sums."""
    right = corner.output
    moved = [change(at) for at in reference.landings(corner.spec, (2, 2), (5, 5)) if change(at)[2][1] < 5]
    monkeypatch.setattr(products.reference, "landings", lambda *sizes: moved)
    assert (corner.pair(0, 0).output != right).any()


def test_products__the_example_is_tensorflows(corner):
    golden = next(golden for golden in goldens.load() if golden.name == "example")
    np.testing.assert_array_equal(corner.output, golden.output[0, :, :, 0])
    assert corner.sentence((2, 2)) == "out[2,2] = -67*-9 + -77*-7 + -117*-3 + -127*-1 = 1620"
    assert corner.sentence([0, 0]) == "out[0,0] = -67*-1 = 67"
    assert corner.unflipped((0, 0)) == "Without the flip, out[0,0] would be -67*-9 = 603."
    assert corner.products((0, 0)) == (((0, 0), (0, 0), 67.0),)
    assert (corner.first, corner.busiest) == ((0, 0), (2, 2))
    assert corner.overlap.tolist() == [[1, 1, 2, 1, 1]] * 2 + [[2, 2, 4, 2, 2]] + [[1, 1, 2, 1, 1]] * 2
    assert corner.zero_filled.shape == (7, 7)
    assert corner.flipped_kernel.tolist() == [[-9, 8, -7], [6, -5, 4], [-3, 2, -1]]
    assert len(str(corner).splitlines()) == 26
    assert "out[2,2] = " in repr(corner)


def test_matrix__is_tensorflows_convolution(corner):
    tf = pytest.importorskip("tensorflow")
    z = np.arange(25.0).reshape(1, 5, 5, 1)
    forward = tf.nn.conv2d(z, example.FILTERS.astype(float), strides=2, padding="VALID").numpy()
    np.testing.assert_array_equal(corner.matrix @ z.ravel(), forward.ravel())
    transposed = tf.nn.conv2d_transpose(example.INPUT, example.FILTERS, (1, 5, 5, 1), 2, "VALID").numpy()
    np.testing.assert_array_equal(corner.output, transposed[0, :, :, 0])


def test_products__nan_and_infinity_stay_in_their_stamp():
    x = np.array([np.nan, 1, np.inf, -np.inf], np.float32).reshape(1, 4, 1)
    why = explain(x, np.array([1, 0], np.float32).reshape(2, 1, 1), strides=2, padding="VALID")
    np.testing.assert_array_equal(why.output, [np.nan, np.nan, 1, 0, np.inf, np.nan, -np.inf, np.nan])
    assert why.agrees
    assert [why.sentence(cell).rpartition(" = ")[2] for cell in range(8)] == [
        "NaN", "NaN", "1", "0", "inf", "NaN", "-inf", "NaN",
    ]  # fmt: skip


def test_notes__integers_wrap_around():
    x, w = np.full((1, 1, 1), 100, np.int8), np.array([2, 1], np.int8).reshape(2, 1, 1)
    why = explain(x, w)
    assert (why.sentence(0), why.answer[0, 0], why.agrees) == ("out[0] = 100*2 = 200", -56, True)
    assert why.notes == ["Some sums are too large for int8: in the call's result they wrap around."]
    assert explain(x, w // 2).notes == []


@pytest.mark.parametrize(
    ("dtype", "value", "note"),
    [
        (np.float16, 6e4, "Some sums are too large for float16: in the call's result they are not finite."),
        (np.float32, 3e38, "Some sums are too large for float32: in the call's result they are not finite."),
        (jnp.bfloat16, 257 / 2, "The call's result is rounded to bfloat16; the sums here are not."),
        (np.float32, 2**24, "The call's result is rounded to float32; the sums here are not."),
        (np.float32, 1 / 3, None),
        (np.float32, np.inf, None),
        (np.complex64, 3e38j, "Some sums are too large for complex64: in the call's result they are not finite."),
    ],
)
def test_notes__sums_that_the_dtype_cannot_hold(dtype, value, note):
    x, w = jnp.asarray([value, 1]).astype(dtype).reshape(1, 2, 1), jnp.asarray([3, 3]).astype(dtype).reshape(2, 1, 1)
    why = explain(x, w, padding="VALID")
    assert why.agrees
    assert why.notes == ([] if note is None else [note])
    exact, answer = why.output.ravel(), why.answer.ravel().astype(why.output.dtype)
    assert (note is None) == all(format_number(a) == format_number(b) for a, b in zip(exact, answer, strict=True))


def test_agrees__holds_where_a_part_of_a_sum_overflows():
    x = np.array([3e38, -3e38], np.float32).reshape(1, 2, 1)
    why = explain(x, np.full((2, 1, 1), 3, np.float32), padding="VALID")
    assert why.output[1] == 0
    assert not np.isfinite(why.answer).all()
    assert why.agrees
    assert why.overflows
    assert not dataclasses.replace(why, answer=np.ones_like(why.answer)).agrees


def test_sentence__an_output_without_a_stamp():
    why = explain(np.ones((1, 2, 1)), np.ones((1, 1, 1)), strides=3)
    assert why.sentence(2) == "out[2] = 0, as no stamp reaches it"
    assert why.products(2) == ()
    assert why.unflipped(2) == "Without the flip, out[2] would be 0."


def test_pairs__are_those_of_a_group():
    why = explain(np.ones((1, 2, 4)), np.ones((2, 3, 4)), groups=2)
    assert len(why.pairs) == 12
    assert why.pair(2, 4).output_channel == 4
    assert why.notes[0].startswith("Input channel 0, output channel 0; the call adds up 2 such pairs")
    with pytest.raises(jconvt.ArgumentError, match=r"(?s)to output channel 5.*groups = 2.*\(0, 0\).*\.\.\."):
        why.pair(0, 5)


@pytest.mark.parametrize("cell", [(5, 0), (0, 5), (-1, 0), (0,), (0, 0, 0), 3, (0.5, 0), "22"])
def test_cell__out_of_range_raises(corner, cell):
    pytest.importorskip("matplotlib")
    for ask in (corner.sentence, corner.products, corner.unflipped, lambda c: corner.figure("stamps", c), corner.html):
        with pytest.raises((jconvt.ArgumentError, jconvt.ArgumentTypeError), match="cell"):
            ask(cell)
