"""``jconvt.linen`` and ``jconvt.nnx`` against Flax's layers, and under Flax's transformations."""

import dataclasses
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import PartitionSpec

nn = pytest.importorskip("flax.linen")
nnx = pytest.importorskip("flax.nnx")

from jconvt import linen as jlinen  # noqa: E402
from jconvt import nnx as jnnx  # noqa: E402
from tests.support.drop_ins import assert_drop_in, held, in_any_case  # noqa: E402
from tests.support.layers import UNSHRUNK, WHOLE, all_compiled, integers, whole  # noqa: E402

ADDED = {"groups", "output_shape", "output_padding", "use_consistent_padding", "method", "out_sharding"}
KEY = jax.random.key(0, impl="rbg")  # made before conftest says so


def in_linen(module, features, arguments):
    """A function of an input: the output of a Linen layer with new parameters."""
    layer = module.ConvTranspose(features, **arguments)
    return lambda x: layer.init_with_output(KEY, x)[0]


def in_nnx(module, in_features, features, arguments):
    """The same for NNX."""
    return module.ConvTranspose(in_features, features, rngs=nnx.Rngs(0), **arguments)


@st.composite
def layers(draw):
    """The shape of an input, with any number of batch axes; output features; and arguments."""
    rank = draw(st.integers(1, 3))
    most = {1: 6, 2: 4, 3: 2}[rank]
    sizes, kernel = ([draw(st.integers(1, most)) for _ in range(rank)] for _ in range(2))
    numbers, pads = st.integers(1, 3), st.integers(0, 3)
    for_each = st.sampled_from([None, draw(numbers), tuple(draw(numbers) for _ in range(rank))])
    pairs = tuple(draw(st.sampled_from([draw(pads), (draw(pads), draw(pads))])) for _ in range(rank))
    arguments = {
        "kernel_size": kernel[0] if rank == 1 and draw(st.booleans()) else tuple(kernel),
        "strides": draw(for_each),
        "kernel_dilation": draw(for_each),
        "padding": draw(st.sampled_from(["SAME", "VALID", "CIRCULAR", "CIRCULAR", draw(pads), pairs])),
        "transpose_kernel": draw(st.booleans()),
        "use_bias": draw(st.booleans()),
    }
    batch = draw(st.sampled_from([(), (2,), (2,), (1, 3), (2, 0)]))
    return (*batch, *sizes, draw(st.integers(1, 3))), draw(st.integers(1, 3)), arguments | WHOLE


@settings(max_examples=5, deadline=None, phases=UNSHRUNK)
@given(drawn=st.lists(layers(), min_size=8, max_size=8))
def test_layers__equal_flaxs(drawn):
    calls, inputs, cases = [], [], []
    for shape, features, arguments in drawn:
        linen = [in_linen(module, features, arguments) for module in (nn, jlinen)]
        if 0 in shape:  # Flax cannot infer the merged batch then
            x, filled = (jax.ShapeDtypeStruct(sizes, np.float64) for sizes in (shape, [n for n in shape if n > 0]))
            expected = (*shape[:2], *jax.eval_shape(linen[0], filled).shape[1:])
            assert jax.eval_shape(linen[1], x).shape == expected
            continue
        calls += [*linen, *(in_nnx(module, shape[-1], features, arguments) for module in (nnx, jnnx))]
        inputs += [integers(shape)] * 4
        cases.append(str((shape, features, arguments)))
        layers = [module.ConvTranspose(features, **arguments) for module in (nn, jlinen)]
        assert len({str(jax.eval_shape(layer.init, KEY, inputs[-1])) for layer in layers}) == 1
        theirs, ours = (jax.tree.map(np.shape, nnx.state(layer)) for layer in calls[-2:])
        assert str(ours) == str(theirs)
    results = all_compiled(calls, inputs)
    for case, theirs, ours, theirs_nnx, ours_nnx in zip(cases, *[iter(results)] * 4, strict=True):
        np.testing.assert_array_equal(ours, theirs, case)
        np.testing.assert_array_equal(ours_nnx, theirs_nnx, case)
        np.testing.assert_array_equal(ours_nnx, ours, case)


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        ("SAME", [10, 21, 32, 43, 54]),
        ("SAME_LOWER", [10, 21, 32, 43, 54]),
        ("same", [21, 32, 43, 54, 5]),
        ("valid", [21, 32, 43, 54]),
        ("VALID", [10, 21, 32, 43, 54, 5]),
    ],
)
def test_layers__spelling_of_padding_matters_at_stride_1_as_in_flax(padding, expected):
    x, kernel = np.arange(1.0, 6).reshape(1, 5, 1), jnp.array([1.0, 10.0]).reshape(2, 1, 1)
    arguments = {"kernel_size": 2, "padding": padding, "use_bias": False, "param_dtype": np.float64}
    for module in (nn, jlinen):
        y = module.ConvTranspose(1, **arguments).apply({"params": {"kernel": kernel}}, x)
        assert y.ravel().tolist() == expected
    for module in (nnx, jnnx):
        layer = in_nnx(module, 1, 1, arguments)
        layer.kernel = nnx.Param(kernel)
        assert layer(x).ravel().tolist() == expected


