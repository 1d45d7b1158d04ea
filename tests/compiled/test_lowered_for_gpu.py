"""The programs that JAX lowers for a GPU. Lowering needs no GPU; what XLA compiles from them is not tested here.

XLA uses cuDNN's data gradient for a convolution whose filters are reversed along all spatial axes, with one group and
no stride (``MatchBackwardInput`` in its ``conv_rewriter.cc``).
"""

import functools
import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest

import jconvt
from benchmarks import workloads
from jconvt._geometry.layout import Layout
from jconvt._geometry.maps import Map
from jconvt._methods import METHODS, _spmd_matmul

STRIDES, PLAIN = (2, 3), (1, 1)
X, W = (2, 5, 4, 6), (4, 3, 8, 6)
TRACED = ("dilated", "vjp", "polyphase", "gemm")


class Convolution(NamedTuple):
    """The window of a convolution, and whether the filters are reversed along all spatial axes."""

    stride: tuple[int, ...]
    input_dilation: tuple[int, ...]
    filter_dilation: tuple[int, ...]
    reversed: bool


def maps(f, x, w):
    """T, F and G of ``f``, each with the shapes of its operands."""
    z = jax.eval_shape(f, x, w)
    return {
        Map.TRANSPOSE: (f, (x, w)),
        Map.FORWARD: (lambda z, w: jax.linear_transpose(lambda x: f(x, w), x)(z)[0], (z, w)),
        Map.KERNEL_GRADIENT: (lambda x, z: jax.linear_transpose(lambda w: f(x, w), w)(z)[0], (x, z)),
    }


def program(f, *shapes):
    exported = jax.export.export(jax.jit(f), platforms=["cuda"])(*shapes)
    assert exported.platforms == ("cuda",)
    return exported.mlir_module()


def convolutions(text):
    names_and_bodies = re.split(r"func\.func \w+ @(\w+)", text)[1:]
    bodies = dict(zip(names_and_bodies[::2], names_and_bodies[1::2], strict=True))
    return sorted(_convolution(*match.groups(), body, bodies) for body in bodies.values() for match in _EACH(body))


_EACH = re.compile(
    r"stablehlo\.convolution\(%\w+, (%\w+)\) dim_numbers = \[.*?\]x\[(.*?)\].*?window = \{(.*?)\} "
).finditer


def _convolution(filters, axes, window, body, bodies):
    pixels = [str(place) for place, axis in enumerate(axes.split(", ")) if axis.isdigit()]
    sizes = []
    for name in ("stride", "lhs_dilate", "rhs_dilate"):
        match = re.search(rf"{name} = \[(.*?)\]", window)
        sizes.append((*map(int, match[1].split(", ")),) if match else (1,) * len(pixels))
    definition = re.search(rf"{filters} = (.*)", body)
    called = definition and re.match(r"call @(\w+)", definition[1])
    code = bodies[called[1]] if called else definition[1] if definition else ""
    return Convolution(*sizes, reversed="stablehlo.reverse" in code and f"dims = [{', '.join(pixels)}]" in code)


def products(text):
    return len(re.findall(r"stablehlo\.dot_general ", text))


def form(f, *shapes):
    """The convolutions of a program, and its number of matrix products."""
    text = program(f, *shapes)
    return convolutions(text), products(text)


def call(method, strides=STRIDES, groups=1):
    return functools.partial(jconvt.conv_transpose, strides=strides, groups=groups, method=method)


def shaped(*shapes, dtype=jnp.float32):
    return [jax.ShapeDtypeStruct(shape, dtype) for shape in shapes]


def form_of(method, map):
    f, operands = maps(call(method), *shaped(X, W))[map]
    return form(f, *operands)


@pytest.mark.parametrize("method", ["dilated", "vjp", "auto"])
def test_transpose__is_one_dilated_convolution_with_reversed_filters(method):
    assert form_of(method, Map.TRANSPOSE) == ([Convolution(PLAIN, STRIDES, PLAIN, reversed=True)], 0)


@pytest.mark.parametrize("method", ["vjp", "auto"])
def test_gradients__are_one_strided_and_one_dilated_convolution(method):
    assert form_of(method, Map.FORWARD) == ([Convolution(STRIDES, PLAIN, PLAIN, reversed=False)], 0)
    assert form_of(method, Map.KERNEL_GRADIENT) == ([Convolution(PLAIN, PLAIN, STRIDES, reversed=False)], 0)


