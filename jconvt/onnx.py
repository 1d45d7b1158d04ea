"""Transposed convolution with ONNX's attributes as arguments: the operator ``ConvTranspose``."""

from collections.abc import Sequence
from typing import Any

import jax
from jax.typing import ArrayLike

from ._conventions import onnx as convention
from ._core import operation


def conv_transpose(
    X: ArrayLike,
    W: ArrayLike,
    B: ArrayLike | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    output_padding: Sequence[int] | None = None,
    output_shape: Sequence[Any] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    method: str = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> jax.Array:
    """Compute the transpose of a convolution in any number of dimensions, as ONNX's ``ConvTranspose`` of opset 22.

    With extent ``e = (k - 1) * dilation + 1``, stride ``s``, input size ``n`` and output padding ``p``, the output size
    is ``s(n-1) + e + p - a - b`` for pads of ``a`` at the start and ``b`` at the end.

    ============  =======================  ===================================  ==================
    auto_pad      output_shape             a + b                                odd position
    ============  =======================  ===================================  ==================
    "NOTSET"      not given                as in ``pads``
    "VALID"       not given                0
    "SAME_UPPER"  not given                max(0, e + p - s)                    in ``b``
    "SAME_LOWER"  not given                max(0, e + p - s)                    in ``a``
    any           given                    max(0, s(n-1) + e + p - that size)   as above; in ``a``
    ============  =======================  ===================================  ==================

    If ``output_shape`` is larger than the canvas, up to ``s - 1`` zeros follow the last stamp. Where the operator's
    description and onnxruntime differ, jconvt follows onnxruntime: without ``output_shape`` SAME adds no zeros, so the
    output size is less than ``s n`` if ``e + p`` is less than ``s``; no output size is 0; and ``output_padding`` is
    less than the stride, even if the dilation is larger.

    Args:
      X: ``(N, C, D1, ..., Dn)``. Any integer, floating-point or complex dtype that XLA can convolve on the device.
        The batch may be 0, and the spatial sizes, too, if there is no ``output_shape``.
      W: ``(C, M / group, k1, ..., kn)``, with the dtype of ``X``. Different dtypes are promoted as in ``jax.numpy``.
      B: ``(M,)``, added to the output channels.
      auto_pad: "NOTSET", "SAME_UPPER", "SAME_LOWER" or "VALID": see above.
      dilations: the spacing of the taps along each spatial axis. ``None`` means 1.
      group: the number of independent transposed convolutions that the channels of input and output are split into.
      kernel_shape: the spatial sizes of ``W``, which jconvt checks.
      output_padding: positions added at the end of each axis: less than its stride.
      output_shape: the spatial sizes of the output. ``pads`` are then ignored.
      pads: the crop: the starts of all axes, then their ends. Only with ``auto_pad="NOTSET"``.
      strides: one for each spatial axis. ``None`` means 1.
      method, precision, preferred_element_type, out_sharding: as in ``jconvt.conv_transpose``.

    Returns:
      ``(N, M, output sizes...)``, with the dtype of the operands.

    Raises:
      ArgumentError: the operation is not defined for a value; a ``ValueError``.
      ArgumentTypeError: an argument has the wrong type, such as a traced stride; a ``TypeError``.

    >>> import jax.numpy as jnp
    >>> x, w = jnp.ones((1, 1, 4)), jnp.array([[[1.0, 10.0, 100.0]]])
    >>> conv_transpose(x, w, strides=[2]).ravel()
    Array([  1.,  10., 101.,  10., 101.,  10., 101.,  10., 100.], dtype=float32)
    >>> conv_transpose(x, w, strides=[2], auto_pad="SAME_LOWER").ravel()
    Array([ 10., 101.,  10., 101.,  10., 101.,  10., 100.], dtype=float32)

    References:
      The operator's documentation, onnx.ai/onnx/operators/onnx__ConvTranspose.html.
    """
    x, w, *rest = operation.operands(X=X, W=W, **({} if B is None else {"B": B}))
    b = rest[0] if rest else None
    spec, layout = convention.resolve(
        x.shape,
        w.shape,
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        kernel_shape=kernel_shape,
        output_padding=output_padding,
        output_shape=output_shape,
        pads=pads,
        strides=strides,
        bias_shape=None if b is None else b.shape,
    )
    y = operation.transposed_convolution(
        x,
        operation.filters(w, convention.kernel_layout(spec.rank)),
        spec,
        layout,
        name="ConvTranspose",
        method=method,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
    )
    return y if b is None else y + b.astype(y.dtype).reshape(1, -1, *[1] * layout.rank)
