"""An explanation's numbers: its sums, and its three views, against the library, the definition and live frameworks."""

import dataclasses
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import jconvt
from jconvt import explain
from jconvt._explain import palette, written
from jconvt._explain import views as module
from jconvt._geometry.layout import Layout
from jconvt._methods import reference, vjp
from jconvt._testing import example, goldens
from tests.support.geometries import calls


@pytest.fixture
def corner():
    return explain(example.INPUT, example.FILTERS, **example.ARGUMENTS)


def drawn(data, dtype=np.float64):
    """An explanation of a call that hypothesis draws, its operands with channels last, and the library's answer."""
    call = data.draw(calls(ranks=(1, 2)))
    x, w = call.operands(dtype)
    assume(x.shape[0] > 0)
    try:
        explanation = explain(x, w, **call.arguments, image=x.shape[0] - 1)
    except jconvt.ArgumentError as error:
        assume("can be read" not in str(error) and "nothing to explain" not in str(error))
        raise
    explanation = explanation.pair(*data.draw(st.sampled_from(explanation.pairs)))
    y = np.asarray(jconvt.conv_transpose(x, w, **call.arguments, method="vjp"))[-1]
    first = str(call.arguments["data_format"]).startswith("NC")
    return explanation, np.moveaxis(x[-1], 0, -1) if first else x[-1], w, np.moveaxis(y, 0, -1) if first else y


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_sums_of_products_are_the_output(data):
    why, x, w, y = drawn(data)
    spec, (c, o) = why.spec, (why.input_channel, why.output_channel)
    np.testing.assert_array_equal(why.input, x[..., c])
    np.testing.assert_array_equal(why.kernel, w[..., o % w.shape[-2], c])
    # Every pair of a pixel and a tap is asked where it lands: no table, no loop of the library's.
    wanted = {cell: set() for cell in np.ndindex(why.output.shape)}
    for pixel, tap in itertools.product(np.ndindex(why.input.shape), np.ndindex(why.kernel.shape)):
        cell = tuple(i * a.stride + t * a.dilation - a.lo for i, t, a in zip(pixel, tap, spec.axes, strict=True))
        if cell in wanted:
            wanted[cell].add((pixel, tap, why.input[pixel] * why.kernel[tap]))
    assert {cell: set(products) for cell, products in why.sums.items()} == wanted
    for cell, products in wanted.items():
        assert why.output[cell] == sum(product for *_, product in products)
        assert why.overlap[cell] == len(products)
    # Over the input channels of its group, the pairs add up to the library's output channel.
    total = sum(why.pair(*pair).output for pair in why.pairs if pair[1] == o)
    np.testing.assert_array_equal(total, y[..., o])
    np.testing.assert_array_equal(why.answer, y)
    assert why.agrees


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_the_three_views_are_one(data):
    why, *_ = drawn(data)
    # 1: stamps add up, and each is the whole call with one pixel alone.
    np.testing.assert_array_equal(sum(why.stamps.values()), why.output)
    for pixel, stamp in why.stamps.items():
        alone = np.zeros_like(why.input)
        alone[pixel] = why.input[pixel]
        single = jconvt.Spec(why.spec.axes)
        lone = reference.transpose(alone[None, ..., None], why.kernel[..., None, None], single)
        np.testing.assert_array_equal(stamp, lone[0, ..., 0])
    # 2: the flipped kernel slides over the zero-filled input.
    windows = np.lib.stride_tricks.sliding_window_view(why.zero_filled, why.flipped_kernel.shape)
    axes = tuple(range(-why.spec.rank, 0))
    np.testing.assert_array_equal((windows * why.flipped_kernel).sum(axis=axes), why.output)
    kept = set(why.zero_filled_pixels.ravel()) - {-1}
    assert kept >= {row for row, taps in enumerate(why.taps) if (taps >= 0).any()}
    # 3: C is the forward convolution, and its transpose is the operation.
    np.testing.assert_array_equal((why.matrix.T @ why.input.ravel()).reshape(why.output.shape), why.output)
    z = np.random.default_rng(0).integers(-9, 10, why.output.shape).astype(np.float64)
    forward = vjp.forward_convolution(
        jnp.asarray(z[None, ..., None]),
        jnp.asarray(why.kernel[..., None, None]),
        jconvt.Spec(why.spec.axes),
        Layout(why.spec.rank),
        jnp.float64,
        "highest",
    )
    np.testing.assert_array_equal((why.matrix @ z.ravel()).reshape(why.input.shape), np.asarray(forward)[0, ..., 0])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int32", "int8", "uint8", "complex64"])
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_any_dtype_agrees_with_the_library(dtype, data):
    if dtype == "complex64":
        why, *_ = drawn(data, dtype)
    else:
        call = data.draw(calls(ranks=(1, 2)))
        x, w = call.operands(np.int32)
        assume(x.shape[0] > 0)
        operands = (jnp.asarray(abs(array) % 5).astype(dtype) for array in (x, w))
        try:
            why = explain(*operands, **call.arguments)
        except jconvt.ArgumentError:
            assume(False)
    assert why.agrees
    assert why.answer.dtype == jnp.dtype(dtype)


