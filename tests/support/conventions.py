"""Shared by the tests of conventions: operands, wrong calls, calls that leave a crop, and broken kernel layouts."""

import dataclasses
import re
from typing import Any

import jax
import numpy as np
import pytest

from jconvt._conventions.convention import Call
from jconvt._geometry.kernel_layout import KernelLayout


def integers(*shapes: Any, dtype: Any = np.float32) -> list[Any]:
    """Small integers without symmetry: sums of their products are exact, and no flip goes unseen."""
    rng = np.random.default_rng(len(repr(shapes)))
    return [rng.integers(-9, 10, shape).astype(dtype) for shape in shapes]


def assert_raises(call: Any, operands: Any, keywords: Any, error: Any, text: str) -> None:
    """The call raises an ``error`` of four parts that matches ``text``."""
    with jax.numpy_dtype_promotion("strict"), pytest.raises(error) as raised:
        call(*operands, **keywords)
    message = str(raised.value)
    assert type(raised.value) is error
    assert re.search(text, message, re.DOTALL | re.MULTILINE), message
    assert re.fullmatch(r".+\n  got:   .+\n  legal: .+\n  fix:   .+", message, re.DOTALL), message


def traced(function: Any, *names: str, **made: Any) -> Any:
    """``function`` with traced arguments: a traced integer for each of ``names``, and what ``made`` makes of one."""
    return lambda *operands, **keywords: jax.jit(
        lambda n: function(
            *operands, **keywords | dict.fromkeys(names, n) | {name: make(n) for name, make in made.items()}
        )
    )(2)


def finished(y: Any, call: Call) -> Any:
    """The result of ``call`` with zeros added, and then cropped, as it says."""
    ends = call.layout.shape((0, 0), call.crop, (0, 0))
    y = np.pad(y, [(max(0, -before), max(0, -after)) for before, after in ends])
    crops = (slice(max(0, a), size - max(0, b)) for (a, b), size in zip(ends, y.shape, strict=True))
    return y[tuple(crops)]


def broken(layout: KernelLayout) -> list[KernelLayout]:
    """The layout with its taps reversed, with input and output channels swapped, and with two spatial axes swapped."""
    rank = layout.rank
    places = [{rank: rank + 1, rank + 1: rank}, {0: 1, 1: 0}]
    swapped = [tuple(place.get(axis, axis) for axis in layout.axes) for place in places]
    return [
        dataclasses.replace(layout, flipped=not layout.flipped),
        *(dataclasses.replace(layout, axes=axes) for axes in swapped),
    ]