@st.composite
def odd_layers(draw):
    """An input, a kernel and arguments in the vocabulary of Flax: legal, unusual and wrong ones."""
    rank = draw(st.integers(1, 2))
    kernel, strides, dilation = (
        [draw(st.sampled_from(values)) for _ in range(rank)] for values in ([1, 2, 3, 4], [1, 1, 1, 1, 2], [1, 1, 2])
    )
    sizes, batch = (
        [draw(st.sampled_from([0, 1, 3, 4])) for _ in range(rank)],
        draw(st.sampled_from([(2,), (2,), (), (0,)])),
    )
    ends = st.integers(-1, 3)
    pads = st.builds(lambda kind, *ends: kind(ends), st.sampled_from([tuple, tuple, list]), ends, ends) | ends
    by_axis = st.lists(pads, min_size=rank, max_size=rank)
    names = in_any_case("SAME_LOWER", "SAME", "SAME_LOWER", "VALID", "CIRCULAR")
    padding = draw(
        names | names | names | by_axis | by_axis.map(tuple) | st.sampled_from([None, 1, True, "CAUSAL", ["SAME"]])
    )
    arguments = {
        "kernel_size": draw(st.sampled_from([tuple(kernel), [*kernel], kernel[0] if rank == 1 else tuple(kernel)])),
        "strides": held(draw, strides),
        "padding": padding,
        "kernel_dilation": held(draw, dilation),
        "transpose_kernel": draw(st.booleans()),
        "use_bias": False,
    }
    dtype = draw(st.sampled_from(["float64", "float64", "float32", "int32", "bool"]))
    return integers((*batch, *sizes, 2)).astype(dtype), integers((*kernel, 2, 2)), arguments


def test_layers__never_give_other_numbers_than_flaxs():
    equal = []

    @settings(max_examples=150, deadline=None)
    @given(odd_layers(), st.booleans())
    def check(drawn, as_nnx):
        x, kernel, arguments = drawn

        def call(module, **options):
            if not as_nnx:
                return module.ConvTranspose(2, **arguments, **options).apply({"params": {"kernel": kernel}}, x)
            layer = module.ConvTranspose(2, 2, rngs=nnx.Rngs(0), **arguments, **options)
            layer.kernel = nnx.Param(jnp.asarray(kernel))
            return layer(x)

        theirs, ours = (nnx, jnnx) if as_nnx else (nn, jlinen)
        values = arguments.values()
        extends = (
            any(isinstance(value, np.ndarray | np.integer) for value in values)  # any sequence of integers
            or (isinstance(arguments["padding"], list | tuple) and list in map(type, arguments["padding"]))
            or x.size == 0  # any number of pixels
        )
        with jax.numpy_dtype_promotion("standard"):
            case = x.shape, x.dtype, kernel.shape, arguments
            equal.append(assert_drop_in(lambda: call(theirs), lambda: call(ours, method="reference"), extends, case))

    check()
    assert sum(equal) > 20


def test_layers__arguments_and_defaults_are_flaxs():
    theirs, ours = (
        {f.name: f for f in dataclasses.fields(layer)} for layer in (nn.ConvTranspose, jlinen.ConvTranspose)
    )
    assert ours.keys() - theirs.keys() == ADDED
    assert all(ours[name].kw_only for name in ADDED)
    for name, field in theirs.items():
        assert ours[name].default is field.default, name
    theirs, ours = (inspect.signature(layer.__init__).parameters for layer in (nnx.ConvTranspose, jnnx.ConvTranspose))
    assert ours.keys() - theirs.keys() == ADDED
    assert list(ours)[: len(theirs)] == list(theirs)
    for name, parameter in ours.items():
        expected = inspect.Parameter.KEYWORD_ONLY if name in ADDED else theirs[name].kind
        assert parameter.kind is expected
        if name in theirs and not name.endswith("_metadata"):
            assert parameter.default is theirs[name].default, name


