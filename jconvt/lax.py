"""Transposed convolution with the signature of ``jax.lax``: a call of ``jax.lax.conv_transpose`` works with its name
replaced. Arguments that ``jax.lax.conv_transpose`` lacks are keyword-only.
"""

from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from ._conventions import lax as convention
from ._core import operation


def conv_transpose(
    lhs: ArrayLike,
    rhs: ArrayLike,
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    transpose_kernel: bool = False,
    precision: Any = None,
    preferred_element_type: Any = None,
    use_consistent_padding: bool = False,
    *,
    feature_group_count: int = 1,
    method: str = "auto",
    out_sharding: Any = None,
) -> jax.Array:
    """Compute a transposed convolution with the arguments of ``jax.lax.conv_transpose``, and with groups.

    The result equals a convolution of stride 1 over the padded ``lhs`` with ``stride - 1`` zeros between its pixels.
    With extent ``e = (k - 1) * dilation + 1``, stride ``s`` and input size ``n``:

    =============  =======================  ==============================
    padding        output size              position of the first output
    =============  =======================  ==============================
    SAME           s n                      max(0, e - s) // 2 on the canvas
    VALID          s n + max(0, e - s)      0 on the canvas
    (a, b)         s(n-1) + 2 - e + a + b   e - 1 - a on the canvas
    =============  =======================  ==============================

    The canvas is the area that the stamps cover. Sizes are clamped at 0.

    Without a spatial axis the result is the product of the matrices.

    Args:
      lhs: the input, ``(batch, spatial..., in)`` or as ``dimension_numbers`` say. Any integer, floating-point or
        complex dtype that XLA can convolve on the device, or booleans, which are multiplied by "and" and added by "or".
        Batch and sizes may be 0, and symbolic under ``jax.export``. Nested lists and NumPy arrays serve, too.
      rhs: the kernel, ``(k..., in / groups, out)`` or as ``dimension_numbers`` say, with the dtype of ``lhs``.
        Different dtypes, for which ``jax.lax`` raises an error, are promoted as in ``jax.numpy``. The kernel slides
        over the input as in a convolution, so it is stamped flipped.
      strides: one integer for each spatial axis.
      padding: "SAME", "VALID", or a pair (before, after) for each spatial axis: the padding of the dilated input.
        Negative numbers crop it. A pair is a tuple or a list. At stride 1, as in ``jax.lax``, "SAME_LOWER" and
        spellings that are not in capitals are the padding of a convolution that is not transposed: "valid" gives
        ``n - e + 1`` outputs. At other strides they raise an error.
      rhs_dilation: the spacing of the taps, one integer for each spatial axis. ``None`` means 1.
      dimension_numbers: names of the axes of ``lhs``, ``rhs`` and the result, like ``("NCHW", "OIHW", "NCHW")``, or a
        ``jax.lax.ConvDimensionNumbers``. Strides, paddings and dilations are in the order of the kernel's spatial axes.
        ``None`` means channels last, ``("NHWC", "HWIO", "NHWC")``, for up to three spatial axes.
      transpose_kernel: whether ``rhs`` is the kernel of the forward convolution, as in TensorFlow:
        ``(k..., out / groups, in)``, where ``dimension_numbers`` call the first channel axis "I". Its stamp is not
        flipped.
      precision: as in ``jax.lax.conv_general_dilated``.
      preferred_element_type: the dtype of the sums and of the result, at least as wide as that of the operands. Any
        dtype serves booleans: they are then numbers.
      use_consistent_padding: whether numbers in ``padding`` are the forward convolution's padding, which crops the
        result. A sequence may then hold "SAME" and "VALID", too.
      feature_group_count: the number of independent transposed convolutions that the channels are split into.
      method: as in ``jconvt.conv_transpose``.
      out_sharding: a ``jax.sharding.NamedSharding`` or ``PartitionSpec`` for the result.

    Returns:
      The output, ``(batch, output sizes..., out)`` or as ``dimension_numbers`` say, with the dtype of the operands.

    Raises:
      ArgumentError: the operation is not defined for a value; a ``ValueError``.
      ArgumentTypeError: an argument has the wrong type, such as a traced size; a ``TypeError``.

    >>> import jax.numpy as jnp
    >>> x, kernel = jnp.ones((1, 4, 1)), jnp.array([1.0, 10.0, 100.0]).reshape(3, 1, 1)
    >>> conv_transpose(x, kernel, (2,), "VALID").ravel()
    Array([100.,  10., 101.,  10., 101.,  10., 101.,  10.,   1.], dtype=float32)
    >>> conv_transpose(x, kernel, (2,), [(1, 1)], transpose_kernel=True).ravel()
    Array([ 10., 101.,  10., 101.,  10., 101.,  10.], dtype=float32)
    """
    x, w = operation.numbers_or_booleans(lhs=lhs, rhs=rhs)
    if x.ndim == w.ndim == 2:
        arguments = convention.with_spatial_axis(
            strides, padding, rhs_dilation, dimension_numbers, use_consistent_padding
        )
        y = conv_transpose(
            jax.lax.expand_dims(x, (2,)), jax.lax.expand_dims(w, (2,)), *arguments, transpose_kernel, precision,
            preferred_element_type, feature_group_count=feature_group_count, method=method, out_sharding=out_sharding,
        )  # fmt: skip
        return jax.lax.squeeze(y, (2,))
    spec, layout, kernel, input_order, output_order = convention.resolve_call(
        x.shape, w.shape, strides, padding, rhs_dilation, dimension_numbers, transpose_kernel, use_consistent_padding,
        feature_group_count=feature_group_count,
    )  # fmt: skip
    y = operation.transposed_convolution(
        jax.lax.transpose(x, input_order), operation.filters(w, kernel), spec, layout, name="conv_transpose",
        method=method, precision=precision, preferred_element_type=preferred_element_type,
        out_sharding=_before_transpose(out_sharding, output_order),
    )  # fmt: skip
    return jax.lax.transpose(y, output_order)


def _before_transpose(out_sharding: Any, order: Sequence[int]) -> Any:
    """The sharding of the result before its axes are transposed to this ``order``.

    A value that is not a sharding, or has too many entries, is returned unchanged and raises later.
    """
    if isinstance(out_sharding, NamedSharding):
        return NamedSharding(out_sharding.mesh, _before_transpose(out_sharding.spec, order))
    if not isinstance(out_sharding, PartitionSpec) or len(out_sharding) > len(order):
        return out_sharding
    entries = [*out_sharding, *[None] * (len(order) - len(out_sharding))]
    return PartitionSpec(*(entries[order.index(axis)] for axis in range(len(order))))
