"""``jconvt.accelerate`` as a switch: blocks, threads, compiled functions, errors, and the report."""

import concurrent.futures
import inspect
import pydoc
import threading

import jax
import numpy as np
import pytest

import jconvt
from jconvt import _accelerate, _jax_compat
from jconvt._core import recognition

NUMBERS = ("NHWC", "HWIO", "NHWC")
IMAGES, KERNEL = np.ones((1, 6, 6, 2), np.float32), np.ones((3, 3, 2, 2), np.float32)


def new_function():
    """A new function, so that ``jax.jit`` compiles it."""
    return jax.jit(lambda lhs, rhs: jax.lax.conv_general_dilated(lhs, rhs, (2, 2), "SAME", dimension_numbers=NUMBERS))


def is_on():
    """Whether a program that is compiled now has replaced convolutions."""
    _accelerate._seen.clear()
    new_function().lower(IMAGES, KERNEL)
    return any(each.method for each in jconvt.accelerate.report())


pytestmark = pytest.mark.usefixtures("all_replaced")


def test_call__holds_until_the_next():
    assert not is_on()
    jconvt.accelerate()
    assert is_on()
    jconvt.accelerate()
    assert is_on()
    jconvt.accelerate(False)
    assert not is_on()
    jconvt.accelerate(False)
    assert not is_on()


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_block__restores_the_state_before(before, inside):
    jconvt.accelerate(before)
    with jconvt.accelerate(inside):
        assert is_on() == inside
        with jconvt.accelerate(not inside):
            assert is_on() != inside
        assert is_on() == inside
    assert is_on() == before


def test_block__with_an_exception():
    with pytest.raises(ZeroDivisionError), jconvt.accelerate():
        _ = 1 / 0
    assert not is_on()


def test_block__call_inside_of_it_holds_beyond_it():
    with jconvt.accelerate():
        jconvt.accelerate(False)
        assert not is_on()
    assert not is_on()
    with jconvt.accelerate(False):
        jconvt.accelerate()
    assert is_on()


def test_block__can_be_entered_again():
    acceleration = jconvt.accelerate()
    for _ in range(2):
        with acceleration:
            assert is_on()
        assert not is_on()


def test_blocks__of_two_threads():
    both_are_in, one_is_out = threading.Barrier(2), threading.Barrier(2)

    def first():
        with jconvt.accelerate():
            both_are_in.wait(60)
        one_is_out.wait(60)

    def second():
        with jconvt.accelerate():
            both_are_in.wait(60)
            one_is_out.wait(60)
            return is_on()

    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = [pool.submit(each) for each in (first, second)]
        assert results[1].result(120)
    assert not is_on()


def test_many_threads__leave_nothing_behind():
    def work(i):
        with jconvt.accelerate(i % 2 == 0):
            return np.asarray(new_function()(IMAGES, KERNEL)).sum()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert len({*pool.map(work, range(12))}) == 1
    assert not is_on()
    assert not _accelerate._calls


def test_compiled_functions__follow_the_switch(seen):
    function = new_function()
    function(IMAGES, KERNEL)
    compiled = function.lower(IMAGES, KERNEL).compile()
    assert not seen()
    with jconvt.accelerate():
        function(IMAGES, KERNEL)
        assert len(seen()) == 1
        function(IMAGES, KERNEL)
        compiled(IMAGES, KERNEL)
        assert not seen()
        accelerated = function.lower(IMAGES, KERNEL).compile().as_text()
        seen()
    assert function.lower(IMAGES, KERNEL).compile().as_text() == compiled.as_text() != accelerated
    with jconvt.accelerate():
        function(IMAGES, KERNEL)  # it is still compiled
        assert not seen()


@pytest.mark.parametrize("on", [1, "yes", None, np.True_])
def test_wrong_argument__raises(on):
    with pytest.raises(jconvt.ArgumentTypeError, match="on must be a boolean"):
        jconvt.accelerate(on)
    assert not is_on()


def test_unknown_jax__raises_an_error_that_names_the_version(monkeypatch):
    monkeypatch.setattr(_accelerate, "_jax_rule", [])
    parameters = _jax_compat._CONVOLUTION_PARAMETERS - {"padding"}
    monkeypatch.setattr(_jax_compat, "_CONVOLUTION_PARAMETERS", parameters)
    with pytest.raises(NotImplementedError, match=rf"JAX {jax.__version__}: parameters .*'padding'"):
        jconvt.accelerate()
    assert not _accelerate.REPLACES_CONVOLUTIONS.value


def test_unknown_jax__without_the_rules(monkeypatch):
    from jax._src.interpreters import mlir

    monkeypatch.setattr(_accelerate, "_jax_rule", [])
    monkeypatch.delattr(mlir, "lower_per_platform")
    with pytest.raises(NotImplementedError, match=f"JAX {jax.__version__}"):
        jconvt.accelerate()


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("by zero"), ZeroDivisionError(), jconvt.ArgumentError("no", got="1")]
)
@pytest.mark.parametrize("name", ["readings", "supported", "compute"])
def test_rule__falls_back_on_any_error(monkeypatch, seen, error, name):
    def fail(*arguments):
        raise error

    expected = new_function()(IMAGES, KERNEL)
    monkeypatch.setattr(_accelerate, name, fail)
    _accelerate.fastest.cache_clear()
    with jconvt.accelerate():
        np.testing.assert_array_equal(new_function()(IMAGES, KERNEL), expected)
    (found,) = seen()
    assert (found.map, found.method, found.reason) == (
        None,
        None,
        str(error).splitlines()[0] if str(error) else "ZeroDivisionError",
    )


def test_report__is_a_table(seen):
    del seen
    with jconvt.accelerate():
        with jax.named_scope("encoder"):
            jax.jit(lambda lhs, rhs: jax.lax.conv_general_dilated(lhs, rhs, (1, 1), "SAME", dimension_numbers=NUMBERS))(
                IMAGES, KERNEL
            )
        new_function()(IMAGES.astype(np.int32), KERNEL.astype(np.int32))
    report = jconvt.accelerate.report()
    first, second = report
    assert (first.lhs_shape, first.rhs_shape, first.dtype) == (IMAGES.shape, KERNEL.shape, "float32")
    assert isinstance(first.convolution, recognition.Convolution)
    assert first.gain is not None
    assert first.gain > 0
    assert (second.method, second.gain) == (None, None)
    header, *rows, last = str(report).splitlines()
    assert header.split()[:4] == ["where", "lhs", "rhs", "dtype"]
    assert [f" {first.method} " in rows[0], " XLA " in rows[1]] == [True, True]
    assert "(1,6,6,2)" in rows[0]
    assert last == "1 of 2 convolutions are computed by jconvt"


def test_report__without_convolutions(seen):
    del seen
    assert str(jconvt.accelerate.report()).endswith("0 of 0 convolutions are computed by jconvt")


def test_accelerate__describes_itself():
    assert str(inspect.signature(jconvt.accelerate)) == "(on: bool = True) -> jconvt._accelerate.Acceleration"
    text = pydoc.plain(pydoc.render_doc(jconvt.accelerate))
    assert "accelerate(on: bool = True)" in text
    assert "Compute the convolutions of every JAX program on CPU" in text
    assert "Return the convolutions that were lowered" in pydoc.render_doc(jconvt.accelerate.report)
