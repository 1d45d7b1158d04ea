"""``jconvt.lax.recognize`` reads the arguments as ``jax.lax`` does, and explains what it cannot read."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings

import jconvt
from jconvt._core.recognition import readings
from jconvt.lax import recognize
from tests.support.convolutions import readable

IMAGES, KERNEL = (4, 6, 9, 8), (6, 6, 2, 3)


def padding_of_jax(lhs_shape, rhs_shape, strides, padding, **options):
    shapes = [jax.ShapeDtypeStruct(shape, "float32") for shape in (lhs_shape, rhs_shape)]
    program = jax.make_jaxpr(lambda *operands: jax.lax.conv_general_dilated(*operands, strides, padding, **options))(
        *shapes
    )
    return program.eqns[-1].params["padding"]


@settings(max_examples=100, deadline=None)
@given(readable())
def test_recognize__returns_all_readings(convolution):
    found = recognize(convolution.lhs_shape, convolution.rhs_shape, **convolution.arguments())
    assert found == tuple(readings(convolution))
    for each in found:
        back = each.convolution()
        assert each in recognize(back.lhs_shape, back.rhs_shape, **back.arguments())


@pytest.mark.parametrize("padding", ["SAME", "SAME_LOWER", "VALID", "same", [(1, 2), (-1, 0)], [[0, 0], [0, 0]]])
@pytest.mark.parametrize("options", [{}, {"rhs_dilation": (2, 3)}, {"dimension_numbers": ("NHCW", "OIHW", "CHWN")}])
def test_recognize__reads_arguments_as_jax_does(padding, options):
    lhs_shape = (4, 9, 6, 8) if options.get("dimension_numbers") else IMAGES
    for reading in recognize(lhs_shape, KERNEL, (3, 2), padding, **options):
        arguments = reading.convolution().arguments()
        pads = arguments.pop("padding")
        assert arguments["rhs_dilation"] == options.get("rhs_dilation", (1, 1))
        found = jax.eval_shape(
            lambda lhs, rhs, pads=pads, arguments=arguments: jax.lax.conv_general_dilated(
                lhs, rhs, padding=pads, **arguments
            ),
            *(jax.ShapeDtypeStruct(shape, "float32") for shape in (lhs_shape, KERNEL)),
        )
        expected = jax.eval_shape(
            lambda lhs, rhs: jax.lax.conv_general_dilated(lhs, rhs, (3, 2), padding, **options),
            *(jax.ShapeDtypeStruct(shape, "float32") for shape in (lhs_shape, KERNEL)),
        )
        assert found.shape == expected.shape
        before = [lo for lo, _ in padding_of_jax(lhs_shape, KERNEL, (3, 2), padding, **options)]
        assert [lo for lo, _ in pads] == before


def test_recognize__accepts_numpy_integers():
    same = recognize(IMAGES, KERNEL, (2, 2), "SAME")
    assert same == recognize(np.array(IMAGES), np.array(KERNEL), np.array([2, 2]), "SAME", np.ones(2, int))
    assert same == recognize([*IMAGES], [*KERNEL], [2, 2], "SAME", dimension_numbers=("NCHW", "OIHW", "NCHW"))


def test_recognize__depthwise_and_its_kernel_gradient():
    (forward,) = recognize((8, 6, 9, 9), (12, 1, 3, 3), (1, 1), "SAME", feature_group_count=6)
    assert (forward.map.symbol, forward.spec.groups) == ("F", 6)
    (gradient,) = recognize((6, 8, 9, 9), (12, 8, 9, 9), (1, 1), [(1, 1), (1, 1)], batch_group_count=1)[1:]
    assert gradient.map.symbol == "G"
    (gradient,) = recognize((6 * 2, 8, 9, 9), (12, 8, 9, 9), (1, 1), [(1, 1), (1, 1)], batch_group_count=6)
    assert (gradient.map.symbol, gradient.spec.groups) == ("G", 6)


UNREADABLE = [
    (((4, 6), (6, 6), (), []), {}, "a matrix product"),
    (((0, 6, 9, 8), KERNEL, (1, 1), "SAME"), {}, "an operand or the output is empty"),
    (((4, 6, 1, 8), KERNEL, (1, 1), "VALID"), {}, "an operand or the output is empty"),
    (
        (IMAGES, KERNEL, (2, 2), [(0, 0), (0, 0)]),
        {"lhs_dilation": (2, 2), "rhs_dilation": (2, 2)},
        "neither the convolution nor its transpose is a map",
    ),
    (
        (IMAGES, (6, 3, 2, 3), (2, 2), [(0, 0), (0, 0)]),
        {"lhs_dilation": (1, 2), "feature_group_count": 2},
        "neither the convolution nor its transpose is a map",
    ),
]
MALFORMED = [
    ((IMAGES, (6, 6, 3), (1, 1), "SAME"), {}, "different or too few axes"),
    (((3,), (3,), (), "SAME"), {}, "different or too few axes"),
    ((IMAGES, KERNEL, (1, 1, 1), "SAME"), {}, "window_strides has the wrong length"),
    ((IMAGES, KERNEL, (0, 1), "SAME"), {}, r"window_strides\[0\] is out of range"),
    ((IMAGES, KERNEL, (1, 1), "SAMY"), {}, "unknown padding"),
    ((IMAGES, KERNEL, (1, 1), [(1, 1)]), {}, "padding has the wrong length"),
    ((IMAGES, KERNEL, (1, 1), "SAME", (2, 2)), {}, "padding has no name if lhs is dilated"),
    ((IMAGES, KERNEL, (1, 1), "SAME"), {"rhs_dilation": (1, -1)}, r"rhs_dilation\[1\] is out of range"),
    ((IMAGES, KERNEL, (1, 1), "SAME"), {"dimension_numbers": ("NHWC", "HWIO", "NHWX")}, r"dimension_numbers\[2\]"),
    (
        (IMAGES, KERNEL, (1, 1), "SAME"),
        {"dimension_numbers": ("NHWC", "HWIO", "NHWC")},
        "channels of lhs and rhs differ",
    ),
    ((IMAGES, KERNEL, (1, 1), "SAME"), {"feature_group_count": 4}, "does not divide the input channels"),
    ((IMAGES, (7, 2, 2, 3), (1, 1), "SAME"), {"feature_group_count": 3}, "does not divide the output channels"),
    ((IMAGES, KERNEL, (1, 1), "SAME"), {"batch_group_count": 3}, "does not divide the batch"),
    ((IMAGES, KERNEL, (1, 1), "SAME"), {"batch_group_count": 4}, "does not divide the output channels"),
    ((IMAGES, KERNEL, (1, 1), "SAME"), {"feature_group_count": 2, "batch_group_count": 2}, "two kinds of groups"),
]
WRONG_TYPES = [
    ((IMAGES, KERNEL, 2, "SAME"), {}, "window_strides must be a sequence"),
    ((IMAGES, KERNEL, (1.0, 1), "SAME"), {}, r"window_strides\[0\] must be an integer"),
    ((IMAGES, KERNEL, None, "SAME"), {}, "window_strides must be a sequence"),
    ((IMAGES, KERNEL, (1, 1), None), {}, "padding must be a sequence"),
    ((IMAGES, KERNEL, (1, 1), "SAME"), {"dimension_numbers": 3}, "dimension_numbers must be a sequence"),
    ((IMAGES, KERNEL, (1, 1), "SAME"), {"feature_group_count": 1.0}, "feature_group_count must be an integer"),
    ((4, KERNEL, (1, 1), "SAME"), {}, "lhs.shape must be a sequence"),
    (((*jax.export.symbolic_shape("b"), 6, 9, 8), KERNEL, (1, 1), "SAME"), {}, r"lhs.shape\[0\] must be an integer"),
]


@pytest.mark.parametrize(("arguments", "options", "problem"), UNREADABLE + MALFORMED)
def test_recognize__wrong_values(arguments, options, problem):
    with pytest.raises(jconvt.ArgumentError, match=problem) as raised:
        recognize(*arguments, **options)
    assert all(part in str(raised.value) for part in ("got:", "legal:", "fix:"))


@pytest.mark.parametrize(("arguments", "options", "problem"), WRONG_TYPES)
def test_recognize__wrong_types(arguments, options, problem):
    with pytest.raises(jconvt.ArgumentTypeError, match=problem):
        recognize(*arguments, **options)


@pytest.mark.parametrize(("arguments", "options", "problem"), MALFORMED)
def test_recognize__jax_has_no_such_convolution_either(arguments, options, problem):
    del problem
    lhs, rhs, *rest = arguments
    shapes = [jax.ShapeDtypeStruct(shape, "float32") for shape in (lhs, rhs)]
    with pytest.raises((ValueError, TypeError, RuntimeError, RuntimeWarning, IndexError)):
        jax.eval_shape(lambda lhs, rhs: jax.lax.conv_general_dilated(lhs, rhs, *rest, **options), *shapes)
