"""The kernels give the definition, on random geometries and with NaN and infinity, called by JAX with XLA's threads.

To run them with a lower instruction set than the CPU's best, set ``JCONVT_NATIVE_ISA``.
"""

import dataclasses
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jconvt
from jconvt import _native
from jconvt._geometry.layout import Layout
from jconvt._geometry.maps import Map
from jconvt._methods import native, reference

pytestmark = pytest.mark.skipif(
    _native.loaded_library() is None, reason=f"no compiled kernels: {_native.native_status().reason}"
)

DEFINITION = {
    Map.TRANSPOSE: reference.transpose,
    Map.FORWARD: reference.forward,
    Map.KERNEL_GRADIENT: reference.kernel_gradient,
}
CHANNELS = (1, 2, 3, 4, 7, 8, 16, 17, 33, 65)
DTYPES = ("float32", "float64", "bfloat16", "float16")


@dataclasses.dataclass(frozen=True)
class Problem:
    spec: jconvt.Spec
    layout: Layout
    shapes: dict[str, tuple[int, ...]]  # with the channels last
    seed: int

    def operands(self, map: Map, limit: int = 3) -> list[Any]:
        """Small integers, whose sums are exact in every dtype: float16 counts to 2048."""
        rng = np.random.default_rng(self.seed)
        return [rng.integers(-limit, limit + 1, self.shapes[name]).astype(np.float64) for name in map.inputs]

    def compute(self, map: Map, a: Any, b: Any, dtype: str) -> Any:
        """The kernels' result in float64, with the channels last."""
        a, b = (jnp.asarray(self._in_layout(*each), dtype) for each in zip(map.inputs, (a, b), strict=True))
        method = native.METHOD.implementation(map)
        result = jax.jit(lambda a, b: method(a, b, self.spec, self.layout, jnp.dtype(dtype), None))(a, b)
        assert result.dtype == dtype
        result = np.asarray(result, np.float64)
        channels_first = self.layout.channels_first and map.output != "w"
        return np.moveaxis(result, 1, -1) if channels_first else result

    def _in_layout(self, name: str, array: Any) -> Any:
        return np.moveaxis(array, -1, 1) if self.layout.channels_first and name != "w" else array


@st.composite
def problems(draw: Any) -> Problem:
    """Draw a geometry with outputs: stamps overlap or leave gaps, crops cut stamps or add zeros at both ends."""
    rank = draw(st.integers(1, 3))
    most = {1: 12, 2: 6, 3: 3}[rank]
    axes, sizes = [], []
    for _ in range(rank):
        axis = jconvt.Axis(*(draw(st.integers(1, limit)) for limit in (most, min(most, 4), 3)))
        size = draw(st.integers(1, most + 1))
        full = axis.full_size(size)
        lo = draw(st.integers(-3, full - 1))
        out = draw(st.integers(1, full - lo + 3))
        axes.append(dataclasses.replace(axis, lo=lo, hi=full - lo - out))
        sizes.append(size)
    groups = draw(st.sampled_from((1, 1, 2, 3)))
    c, o = (draw(st.sampled_from(CHANNELS if groups == 1 else CHANNELS[:7])) for _ in range(2))
    batch = draw(st.integers(1, 3))
    spec = jconvt.Spec(tuple(axes), groups)
    shapes = {
        "x": (batch, *sizes, groups * c),
        "w": (*(axis.kernel for axis in axes), o, groups * c),
        "z": (batch, *spec.output_sizes(sizes), groups * o),
    }
    layout = Layout(rank, channels_first=draw(st.booleans()))
    return Problem(spec, layout, shapes, draw(st.integers(0, 2**32)))


@settings(max_examples=120, deadline=None)
@given(problem=problems(), dtype=st.sampled_from(DTYPES))
def test_kernels__are_the_definition_on_random_geometries(problem, dtype):
    for map in Map:
        a, b = problem.operands(map)
        expected = DEFINITION[map](a, b, problem.spec)
        # Half precision is summed in float32, which has these sums exactly, and rounded once.
        expected = np.asarray(jnp.asarray(expected, dtype), np.float64)
        np.testing.assert_array_equal(problem.compute(map, a, b, dtype), expected)


@settings(max_examples=60, deadline=None)
@given(
    problem=problems(),
    places=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 10**6)), min_size=1, max_size=3),
    value=st.sampled_from((np.nan, np.inf, -np.inf)),
    dtype=st.sampled_from(DTYPES),
)
def test_kernels__nan_and_infinity_reach_the_outputs_of_the_definition(problem, places, value, dtype):
    for map in Map:
        operands = problem.operands(map)
        for operand, index in places:
            operands[operand].flat[index % operands[operand].size] = value
        with np.errstate(invalid="ignore"):  # an infinity times zero is NaN
            expected = DEFINITION[map](*operands, problem.spec)
        expected = np.asarray(jnp.asarray(expected, dtype), np.float64)
        np.testing.assert_array_equal(problem.compute(map, *operands, dtype), expected)


