"""The table of conventions in the documentation says what the library does, cell for cell."""

import itertools
import pathlib
import re

import pytest

import jconvt
from jconvt._conventions import keras, lax, onnx, torch
from jconvt._conventions.registry import CONVENTIONS
from jconvt._geometry.kernel_layout import filters_layout

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "conventions.md"


def rows():
    lines = [line for line in PAGE.read_text().split("\n## ")[0].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def tensorflow(padding):
    return lambda n, k, **rest: jconvt.Spec.from_tensorflow(
        (1, n, 1), (k, 1, 1), None, rest["s"], padding, dilations=rest["d"]
    )


def of_keras(padding, padded=False):
    return lambda n, k, **rest: jconvt.Spec.from_keras(
        (1, n, 1), (k, 1, 1), rest["s"], padding, rest["p"] if padded else None, None, rest["d"]
    )


def of_torch(n, k, s, d, a, b, p):
    return jconvt.Spec.from_torch((1, 1, n), (1, 1, k), s, a, p, 1, d)


def of_onnx(n, k, s, d, a, b, p):
    return jconvt.Spec.from_onnx((1, 1, n), (1, 1, k), strides=[s], dilations=[d], pads=[a, b], output_padding=[p])


def of_onnx_same(n, k, s, d, a, b, p):
    return jconvt.Spec.from_onnx((1, 1, n), (1, 1, k), strides=[s], dilations=[d], auto_pad="SAME_UPPER")


def of_lax(padding=None, consistent=False):
    return lambda n, k, s, d, a, b, p: jconvt.Spec.from_lax(
        (1, n, 1), (k, 1, 1), (s,), padding or [(a, b)], (d,), use_consistent_padding=consistent
    )


def of_flax(n, k, s, d, a, b, p):
    return jconvt.Spec.from_flax((1, n, 1), (k, 1, 1), s, "SAME", d)


MADE = {
    "TensorFlow SAME": (tensorflow("SAME"), filters_layout(1)),
    "TensorFlow VALID": (tensorflow("VALID"), filters_layout(1)),
    "Keras same": (of_keras("same"), keras.kernel_layout(1)),
    "Keras valid": (of_keras("valid"), keras.kernel_layout(1)),
    "Keras same, output padding p": (of_keras("same", True), keras.kernel_layout(1)),
    "Keras valid, output padding p": (of_keras("valid", True), keras.kernel_layout(1)),
    "PyTorch, padding a, output padding p": (of_torch, torch.kernel_layout(1)),
    "ONNX, pads a and b, output padding p": (of_onnx, onnx.kernel_layout(1)),
    "ONNX SAME_UPPER": (of_onnx_same, onnx.kernel_layout(1)),
    "jax.lax SAME": (of_lax("SAME"), lax.kernel_layout(1, groups=2)),
    "jax.lax VALID": (of_lax("VALID"), lax.kernel_layout(1, groups=2)),
    "jax.lax, padding a and b": (of_lax(), lax.kernel_layout(1, groups=2)),
    "jax.lax, consistent padding a and b": (of_lax(consistent=True), lax.kernel_layout(1, groups=2)),
    "Flax SAME": (of_flax, lax.kernel_layout(1, groups=2)),
}


def test_conventions_page__lists_every_row():
    assert [row[0] for row in rows()] == [*MADE]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_conventions_page__sizes_and_crops(row):
    name, size, lo, *_ = row
    make, _ = MADE[name]
    formula = re.match(r"`([^`]+)`", size)[1]
    compared = 0
    for n, k, s, d, a, b, p in itertools.product((1, 2, 5), (1, 2, 3, 4), (1, 2, 3), (1, 2), (0, 1), (0, 1, 2), (0, 1)):
        try:
            spec = make(n=n, k=k, s=s, d=d, a=a, b=b, p=p)
        except jconvt.ArgumentError:
            continue
        names = dict(n=n, s=s, k=k, d=d, e=(k - 1) * d + 1, a=a, b=b, p=p, max=max, min=min)
        (out,) = spec.output_sizes((n,))
        assert out == max(0, eval(formula, names)), (name, names)
        assert spec.axes[0].lo == eval(lo.strip("`"), names | {"out": out}), (name, names)
        compared += 1
    assert compared >= 72


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_conventions_page__kernel_layouts(row):
    name, _, _, kernel, flipped = row
    layout = MADE[name][1]
    k, out, taken, groups = 3, 4, 6, 2
    names = {"k": k, "out": out, "in_": taken, "groups": groups}
    said = eval(kernel.strip("`").replace("in", "in_").replace("/", "//"), names)
    assert layout.shape((k, out // groups, taken)) == said
    assert flipped == ("yes" if layout.flipped else "no")


@pytest.mark.parametrize("row", [row for row in rows() if "as given" in row[1]], ids=lambda row: row[0])
def test_conventions_page__legal_ranges(row):
    padding = row[0].split()[1]
    lowest, highest = re.findall(r"`([^`]+)`", row[1])[1:]
    for n, k, s in itertools.product((1, 2, 5), (1, 2, 3, 4), (1, 2, 3)):
        names = dict(n=n, s=s, e=k)

        def legal(out, n=n, k=k, s=s):
            try:
                jconvt.Spec.from_tensorflow((1, n, 1), (k, 1, 1), [out], s, padding)
            except jconvt.ArgumentError:
                return False
            return True

        range_ = range(eval(lowest, names), eval(highest, names) + 1)
        assert [out for out in range(40) if legal(out)] == [*range_]


def expressed(framework, axis, groups=1, rank=1):
    """Whether one call of a framework gives a geometry."""
    spec = jconvt.Spec((axis,) * rank, groups)
    sizes, kernel = (2, *(4,) * rank, 2 * groups), (*(axis.kernel,) * rank, 1, 2 * groups)
    try:
        return CONVENTIONS[framework].call(spec, sizes, kernel).exact
    except jconvt.ArgumentError:
        return False


PLAIN = jconvt.Axis(3, 2, 1, 1, 0)
LIMITS = {
    "TensorFlow": lambda: (
        expressed("tensorflow", jconvt.Axis(4, 2, 1, 2, 2), rank=2)
        and not expressed("tensorflow", jconvt.Axis(4, 2, 1, 2, 2), rank=1)
        and not expressed("tensorflow", PLAIN, rank=4)
    ),
    "Keras": lambda: (
        expressed("keras", jconvt.Axis(3, 2, 1, 0, 1))
        and not expressed("keras", jconvt.Axis(4, 2, 1, 2, 2))
        and not expressed("keras", jconvt.Axis(3, 2, 1, 0, 1), groups=2)
    ),
    "PyTorch": lambda: (
        expressed("torch", PLAIN, groups=2)
        and not expressed("torch", jconvt.Axis(3, 2, 1, 0, 1))
        and not expressed("torch", jconvt.Axis(5, 2, 1, 3, 1))
    ),
    "ONNX": lambda: expressed("onnx", PLAIN, groups=2) and not expressed("onnx", jconvt.Axis(3, 2, 1, -1, 1)),
    "`jax.lax`, Flax": lambda: (
        expressed("lax", jconvt.Axis(4, 2, 2, 3, -1), rank=4)
        and expressed("flax", PLAIN, rank=3)
        and not expressed("flax", PLAIN, rank=4)
        and not expressed("lax", PLAIN, groups=2)
        and not expressed("flax", PLAIN, groups=2)
    ),
}


def test_conventions_page__limits():
    text = PAGE.read_text().split("## What each cannot say")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|")[0].strip() for line in text.splitlines() if line.startswith("| ")][2:]
    assert rows == [*LIMITS]
    assert {name: holds() for name, holds in LIMITS.items()} == dict.fromkeys(LIMITS, True)


def test_conventions_page__meaning_of_padding():
    # A larger padding gives a smaller output, but a larger one where it pads the dilated input.
    def grows(make):
        small, large = (make(n=5, k=3, s=2, d=1, a=a, b=a, p=0).output_sizes((5,))[0] for a in (0, 1))
        return large - small

    assert grows(of_torch) == grows(of_onnx) == grows(of_lax(consistent=True)) == -2
    assert grows(of_lax()) == 2
    explicit = [jconvt.Spec.from_tensorflow((1, 5, 1), (3, 1, 1), None, 2, [(a, a)]).output_sizes((5,)) for a in (0, 1)]
    assert explicit == [(11,), (9,)]
