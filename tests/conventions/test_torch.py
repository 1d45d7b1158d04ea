"""``jconvt.torch`` against PyTorch: results, errors, and the call of each geometry."""

import dataclasses
import inspect
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jconvt import ArgumentError, ArgumentTypeError, Axis, Spec
from jconvt import torch as ours
from jconvt._conventions import torch as convention
from jconvt._core import operation
from jconvt._geometry.kernel_layout import KernelLayout
from tests.support import laws
from tests.support.conventions import assert_raises, broken, finished, integers, traced
from tests.support.drop_ins import assert_drop_in, held, in_any_case

torch = pytest.importorskip("torch")

OURS = {rank: getattr(ours, f"conv_transpose{rank}d") for rank in (1, 2, 3)}
THEIRS = {rank: getattr(torch.nn.functional, f"conv_transpose{rank}d") for rank in (1, 2, 3)}


@dataclasses.dataclass(frozen=True)
class Case:
    """Shapes and arguments of a call; ``input`` may lack the batch."""

    input: tuple[int, ...]
    weight: tuple[int, ...]
    bias: tuple[int, ...] | None
    arguments: dict[str, Any]

    @property
    def rank(self) -> int:
        return len(self.weight) - 2

    def operands(self, dtype: Any = np.float64) -> list[Any]:
        """Small integers without symmetry: sums of their products are exact, and no flip goes unseen."""
        rng = np.random.default_rng(len(repr(self)))
        shapes = (self.input, self.weight, self.bias)
        return [None if shape is None else rng.integers(-9, 10, shape).astype(dtype) for shape in shapes]


def tensors(arrays):
    return [None if array is None else torch.tensor(array) for array in arrays]


def spelled(draw, values):
    """The numbers of each axis as PyTorch takes them: all of them or, where they are equal, one."""
    if len(set(values)) == 1:
        return draw(st.sampled_from((values[0], values[:1], list(values))))
    return draw(st.sampled_from((tuple(values), list(values))))


