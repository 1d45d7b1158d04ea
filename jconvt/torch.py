"""Transposed convolution with PyTorch's signatures: to convert a call of ``torch.nn.functional``, replace the module.

Channels come first, and the weight has PyTorch's layout. The operands are JAX arrays; PyTorch is not imported.
"""

from collections.abc import Sequence
from typing import Any

import jax
from jax.typing import ArrayLike

from ._conventions import torch as convention
from ._core import operation

Integers = int | Sequence[int]


def conv_transpose1d(
    input: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, stride: Integers = 1, padding: Integers = 0,
    output_padding: Integers = 0, groups: int = 1, dilation: Integers = 1, *, method: str = "auto",
    precision: Any = None, preferred_element_type: Any = None, out_sharding: Any = None,
) -> jax.Array:  # fmt: skip
    """Compute the transpose of a convolution over one axis, as ``torch.nn.functional.conv_transpose1d``.

    Args:
      input: ``(batch, in, width)``, or ``(in, width)``.
      weight: ``(in, out / groups, k)``.
      bias, stride, padding, output_padding, groups, dilation: as in ``conv_transpose2d``.
      method, precision, preferred_element_type, out_sharding: as in ``conv_transpose2d``.

    Returns:
      ``(batch, out, width)``, or ``(out, width)``, with the dtype of the operands.

    Raises:
      ArgumentError, ArgumentTypeError: as in ``conv_transpose2d``.

    >>> import jax.numpy as jnp
    >>> kernel = jnp.array([1.0, 10.0, 100.0]).reshape(1, 1, 3)
    >>> conv_transpose1d(jnp.ones((1, 1, 3)), kernel, stride=2, padding=1)[0, 0]
    Array([ 10., 101.,  10., 101.,  10.], dtype=float32)
    """
    return _call(
        1, input, weight, bias, stride, padding, output_padding, groups, dilation,
        method, precision, preferred_element_type, out_sharding,
    )  # fmt: skip


def conv_transpose2d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Integers = 1,
    padding: Integers = 0,
    output_padding: Integers = 0,
    groups: int = 1,
    dilation: Integers = 1,
    *,
    method: str = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> jax.Array:
    """Compute the transpose of a convolution over two axes, as ``torch.nn.functional.conv_transpose2d``.

    Each input pixel stamps the kernel, scaled by its value, on a canvas. Overlapping stamps add up. ``padding`` pixels
    are cropped at both ends, and ``output_padding`` fewer at the end of each axis. With extent
    ``e = (k - 1) * dilation + 1``, the output size for input size ``n`` is::

        (n - 1) * stride - 2 * padding + e + output_padding

    Args:
      input: ``(batch, in, height, width)``, or ``(in, height, width)``. Any integer, floating-point or complex dtype
        that XLA can convolve on the device. The batch may be empty.
      weight: ``(in, out / groups, kh, kw)``, with the dtype of ``input``. Different dtypes, also that of the bias, are
        promoted as in ``jax.numpy``. Output channel ``g * out / groups + o`` belongs to group ``g``.
      bias: ``(out,)``, added to each pixel in the dtype of the result.
      stride: the distance between neighboring stamps: an integer, or a sequence of 1 or 2.
      padding: the padding of the forward convolution at both ends, which is the crop here; like ``stride``, but from 0.
      output_padding: how much less is cropped at the end; like ``stride``, but at least 0, and less than the larger of
        stride and dilation. Positions past the last stamp are zero, before the bias.
      groups: the number of independent transposed convolutions that the channels of input and output are split into.
      dilation: the spacing of the taps, as ``stride``.
      method: as in ``jconvt.conv_transpose``.
      precision: as in ``jax.lax.conv_general_dilated``.
      preferred_element_type: the dtype of the sums and of the result, at least as wide as that of the operands. By
        default, float16 and bfloat16 are summed in float32 and rounded once, before the bias is added.
      out_sharding: a ``jax.sharding.NamedSharding`` or ``PartitionSpec`` for the result.

    Returns:
      ``(batch, out, height, width)``, or ``(out, height, width)``, with the dtype of the operands.

    Raises:
      ArgumentError: the operation is not defined for a value, such as one that leaves no pixel; a ``ValueError``.
      ArgumentTypeError: an argument has the wrong type, such as a traced stride; a ``TypeError``.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 1, 2, 2)
    >>> kernel = jnp.array([[1.0, 10.0], [100.0, 1000.0]]).reshape(1, 1, 2, 2)
    >>> conv_transpose2d(x, kernel, jnp.array([0.5]), stride=2)[0, 0, 0]
    Array([ 1.5, 10.5,  2.5, 20.5], dtype=float32)
    """
    return _call(
        2, input, weight, bias, stride, padding, output_padding, groups, dilation,
        method, precision, preferred_element_type, out_sharding,
    )  # fmt: skip