@pytest.mark.parametrize("break_it", ["flip", "shift", "drop"])
def test_a_library_that_is_wrong_is_seen(monkeypatch, break_it):
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
def test_a_table_that_is_wrong_is_seen(monkeypatch, corner, change):
    """The tests above can fail: a landing that is moved, or a kernel that is turned, changes the sums."""
    right = corner.output
    moved = [change(at) for at in reference.landings(corner.spec, (2, 2), (5, 5)) if change(at)[2][1] < 5]
    monkeypatch.setattr(module.reference, "landings", lambda *sizes: moved)
    broken = explain(example.INPUT, example.FILTERS, **example.ARGUMENTS)
    assert (broken.output != right).any()


def test_the_example_is_tensorflows(corner):
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


def test_the_matrix_is_a_live_convolution(corner):
    tf = pytest.importorskip("tensorflow")
    z = np.arange(25.0).reshape(1, 5, 5, 1)
    forward = tf.nn.conv2d(z, example.FILTERS.astype(float), strides=2, padding="VALID").numpy()
    np.testing.assert_array_equal(corner.matrix @ z.ravel(), forward.ravel())
    transposed = tf.nn.conv2d_transpose(example.INPUT, example.FILTERS, (1, 5, 5, 1), 2, "VALID").numpy()
    np.testing.assert_array_equal(corner.output, transposed[0, :, :, 0])


RNG = np.random.default_rng(0)
X, W = (RNG.integers(-9, 10, shape).astype(np.float32) for shape in ((2, 3, 4, 3), (3, 2, 2, 3)))  # NHWC, HWOI
FIRST = X.transpose(0, 3, 1, 2)
FLIPPED = W[::-1, ::-1].transpose(0, 1, 3, 2)
CONVENTIONS = {
    "jconvt": ((X, W, None, 2, "VALID"), {}),
    "tensorflow": ((X, W), {"output_shape": (2, 7, 8, 2), "strides": 2, "padding": "VALID", "name": None}),
    "torch": ((FIRST, W.transpose(3, 2, 0, 1), None, 2), {}),
    "keras": ((X, W, 2, "valid"), {}),
    "onnx": ((FIRST, W.transpose(3, 2, 0, 1)), {"strides": [2, 2]}),
    "lax": ((X, FLIPPED, (2, 2), "VALID"), {}),
    "flax": ((X, FLIPPED), {"strides": (2, 2), "padding": "VALID"}),
}


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_every_convention_explains_the_same_sums(convention):
    operands, options = CONVENTIONS[convention]
    why = explain(*operands, convention=convention, image=1, pair=(2, 1), **options)
    expected = explain(X, W, strides=2, padding="VALID", image=1, pair=(2, 1))
    np.testing.assert_array_equal(why.output, expected.output)
    assert why.sums == expected.sums
    assert why.backwards == (convention in ("lax", "flax"))
    assert why.agrees


def test_live_torch_computes_the_sums():
    torch = pytest.importorskip("torch")
    operands, options = FIRST[:1], W.transpose(3, 2, 0, 1)
    y = torch.nn.functional.conv_transpose2d(*map(torch.from_numpy, (operands, options.copy())), stride=2, padding=1)
    pairs = [explain(operands, options, stride=2, padding=1, convention="torch", pair=(c, 1)) for c in range(3)]
    np.testing.assert_array_equal(sum(why.output for why in pairs), y.numpy()[0, 1])
    lone = explain(operands[0], options, stride=2, padding=1, convention="torch")
    np.testing.assert_array_equal(
        lone.output, explain(operands, options, stride=2, padding=1, convention="torch").output
    )


def test_what_is_no_number_reaches_its_own_stamp_alone():
    x = np.array([np.nan, 1, np.inf, -np.inf], np.float32).reshape(1, 4, 1)
    why = explain(x, np.array([1, 0], np.float32).reshape(2, 1, 1), strides=2, padding="VALID")
    np.testing.assert_array_equal(why.output, [np.nan, np.nan, 1, 0, np.inf, np.nan, -np.inf, np.nan])
    assert why.agrees
    assert [why.sentence(cell).rpartition(" = ")[2] for cell in range(8)] == [
        "NaN", "NaN", "1", "0", "inf", "NaN", "-inf", "NaN",
    ]  # fmt: skip