@st.composite
def cases(draw, rank):
    most = {1: 5, 2: 4, 3: 2}[rank]
    axes = []
    for _ in range(rank):
        n, k, s, d = draw(st.integers(1, most)), draw(st.integers(1, 4)), *(draw(st.integers(1, 3)) for _ in "sd")
        plus = draw(st.integers(0, max(s, d) - 1))
        full = (n - 1) * s + (k - 1) * d + 1 + plus
        axes.append((n, k, s, d, draw(st.integers(0, (full - 1) // 2)), plus))
    sizes, kernel, *rest = zip(*axes, strict=True)
    groups, out = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    in_channels = groups * draw(st.integers(1, 2))
    batch = draw(st.sampled_from(((), (0,), (1,), (2,), (2,))))
    arguments = dict(zip(("stride", "dilation", "padding", "output_padding"), rest, strict=True))
    arguments = {name: spelled(draw, values) for name, values in arguments.items()} | {"groups": groups}
    bias = draw(st.sampled_from((None, (groups * out,))))
    return Case((*batch, in_channels, *sizes), (in_channels, out, *kernel), bias, arguments)


def equals_pytorch(case, dtype=np.float64, **options):
    operands = case.operands(dtype)
    expected = THEIRS[case.rank](*tensors(operands), **case.arguments).numpy()
    y = OURS[case.rank](*operands, **case.arguments, **options)
    np.testing.assert_array_equal(y, expected, strict=True)


@pytest.mark.parametrize("rank", [1, 2, 3])
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_torch__equals_pytorch(rank, data):
    equals_pytorch(data.draw(cases(rank)), method="reference")


@pytest.mark.parametrize("rank", [1, 2, 3])
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_torch__compiled_equals_pytorch(rank, data):
    dtype = data.draw(st.sampled_from((np.float32, np.float64)))
    equals_pytorch(data.draw(cases(rank)), dtype, method=data.draw(st.sampled_from(("auto", "dilated"))))


# One axis that is kept whole, one that is cropped unevenly and dilated; two groups of two channels; a bias.
CASE = Case(
    (2, 4, 3, 4),
    (4, 3, 3, 2),
    (6,),
    dict(stride=(2, 3), padding=(0, 2), output_padding=(1, 1), groups=2, dilation=(2, 1)),
)


@pytest.mark.parametrize("method", [*laws.TRACED, "reference"])
def test_torch__every_method_equals_pytorch(method):
    equals_pytorch(CASE, method=method)


@pytest.mark.parametrize("transform", [jax.jit, lambda f: f])
def test_torch__gradients_equal_pytorch(transform):
    x, w, b = CASE.operands()
    parts = [t.requires_grad_() for t in tensors((x, w, b))]
    y = THEIRS[2](*parts, **CASE.arguments)
    z = np.random.default_rng(0).integers(-9, 10, y.shape).astype(np.float64)
    expected = torch.autograd.grad(y, parts, torch.tensor(z))
    gradient = jax.grad(lambda *parts: (OURS[2](*parts, **CASE.arguments) * z).sum(), (0, 1, 2))
    for found, part in zip(transform(gradient)(x, w, b), expected, strict=True):
        np.testing.assert_array_equal(found, part.numpy())


def test_torch__vmap_of_unbatched_is_batched():
    x, w, b = CASE.operands()
    y = jax.vmap(lambda x: OURS[2](x, w, b, **CASE.arguments))(x)
    np.testing.assert_array_equal(y, THEIRS[2](*tensors((x, w, b)), **CASE.arguments).numpy())


def test_torch__signature_is_pytorchs():
    order = ["input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation"]
    for function in OURS.values():
        parameters = inspect.signature(function).parameters.values()
        assert [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD] == order
        assert [p.default for p in parameters][2:8] == [None, 1, 0, 0, 1, 1]
        assert all(p.kind is p.KEYWORD_ONLY for p in list(parameters)[8:])
    x, w, b = CASE.operands()
    positional = (x, w, b, (2, 3), (0, 2), (1, 1), 2, (2, 1))
    expected = THEIRS[2](*tensors(positional[:3]), *positional[3:]).numpy()
    np.testing.assert_array_equal(OURS[2](*positional), expected)


def test_torch__bias_is_promoted():
    x, w = np.ones((1, 1, 2), np.int32), np.ones((1, 1, 1), np.int32)
    with jax.numpy_dtype_promotion("standard"):
        y = OURS[1](x, w, np.array([0.5], np.float32))
    np.testing.assert_array_equal(y, [[[1.5, 1.5]]])
    x, w, b = (jnp.ones(shape, jnp.bfloat16) for shape in ((1, 1, 2), (1, 1, 1), (1,)))
    assert OURS[1](x, w, b).dtype == jnp.bfloat16
    assert OURS[1](x, w, b, preferred_element_type=jnp.float32).dtype == jnp.float32


def test_torch__sizes_may_be_symbolic():
    batch, width = jax.export.symbolic_shape("b, w")
    call = jax.jit(lambda x: OURS[1](x, jnp.ones((2, 1, 3), jnp.float32), jnp.ones(2, jnp.float32), 2, 1, 1, 2))
    exported = jax.export.export(call)(jax.ShapeDtypeStruct((batch, 2, width), jnp.float32))
    assert exported.out_avals[0].shape == (batch, 2, 2 * width)
    x = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    expected = THEIRS[1](torch.tensor(x), torch.ones(2, 1, 3), torch.ones(2), 2, 1, 1, 2).numpy()
    np.testing.assert_array_equal(exported.call(x), expected)


def test_torch__out_sharding_without_batch():
    mesh = jax.make_mesh((1,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("x")
    call = jax.jit(lambda *operands: OURS[1](*operands, out_sharding=jax.sharding.NamedSharding(mesh, spec)))
    expected = THEIRS[1](torch.ones(2, 3), torch.ones(2, 4, 2)).numpy()
    np.testing.assert_array_equal(call(np.ones((2, 3)), np.ones((2, 4, 2))), expected)
    with jax.set_mesh(mesh):
        y = jax.jit(lambda *operands: OURS[1](*operands, out_sharding=spec))(np.ones((2, 3)), np.ones((2, 4, 2)))
    np.testing.assert_array_equal(y, expected)


# Calls in PyTorch's words.

axes_drawn = st.builds(
    Axis,
    *(st.integers(1, 4) for _ in range(3)),
    lo=st.integers(-3, 6),
    hi=st.integers(-3, 6),
)


def executed(call, x, w):
    """``call`` made by PyTorch on channels-last ``x`` and TensorFlow's ``w``: the result is channels last, too."""
    function = getattr(torch.nn.functional, call.function.rpartition(".")[2])
    assert call.function == f"torch.nn.functional.{function.__name__}"
    images = np.moveaxis(x, -1, 1)
    y = function(*tensors((np.ascontiguousarray(images), call.kernel.kernel(w).copy())), **call.arguments).numpy()
    return np.moveaxis(finished(y, call), 1, -1)


@pytest.mark.parametrize("rank", [1, 2, 3])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_torch__call_computes_the_geometry(rank, data):
    axes = [data.draw(axes_drawn) for _ in range(rank)]
    sizes = [data.draw(st.integers(least, least + 2)) for least in map(fewest_pixels, axes)]
    groups = data.draw(st.integers(1, 2))
    computes_its_geometry(convention.call(Spec(tuple(axes), groups)), Spec(tuple(axes), groups), sizes)


def fewest_pixels(axis):
    """The smallest input size with a pixel of output."""
    return next(n for n in itertools.count(1) if axis.output_size(n) > 0)


def computes_its_geometry(call, spec, sizes):
    rng = np.random.default_rng(sum(sizes))
    x = rng.integers(-9, 10, (2, *sizes, 2)).astype(np.float64)
    w = rng.integers(-9, 10, (*(axis.kernel for axis in spec.axes), 3, 2)).astype(np.float64)
    layout = dataclasses.replace(call.layout, channels_first=False)
    y = operation.transposed_convolution(*map(jnp.asarray, (x, w)), spec, layout, name="y", method="reference")
    np.testing.assert_array_equal(executed(call, x, w), y, strict=True)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_torch__exact_call_resolves_to_the_geometry(data):
    rank = data.draw(st.sampled_from((1, 2, 3)))
    axes, groups = tuple(data.draw(axes_drawn) for _ in range(rank)), data.draw(st.integers(1, 3))
    call = convention.call(Spec(axes, groups))
    shape = (1, groups, *map(fewest_pixels, axes))
    computed, layout = convention.resolve(shape, (groups, 1, *(axis.kernel for axis in axes)), **call.arguments)
    assert (computed.axes == axes) == call.exact
    assert (computed.groups, layout) == (groups, call.layout)
    least = all(axis.lo >= 0 and 0 <= axis.lo - axis.hi < max(axis.stride, axis.dilation) for axis in axes)
    assert call.exact == least


@pytest.mark.parametrize("rank", [1, 2, 3])
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_torch__resolved_call_is_exact(rank, data):
    case = data.draw(cases(rank))
    resolved = convention.resolve(case.input, case.weight, **case.arguments)
    call = convention.call(resolved[0])
    assert call.exact
    assert convention.resolve(case.input, case.weight, **call.arguments) == resolved


def test_torch__call_has_something_to_crop():
    ends = range(-4, 9)
    for kernel, stride, dilation, lo, hi in itertools.product((1, 2, 4), (1, 2, 5), (1, 3), ends, ends):
        axis = Axis(kernel, stride, dilation, lo, hi)
        arguments, ((before, after),) = (call := convention.call(Spec((axis,)))).arguments, call.crop
        padding, added = arguments.get("padding", 0), arguments.get("output_padding", 0)
        assert before >= 0 or padding == 0
        assert after >= 0 or padding <= added
        assert 0 <= added < max(stride, dilation)
        computed = Axis(kernel, stride, dilation, padding, padding - added)
        assert computed.output_size(fewest_pixels(axis)) > 0


def test_torch__call_omits_defaults():
    assert convention.call(Spec((Axis(3), Axis(2)))).arguments == {}
    call = convention.call(Spec((Axis(3, 2, 1, 1, 0), Axis(3, 2, 2, 1, 1)), 2))
    assert call.arguments == {"stride": 2, "padding": 1, "output_padding": (1, 0), "groups": 2, "dilation": (1, 2)}


def test_torch__four_axes_raise():
    with pytest.raises(ArgumentError, match=r"(?s)at most 3 spatial axes.*4 spatial axes.*jconvt.conv_transpose"):
        convention.call(Spec((Axis(1),) * 4))


# Wrong calls.

ONE, TWO, THREE = OURS.values()
X, W, B = np.ones((2, 4, 5, 6), np.float32), np.ones((4, 3, 3, 2), np.float32), np.ones(3, np.float32)
LINE, TAPS = X[:, :, 0], W[..., 0]


# The call; its operands; its keywords; the error; and what its message must say.
WRONG = [
    # ranks
    (TWO, (X, TAPS), {}, ArgumentError, r"weight has the wrong number of axes for conv_transpose2d.*4 axes: in, out"),
    (TWO, (X[0, 0], W), {}, ArgumentError, r"input has the wrong number of axes for conv_transpose2d.*or 3, without"),
    (TWO, (X[None], W), {}, ArgumentError, r"input has the wrong number.*\(1, 2, 4, 5, 6\).*reshape input to 4 axes"),
    (ONE, (X, W), {}, ArgumentError, "weight has the wrong number of axes for conv_transpose1d.*3 axes"),
    (ONE, (X, TAPS), {}, ArgumentError, "input has the wrong number of axes for conv_transpose1d"),
    (THREE, (X, W), {}, ArgumentError, "conv_transpose3d.*5 axes"),
    (TWO, (1.0, W), {}, ArgumentError, r"input of shape \(\)"),
    # operands
    (TWO, (None, W), {}, ArgumentTypeError, "input is not an array of numbers.*NoneType"),
    (TWO, (X, "weight"), {}, ArgumentTypeError, "weight is not an array of numbers.*str"),
    (TWO, (X, W.astype(np.float64)), {}, ArgumentTypeError, "JAX does not promote.*input float32, weight float64"),
    (TWO, (X, W > 0), {}, ArgumentTypeError, "boolean and PRNG-key.*weight bool"),
    (TWO, (X[:, :3], W), {}, ArgumentError, "channels of input and weight differ.*3 in input, 4 in weight"),
    (TWO, (X, W.swapaxes(0, 1)), {}, ArgumentError, "4 in input, 3 in weight.*swap the first two axes of weight"),
    (TWO, (np.moveaxis(X, 1, -1), W), {}, ArgumentError, "5 in input.*move the channels of input to the front"),
    (TWO, (X[0, :2], W), {}, ArgumentError, "2 in input, 4 in weight"),
    (TWO, (X, W[:, :, :0]), {}, ArgumentError, "weight has an empty axis.*at least 1"),
    (TWO, (X, W[:, :0]), {}, ArgumentError, "weight has an empty axis"),
    (TWO, (X[:, :0], W[:0]), {}, ArgumentError, "weight has an empty axis"),
    (TWO, (X[..., :0], W), {}, ArgumentError, "input has no pixels along spatial axis 1.*jconvt.conv_transpose"),
    # bias
    (TWO, (X, W, B[:2]), {}, ArgumentError, r"bias does not fit.*shape \(2,\).*\(3,\)"),
    (TWO, (X, W, B[None]), {}, ArgumentError, r"bias does not fit.*shape \(1, 3\)"),
    (TWO, (X, W, 1.0), {}, ArgumentError, r"bias does not fit.*shape \(\)"),
    (TWO, (X, W, B), {"groups": 2}, ArgumentError, r"bias does not fit.*\(6,\)"),
    (TWO, (X, W, "bias"), {}, ArgumentTypeError, "bias is not an array of numbers"),
    (TWO, (X, W, B.astype(np.float64)), {}, ArgumentTypeError, "input, weight and bias differ.*bias float64"),
    (TWO, (X, W, B > 0), {}, ArgumentTypeError, "boolean and PRNG-key.*bias bool"),
    # numbers for each axis
    (TWO, (X, W), {"stride": 0}, ArgumentError, "stride is out of range.*stride = 0.*1 to"),
    (TWO, (X, W), {"stride": (1, -2)}, ArgumentError, r"stride\[1\] = -2"),
    (TWO, (X, W), {"stride": 2.0}, ArgumentTypeError, "stride must be an integer.*2.0"),
    (TWO, (X, W), {"stride": True}, ArgumentTypeError, "stride must be an integer.*True"),
    (TWO, (X, W), {"stride": None}, ArgumentTypeError, "stride must be a sequence.*None"),
    (
        traced(TWO, "stride"),
        (X, W),
        {},
        ArgumentTypeError,
        "stride must be an integer.*known before tracing.*static",
    ),
    (TWO, (X, W), {"stride": (1, 1, 1)}, ArgumentError, "stride has the wrong length.*length 3.*1 or 2"),
    (TWO, (X, W), {"stride": ()}, ArgumentError, "stride has the wrong length.*length 0"),
    (TWO, (X, W), {"stride": (1, 1, 2, 2)}, ArgumentError, "stride has the wrong length.*length 4"),
    (ONE, (LINE, TAPS), {"stride": (1, 2)}, ArgumentError, "stride has the wrong length.*sequence of 1$"),
    (TWO, (X, W), {"dilation": 0}, ArgumentError, "dilation is out of range"),
    (TWO, (X, W), {"dilation": (1, 2, 3)}, ArgumentError, "dilation has the wrong length"),
    (TWO, (X, W), {"padding": -1}, ArgumentError, "padding is out of range.*padding = -1.*0 to"),
    (TWO, (X, W), {"padding": "same"}, ArgumentTypeError, "padding must be a sequence.*'same'"),
    (TWO, (X, W), {"padding": [(1, 1), (0, 0)]}, ArgumentTypeError, r"padding\[0\] must be an integer"),
    (TWO, (X, W), {"padding": (1, 1, 1)}, ArgumentError, "padding has the wrong length"),
    (TWO, (X, W), {"padding": (4, 1)}, ArgumentError, "all there is along spatial axis 0.*-1 of 7 pixels.*at most 3"),
    (TWO, (X, W), {"output_padding": -1}, ArgumentError, "output_padding is out of range"),
    (TWO, (X, W), {"output_padding": 1}, ArgumentError, "output_padding is too large along spatial axis 0.*0 to 0"),
    (
        TWO,
        (X, W),
        {"output_padding": (2, 3), "stride": 2, "dilation": (3, 3)},
        ArgumentError,
        "output_padding is too large along spatial axis 1.*output_padding 3, stride 2, dilation 3.*0 to 2",
    ),
    (TWO, (X, W), {"output_padding": (0, 0, 0)}, ArgumentError, "output_padding has the wrong length"),
    # groups
    (TWO, (X, W), {"groups": 3}, ArgumentError, "groups does not divide.*groups = 3, 4 channels"),
    (TWO, (X, W), {"groups": 0}, ArgumentError, "groups is out of range"),
    (TWO, (X, W), {"groups": -1}, ArgumentError, "groups is out of range"),
    (TWO, (X, W), {"groups": (2,)}, ArgumentTypeError, "groups must be an integer"),
    # arguments that PyTorch lacks
    (TWO, (X, W), {"method": "fast"}, ArgumentError, "unknown method"),
    (TWO, (X[0], W), {"out_sharding": "x"}, ArgumentTypeError, "out_sharding is not a sharding.*'x'"),
]


@pytest.mark.parametrize(("call", "operands", "keywords", "error", "text"), WRONG)
def test_torch__wrong_call_raises(call, operands, keywords, error, text):
    assert_raises(call, operands, keywords, error, text)


@pytest.mark.parametrize(
    ("call", "operands", "keywords"),
    [
        row[:3]
        for row in WRONG
        if row[0] in (ONE, TWO, THREE)
        and not row[2].keys() & {"method", "out_sharding"}
        and row[2].get("stride") is not True  # PyTorch reads it as 1
    ],
)
def test_torch__pytorch_rejects_it_too(call, operands, keywords):
    theirs = THEIRS[{ONE: 1, TWO: 2, THREE: 3}[call]]
    arrays = [torch.tensor(value) if isinstance(value, np.ndarray) else value for value in operands]
    with pytest.raises((RuntimeError, TypeError, ValueError)):
        theirs(*arrays, **keywords)


def pytorchs_shape(case):
    """The result's shape, or ``None`` if PyTorch rejects the call.

    In float64, which PyTorch computes itself: what oneDNN computes for it may have no pixels.
    """
    try:
        return tuple(THEIRS[case.rank](*tensors(case.operands(np.float64)), **case.arguments).shape)
    except (RuntimeError, IndexError):  # the latter where batch and weight are both empty
        return None


@pytest.mark.parametrize("rank", [1, 2, 3])
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_torch__rejects_what_pytorch_rejects(rank, data):
    def each(name, *range_):
        count = data.draw(st.sampled_from([rank] * 6 + [rank - 1, rank + 1]))
        return name, tuple(data.draw(st.sampled_from(range_)) for _ in range(count))

    groups = data.draw(st.sampled_from((1, 1, 2, 2, 3, 0)))
    in_channels = data.draw(st.sampled_from((2, 2, 4, 3, 0)))
    out = data.draw(st.sampled_from((1, 2, 2, 0)))
    sizes = [data.draw(st.sampled_from((1, 2, 2, 3, 3, 0))) for _ in range(rank)]
    kernel = [data.draw(st.sampled_from((1, 2, 3, 3, 0))) for _ in range(rank)]
    channels = data.draw(st.sampled_from((in_channels, in_channels, in_channels, in_channels + 1)))
    batch = data.draw(st.sampled_from(((), (0,), (2,), (2,), (1, 1))))
    bias = data.draw(st.sampled_from((None, None, (out * groups,), (out * groups,), (out,), (1, out))))
    # Legal values are likelier than illegal ones, so that some calls are legal.
    arguments = dict(
        [
            each("stride", 1, 2, 2, 3, 3, 3, 2, 1, 0, -1),
            each("padding", 0, 0, 0, 0, 0, 1, 1, 1, 2, 3, -1),
            each("output_padding", 0, 0, 0, 0, 0, 1, 1, 1, 2, 3, -1),
            each("dilation", 1, 1, 2, 2, 3, 3, 2, 1, 0, -1),
        ]
    )
    case = Case((*batch, channels, *sizes), (in_channels, out, *kernel), bias, arguments | {"groups": groups})
    expected = pytorchs_shape(case)
    if batch == (0,) and pytorchs_shape(dataclasses.replace(case, input=(1, channels, *sizes))) is None:
        expected = None  # PyTorch checks less of an empty batch
    try:
        spec, _ = convention.resolve(case.input, case.weight, **case.arguments, bias_shape=bias, rank=rank)
        outs = spec.output_sizes(sizes)
        found = (*batch, out * groups, *outs)
    except ArgumentError:
        found = None
    assert found == expected, case


# The tests can fail.


def test_torch__broken_kernel_layout_is_seen(monkeypatch):
    right = convention.kernel_layout(2)
    assert right == KernelLayout((3, 2, 0, 1))
    square = dataclasses.replace(CASE, weight=(4, 4, 3, 2), bias=None, arguments={"stride": 2})
    equals_pytorch(square)
    for wrong in broken(right):
        monkeypatch.setattr(convention, "kernel_layout", lambda rank, wrong=wrong: wrong)
        with pytest.raises((AssertionError, ValueError)):  # shapes can differ
            equals_pytorch(square)


def test_torch__broken_call_is_seen():
    axes = (Axis(3, 2, 1, 2, 1), Axis(4, 3, 2, 1, -3))
    call = convention.call(Spec(axes, 2))
    computes_its_geometry(call, Spec(axes, 2), (3, 2))
    for wrong in (
        dataclasses.replace(call, crop=((1, 0), *call.crop[1:])),
        dataclasses.replace(call, kernel=dataclasses.replace(call.kernel, flipped=True)),
        dataclasses.replace(call, arguments=call.arguments | {"padding": 1}),
    ):
        with pytest.raises(AssertionError):
            computes_its_geometry(wrong, Spec(axes, 2), (3, 2))


@st.composite
def odd_calls(draw):
    """Shapes, dtypes and arguments in the vocabulary of PyTorch: legal, unusual and wrong ones."""
    rank = draw(st.integers(1, 2))
    numbers = {
        "size": [0, 1, 2, 3, 4, 4, 5, 5], "k": [1, 2, 3], "stride": [1, 1, 2, 3], "padding": [0, 0, 0, 1, 1, 2, -1],
        "output_padding": [0, 0, 0, 0, 0, 1, 2], "dilation": [1, 1, 2, 3],
    }  # fmt: skip
    drawn = {name: [draw(st.sampled_from(values)) for _ in range(rank)] for name, values in numbers.items()}
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    taken, out = (
        draw(st.integers(1, 2)) * groups,
        draw(st.integers(0, 2) if draw(st.integers(0, 9)) == 0 else st.just(2)),
    )
    batch = draw(st.sampled_from([(2,), (2,), (), (0,)]))
    dtype = draw(st.sampled_from(["float32", "float64", "float64", "int64", "complex128", "bool"]))
    other = draw(st.sampled_from([dtype] * 9 + ["float32"]))
    x, w = integers((*batch, taken, *drawn.pop("size")), (taken, out, *drawn.pop("k")))
    arguments = {name: held(draw, values) for name, values in drawn.items() if draw(st.booleans())}
    if draw(st.integers(0, 9)) == 0:
        arguments["padding"] = draw(in_any_case("SAME", "VALID"))
    arguments["groups"] = draw(st.sampled_from([groups] * 9 + [0, 4]))
    arguments["bias"] = draw(st.sampled_from([None, np.arange(out * groups).astype(dtype)]))
    return rank, x.astype(dtype), w.astype(other), arguments


def test_torch__never_gives_other_numbers_than_pytorch():
    equal = []

    def in_torch(rank, x, w, arguments):
        bias = arguments["bias"]
        arguments = arguments | {"bias": None if bias is None else torch.tensor(bias)}
        return getattr(torch.nn.functional, f"conv_transpose{rank}d")(torch.tensor(x), torch.tensor(w), **arguments)

    @settings(max_examples=200, deadline=None)
    @given(odd_calls())
    def check(drawn):
        rank, x, w, arguments = drawn
        lists = (list, tuple, int)
        extends = (
            x.dtype != w.dtype  # different dtypes are promoted
            or x.dtype.kind in "ic"  # PyTorch lacks some of these
            or any(not isinstance(value, lists) for name, value in arguments.items() if name not in ("bias", "groups"))
        )
        call = getattr(ours, f"conv_transpose{rank}d")
        with jax.numpy_dtype_promotion("standard"):
            equal.append(
                assert_drop_in(
                    lambda: in_torch(rank, x, w, arguments),
                    lambda: call(x, w, **arguments, method="reference"),
                    extends,
                    (x.shape, w.shape, x.dtype, w.dtype, arguments),
                )
            )

    check()
    assert sum(equal) > 20