def test_layers__every_argument_of_flax_is_known():
    """A new argument of Flax would be accepted and not used; then this test fails."""
    assert {f.name for f in dataclasses.fields(nn.ConvTranspose)} == {
        "features", "kernel_size", "strides", "padding", "kernel_dilation", "use_bias", "mask", "dtype", "param_dtype",
        "precision", "kernel_init", "bias_init", "transpose_kernel", "promote_dtype", "preferred_element_type",
        "parent", "name",
    }  # fmt: skip
    assert set(inspect.signature(nnx.ConvTranspose.__init__).parameters) == {
        "self", "in_features", "out_features", "kernel_size", "strides", "padding", "kernel_dilation", "use_bias",
        "mask", "dtype", "param_dtype", "precision", "kernel_init", "bias_init", "transpose_kernel", "promote_dtype",
        "preferred_element_type", "rngs", "kernel_metadata", "bias_metadata",
    }  # fmt: skip


def test_layers__dtypes_are_flaxs():
    x = integers((1, 4, 2), np.float32)
    calls, cases = [], []
    for param_dtype in (jnp.float32, jnp.bfloat16):
        for dtype in (None, jnp.bfloat16, jnp.float16, jnp.float64):
            for preferred in (None, jnp.float64):
                arguments = {"kernel_size": 3, "dtype": dtype, "preferred_element_type": preferred}
                cases.append(arguments | WHOLE | {"param_dtype": param_dtype})
                calls += [in_linen(module, 2, cases[-1]) for module in (nn, jlinen)]
    with jax.numpy_dtype_promotion("standard"):
        results = all_compiled(calls, [x] * len(calls))
        for arguments, expected, y in zip(cases, results[::2], results[1::2], strict=True):
            assert y.dtype == expected.dtype
            np.testing.assert_allclose(y.astype(float), expected.astype(float), rtol=0.03, atol=0.03)
            theirs, ours = (in_nnx(module, 2, 2, arguments) for module in (nnx, jnnx))
            assert jax.eval_shape(ours, x).dtype == jax.eval_shape(theirs, x).dtype == y.dtype
            assert ours.kernel.dtype == theirs.kernel.dtype == arguments["param_dtype"]


def test_layers__default_initialiser_draws_the_same_numbers():
    x = integers((1, 4, 4, 3), np.float32)
    arguments = {"kernel_size": (3, 3), "bias_init": jax.nn.initializers.normal()}

    @jax.jit
    def draw(key):
        linen = [module.ConvTranspose(5, **arguments).init(key, x) for module in (nn, jlinen)]
        grouped = jnnx.ConvTranspose(200, 500, (3,), groups=10, rngs=nnx.Rngs(0))
        return linen, [nnx.state(in_nnx(module, 3, 5, arguments)) for module in (nnx, jnnx)], grouped.kernel[...]

    linen, in_both_nnx, grouped = draw(jax.random.key(0, impl="threefry2x32"))
    jax.tree.map(np.testing.assert_array_equal, *linen)
    jax.tree.map(np.testing.assert_array_equal, *in_both_nnx)
    assert grouped.shape == (3, 20, 500)
    np.testing.assert_allclose(grouped.std(), (3 * 20) ** -0.5, rtol=0.02)  # LeCun's: one over the fan in


@pytest.mark.parametrize("transpose_kernel", [False, True])
def test_layers__mask_is_applied(transpose_kernel):
    x, shape = integers((1, 4, 3)), (3, 2, 3) if transpose_kernel else (3, 3, 2)
    arguments = {"kernel_size": 3, "transpose_kernel": transpose_kernel, "mask": np.tril(np.ones(shape))} | WHOLE
    calls = [in_linen(module, 2, arguments) for module in (nn, jlinen)]
    calls += [in_nnx(module, 3, 2, arguments) for module in (nnx, jnnx)]
    theirs, *others = all_compiled(calls, [x] * 4)
    for y in others:
        np.testing.assert_array_equal(y, theirs)


def test_layers__pass_on_promote_dtype_and_precision():
    def doubled(*operands, dtype):
        return [None if operand is None else 2.0 * operand for operand in operands]

    x = integers((1, 4, 2))
    arguments = {"kernel_size": 3, "promote_dtype": doubled} | WHOLE
    theirs, ours = all_compiled([in_linen(module, 2, arguments) for module in (nn, jlinen)], [x, x])
    np.testing.assert_array_equal(ours, theirs)
    layer = in_linen(jlinen, 2, {"kernel_size": 3, "precision": "highest", "method": "dilated"} | WHOLE)
    assert "HIGHEST" in jax.jit(layer).lower(x).as_text()