def test_dilated__gradient_reverses_the_filters_twice():
    # XLA removes both, and the forward convolution remains.
    f, operands = maps(call("dilated"), *shaped(X, W))[Map.FORWARD]
    text = program(f, *operands)
    assert [each._replace(reversed=False) for each in convolutions(text)] == [Convolution(STRIDES, PLAIN, PLAIN, False)]
    assert len(re.findall(r"stablehlo\.reverse .*dims = \[0, 1\]", text)) == 2


def test_polyphase__is_dense_convolutions_and_its_gradients_are_products():
    # Kernel 3 at stride 2: the four phases have different numbers of taps.
    found = maps(call("polyphase", strides=2), *shaped(X, (3, 3, 8, 6)))
    forms = {map: form(f, *operands) for map, (f, operands) in found.items()}
    dense = Convolution(PLAIN, PLAIN, PLAIN, reversed=False)
    assert forms.pop(Map.TRANSPOSE) == ([dense] * 4, 0)
    assert [*forms.values()] == [([], 1)] * 2


@pytest.mark.parametrize("map", Map)
def test_gemm__is_one_product(map):
    assert form_of("gemm", map) == ([], 1)


@pytest.mark.parametrize("method", TRACED)
@pytest.mark.parametrize("groups", [2, 6])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_groups__are_lowered(method, groups, dtype):
    for f, operands in maps(call(method, groups=groups), *shaped(X, (4, 3, 4, 6), dtype=dtype)).values():
        text = program(f, *operands)
        assert convolutions(text) or products(text)


DEEP_X, DEEP_W = (2, 3, 2, 3, 2, 4), (2, 3, 1, 2, 3, 4)
"""Operands with four spatial axes. For two groups of two channels."""


def gradients(f):
    """A function that computes the gradients of ``f``, and one that computes second derivatives."""

    def loss(x, w):
        return (f(x, w) ** 2).sum()

    return jax.grad(loss, (0, 1)), jax.hessian(loss, (0, 1))


def batch_groups(text):
    return {*map(int, re.findall(r"batch_group_count = (\d+)", text))}


@pytest.mark.parametrize("method", [*TRACED, "auto"])
def test_groups__have_no_batch_groups_beyond_three_axes(method):
    # XLA's GPU compiler miscalculates these.
    for derivative in gradients(call(method, strides=2, groups=2)):
        text = program(derivative, *shaped(DEEP_X, DEEP_W))
        assert batch_groups(text) <= {1}
        assert convolutions(text) or products(text)


def test_groups__have_batch_groups_in_two_axes():
    # The search above would find them.
    text = program(gradients(call("vjp", groups=2))[0], *shaped(X, (4, 3, 4, 6)))
    assert 2 in batch_groups(text)


@pytest.mark.parametrize(
    ("dtype", "preferred", "channels", "factors"),
    [
        ("bfloat16", "float32", 64, "bf16"),  # large: cuBLAS adds exact products
        ("bfloat16", "float32", 6, "f32"),
        ("float16", None, 6, "f32"),
        ("float32", "float64", 64, "f64"),
        ("complex64", "complex128", 64, "complex<f64>"),
        ("int8", "int32", 64, "i8"),
        ("int8", "int32", 6, "i32"),
        ("uint8", "int32", 64, "i32"),
        ("int8", None, 6, "i8"),
    ],
)
@pytest.mark.parametrize("groups", [1, 2])
def test_gemm__products_are_not_rounded_before_they_are_added(dtype, preferred, channels, factors, groups):
    def f(x, w):
        return jconvt.conv_transpose(x, w, strides=2, groups=groups, method="gemm", preferred_element_type=preferred)

    x, w = shaped((2, 9, channels), (4, 32, channels), dtype=dtype)
    has_gradients = preferred is None and jnp.issubdtype(x.dtype, jnp.inexact)
    for each, operands in maps(f, x, w).values() if has_gradients else [(f, (x, w))]:
        found = re.findall(r"dot_general .* : \(tensor<(.*)>, tensor<(.*)>\)", program(each, *operands))
        assert [[shape.split("x", 3 if groups > 1 else 2)[-1] for shape in pair] for pair in found] == [[factors] * 2]


def test_spmd__products_are_not_rounded_before_they_are_added():
    spec, layout = jconvt.Spec((jconvt.Axis(4, 2),)), Layout(1)
    x, w, z = shaped((2, 9, 6), (4, 32, 6), (2, 20, 32), dtype=jnp.float16)
    options = (spec, layout, jnp.dtype("float16"), None)
    for compute, a, b in (
        (_spmd_matmul.transposed_convolution, x, w),
        (_spmd_matmul.forward_convolution, z, w),
        (_spmd_matmul.kernel_gradient, x, z),
    ):
        (types,) = re.findall(
            r"dot_general .* : (.*) ->", program(lambda a, b, compute=compute: compute(a, b, *options), a, b)
        )
        assert "f16" not in types


