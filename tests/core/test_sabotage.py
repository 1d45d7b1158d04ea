"""The tests can fail: a method broken on purpose violates every law that it should violate.

A law does not know how a method computes, so one broken method for each law and mutation is enough. Each is registered
under a name of its own: no program that was compiled for another method is reused.
"""

import functools

import jax
import jax.numpy as jnp
import pytest

import jconvt
from jconvt._methods import METHODS, Method, dilated
from jconvt._testing import goldens
from tests.support import laws
from tests.support.geometries import Call

# Along each axis stamps overlap, stay inside the canvas, and are cropped; three groups of two channels.
CALL = Call(
    (2, 3, 4, 6),
    (3, 4, 2, 6),
    {"strides": 2, "padding": [(1, 0), (1, 2)], "groups": 3, "output_shape": (6, 10), "dilations": (1, 2)},
)


def flipped_kernel(compute, x, w, spec, *rest):
    return compute(x, jnp.flip(w, range(spec.rank)), spec, *rest)


def kernel_flipped_along_one_axis(compute, x, w, spec, *rest):
    return compute(x, jnp.flip(w, spec.rank - 1), spec, *rest)


def shifted_output(compute, x, w, spec, *rest):
    first, *others = spec.axes
    moved = jconvt.Axis(first.kernel, first.stride, first.dilation, first.lo + 1, first.hi - 1)
    return compute(x, w, jconvt.Spec((moved, *others), spec.groups), *rest)


def zeroed_group(compute, x, w, spec, *rest):
    kept = jnp.arange(w.shape[-1]) >= w.shape[-1] // spec.groups
    return compute(x, jnp.where(kept, w, jnp.zeros_like(w)), spec, *rest)


def swapped_input_channels(compute, x, w, spec, *rest):
    return compute(x, w[..., ::-1], spec, *rest)


def swapped_output_channels(compute, x, w, spec, *rest):
    return compute(x, w[..., ::-1, :], spec, *rest)


def zeroed_last_tap(compute, x, w, spec, *rest):
    return compute(x, jnp.concatenate([w[:-1], jnp.zeros_like(w[-1:])]), spec, *rest)


def nan_everywhere(compute, x, w, spec, *rest):
    return compute(x, w, spec, *rest) + 0 * x.sum()


ARITHMETIC = [
    flipped_kernel,
    kernel_flipped_along_one_axis,
    shifted_output,
    zeroed_group,
    swapped_input_channels,
    swapped_output_channels,
    zeroed_last_tap,
]


@pytest.fixture
def broken(monkeypatch, mutation):
    """The name of a method that computes wrongly."""
    compute = functools.partial(mutation, dilated.transposed_convolution)
    method = Method(mutation.__name__, "broken", compute, convolves=True)
    monkeypatch.setitem(METHODS, method.name, method)
    return mutation.__name__


@pytest.mark.parametrize("law", laws.ARITHMETIC)
@pytest.mark.parametrize("mutation", ARITHMETIC)
def test_laws__reject_broken_arithmetic(broken, law):
    with pytest.raises(AssertionError):
        law(CALL, broken)


@pytest.mark.parametrize("mutation", ARITHMETIC)
def test_stored_results__reject_broken_arithmetic(broken, mutation):
    stored = [golden for golden in goldens.load() if golden.function != "conv1d_transpose"]
    stored = [golden for golden in stored if broken in laws.traced(dtype=golden.dtype)]
    if mutation is zeroed_group:  # or it would zero the only group
        stored = [golden for golden in stored if golden.output.shape[-1] != golden.filters.shape[-2]]
    failed = 0
    for golden, y in zip(stored, laws.stored_results(stored, broken), strict=True):
        try:
            laws.equals_tensorflow(golden, y)
        except AssertionError:
            failed += 1
    assert failed >= 3


@pytest.mark.parametrize("mutation", [shifted_output, nan_everywhere])
def test_laws__reject_a_nan_outside_its_stamp(broken, mutation):
    if mutation is nan_everywhere and jax.default_backend() != "cpu":
        pytest.skip("accelerators may spread a NaN")
    with pytest.raises(AssertionError):
        laws.nan_reaches_its_stamp_only(CALL, broken)


@pytest.mark.parametrize("method", laws.TRACED)
def test_laws__accept_every_method_for_the_same_call(method):
    for law in (*laws.ARITHMETIC, laws.nan_reaches_its_stamp_only):
        law(CALL, method)