@pytest.mark.parametrize(
    ("shapes", "changes"),
    [
        ({"b": (3, 2, 5)}, {}),  # other channels
        ({"b": (3, 3, 4)}, {"groups": 3}),  # no multiple of groups
        ({"out": (2, 9, 2)}, {}),  # another batch
        ({"b": (3, 1, 2, 4)}, {}),  # another rank
        ({}, {"stride": [0]}),
        ({}, {"stride": [2**40]}),
        ({}, {"dilation": [1, 1]}),
        ({}, {"lo": [-(2**40)]}),
        ({}, {"groups": 0}),
        ({"a": (1, 0, 4)}, {}),
    ],
)
def test_custom_call__rejects_shapes_that_do_not_fit(shapes, changes):
    shapes = {"a": (1, 4, 4), "b": (3, 2, 4), "out": (1, 9, 2)} | shapes
    geometry = {"stride": [2], "dilation": [1], "lo": [0], "groups": 1} | changes
    attributes = {name: np.array(value, np.int64) for name, value in geometry.items() if name != "groups"}
    attributes["groups"] = np.int64(geometry["groups"])
    a, b = (jnp.ones(shapes[name], jnp.float32) for name in "ab")
    call = custom_call(Map.TRANSPOSE, shapes["out"], scratch_bytes=2**20)
    with pytest.raises(jax.errors.JaxRuntimeError, match="the shapes of the operands do not fit the geometry"):
        jax.block_until_ready(call(a, b, **attributes, threads=np.int64(1)))
    arrays = shapes["a"], shapes["b"], shapes["out"], *(geometry[name] for name in ("stride", "dilation", "lo"))
    if len({len(shape) for shape in shapes.values()}) == 1 and len({*map(len, arrays[3:])}) == 1:
        assert _native.scratch_bytes(Map.TRANSPOSE, "float32", arrays, geometry["groups"], 1) == 0


def test_custom_call__has_enough_scratch_memory_or_raises():
    shapes, one = {"x": (1, 4, 4), "w": (3, 2, 4), "z": (1, 6, 2)}, np.array([1])
    enough = _native.scratch_bytes(Map.TRANSPOSE, "float32", [*shapes.values(), one, one, 0 * one], 1, 1)
    x, w = (jnp.ones(shapes[name], jnp.float32) for name in "xw")

    def compute(scratch_bytes):
        attributes = dict(stride=one, dilation=one, lo=0 * one, groups=np.int64(1), threads=np.int64(1))
        return jax.block_until_ready(custom_call(Map.TRANSPOSE, shapes["z"], scratch_bytes)(x, w, **attributes)[0])

    expected = jconvt.conv1d_transpose(x, w, padding="VALID", method="reference")
    np.testing.assert_array_equal(compute(enough), expected)
    with pytest.raises(jax.errors.JaxRuntimeError, match="jconvt: too little temporary memory"):
        compute(1)


def custom_call(map: Map, shape: tuple[int, ...], scratch_bytes: int) -> Any:
    results = jax.ShapeDtypeStruct(shape, jnp.float32), jax.ShapeDtypeStruct((scratch_bytes,), jnp.uint8)
    return jax.ffi.ffi_call(_native.TARGETS[map], results)


def test_custom_call__rejects_other_dtypes():
    call = custom_call(Map.FORWARD, (1, 4, 4), scratch_bytes=64)
    one = np.array([1], np.int64)
    with pytest.raises(jax.errors.JaxRuntimeError, match="do not have one floating-point dtype"):
        call(
            jnp.ones((1, 4, 2), jnp.int32), jnp.ones((1, 2, 4), jnp.int32), stride=one, dilation=one, lo=0 * one,
            groups=np.int64(1), threads=np.int64(1),
        )[0].block_until_ready()  # fmt: skip


@pytest.mark.skipif(os.environ.get("JCONVT_TEST_MEMORY") != "16", reason="set JCONVT_TEST_MEMORY=16: it takes 16 GiB")
def test_kernels__index_more_than_2_to_the_31_elements():
    layout, spec = Layout(1), jconvt.Spec((jconvt.Axis(1, 2, 1, 0, -1),))
    size, batch = 1 << 26, 17
    z_shape = layout.shape(batch, (2 * size,), 1)
    assert np.prod(z_shape) > 2**31
    marks = [(0, 1), (batch - 1, size - 1), (batch // 2, 5)]
    x_shape = layout.shape(batch, (size,), 1)
    numbers = jnp.arange(2, 2 + len(marks), dtype=jnp.float32)
    x = jax.jit(lambda: jnp.zeros((batch, size), jnp.float32).at[*zip(*marks, strict=True)].set(numbers))()
    x = x.reshape(x_shape)
    w = np.full((1, 1, 1), 3, np.float32)
    options = spec, layout, jnp.dtype("float32"), None
    z = jax.jit(lambda x, w: native.METHOD.transpose(x, w, *options))(x, w)
    found = np.asarray(z).reshape(batch, 2 * size)
    for number, (n, i) in enumerate(marks, 2):
        assert found[n, 2 * i] == 3 * number
    assert np.count_nonzero(found) == len(marks)
    del found
    assert jax.jit(lambda x, z: native.METHOD.implementation(Map.KERNEL_GRADIENT)(x, z, *options))(x, z) == 3 * (
        4 + 9 + 16
    )
    del x
    back = np.asarray(jax.jit(lambda z, w: native.METHOD.implementation(Map.FORWARD)(z, w, *options))(z, w))
    for number, (n, i) in enumerate(marks, 2):
        assert back.reshape(batch, size)[n, i] == 9 * number
    assert np.count_nonzero(back) == len(marks)