def test_plain_jax__small_integers_are_added_in_32_bits():
    with jconvt.plain_jax():
        text = program(call("auto"), *shaped(X, W, dtype=jnp.int8))
    assert re.search(r"stablehlo.convolution.* -> tensor<[0-9x]*i32>", text)


INTEGERS = shaped(X, W, dtype=jnp.int32)


@pytest.mark.parametrize("platform", ["cuda", "rocm"])
@pytest.mark.parametrize("method", ["dilated", "polyphase"])
def test_integers__no_method_with_convolutions_is_lowered(method, platform):
    traced = jax.jit(call(method)).trace(*INTEGERS)
    message = f"'{method}' is a convolution.*no convolutions of integers\n.*int32.*for {platform}\n.*\n.*'auto'"
    with pytest.raises(jconvt.ArgumentTypeError, match=message):
        traced.lower(lowering_platforms=(platform,))
    assert "stablehlo.convolution" in traced.lower(lowering_platforms=("cpu",)).as_text()


@pytest.mark.parametrize("method", ["gemm", "auto"])
def test_integers__are_products(method):
    text = jax.jit(call(method)).trace(*INTEGERS).lower(lowering_platforms=("cuda",)).as_text()
    assert products(text) == 1
    assert "stablehlo.convolution" not in text


@pytest.mark.parametrize("method", ["dilated", "auto"])
def test_integers__are_products_in_exported_programs(method):
    assert form(call(method), *INTEGERS) == ([], 1)


def test_integers__of_too_many_taps_raise():
    x, w = shaped((1, 4, 4, 1), (17, 17, 1, 1), dtype=jnp.int32)
    with pytest.raises(jconvt.ArgumentTypeError, match=r"so large a kernel on cuda\n.*kernel \[17, 17\]"):
        jax.jit(call("auto", PLAIN)).trace(x, w).lower(lowering_platforms=("cuda",))


@pytest.mark.parametrize("map", Map)
@pytest.mark.parametrize("workload", workloads.load().values(), ids=lambda workload: workload.name)
def test_auto__is_the_method_of_choose(workload, map):
    x, w = shaped(workload.input_shape, workload.filters_shape)
    chosen = jconvt.choose(workload.spec, x.shape, w.shape, platform="cuda")
    compute = METHODS[getattr(chosen, map.value).method].implementation(map)
    f, operands = maps(functools.partial(jconvt.conv_transpose, **workload.arguments), x, w)[map]
    layout, dtype = Layout(workload.rank), jnp.dtype("float32")
    assert form(f, *operands) == form(lambda a, b: compute(a, b, workload.spec, layout, dtype, None), *operands)


def _linen():
    layer = pytest.importorskip("jconvt.linen").ConvTranspose(8, (4, 3), STRIDES)
    return layer.apply, jax.eval_shape(layer.init, jax.random.key(0), *shaped(X))


def _nnx():
    from flax import nnx

    layer = pytest.importorskip("jconvt.nnx").ConvTranspose(6, 8, (4, 3), STRIDES, rngs=nnx.Rngs(0))
    definition, state = nnx.split(layer)
    return lambda state, x: nnx.merge(definition, state)(x), state


def _equinox():
    layer = pytest.importorskip("jconvt.equinox").ConvTranspose2d(
        6, 8, (4, 3), STRIDES, dtype=jnp.float32, key=jax.random.key(0)
    )
    return lambda layer, x: jax.vmap(layer)(jnp.moveaxis(x, 3, 1)), layer


@pytest.mark.parametrize("create", [_linen, _nnx, _equinox])
def test_layer__has_the_convolutions_of_the_function(create):
    pytest.importorskip("equinox" if create is _equinox else "flax")
    apply, parameters = create()

    def gradients(parameters, x):
        return jax.grad(lambda *operands: (apply(*operands) ** 2).sum(), (0, 1), allow_int=True)(parameters, x)

    whole = Convolution(PLAIN, STRIDES, PLAIN, reversed=True)
    assert form(apply, parameters, *shaped(X)) == ([whole], 0)
    there, back = Convolution(STRIDES, PLAIN, PLAIN, reversed=False), Convolution(PLAIN, PLAIN, STRIDES, reversed=False)
    found, matmuls = form(gradients, parameters, *shaped(X))
    # The layer flips its kernel for the strided convolution, too.
    found = [each._replace(reversed=False) if each.stride == STRIDES else each for each in found]
    assert (found, matmuls) == (sorted([whole, there, back]), 0)