def test_circular_padding__gradients_are_flaxs():
    x = integers((2, 5, 3, 2))
    arguments = {"kernel_size": (6, 3), "strides": (2, 1), "padding": "CIRCULAR"} | WHOLE
    layers = [module.ConvTranspose(3, **arguments) for module in (nn, jlinen)]
    variables = jax.tree.map(lambda leaf: integers(leaf.shape), jax.eval_shape(layers[0].init, KEY, x))
    gradients = [
        lambda v, x, layer=layer: jax.grad(lambda v, x: (layer.apply(v, x) ** 2).sum(), (0, 1))(v, x)
        for layer in layers
    ]
    theirs, ours = jax.jit(lambda *operands: [gradient(*operands) for gradient in gradients])(variables, x)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


# Flax's transformations.


def test_linen__vmap_of_grad_of_jit():
    x = integers((3, 2, 4, 4, 2))
    arguments = {"kernel_size": (3, 3), "strides": (2, 2)} | WHOLE
    layers = [module.ConvTranspose(2, **arguments) for module in (nn, jlinen)]
    variables = jax.tree.map(lambda leaf: integers(leaf.shape), jax.eval_shape(layers[0].init, KEY, x[0]))

    def gradient(layer, v, x):
        return jax.vmap(jax.grad(jax.jit(lambda v, x: (layer.apply(v, x) ** 3).sum())), (None, 0))(v, x)

    theirs, ours = jax.jit(lambda v, x: [gradient(layer, v, x) for layer in layers])(variables, x)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def stack(module):
    """A model with a layer of ``module``, plain, under ``nn.remat`` inside ``nn.scan``, and under ``nn.vmap``."""

    class Block(nn.Module):
        @nn.compact
        def __call__(self, carry, _):
            return nn.remat(module.ConvTranspose)(2, (3,), name="up", **WHOLE)(carry), None

    class Stack(nn.Module):
        @nn.compact
        def __call__(self, x):
            scan = nn.scan(Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
            y, _ = scan()(x, None)
            mapped = nn.vmap(module.ConvTranspose, variable_axes={"params": 0}, split_rngs={"params": True})
            return module.ConvTranspose(2, (3,), **WHOLE)(y), mapped(2, (3,), **WHOLE)(jnp.stack([y[0], y[0]]))

    return Stack()


def test_linen__remat_scan_and_vmap():
    x = integers((2, 4, 2))

    def answers(model, x):
        variables = model.init(KEY, x)
        gradient = jax.grad(lambda variables: sum(y.sum() for y in model.apply(variables, x)))(variables)
        return variables, model.apply(variables, x), gradient

    theirs, ours = jax.jit(lambda x: [answers(stack(module), x) for module in (nn, jlinen)])(x)
    assert len(jax.tree.leaves(ours)) == 14
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_layers__keep_partitioning_metadata():
    x = integers((1, 4, 2))
    kernel_init = nn.with_partitioning(whole, (None, "in", "out"))
    layer = jlinen.ConvTranspose(2, 3, **WHOLE | {"kernel_init": kernel_init})
    variables = layer.init(KEY, x)
    assert nn.get_partition_spec(variables)["params"]["kernel"] == PartitionSpec(None, "in", "out")
    plain = nn.meta.unbox(variables)
    np.testing.assert_array_equal(layer.apply(variables, x), layer.apply(plain, x))
    metadata = {"kernel_metadata": {"note": "kept"}, "bias_metadata": {"b": 1}}
    layer = in_nnx(jnnx, 2, 2, {"kernel_size": 3} | WHOLE | metadata)
    assert layer.bias.get_metadata()["b"] == 1
    assert layer.kernel.get_metadata()["note"] == "kept"


def test_nnx__jit_grad_split_and_merge():
    x = integers((2, 4, 2))

    @nnx.jit
    def answers(layer):
        return layer(x), nnx.grad(lambda layer: (layer(x) ** 2).sum())(layer)

    theirs, ours = (in_nnx(module, 2, 2, {"kernel_size": 3, "strides": 2} | WHOLE) for module in (nnx, jnnx))
    leaves = [jax.tree.leaves(answers(layer)) for layer in (theirs, ours)]
    assert len(leaves[0]) == 3
    jax.tree.map(np.testing.assert_array_equal, *leaves)
    graph, state = nnx.split(ours)
    np.testing.assert_array_equal(nnx.merge(graph, state)(x), leaves[0][0])
    nnx.update(ours, nnx.state(theirs))
    assert isinstance(ours, nnx.ConvTranspose)


def test_linen__symbolic_sizes():
    b, n = jax.export.symbolic_shape("b, n")
    layer = jlinen.ConvTranspose(2, 3, 2, **WHOLE)
    x = integers((2, 4, 2))
    variables = layer.init(KEY, x)
    exported = jax.export.export(jax.jit(layer.apply))(variables, jax.ShapeDtypeStruct((b, n, 2), jnp.float64))
    np.testing.assert_array_equal(exported.call(variables, x), layer.apply(variables, x))
