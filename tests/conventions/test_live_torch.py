"""``jconvt.conv_transpose`` against PyTorch, whose CPU kernels have dilation and groups in every rank."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jconvt

torch = pytest.importorskip("torch")


@st.composite
def torch_calls(draw, rank):
    """Arguments of ``torch.nn.functional.conv_transpose{rank}d``; ``padding`` crops the canvas at both ends."""
    axes = []
    for _ in range(rank):
        size, kernel, stride, dilation = (draw(st.integers(1, most)) for most in (4, 4, 3, 3))
        full = (size - 1) * stride + (kernel - 1) * dilation + 1
        axes.append(
            (size, kernel, stride, dilation, draw(st.integers(0, (full - 1) // 2)), draw(st.integers(0, stride - 1)))
        )
    groups = draw(st.integers(1, 3))
    return axes, groups, groups * draw(st.integers(1, 2)), draw(st.integers(1, 3))


@pytest.mark.parametrize("rank", [1, 2, 3])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_tensorflow__equals_pytorch(rank, data):
    axes, groups, taken, out = data.draw(torch_calls(rank))
    sizes, kernel, stride, dilation, padding, output_padding = zip(*axes, strict=True)
    rng = np.random.default_rng(0)
    x = rng.integers(-9, 10, (2, taken, *sizes)).astype(np.float64)
    w = rng.integers(-9, 10, (taken, out, *kernel)).astype(np.float64)
    call = getattr(torch.nn.functional, f"conv_transpose{rank}d")
    expected = call(
        *map(torch.tensor, (x, w)), None, stride, padding, output_padding, groups=groups, dilation=dilation
    ).numpy()
    y = jconvt.conv_transpose(
        x,
        np.moveaxis(w, (0, 1), (-1, -2)),  # (in, out / groups, k...) to (k..., out / groups, in)
        strides=stride,
        padding=[(p, p) for p in padding],
        output_padding=output_padding,
        dilations=dilation,
        groups=groups,
        data_format=("NCW", "NCHW", "NCDHW")[rank - 1],
        method="reference",
    )
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("rank", [1, 2, 3])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_tensorflow__uneven_padding_crops_pytorchs_canvas(rank, data):
    axes, groups, taken, out = data.draw(torch_calls(rank))
    sizes, kernel, stride, dilation, *_ = zip(*axes, strict=True)
    rng = np.random.default_rng(0)
    x = rng.integers(-9, 10, (2, taken, *sizes)).astype(np.float64)
    w = rng.integers(-9, 10, (taken, out, *kernel)).astype(np.float64)
    call = getattr(torch.nn.functional, f"conv_transpose{rank}d")
    canvas = call(*map(torch.tensor, (x, w)), None, stride, groups=groups, dilation=dilation).numpy()
    crops, padding = [slice(None), slice(None)], []
    for full in canvas.shape[2:]:
        before = data.draw(st.integers(0, full - 1))
        after = data.draw(st.integers(0, full - 1 - before))
        crops.append(slice(before, full - after))
        padding.append((before, after))
    expected = canvas[tuple(crops)]
    y = jconvt.conv_transpose(
        np.moveaxis(x, 1, -1),
        np.moveaxis(w, (0, 1), (-1, -2)),
        expected.shape[2:],
        stride,
        padding,
        dilations=dilation,
        groups=groups,
        method="reference",
    )
    np.testing.assert_array_equal(np.moveaxis(y, -1, 1), expected)
