"""``jconvt.explain``: calls of every convention, and the arguments that it rejects."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconvt
from jconvt import explain

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
def test_explain__every_convention_has_the_same_sums(convention):
    operands, options = CONVENTIONS[convention]
    why = explain(*operands, convention=convention, image=1, pair=(2, 1), **options)
    expected = explain(X, W, strides=2, padding="VALID", image=1, pair=(2, 1))
    np.testing.assert_array_equal(why.output, expected.output)
    assert why.sums == expected.sums
    assert why.backwards == (convention in ("lax", "flax"))
    assert why.agrees


def test_explain__torch_computes_the_same_sums():
    torch = pytest.importorskip("torch")
    x, w = FIRST[:1], W.transpose(3, 2, 0, 1)
    y = torch.nn.functional.conv_transpose2d(*map(torch.from_numpy, (x, w.copy())), stride=2, padding=1)
    why = explain(x, w, stride=2, padding=1, convention="torch")
    np.testing.assert_array_equal(sum(why.pair(c, 1).output for c in range(3)), y.numpy()[0, 1])
    unbatched = explain(x[0], w, stride=2, padding=1, convention="torch")
    np.testing.assert_array_equal(unbatched.output, why.output)


def test_explain__integers_whose_sums_may_wrap_raise():
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
def test_explain__numbers_that_jax_narrows_raise(dtype, value):
    x, w = np.full((1, 1, 1), value, dtype), np.ones((1, 1, 1), dtype)
    with jax.enable_x64(False):
        for operands, name in (((x, w), "input"), ((w, x), "filters")):
            with pytest.raises(jconvt.ArgumentError, match=f"{name} holds a number that is too large for its array"):
                explain(*operands)
    with jax.enable_x64(True):
        assert explain(x, w).output[0] == value


def test_explain__integers_that_jax_narrows_before_it_promotes_them_raise():
    raises = pytest.raises(jconvt.ArgumentError, match=r"input holds a number that is too large.*\n.* in int32")
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"), raises:
        explain(np.full((1, 1, 1), 2**40), np.ones((1, 1, 1), np.float32))


@pytest.mark.parametrize("name", ["\ud800", "two\nlines", "\x1b[31m", "\0"])
def test_explain__unprintable_name_raises(name):
    with pytest.raises(jconvt.ArgumentError, match="name cannot be printed"):
        explain(np.ones((1, 1, 1)), np.ones((1, 1, 1)), name=name)


def error_of(*operands, **options):
    """Return the text of the error that a call raises; it has all four parts."""
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
    (ONES, {"pair": (0, 1)}, "no kernel leads.*output channel 1.*legal: * \\(0, 0\\)"),
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
    ((ONES[0] > 0, ONES[1] > 0), {}, "boolean"),
]


@pytest.mark.parametrize(("operands", "options", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_explain__wrong_call_raises(operands, options, message):
    assert re.search(message, error_of(*operands, **options), re.S), error_of(*operands, **options)


def test_explain__traced_values_raise():
    for operand in (0, 1):

        def call(value, operand=operand):
            return explain(*(value if i == operand else ONES[i] for i in (0, 1))).output

        with pytest.raises(jconvt.ArgumentTypeError, match="traced arrays have no values yet"):
            jax.jit(call)(jnp.asarray(ONES[operand]))