def conv_transpose3d(
    input: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, stride: Integers = 1, padding: Integers = 0,
    output_padding: Integers = 0, groups: int = 1, dilation: Integers = 1, *, method: str = "auto",
    precision: Any = None, preferred_element_type: Any = None, out_sharding: Any = None,
) -> jax.Array:  # fmt: skip
    """Compute the transpose of a convolution over three axes, as ``torch.nn.functional.conv_transpose3d``.

    Args:
      input: ``(batch, in, depth, height, width)``, or ``(in, depth, height, width)``.
      weight: ``(in, out / groups, kd, kh, kw)``.
      bias, stride, padding, output_padding, groups, dilation: as in ``conv_transpose2d``.
      method, precision, preferred_element_type, out_sharding: as in ``conv_transpose2d``.

    Returns:
      ``(batch, out, depth, height, width)``, or ``(out, depth, height, width)``, with the dtype of the operands.

    Raises:
      ArgumentError, ArgumentTypeError: as in ``conv_transpose2d``.

    >>> import jax.numpy as jnp
    >>> conv_transpose3d(jnp.ones((1, 8, 2, 2, 2)), jnp.ones((8, 3, 4, 4, 4)), stride=2, padding=1).shape
    (1, 3, 4, 4, 4)
    """
    return _call(
        3, input, weight, bias, stride, padding, output_padding, groups, dilation,
        method, precision, preferred_element_type, out_sharding,
    )  # fmt: skip


def _call(
    rank: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, output_padding: Any, groups: Any,
    dilation: Any, method: Any, precision: Any, preferred_element_type: Any, out_sharding: Any,
) -> jax.Array:  # fmt: skip
    x, w, *rest = operation.operands(input=input, weight=weight, **({} if bias is None else {"bias": bias}))
    b = rest[0] if rest else None
    spec, layout = convention.resolve(
        x.shape, w.shape, stride, padding, output_padding, groups, dilation,
        rank=rank, bias_shape=None if b is None else b.shape,
    )  # fmt: skip
    batched = x.ndim == rank + 2
    y = operation.transposed_convolution(
        x if batched else x[None],
        operation.filters(w, convention.kernel_layout(rank)),
        spec,
        layout,
        name=f"conv_transpose{rank}d",
        method=method,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding if batched else _with_batch_axis(out_sharding),
    )
    if b is not None:
        y = y + b.astype(y.dtype).reshape(1, -1, *[1] * rank)
    return y if batched else y[0]


def _with_batch_axis(out_sharding: Any) -> Any:
    """The sharding of a batch of one. A value that is not a sharding raises later."""
    if isinstance(out_sharding, jax.sharding.NamedSharding):
        return jax.sharding.NamedSharding(out_sharding.mesh, _with_batch_axis(out_sharding.spec))
    if isinstance(out_sharding, jax.sharding.PartitionSpec):
        return jax.sharding.PartitionSpec(None, *out_sharding)
    return out_sharding
