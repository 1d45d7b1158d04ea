"""The programs that a GPU's compiler is given, read without a GPU.

XLA replaces a convolution by cuDNN's gradient in the data where it finds all spatial axes of the filters reversed, one
group, and no stride (``MatchBackwardInput`` in its ``conv_rewriter.cc``). What it then makes of the program, only a
machine with a GPU can tell.
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
from jconvt._methods import computing

STRIDES = (2, 3)
X, W = (2, 5, 4, 6), (4, 3, 8, 6)
TRACED = ("dilated", "vjp", "polyphase", "gemm")


class Convolution(NamedTuple):
    """A convolution of a program: its window, and whether the filters are reversed along all of their pixels."""

    stride: tuple[int, ...]
    input_dilation: tuple[int, ...]
    filter_dilation: tuple[int, ...]
    reversed: bool


def maps(f, x, w):
    """``f`` and its two gradients, by name, each with the shapes of its operands."""
    z = jax.eval_shape(f, x, w)
    return {
        "transposed_convolution": (f, (x, w)),
        "forward_convolution": (lambda z, w: jax.linear_transpose(lambda x: f(x, w), x)(z)[0], (z, w)),
        "kernel_gradient": (lambda x, z: jax.linear_transpose(lambda w: f(x, w), w)(z)[0], (x, z)),
    }


def program(f, *shapes):
    exported = jax.export.export(jax.jit(f), platforms=["cuda"])(*shapes)
    assert exported.platforms == ("cuda",)
    return exported.mlir_module()


def convolutions(text):
    """The convolutions of a program."""
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
        said = re.search(rf"{name} = \[(.*?)\]", window)
        sizes.append((*map(int, said[1].split(", ")),) if said else (1,) * len(pixels))
    made = re.search(rf"{filters} = (.*)", body)
    called = made and re.match(r"call @(\w+)", made[1])
    reverse = f"dims = [{', '.join(pixels)}]"
    how = bodies[called[1]] if called else made[1] if made else ""
    return Convolution(*sizes, reversed="stablehlo.reverse" in how and reverse in how)


def products(text):
    return len(re.findall(r"stablehlo\.dot_general ", text))


def form(f, *shapes):
    """How a program computes: its convolutions, and how many products of matrices it has."""
    text = program(f, *shapes)
    return convolutions(text), products(text)


def call(method, strides=STRIDES, groups=1):
    return functools.partial(jconvt.conv_transpose, strides=strides, groups=groups, method=method)


def shaped(*shapes, dtype=jnp.float32):
    return [jax.ShapeDtypeStruct(shape, dtype) for shape in shapes]


def computed(method, name, **keywords):
    f, operands = maps(call(method, **keywords), *shaped(X, W))[name]
    return form(f, *operands)


PLAIN = (1, 1)


@pytest.mark.parametrize("method", ["dilated", "vjp", "auto"])
def test_the_call_is_one_dilated_convolution_with_reversed_filters(method):
    found = computed(method, "transposed_convolution")
    assert found == ([Convolution(PLAIN, STRIDES, PLAIN, reversed=True)], 0)


@pytest.mark.parametrize("method", ["vjp", "auto"])
def test_the_gradients_are_one_strided_and_one_dilated_convolution(method):
    assert computed(method, "forward_convolution") == ([Convolution(STRIDES, PLAIN, PLAIN, reversed=False)], 0)
    assert computed(method, "kernel_gradient") == ([Convolution(PLAIN, PLAIN, STRIDES, reversed=False)], 0)


def test_the_gradient_of_the_dilated_form_reverses_the_filters_twice():
    # The two undo each other, which XLA sees: what is left is the forward convolution.
    f, operands = maps(call("dilated"), *shaped(X, W))["forward_convolution"]
    text = program(f, *operands)
    assert [each._replace(reversed=False) for each in convolutions(text)] == [Convolution(STRIDES, PLAIN, PLAIN, False)]
    assert len(re.findall(r"stablehlo\.reverse .*dims = \[0, 1\]", text)) == 2


def test_polyphase_is_dense_convolutions_and_its_gradients_are_products():
    # Kernel 3 at stride 2: each of the four phases has another number of taps.
    found = maps(call("polyphase", strides=2), *shaped(X, (3, 3, 8, 6)))
    forms = {name: form(f, *operands) for name, (f, operands) in found.items()}
    dense = Convolution(PLAIN, PLAIN, PLAIN, reversed=False)
    assert forms.pop("transposed_convolution") == ([dense] * 4, 0)
    assert [*forms.values()] == [([], 4)] * 2


@pytest.mark.parametrize("name", ["transposed_convolution", "forward_convolution", "kernel_gradient"])
def test_gemm_is_one_product(name):
    assert computed("gemm", name) == ([], 1)


@pytest.mark.parametrize("method", TRACED)
@pytest.mark.parametrize("groups", [2, 6])
@pytest.mark.parametrize("name", ["transposed_convolution", "forward_convolution", "kernel_gradient"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
def test_groups_are_lowered_in_every_dtype(method, groups, name, dtype):
    x, w = shaped(X, (4, 3, 4, 6), dtype=dtype)
    f, operands = maps(call(method, groups=groups), x, w)[name]
    text = program(f, *operands)
    multiplied = convolutions(text) or products(text)
    # Every group one channel: products of elements.
    assert multiplied or (method == "gemm" and groups == 6)


@pytest.mark.parametrize("name", ["transposed_convolution", "forward_convolution", "kernel_gradient"])
@pytest.mark.parametrize("workload", workloads.load().values(), ids=lambda workload: workload.name)
def test_auto_is_what_choose_says(workload, name):
    x, w = shaped(workload.input_shape, workload.filters_shape)
    chosen = jconvt.choose(workload.spec, x.shape, w.shape, platform="cuda")
    compute = computing(name, getattr(chosen, name).method)
    f, operands = maps(functools.partial(jconvt.conv_transpose, **workload.arguments), x, w)[name]
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


@pytest.mark.parametrize("made", [_linen, _nnx, _equinox])
def test_a_layer_and_its_gradients_are_the_convolutions_of_the_call(made):
    pytest.importorskip("equinox" if made is _equinox else "flax")
    apply, parameters = made()

    def gradients(parameters, x):
        return jax.grad(lambda *operands: (apply(*operands) ** 2).sum(), (0, 1), allow_int=True)(parameters, x)

    whole = Convolution(PLAIN, STRIDES, PLAIN, reversed=True)
    assert form(apply, parameters, *shaped(X)) == ([whole], 0)
    there, back = Convolution(STRIDES, PLAIN, PLAIN, reversed=False), Convolution(PLAIN, PLAIN, STRIDES, reversed=False)
    assert form(gradients, parameters, *shaped(X)) == (sorted([whole, there, back]), 0)
