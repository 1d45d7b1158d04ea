"""Transposed convolution as ONNX says it: the operator ``ConvTranspose``, with its attributes as arguments."""

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
    """The transpose of a convolution, in any number of spatial dimensions, as ONNX's ``ConvTranspose`` of opset 22.

    With the extent ``e = (k - 1) * dilation + 1`` of one stamp, stride ``s``, input size ``n`` and output padding
    ``p``, the output size is ``s(n-1) + e + p - a - b`` for pads of ``a`` at the start and ``b`` at the end.

    ============  =======================  ===================================  ==================
    auto_pad      output_shape             a + b                                odd position
    ============  =======================  ===================================  ==================
    "NOTSET"      not given                as in ``pads``
    "VALID"       not given                0
    "SAME_UPPER"  not given                max(0, e + p - s)                    in ``b``
    "SAME_LOWER"  not given                max(0, e + p - s)                    in ``a``
    any           given                    max(0, s(n-1) + e + p - size asked)  as above; in ``a``
    ============  =======================  ===================================  ==================

    Where ``output_shape`` asks for more than that leaves, up to ``s - 1`` zeros follow the last stamp. Where the
    operator's description and onnxruntime differ, this is what onnxruntime computes and allows: without
    ``output_shape`` SAME adds nothing, so the output size is less than ``s n`` where ``e + p`` is less than ``s``; no
    output size is 0; and ``output_padding`` is less than the stride, even where the dilation is larger.

    Args:
      X: ``(N, C, D1, ..., Dn)``. Any integer, floating or complex dtype that XLA can convolve on the device; the batch
        may be 0.
      W: ``(C, M / group, k1, ..., kn)``, of the dtype of ``X``; dtypes that differ are promoted as ``jax.numpy``
        promotes them.
      B: ``(M,)``, which is added to the output's channels.
      auto_pad: "NOTSET", "SAME_UPPER", "SAME_LOWER" or "VALID": see above.
      dilations: the spacing of the kernel's taps along each spatial axis; ``None`` is 1.
      group: splits the channels of input and output into as many independent transposed convolutions.
      kernel_shape: the spatial sizes of ``W``, from which they are known anyway.
      output_padding: positions added at the end of each axis: less than its stride.
      output_shape: the spatial sizes of the output. ``pads`` are then ignored.
      pads: what is cropped: all axes' starts, then all axes' ends. Not with another ``auto_pad`` than "NOTSET".
      strides: one for each spatial axis; ``None`` is 1.
      method, precision, preferred_element_type, out_sharding: as in ``jconvt.conv_transpose``.

    Returns:
      ``(N, M, output sizes...)``, of the operands' dtype.

    Raises:
      ArgumentError: a value that the operation is not defined for; a ``ValueError``.
      ArgumentTypeError: an argument of the wrong kind, such as a traced stride; a ``TypeError``.

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
        convention.kernel_layout(layout.rank).filters(w),
        spec,
        layout,
        name="ConvTranspose",
        method=method,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
    )
    return y if b is None else y + b.astype(y.dtype).reshape(1, -1, *[1] * layout.rank)
