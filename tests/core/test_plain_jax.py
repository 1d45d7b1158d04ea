"""Under ``jconvt.plain_jax`` every map is plain JAX, of the same numbers, and the switch is that of one thread."""

import concurrent.futures

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from jax.test_util import check_grads

import jconvt
from tests.support import laws
from tests.support.geometries import Call, calls
from tests.support.meshes import mesh_of

CALL = Call((2, 3, 2, 4), (3, 2, 2, 4), {"strides": (2, 3), "dilations": (1, 2), "groups": 2, "padding": "VALID"})


def up(x, w, method="auto"):
    return jconvt.conv_transpose(x, w, method=method, **CALL.arguments)


def has_primitives(function, *operands):
    """Return whether the program of ``function`` has primitives of jconvt."""
    return "jconvt_" in str(jax.make_jaxpr(function)(*operands))


@settings(max_examples=30, deadline=None)
@given(call=calls())
def test_plain_jax__satisfies_the_laws_of_a_method(call):
    with jconvt.plain_jax():
        laws.equals_definition(call, "auto")
        laws.gradients_are_the_definition(call, "auto")


@settings(max_examples=10, deadline=None)
@given(call=calls(plain=True))
def test_plain_jax__nan_reaches_its_stamp_only(call):
    """Not with groups or dilations: the zeros between the taps spread it."""
    with jconvt.plain_jax():
        laws.nan_reaches_its_stamp_only(call, "auto")


@pytest.mark.parametrize("method", [*laws.TRACED, "reference"])
def test_plain_jax__no_method_has_an_effect(method):
    x, w = CALL.operands()
    with jconvt.plain_jax():
        program = str(jax.make_jaxpr(lambda x, w: up(x, w, method))(x, w))
        assert program == str(jax.make_jaxpr(up)(x, w))
    assert program.count("conv_general_dilated[") == 1
    assert "jconvt_" not in program


def test_plain_jax__unknown_method_raises():
    with jconvt.plain_jax(), pytest.raises(jconvt.ArgumentError, match="unknown method"):
        up(*CALL.operands(), method="fast")


def test_plain_jax__every_derivative_and_vmap_is_plain():
    x, w = CALL.operands()
    z = np.ones(up(x, w).shape)

    def gradients(x, w):
        return jax.vjp(up, x, w)[1](z)

    programs = (up, gradients, jax.jacfwd(gradients), jax.vmap(gradients, (0, None)), jax.vmap(up))
    operands = ((x, w), (x, w), (x, w), (x[None], w), (x[None], w[None]))
    for program, each in zip(programs, operands, strict=True):
        assert has_primitives(program, *each)
        with jconvt.plain_jax():
            assert not has_primitives(program, *each)


def test_plain_jax__linearized_outside_is_transposed_to_plain_jax():
    x, w = CALL.operands()
    y, pull = jax.vjp(up, x, w)
    with jconvt.plain_jax():
        in_x, in_w = jax.jit(pull)(y)
        assert not has_primitives(pull, y)
    for found, expected in zip((in_x, in_w), pull(y), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_plain_jax__compiled_functions_are_traced_anew():
    """Both ways: the compiled program of either state is not that of the other."""
    x, w = CALL.operands()
    compiled = jax.jit(up)
    for _ in range(2):
        assert has_primitives(compiled, x, w)
        assert has_primitives(jax.grad(lambda x: compiled(x, w).sum()), x)
        with jconvt.plain_jax():
            assert not has_primitives(compiled, x, w)
            assert not has_primitives(jax.grad(lambda x: compiled(x, w).sum()), x)
            np.testing.assert_array_equal(compiled(x, w), laws.definition(CALL, x, w))


def test_plain_jax__nests_decorates_and_ends_on_errors():
    x, w = CALL.operands()
    with jconvt.plain_jax():
        with jconvt.plain_jax():
            assert not has_primitives(up, x, w)
        assert not has_primitives(up, x, w)
    assert has_primitives(up, x, w)
    with pytest.raises(RuntimeError), jconvt.plain_jax():
        raise RuntimeError
    assert has_primitives(up, x, w)
    assert not has_primitives(jconvt.plain_jax()(up), x, w)
    assert has_primitives(up, x, w)


def test_plain_jax__other_threads_are_not_changed():
    x, w = CALL.operands()
    with concurrent.futures.ThreadPoolExecutor(1) as other:
        with jconvt.plain_jax():
            assert other.submit(has_primitives, up, x, w).result()
            assert not has_primitives(up, x, w)
        with jconvt.plain_jax():
            pass
        assert other.submit(jconvt.plain_jax()(lambda: not has_primitives(up, x, w))).result()


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.complex64, jnp.int8])
@pytest.mark.parametrize("preferred", [None, jnp.float64])
def test_plain_jax__dtypes_and_their_gradients(dtype, preferred):
    if preferred is not None and not jnp.issubdtype(dtype, jnp.floating):
        preferred = {jnp.complex64: jnp.complex128, jnp.int8: jnp.int32}[dtype]
    x, w = CALL.operands(np.complex64 if dtype == jnp.complex64 else np.float32)
    x, w = jnp.asarray(x / 8 if dtype != jnp.int8 else x).astype(dtype), jnp.asarray(w).astype(dtype)

    def call(x, w):
        return jconvt.conv_transpose(x, w, preferred_element_type=preferred, **CALL.arguments)

    derivatives = (lambda *_: ()) if dtype == jnp.int8 else lambda x, w: jax.vjp(call, x, w)[1](call(x, w))
    # A GPU convolves no integers.
    with jax.default_device(jax.devices("cpu")[0] if dtype == jnp.int8 else None):
        expected = call(x, w), *derivatives(x, w)
        with jconvt.plain_jax():
            found = call(x, w), *derivatives(x, w)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        scale = np.abs(np.asarray(other, np.complex128)).max()
        error = np.abs(np.asarray(one, np.complex128) - np.asarray(other, np.complex128)).max()
        assert error <= scale * (float(jnp.finfo(other.dtype).eps) if dtype != jnp.int8 else 0)


def test_plain_jax__derivatives_of_second_order():
    call = Call((1, 2, 1), (2, 1, 1), {"strides": 3, "dilations": 2, "padding": "VALID"})
    x, w = (operand / 10 for operand in call.operands())
    with jconvt.plain_jax():
        check_grads(lambda x, w: jconvt.conv_transpose(x, w, **call.arguments), (x, w), order=2, atol=1e-6, rtol=1e-6)


def test_plain_jax__symbolic_sizes():
    n, m = jax.export.symbolic_shape("n, m")
    w = CALL.operands()[1]
    f = jax.jit(lambda x: jconvt.conv_transpose(x, w, strides=(2, 3), padding="SAME", groups=2))
    with jconvt.plain_jax():
        exported = jax.export.export(f)(jax.ShapeDtypeStruct((2, n, m, 4), np.float64))
    x = np.ones((2, 5, 2, 4))
    np.testing.assert_array_equal(exported.call(x), f(x))


def test_plain_jax__inside_shard_map():
    mesh = mesh_of("automatic", (2,), ("i",))
    x, w = CALL.operands()
    rows, whole = jax.sharding.PartitionSpec("i"), jax.sharding.PartitionSpec()
    local = jax.shard_map(up, mesh=mesh, in_specs=(rows, whole), out_specs=rows)

    def loss(x, w):
        return (local(x, w) ** 2).sum()

    expected = jax.grad(loss, (0, 1))(x, w)
    with jconvt.plain_jax():
        jax.tree.map(np.testing.assert_array_equal, jax.jit(jax.grad(loss, (0, 1)))(x, w), expected)