def test_integers_that_wrap_around_are_noted():
    x, w = np.full((1, 1, 1), 100, np.int8), np.array([2, 1], np.int8).reshape(2, 1, 1)
    why = explain(x, w)
    assert (why.sentence(0), why.answer[0, 0], why.agrees) == ("out[0] = 100*2 = 200", -56, True)
    assert why.notes == ["Some sums are too large for int8: in the call's own answer they wrap around."]
    assert explain(x, w // 2).notes == []


@pytest.mark.parametrize(
    ("dtype", "value", "note"),
    [
        (np.float16, 6e4, "Some sums are too large for float16: in the call's own answer they are not finite."),
        (np.float32, 3e38, "Some sums are too large for float32: in the call's own answer they are not finite."),
        (jnp.bfloat16, 257 / 2, "The call's own answer is rounded to bfloat16; here, the sums are not."),
        (np.float32, 2**24, "The call's own answer is rounded to float32; here, the sums are not."),
        (np.float32, 1 / 3, None),
        (np.float32, np.inf, None),
        (np.complex64, 3e38j, "Some sums are too large for complex64: in the call's own answer they are not finite."),
    ],
)
def test_sums_that_the_dtype_has_not_are_noted(dtype, value, note):
    x, w = jnp.asarray([value, 1]).astype(dtype).reshape(1, 2, 1), jnp.asarray([3, 3]).astype(dtype).reshape(2, 1, 1)
    why = explain(x, w, padding="VALID")
    assert why.agrees
    assert why.notes == ([] if note is None else [note])
    exact, answer = why.output.ravel(), why.answer.ravel().astype(why.output.dtype)
    assert (note is None) == all(written.number(a) == written.number(b) for a, b in zip(exact, answer, strict=True))


def test_a_sum_whose_parts_are_too_large_is_no_disagreement():
    x = np.array([3e38, -3e38], np.float32).reshape(1, 2, 1)
    why = explain(x, np.full((2, 1, 1), 3, np.float32), padding="VALID")
    assert why.output[1] == 0
    assert not np.isfinite(why.answer).all()
    assert why.agrees
    assert why.overflows
    assert not dataclasses.replace(why, answer=np.ones_like(why.answer)).agrees


def test_integers_whose_sums_cannot_be_told_are_refused():
    largest = np.iinfo(np.int32).max
    x, w = np.full((1, 2, 1), largest, np.int32), np.full((2, 1, 1), largest, np.int32)
    with pytest.raises(jconvt.ArgumentError, match="may be too large to be exact"):
        explain(np.tile(x, (1, 1, 2)), np.tile(w, (1, 1, 2)))
    why = explain(x, w, padding="VALID")
    assert why.output[1] == 2 * largest**2
    assert why.wraps


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # NumPy's, of the narrowing
@pytest.mark.parametrize(
    ("dtype", "value"), [(np.int64, 2**40), (np.uint64, 2**63), (np.float64, 1e300), (np.complex128, 1e300j)]
)
def test_numbers_that_jax_narrows_to_others_are_refused(dtype, value):
    x, w = np.full((1, 1, 1), value, dtype), np.ones((1, 1, 1), dtype)
    with jax.enable_x64(False):
        for operands, name in (((x, w), "input"), ((w, x), "filters")):
            with pytest.raises(jconvt.ArgumentError, match=f"{name} holds a number that is too large for its array"):
                explain(*operands)
    with jax.enable_x64(True):
        assert explain(x, w).output[0] == value


@pytest.mark.parametrize("name", ["\ud800", "two\nlines", "\x1b[31m", "\0"])
def test_a_name_that_cannot_be_printed_is_refused(name):
    with pytest.raises(jconvt.ArgumentError, match="name cannot be printed"):
        explain(np.ones((1, 1, 1)), np.ones((1, 1, 1)), name=name)


def test_an_output_without_a_stamp_says_so():
    why = explain(np.ones((1, 2, 1)), np.ones((1, 1, 1)), strides=3)
    assert why.sentence(2) == "out[2] = 0, as no stamp reaches it"
    assert why.products(2) == ()
    assert why.unflipped(2) == "Without the flip, out[2] would be 0."


def test_pairs_are_those_of_a_group():
    why = explain(np.ones((1, 2, 4)), np.ones((2, 3, 4)), groups=2)
    assert len(why.pairs) == 12
    assert why.pair(2, 4).output_channel == 4
    assert why.notes[0].startswith("Input channel 0, output channel 0; the call adds up 2 such pairs")


@pytest.mark.parametrize(
    "value", [0, 1, -5, 0.5, -0.0, 2.0**60, 1e-9, 123456789.0, 1.5 - 2j, np.float32(0.1), np.uint8(200)]
)
def test_a_written_number_is_the_number(value):
    text = written.number(value)
    read = complex(text.replace("i", "j"))
    assert read == pytest.approx(value, rel=1e-5)
    assert written.factor(value).startswith("(") == isinstance(value, complex)


def test_neighbours_have_other_colours():
    for row, column in itertools.product(range(6), repeat=2):
        near = {palette.colour((row + i, column + j)) for i, j in itertools.product((0, 1), repeat=2)}
        assert len(near) == 4
    assert [palette.colour((i,)) for i in range(8)] == [0, 1, 2, 3, 4, 5, 6, 0]


def refused(*operands, **options):
    with pytest.raises((jconvt.ArgumentError, jconvt.ArgumentTypeError)) as error:
        explain(*operands, **options)
    for part in ("got: ", "legal: ", "fix: "):
        assert part in str(error.value)
    return str(error.value)


ONES = np.ones((1, 4, 4, 1)), np.ones((3, 3, 1, 1))
WRONG = [
    ((np.ones((1, 40, 40, 1)), ONES[1]), {}, "more than can be read.*40 x 40 pixels.*at most 6.*input of 3 x 3 pixels"),
    ((ONES[0], np.ones((9, 9, 1, 1))), {}, "more than can be read.*extends over 9 x 9.*over 7.*smaller kernel"),
    ((np.ones((1, 6, 6, 1)), ONES[1]), {"strides": 5}, "more than can be read.*output of 30 x 30"),
    ((np.ones((1, 2, 2, 2, 1)), np.ones((2, 2, 2, 1, 1))), {}, "one or two spatial axes.*3 spatial axes"),
    ((np.ones((1, 0, 4, 1)), ONES[1]), {}, "nothing to explain"),
    ((np.ones((0, 4, 4, 1)), ONES[1]), {}, "no such image.*batch of 0"),
    ((np.ones((1, 4, 4, 0)), np.ones((3, 3, 1, 0))), {}, "no channel to explain"),
    (ONES, {"image": 1}, "no such image.*image 1, of a batch of 1"),
    (ONES, {"image": -1}, "image is out of range"),
    (ONES, {"pair": (0, 1)}, "no kernel leads.*output channel 1.*pass one of \\(0, 0\\)"),
    (ONES, {"pair": (0,)}, "pair has the wrong length"),
    (ONES, {"pair": 0}, "pair must be a sequence"),
    (ONES, {"convention": "caffe"}, "unknown convention.*'caffe'"),
    (ONES, {"stride": 2}, "not those of jconvt's function.*'stride' unknown"),
    (ONES, {"padding": "HALF"}, "unknown padding"),
    (ONES, {"output_shape": [20, 20]}, "output_shape is illegal"),
    (ONES, {"name": 3}, "name must be a string"),
    ((*ONES, None, 1, "SAME", None, None, "name", 3), {}, "positional arguments are not those"),
    ((*ONES, None, 2), {"strides": 2}, "strides by name, too"),
    ((np.ones((1, 1, 4)), np.ones((1, 1, 3)), np.ones(1)), {"convention": "torch"}, "explain has no bias"),
    ((ONES[0], "kernel"), {}, "filters is not an array"),
    ((ONES[0] > 0, ONES[1] > 0), {}, "booleans"),
]


@pytest.mark.parametrize(("operands", "options", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_call_is_refused(operands, options, message):
    assert re.search(message, refused(*operands, **options), re.S), refused(*operands, **options)


def test_traced_values_are_refused():
    for operand in (0, 1):

        def call(value, operand=operand):
            return explain(*(value if i == operand else ONES[i] for i in (0, 1))).output

        with pytest.raises(jconvt.ArgumentTypeError, match="traced arrays have no values yet"):
            jax.jit(call)(jnp.asarray(ONES[operand]))


@pytest.mark.parametrize("cell", [(5, 0), (0, 5), (-1, 0), (0,), (0, 0, 0), 3, (0.5, 0), "22"])
def test_an_output_that_is_not_there_is_refused(corner, cell):
    pytest.importorskip("matplotlib")
    for ask in (corner.sentence, corner.products, corner.unflipped, lambda c: corner.figure("stamps", c), corner.html):
        with pytest.raises((jconvt.ArgumentError, jconvt.ArgumentTypeError), match="cell"):
            ask(cell)


def test_groups_refuse_pairs_across():
    why = explain(np.ones((1, 2, 4)), np.ones((2, 3, 4)), groups=2)
    with pytest.raises(jconvt.ArgumentError, match=r"(?s)no kernel leads.*both of the same of 2 groups.*\.\.\."):
        why.pair(0, 5)
