"""Against ``jax.lax.conv_transpose``: every argument, and groups as as many calls of it as there are groups."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jconvt
from jconvt import ArgumentError, ArgumentTypeError, Axis, Spec
from jconvt import lax as ours
from jconvt._conventions import lax as convention
from jconvt._geometry.kernel_layout import filters_layout
from jconvt._methods import reference
from tests.support import laws
from tests.support.conventions import assert_raises, broken, integers, traced
from tests.support.drop_ins import assert_drop_in, held, in_any_case

TRACED = laws.TRACED


@dataclasses.dataclass(frozen=True)
class LaxCall:
    """Shapes of the operands and the arguments of one call of ``jax.lax.conv_transpose``, and its groups."""

    lhs: tuple
    rhs: tuple
    strides: tuple
    padding: object
    keywords: dict
    groups: int

    def operands(self):
        """Small integers without symmetry."""
        return integers(self.lhs, self.rhs, dtype=np.float64)

    def in_lax(self, lhs, rhs):
        """Each group by a call of its own, on its share of the channels."""
        numbers = jax.lax.conv_dimension_numbers(
            lhs.shape, rhs.shape, self.keywords.get("dimension_numbers") or default_numbers(lhs.ndim)
        )
        traced = any(isinstance(array, jax.Array) for array in (lhs, rhs))
        xp = jnp if traced else np  # NumPy compiles nothing
        shares = zip(
            xp.split(lhs, self.groups, numbers.lhs_spec[1]),
            xp.split(rhs, self.groups, numbers.rhs_spec[0]),
            strict=True,
        )
        call = functools.partial(jax.lax.conv_transpose, strides=self.strides, padding=self.padding, **self.keywords)
        call = jax.jit(call)  # one program for all groups
        return xp.concatenate([call(x, w) for x, w in shares], numbers.out_spec[1])

    def in_jconvt(self, lhs, rhs, method):
        return ours.conv_transpose(
            lhs, rhs, self.strides, self.padding, **self.keywords, feature_group_count=self.groups, method=method
        )


def default_numbers(ndim):
    return {3: ("NHC", "HIO", "NHC"), 4: ("NHWC", "HWIO", "NHWC"), 5: ("NDHWC", "DHWIO", "NDHWC")}[ndim]


@st.composite
def lax_calls(draw, rank, most_size=4):
    most = {1: 5, 2: 3, 3: 2}[rank]
    sizes = [draw(st.integers(0 if draw(st.integers(0, 9)) == 0 else 1, most_size)) for _ in range(rank)]
    kernel, strides = ([draw(st.integers(1, most)) for _ in range(rank)] for _ in range(2))
    dilation = [draw(st.integers(1, 3)) for _ in range(rank)]
    pads = st.integers(-3, 5)
    padding = draw(st.sampled_from(["SAME", "VALID", "pairs", "pairs"]))
    if padding == "pairs":
        padding = tuple((draw(pads), draw(pads)) for _ in range(rank))
    keywords = {}
    for name, value in (
        ("rhs_dilation", draw(st.sampled_from([dilation, tuple(dilation), None]))),
        ("transpose_kernel", draw(st.booleans())),
        ("use_consistent_padding", draw(st.booleans())),
    ):
        if draw(st.booleans()):
            keywords[name] = value
    groups, in_channels, out = draw(st.sampled_from([1, 1, 2, 3])), draw(st.integers(1, 2)), draw(st.integers(1, 3))
    transposed = keywords.get("transpose_kernel")
    letters = {"O": groups * in_channels, "I": out} if transposed else {"O": groups * out, "I": in_channels}
    space = "xyz"[:rank]
    images = {"N": draw(st.sampled_from([1, 2, 2, 0])), "C": groups * in_channels} | dict(
        zip(space, sizes, strict=True)
    )
    kernels = letters | dict(zip(space, kernel, strict=True))
    kind = draw(st.sampled_from(["none", "none", "first", "strings", "tuples"]))
    if kind in ("none", "first"):
        spec = f"N{space}C" if kind == "none" else f"NC{space}"
        numbers = (spec, f"{space}IO" if kind == "none" else f"OI{space}", spec)
    else:
        lhs, rhs, result = ("".join(draw(st.permutations(outer + space))) for outer in ("NC", "OI", "NC"))
        numbers = (lhs, rhs, result)
    lhs, rhs = tuple(images[c] for c in numbers[0]), tuple(kernels[c] for c in numbers[1])
    if kind == "tuples":
        numbers = jax.lax.conv_dimension_numbers(lhs, rhs, numbers)
    if kind != "none":
        keywords["dimension_numbers"] = numbers
    return LaxCall(lhs, rhs, tuple(strides), padding, keywords, groups)


def agree(call, method):
    """The same numbers, or both raise."""
    lhs, rhs = call.operands()
    try:
        expected = call.in_lax(lhs, rhs)
    except ValueError as error:
        if "Negative padding is larger" not in str(error):
            raise
        with pytest.raises(ArgumentError, match="removes more than there is"):
            call.in_jconvt(lhs, rhs, method)
        return
    y = call.in_jconvt(lhs, rhs, method)
    assert y.dtype == expected.dtype
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("rank", [1, 2, 3])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_lax__equals_jax_lax(rank, data):
    agree(data.draw(lax_calls(rank)), "reference")


@settings(max_examples=30, deadline=None)
@given(call=lax_calls(1) | lax_calls(2), method=st.sampled_from(TRACED))
def test_lax__every_method_equals_jax_lax(call, method):
    agree(call, method)


@pytest.mark.parametrize("pads", [(-7, 9), (9, -7), (-9, 12), (12, -9), (-3, -3), (-1, 0)])
@pytest.mark.parametrize("method", ["reference", *TRACED])
def test_lax__ends_far_beyond_the_stamps(pads, method):
    agree(LaxCall((2, 4, 2), (3, 2, 3), (2,), (pads,), {}, 1), method)


def test_lax__four_spatial_axes():
    numbers = ("NabcdC", "abcdIO", "NabcdC")
    x, w = LaxCall((1, 2, 1, 3, 2, 2), (2, 1, 2, 2, 2, 3), (), "", {}, 1).operands()
    y = ours.conv_transpose(x, w, (2, 1, 2, 1), "SAME", None, numbers, method="reference")
    stamp = np.flip(w, (0, 1, 2, 3)).swapaxes(4, 5)
    expected = jconvt.conv_transpose(x, stamp, strides=(2, 1, 2, 1), method="reference")
    np.testing.assert_array_equal(y, expected)


def same(call):
    """The call by ``jconvt.lax``, which gives the numbers of ``jax.lax``."""
    y, expected = (call(module.conv_transpose) for module in (ours, jax.lax))
    assert (y.dtype, y.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(y, expected)
    return np.asarray(y)


ROW, TWO_TAPS = np.arange(1.0, 6).reshape(1, 5, 1), np.array([1.0, 10.0]).reshape(2, 1, 1)


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        ("SAME", [10, 21, 32, 43, 54]),
        ("SAME_LOWER", [10, 21, 32, 43, 54]),
        ("same_lower", [10, 21, 32, 43, 54]),
        ("same", [21, 32, 43, 54, 5]),
        ("Same", [21, 32, 43, 54, 5]),
        ("VALID", [10, 21, 32, 43, 54, 5]),
        ("valid", [21, 32, 43, 54]),
    ],
)
def test_lax__spelling_of_padding_matters_at_stride_1_as_in_jax_lax(padding, expected):
    # jax-ml/jax 4216: other spellings than in capitals are for a convolution that is not transposed.
    assert same(lambda call: call(ROW, TWO_TAPS, (1,), padding)).ravel().tolist() == expected


@pytest.mark.parametrize("padding", ["same", "Valid", "SAME_LOWER", "FULL"])
def test_lax__other_spelling_of_padding_raises_at_other_strides(padding):
    with pytest.raises(ValueError, match="String padding is not implemented"):
        jax.lax.conv_transpose(ROW, TWO_TAPS, (2,), padding)
    fix = f"write '{padding.upper()}'" if padding.upper() in ("SAME", "VALID") else "pass one of these"
    with pytest.raises(ArgumentError, match=rf"unknown padding[\s\S]*{fix}"):
        ours.conv_transpose(ROW, TWO_TAPS, (2,), padding)


def test_lax__names_stand_in_place_of_consistent_pairs():
    y = same(lambda call: call(ROW, TWO_TAPS, (2,), ["SAME"], use_consistent_padding=True))
    assert y.ravel().tolist() == [10, 1, 20, 2, 30, 3, 40, 4, 50, 5]
    lhs, rhs = integers((2, 3, 4, 2), (3, 4, 2, 3))
    for padding in (["SAME", (1, 0)], [(0, 2), "VALID"], ("VALID", "SAME")):
        same(lambda call, padding=padding: call(lhs, rhs, (2, 1), padding, use_consistent_padding=True))


@pytest.mark.parametrize("padding", ["SAME", "valid", "SAME_LOWER", (), []])
@pytest.mark.parametrize("numbers", [None, ("NC", "IO", "NC"), ("CN", "OI", "NC"), ("NC", "IO", "CN")])
@pytest.mark.parametrize("transpose_kernel", [False, True])
def test_lax__no_spatial_axis_is_a_product_of_matrices(padding, numbers, transpose_kernel):
    lhs, rhs = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 10.0], [100.0, 1000.0]])
    y = same(lambda call: call(lhs, rhs, (), padding, (), numbers, transpose_kernel))
    if numbers in (None, ("NC", "IO", "NC")) and not transpose_kernel:
        assert y.tolist() == [[201, 2010], [403, 4030]]


def test_lax__no_spatial_axis_under_transformations_and_options():
    lhs, rhs = integers((5, 4), (2, 6), dtype=np.float64)
    groups = {"feature_group_count": 2}
    expected = np.concatenate([lhs[:, :2] @ rhs[:, :3], lhs[:, 2:] @ rhs[:, 3:]], 1)
    np.testing.assert_array_equal(ours.conv_transpose(lhs, rhs, (), "SAME", **groups), expected)
    for method in ("reference", *TRACED):
        np.testing.assert_array_equal(ours.conv_transpose(lhs, rhs, (), "SAME", method=method, **groups), expected)

    rhs = rhs[:, :3].repeat(2, 0)
    y, pull = jax.vjp(lambda x, w: ours.conv_transpose(x, w, (), "SAME"), lhs, rhs)
    for found, wanted in zip(pull(y), (y @ rhs.T, lhs.T @ y), strict=True):
        np.testing.assert_array_equal(found, wanted)
    many = jax.vmap(lambda x: ours.conv_transpose(x, rhs, (), "SAME"))(np.stack([lhs, -lhs]))
    np.testing.assert_array_equal(many, np.stack([y, -y]))
    halves = [operand.astype(jnp.bfloat16) for operand in (lhs, rhs)]
    same(lambda call: call(*halves, (), "SAME", precision="highest", preferred_element_type=np.float32))
    mesh = jax.make_mesh((1,), ("rows",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        spread = ours.conv_transpose(jnp.asarray(lhs), jnp.asarray(rhs), (), "SAME", out_sharding=jax.P("rows"))
    assert jax.typeof(spread).sharding.spec == jax.P("rows", None)
    assert ours.conv_transpose(np.zeros((0, 4)), rhs, (), "SAME").shape == (0, 3)


@st.composite
def odd_calls(draw):
    """Operands and arguments in the vocabulary of ``jax.lax``: legal, unusual and wrong ones."""
    rank = draw(st.sampled_from([0, 1, 1, 1, 2]))
    sizes = [draw(st.sampled_from([0, 1, 3, 4])) for _ in range(rank)]
    kernel, strides = ([draw(st.sampled_from([1, 1, 2, 3])) for _ in range(rank)] for _ in range(2))
    dilation = [draw(st.sampled_from([1, 1, 2])) for _ in range(rank)]
    dtype = draw(st.sampled_from(["float32", "float64", "int32", "int8", "bool", "complex64"]))
    other = draw(st.sampled_from([dtype] * 9 + ["float32"]))
    transposed, ends = draw(st.booleans()), st.integers(-1, 3)
    pair = st.builds(lambda kind, *ends: kind(ends), st.sampled_from([tuple, tuple, list]), ends, ends)
    entry = pair | st.sampled_from(["SAME", "VALID"]) if draw(st.booleans()) else pair
    by_axis = (
        st.lists(entry | in_any_case("SAME"), min_size=rank, max_size=rank)
        if draw(st.integers(0, 9)) == 0
        else (st.lists(entry, min_size=rank, max_size=rank))
    )
    names = in_any_case("SAME", "VALID", "SAME_LOWER")
    padding = draw(names | names | by_axis | by_axis.map(tuple) | st.sampled_from([None, 1, "FULL", "", [(0, 0)] * 3]))
    channels = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    space = "xyz"[:rank]
    specs = draw(
        st.sampled_from([(f"N{space}C", f"{space}IO", f"N{space}C"), (f"NC{space}", f"OI{space}", f"NC{space}")])
    )
    values = dict(zip(space, sizes, strict=True)) | {"N": draw(st.sampled_from([1, 2, 0])), "C": channels[0]}
    taps = dict(zip(space, kernel, strict=True)) | dict(zip("OI" if transposed else "IO", channels, strict=True))
    lhs, rhs = (
        np.random.default_rng(3).integers(-3, 4, tuple(sizes[letter] for letter in spec)).astype(kind)
        for sizes, spec, kind in ((values, specs[0], dtype), (taps, specs[1], other))
    )
    arguments = {
        "strides": held(draw, strides),
        "padding": padding,
        "rhs_dilation": held(draw, dilation),
        "dimension_numbers": None
        if specs[0].endswith("C") and draw(st.booleans())
        else draw(st.sampled_from([tuple, list]))(specs),
        "transpose_kernel": transposed,
        "use_consistent_padding": draw(st.booleans()),
        "preferred_element_type": draw(st.sampled_from([None, None, None, "float32", "int32", "bool"])),
    }
    return lhs, rhs, arguments


def test_lax__never_gives_other_numbers_than_jax_lax():
    equal = []

    @settings(max_examples=150, deadline=None)
    @given(odd_calls())
    def check(drawn):
        lhs, rhs, arguments = drawn
        pads = arguments["padding"]
        extends = (
            lhs.dtype != rhs.dtype  # different dtypes are promoted
            or isinstance(arguments["strides"], np.ndarray)  # any sequence of integers
            or (isinstance(pads, list | tuple) and any(isinstance(pair, list) for pair in pads))  # lists are pairs, too
        )
        # A GPU convolves no integers.
        with jax.numpy_dtype_promotion("standard"), jax.default_device(jax.devices("cpu")[0]):
            equal.append(
                assert_drop_in(
                    lambda: jax.lax.conv_transpose(jnp.asarray(lhs), jnp.asarray(rhs), **arguments),
                    lambda: ours.conv_transpose(lhs, rhs, **arguments, method="reference"),
                    extends,
                    (lhs.shape, rhs.shape, lhs.dtype, rhs.dtype, arguments),
                )
            )

    check()
    assert sum(equal) > 20


GROUPED = LaxCall(
    (2, 6, 4, 3),
    (3, 3, 6, 2),
    (2, 1),
    ((1, 0), (2, 2)),
    {"rhs_dilation": (1, 2), "dimension_numbers": ("NCHW", "HWOI", "NHWC")},
    3,
)
"""Channels first to channels last; stamps overlap and are cropped; three groups of two channels."""


@pytest.mark.parametrize("method", TRACED)
@pytest.mark.parametrize("transpose_kernel", [False, True])
def test_lax__gradients_equal_jax_lax(method, transpose_kernel):
    call = dataclasses.replace(GROUPED, keywords=GROUPED.keywords | {"transpose_kernel": transpose_kernel})
    lhs, rhs = map(jnp.asarray, call.operands())
    expected, pull = jax.vjp(call.in_lax, lhs, rhs)
    y, ours_pull = jax.vjp(jax.jit(lambda x, w: call.in_jconvt(x, w, method)), lhs, rhs)
    z = jnp.asarray(np.random.default_rng(1).integers(-9, 10, y.shape).astype(np.float64))
    np.testing.assert_array_equal(y, expected)
    for found, wanted in zip(ours_pull(z), pull(z), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("mapped", [(0, None), (None, 0), (0, 0)])
def test_lax__vmap(mapped):
    operands = [
        np.stack([array, 2 - array]) if axis == 0 else array
        for array, axis in zip(GROUPED.operands(), mapped, strict=True)
    ]
    found, wanted = (
        jax.vmap(compute, mapped)(*operands)
        for compute in (lambda x, w: GROUPED.in_jconvt(x, w, "auto"), GROUPED.in_lax)
    )
    np.testing.assert_array_equal(found, wanted)


def test_lax__symbolic_sizes():
    batch, height, width = jax.export.symbolic_shape("b, h, w")
    rhs = np.random.default_rng(0).integers(-9, 10, (3, 4, 2, 5)).astype(np.float32)

    def upsample(padding, conv_transpose):
        return lambda x: conv_transpose(x, rhs, (2, 3), padding, (1, 2), ("NCHW", "HWIO", "NHWC"))

    symbolic = jax.ShapeDtypeStruct((batch, 2, height, width), np.float32)
    for padding in ("SAME", "VALID", [(3, 1), (2, 4)]):
        exported = jax.export.export(jax.jit(upsample(padding, ours.conv_transpose)))(symbolic)
        x = np.random.default_rng(1).integers(-9, 10, (2, 2, 4, 5)).astype(np.float32)
        y, theirs = exported.call(x), upsample(padding, jax.lax.conv_transpose)(x)
        np.testing.assert_array_equal(laws.rounded(y), laws.rounded(theirs))


def test_lax__options_are_passed_on():
    lhs, rhs = (array.astype(np.float32) for array in GROUPED.operands())
    arguments = (GROUPED.strides, GROUPED.padding, (1, 2), GROUPED.keywords["dimension_numbers"], False)
    y = ours.conv_transpose(lhs, rhs, *arguments, "highest", np.float64, feature_group_count=3)
    assert y.dtype == np.float64
    mesh = jax.make_mesh((1,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
    for spec in (jax.P(None, "rows"), jax.P(None, None, None, "rows")):
        for asked in (spec, jax.sharding.NamedSharding(mesh, spec)):
            with jax.set_mesh(mesh):
                out = ours.conv_transpose(lhs, rhs, *arguments, feature_group_count=3, out_sharding=asked)
            np.testing.assert_array_equal(out, y)


def test_lax__out_sharding_is_of_the_outputs_axes():
    lhs, rhs = jnp.ones((2, 4, 5, 3)), jnp.ones((3, 3, 3, 6))
    mesh = jax.make_mesh((1, 1), ("rows", "channels"), axis_types=(jax.sharding.AxisType.Explicit,) * 2)
    upsample = functools.partial(ours.conv_transpose, lhs, rhs, (2, 2), "SAME", None, ("NHWC", "HWIO", "NCHW"))
    with jax.set_mesh(mesh):
        for entries in ((None, "channels", None, "rows"), ("channels",), (None, None, "rows")):
            expected = jax.P(*entries, *[None] * (4 - len(entries)))
            for out_sharding in (jax.P(*entries), jax.sharding.NamedSharding(mesh, jax.P(*entries))):
                assert jax.typeof(upsample(out_sharding=out_sharding)).sharding.spec == expected
        with pytest.raises(ArgumentError, match=r"out_sharding does not fit the result[\s\S]*5 entries for 4 axes"):
            upsample(out_sharding=jax.P(None, None, None, None, "rows"))


def named_ends(padding, axis):
    """The crop that ``jax.lax`` gives an axis by the name of a padding."""
    shape = (1, 3, 1), (axis.kernel, 1, 1)
    resolved, _ = convention.resolve(*shape, (axis.stride,), padding, (axis.dilation,))
    return resolved.axes[0].lo, resolved.axes[0].hi


@st.composite
def geometries(draw):
    """Axes, groups, and the shapes of an input and a kernel that have outputs, as jconvt orders them."""
    rank = draw(st.integers(1, 3))
    axes, sizes = [], []
    for _ in range(rank):
        kernel, stride, dilation, n = (draw(st.integers(1, most)) for most in (4, 3, 3, 3))
        bare = Axis(kernel, stride, dilation)
        before = draw(st.integers(-3, 5))
        named = [named_ends(name, bare) for name in ("SAME", "VALID")]
        ends = draw(st.sampled_from([*named, (before, draw(st.integers(-3, max(-3, bare.full_size(n) - before))))]))
        if bare.full_size(n) < sum(ends):
            ends = (0, 0)
        axes.append(Axis(kernel, stride, dilation, *ends))
        sizes.append(n)
    groups = draw(st.sampled_from([1, 2, 3]))
    in_channels = groups * draw(st.integers(1, 2))
    return (
        tuple(axes),
        groups,
        (2, *sizes, in_channels),
        (*(a.kernel for a in axes), draw(st.integers(1, 3)), in_channels),
    )


def found_by(call, x, w):
    """The result of a Call, channels last."""
    function = {"jax.lax.conv_transpose": jax.lax.conv_transpose, "jconvt.lax.conv_transpose": ours.conv_transpose}
    x = np.moveaxis(x, -1, 1) if call.layout.channels_first else x
    y = np.asarray(function[call.function](x, call.kernel.kernel(w), **call.arguments))
    return np.moveaxis(y, 1, -1) if call.layout.channels_first else y


@settings(max_examples=25, deadline=None)
@given(geometry=geometries(), channels_first=st.booleans(), transpose_kernel=st.booleans(), own=st.booleans())
def test_lax__call_computes_the_geometry(geometry, channels_first, transpose_kernel, own):
    axes, groups, shape, filters = geometry
    options = {"channels_first": channels_first, "transpose_kernel": transpose_kernel, "in_jconvt": own}
    if groups > 1 and not own:
        with pytest.raises(ArgumentError, match="has no groups"):
            convention.call(Spec(axes, groups), **options)
        groups = 1
    call = convention.call(Spec(axes, groups), **options)
    assert call.exact
    rng = np.random.default_rng(0)
    x, w = (rng.integers(-9, 10, sizes).astype(np.float64) for sizes in (shape, filters))
    lhs = (shape[0], shape[-1], *shape[1:-1]) if channels_first else shape
    resolved = convention.resolve(lhs, call.kernel.shape(filters), **call.arguments)
    assert resolved == (Spec(axes, groups), call.layout)
    np.testing.assert_array_equal(found_by(call, x, w), reference.transpose(x, w, Spec(axes, groups)))


def test_lax__call_omits_defaults():
    same = convention.call(Spec((Axis(4, 2, 1, 1, 1),)), transpose_kernel=True)
    assert (same.function, same.kernel) == ("jax.lax.conv_transpose", filters_layout(1))
    assert same.arguments == {"strides": (2,), "padding": "SAME", "transpose_kernel": True}
    assert convention.call(Spec((Axis(3, 2),))).arguments == {"strides": (2,), "padding": "VALID"}
    assert convention.call(Spec((Axis(3, 2, 2, 1, 0),))).arguments == {
        "strides": (2,),
        "padding": ((3, 4),),
        "rhs_dilation": (2,),
    }
    four = convention.call(Spec((Axis(1),) * 4, 2), in_jconvt=True).arguments
    assert (four["dimension_numbers"], four["feature_group_count"]) == (("NabcdC", "abcdIO", "NabcdC"), 2)


def test_lax__broken_kernel_layout_is_seen(monkeypatch):
    square = dataclasses.replace(GROUPED, rhs=(3, 3, 6, 6), groups=1)
    lhs, rhs = square.operands()
    expected = np.asarray(square.in_lax(lhs, rhs))
    np.testing.assert_array_equal(square.in_jconvt(lhs, rhs, "reference"), expected)
    right = convention.kernel_layout(2, GROUPED.keywords["dimension_numbers"])
    monkeypatch.setattr(convention, "resolve_call", convention.resolve_call.__wrapped__)  # not cached
    for layout in broken(right):
        monkeypatch.setattr(convention, "kernel_layout", lambda *_, layout=layout: layout)
        with pytest.raises(AssertionError):
            np.testing.assert_array_equal(square.in_jconvt(lhs, rhs, "reference"), expected)


X, W = jnp.ones((2, 4, 4, 6)), jnp.ones((3, 3, 6, 5))
LINE, TAPS = jnp.ones((2, 4, 6)), jnp.ones((3, 6, 5))
CALL = ours.conv_transpose
TWO = {"strides": (2, 2), "padding": "SAME"}
ONE = {"strides": (2,), "padding": "SAME"}
NUMBERS = jax.lax.ConvDimensionNumbers


# The call; its operands; its keywords; the error; and what its message must say.
CASES = [
    # ranks
    (CALL, (LINE, W), TWO, ArgumentError, r"lhs and rhs differ in their number of axes.*\(2, 4, 6\).*\(3, 3, 6, 5\)"),
    (CALL, (X, TAPS), ONE, ArgumentError, "lhs and rhs differ in their number of axes"),
    (CALL, (X[0, 0], W[0, 0]), {"strides": (1,), "padding": "SAME"}, ArgumentError, r"strides has.*\(\): there is no"),
    (CALL, (X[0, 0], W[0, 0]), {"strides": (), "padding": [(0, 0)]}, ArgumentError, "padding has the wrong length"),
    (
        CALL,
        (X[0, 0], W[0, 0]),
        {"strides": (), "padding": "", "rhs_dilation": 1},
        ArgumentTypeError,
        "rhs_dilation must",
    ),
    (CALL, (X[0, 0], W[0, 0]), {"strides": (), "padding": "FULL"}, ArgumentError, "unknown padding"),
    (
        convention.resolve,
        ((4, 6), (6, 5)),
        {"strides": (), "padding": "SAME"},
        ArgumentError,
        "at least one spatial axis",
    ),
    (CALL, (1.0, 2.0), TWO, ArgumentError, r"at least one spatial axis.*\(\)"),
    (
        CALL,
        (X[None, None], W[None, None]),
        {"strides": (1,) * 4, "padding": "SAME"},
        ArgumentError,
        "no default dimension_numbers for 4 spatial axes.*abcdIO",
    ),
    # operands
    (CALL, (None, W), TWO, ArgumentTypeError, "lhs is not an array of numbers"),
    (CALL, (X, "kernel"), TWO, ArgumentTypeError, "rhs is not an array of numbers"),
    (CALL, (X, W.astype(bool)), TWO, ArgumentTypeError, "dtypes of lhs and rhs differ.*rhs bool"),
    (CALL, (X, W.astype(jnp.bfloat16)), TWO, ArgumentTypeError, "lhs float32, rhs bfloat16"),
    (CALL, (X[..., :5], W), TWO, ArgumentError, "channels of lhs and rhs differ.*5 in lhs, 6 in rhs.*in / groups, out"),
    (CALL, (X, W), TWO | {"transpose_kernel": True}, ArgumentError, r"6 in lhs, 5 in rhs.*out / groups, in\) with"),
    (CALL, (X, W), TWO | {"dimension_numbers": ("NCHW", "HWIO", "NCHW")}, ArgumentError, "4 in lhs.*order of the axes"),
    (CALL, (X, W[:0]), TWO, ArgumentError, r"rhs has an axis without taps.*\(0, 3\)"),
    # strides and dilations
    (CALL, (X, W), TWO | {"strides": 2}, ArgumentTypeError, "strides must be a sequence.*a sequence of 2"),
    (CALL, (X, W), TWO | {"strides": (2,)}, ArgumentError, "strides has the wrong length.*length 1.*sequence of 2"),
    (CALL, (X, W), TWO | {"strides": (2, 2, 2)}, ArgumentError, "strides has the wrong length.*length 3"),
    (CALL, (X, W), TWO | {"strides": (1, 2, 2, 1)}, ArgumentError, "strides has the wrong length.*length 4"),
    (CALL, (X, W), TWO | {"strides": (2, 0)}, ArgumentError, r"strides\[1\] is out of range.*= 0"),
    (CALL, (X, W), TWO | {"strides": (-2, 2)}, ArgumentError, r"strides\[0\] is out of range.*-2"),
    (CALL, (X, W), TWO | {"strides": (2.0, 2)}, ArgumentTypeError, r"strides\[0\] must be an integer"),
    (CALL, (X, W), TWO | {"strides": (2, True)}, ArgumentTypeError, r"strides\[1\] must be an integer.*True"),
    (CALL, (X, W), TWO | {"strides": "22"}, ArgumentTypeError, "strides must be a sequence"),
    (CALL, (X, W), TWO | {"strides": None}, ArgumentTypeError, "strides must be a sequence"),
    (CALL, (X, W), TWO | {"rhs_dilation": 2}, ArgumentTypeError, "rhs_dilation must be a sequence"),
    (CALL, (X, W), TWO | {"rhs_dilation": (1, 2, 1)}, ArgumentError, "rhs_dilation has the wrong length"),
    (CALL, (X, W), TWO | {"rhs_dilation": (0, 1)}, ArgumentError, r"rhs_dilation\[0\] is out of range"),
    (
        traced(CALL, strides=lambda n: (n, 2)),
        (X, W),
        TWO,
        ArgumentTypeError,
        r"strides\[0\] must be an integer.*static",
    ),
    (traced(CALL, strides=lambda n: jnp.stack([n, n])), (X, W), TWO, ArgumentTypeError, "strides.*before tracing"),
    (
        traced(CALL, rhs_dilation=lambda n: (1, n)),
        (X, W),
        TWO,
        ArgumentTypeError,
        r"rhs_dilation\[1\] must be an integer",
    ),
    (CALL, (X, W), TWO | {"strides": (2**31, 1)}, ArgumentError, r"strides\[0\] is out of range"),
    (CALL, (X, W), TWO | {"strides": (2**30, 1)}, ArgumentError, "too large to index"),
    # padding
    (CALL, (X, W), TWO | {"padding": "FULL"}, ArgumentError, "unknown padding.*'FULL'.*'SAME', 'VALID'"),
    (CALL, (X, W), TWO | {"padding": "SAME_LOWER"}, ArgumentError, "unknown padding"),
    (CALL, (X, W), TWO | {"padding": None}, ArgumentTypeError, "padding must be a sequence"),
    (CALL, (X, W), TWO | {"padding": 1}, ArgumentTypeError, r"padding must be a sequence.*\(before, after\)"),
    (CALL, (X, W), TWO | {"padding": [1, 1]}, ArgumentTypeError, r"padding\[0\] must be a sequence"),
    (CALL, (X, W), TWO | {"padding": [(1, 1)]}, ArgumentError, "padding has the wrong length.*length 1"),
    (CALL, (X, W), TWO | {"padding": [(0, 0)] * 4}, ArgumentError, "padding has the wrong length.*length 4"),
    (CALL, (X, W), TWO | {"padding": [(1, 1), (1,)]}, ArgumentError, r"padding\[1\] has the wrong length"),
    (CALL, (X, W), TWO | {"padding": [(1, 1), (1, 0.5)]}, ArgumentTypeError, r"padding\[1\] must be an integer"),
    (CALL, (X, W), TWO | {"padding": ["SAME", "SAME"]}, ArgumentTypeError, r"padding\[0\] must be a sequence"),
    (traced(CALL, padding=lambda n: [(n, 1)] * 2), (X, W), TWO, ArgumentTypeError, r"padding\[0\] must be an integer"),
    (CALL, (X, W), TWO | {"padding": [(0, 0), (-4, -4)]}, ArgumentError, "removes more.*axis 2.*at least -7"),
    (
        CALL,
        (X, W),
        TWO | {"padding": [(6, 6), (0, 0)], "use_consistent_padding": True},
        ArgumentError,
        "removes more than there is along axis 1.*at most 11",
    ),
    # dimension numbers
    (CALL, (X, W), TWO | {"dimension_numbers": "NHWC"}, ArgumentTypeError, "dimension_numbers must be a sequence"),
    (CALL, (X, W), TWO | {"dimension_numbers": 3}, ArgumentTypeError, "dimension_numbers must be a sequence"),
    (CALL, (X, W), TWO | {"dimension_numbers": ("NHWC", "HWIO")}, ArgumentTypeError, "must be three strings"),
    (
        CALL,
        (X, W),
        TWO | {"dimension_numbers": ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))},
        ArgumentTypeError,
        "must be three strings.*ConvDimensionNumbers",
    ),
    (CALL, (X, W), TWO | {"dimension_numbers": ("NHWC", "HWIO", "NHW")}, ArgumentError, r"dimension_numbers\[2\] does"),
    (CALL, (X, W), TWO | {"dimension_numbers": ("NHWC", "HWDIO", "NHWC")}, ArgumentError, "2 spatial axes"),
    (CALL, (X, W), TWO | {"dimension_numbers": ("NWC", "WIO", "NWC")}, ArgumentError, "for 2 spatial axes"),
    (CALL, (X, W), TWO | {"dimension_numbers": ("NHHC", "HHIO", "NHHC")}, ArgumentError, "name each axis once"),
    (CALL, (X, W), TWO | {"dimension_numbers": ("NHWC", "HWIO", "NHDC")}, ArgumentError, r"\[2\] does not name each"),
    (CALL, (X, W), TWO | {"dimension_numbers": ("nhwc", "HWIO", "NHWC")}, ArgumentError, r"\[0\] does not name each"),
    (
        CALL,
        (X, W),
        TWO | {"dimension_numbers": NUMBERS((0, 3, 1, 1), (3, 2, 0, 1), (0, 3, 1, 2))},
        ArgumentError,
        r"dimension_numbers.lhs_spec is not a permutation of 4 axes.*\(0, 3, 1, 1\)",
    ),
    (
        CALL,
        (X, W),
        TWO | {"dimension_numbers": NUMBERS((0, 3, 1, 2), (2, 1, 0), (0, 3, 1, 2))},
        ArgumentError,
        r"dimension_numbers.rhs_spec is not a permutation of 4 axes",
    ),
    # flags
    (CALL, (X, W), TWO | {"transpose_kernel": "no"}, ArgumentTypeError, "transpose_kernel must be True or False"),
    (CALL, (X, W), TWO | {"use_consistent_padding": None}, ArgumentTypeError, "use_consistent_padding must be"),
    (
        traced(CALL, transpose_kernel=lambda n: n > 1),
        (X, W),
        TWO,
        ArgumentTypeError,
        "transpose_kernel must be.*static",
    ),
    # groups
    (CALL, (X, W), TWO | {"feature_group_count": 0}, ArgumentError, "feature_group_count is out of range"),
    (CALL, (X, W), TWO | {"feature_group_count": 1.5}, ArgumentTypeError, "feature_group_count must be an integer"),
    (CALL, (X, W), TWO | {"feature_group_count": 2}, ArgumentError, "6 in lhs, 12 in rhs.*feature_group_count 2"),
    (
        CALL,
        (X, W[:, :, :3]),
        TWO | {"feature_group_count": 2},
        ArgumentError,
        "does not divide the output channels.*5 channels.*divisor of 5",
    ),
    (
        CALL,
        (X, W.swapaxes(2, 3)),
        TWO | {"feature_group_count": 4, "transpose_kernel": True},
        ArgumentError,
        "does not divide the input channels.*divisor of 6",
    ),
    # options
    (CALL, (X, W), TWO | {"method": "fft"}, ArgumentError, "unknown method"),
    (CALL, (X, W), TWO | {"precision": "exact"}, ArgumentError, "unknown precision"),
    (CALL, (X, W), TWO | {"preferred_element_type": "int32"}, ArgumentTypeError, "preferred_element_type does not fit"),
    (CALL, (X, W), TWO | {"out_sharding": "batch"}, ArgumentTypeError, "out_sharding is not a sharding"),
    # a geometry in its words
    (convention.call, (Spec((Axis(3),), 2),), {}, ArgumentError, "has no groups.*groups = 2.*feature_group_count"),
]


@pytest.mark.parametrize(("call", "operands", "keywords", "error", "text"), CASES)
def test_lax__wrong_call_raises(call, operands, keywords, error, text):
    assert_raises(call, operands, keywords, error, text)
