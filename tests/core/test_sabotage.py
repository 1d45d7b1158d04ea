"""The tests can fail: a method broken on purpose must break every law that it should break."""

import contextlib
import functools

import jax.numpy as jnp
import pytest

import jconvt
from jconvt._methods import METHODS, Method, dilated, gemm, polyphase, vjp
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


def flipped_along_one_axis(compute, x, w, spec, *rest):
    return compute(x, jnp.flip(w, spec.rank - 1), spec, *rest)


def shifted_by_one(compute, x, w, spec, *rest):
    first, *others = spec.axes
    moved = jconvt.Axis(first.kernel, first.stride, first.dilation, first.lo + 1, first.hi - 1)
    return compute(x, w, jconvt.Spec((moved, *others), spec.groups), *rest)


def dropped_group(compute, x, w, spec, *rest):
    kept = jnp.arange(w.shape[-1]) >= w.shape[-1] // spec.groups
    return compute(x, jnp.where(kept, w, jnp.zeros_like(w)), spec, *rest)


def swapped_channels(compute, x, w, spec, *rest):
    return compute(x, w[..., ::-1], spec, *rest)


def swapped_output_channels(compute, x, w, spec, *rest):
    return compute(x, w[..., ::-1, :], spec, *rest)


def dropped_last_tap(compute, x, w, spec, *rest):
    return compute(x, jnp.concatenate([w[:-1], jnp.zeros_like(w[-1:])]), spec, *rest)


def spoiled_everywhere(compute, x, w, spec, *rest):
    return compute(x, w, spec, *rest) + 0 * x.sum()


ARITHMETIC = [
    flipped_kernel,
    flipped_along_one_axis,
    shifted_by_one,
    dropped_group,
    swapped_channels,
    swapped_output_channels,
    dropped_last_tap,
]


@contextlib.contextmanager
def broken(monkeypatch, compute, sabotage):
    """A method that computes wrongly, under a name of its own, so that no compiled program is found for it."""
    name = f"{sabotage.__name__} of {compute.__module__}"
    monkeypatch.setitem(METHODS, name, Method(name, "broken", functools.partial(sabotage, compute)))
    yield name


@pytest.mark.parametrize("compute", [a.transposed_convolution for a in (dilated, vjp, polyphase, gemm)])
@pytest.mark.parametrize("sabotage", ARITHMETIC)
@pytest.mark.parametrize("law", [laws.equals_definition, laws.is_adjoint, laws.gradients_are_the_definition])
def test_broken_arithmetic_is_seen(monkeypatch, compute, sabotage, law):
    with broken(monkeypatch, compute, sabotage) as method, pytest.raises(AssertionError):
        law(CALL, method)


@pytest.mark.parametrize("sabotage", ARITHMETIC)
def test_broken_arithmetic_is_seen_by_the_stored_results(monkeypatch, sabotage):
    with broken(monkeypatch, dilated.transposed_convolution, sabotage) as method:
        failed = 0
        for golden in goldens.load():
            grouped = golden.output.shape[-1] != golden.filters.shape[-2]
            if sabotage is dropped_group and not grouped:
                continue  # it would drop the only group
            try:
                laws.equals_tensorflow(golden, method)
            except AssertionError:
                failed += 1
            if failed == 3:
                break  # the others would say no more
        assert failed == 3


@pytest.mark.parametrize("sabotage", [shifted_by_one, spoiled_everywhere])
def test_a_nan_that_strays_is_seen(monkeypatch, sabotage):
    with broken(monkeypatch, dilated.transposed_convolution, sabotage) as method, pytest.raises(AssertionError):
        laws.spreads_nan_under_the_stamp_alone(CALL, method, 0)


@pytest.mark.parametrize("method", laws.TRACED)
@pytest.mark.parametrize("law", [laws.equals_definition, laws.is_adjoint, laws.gradients_are_the_definition])
def test_the_laws_hold_for_the_same_call_unbroken(method, law):
    law(CALL, method)
    laws.spreads_nan_under_the_stamp_alone(CALL, method, 0)
