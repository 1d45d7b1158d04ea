"""Transposed convolution with the signature of ``jax.lax``: a call of ``jax.lax.conv_transpose`` works with its name
replaced. Arguments that ``jax.lax.conv_transpose`` lacks are keyword-only.

``recognize`` reads any other convolution of ``jax.lax`` as one of the three maps.
"""

from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from ._conventions import lax as convention
from ._conventions.dimension_numbers import Dimensions
from ._core import convolution_arguments, operation
from ._core.recognition import Convolution, Reading, readings
from ._geometry.maps import Map

__all__ = ["Convolution", "Dimensions", "Map", "Reading", "conv_transpose", "recognize"]


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


def recognize(
    lhs_shape: Sequence[int],
    rhs_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
) -> tuple[Reading, ...]:
    """Read a convolution of ``jax.lax`` as one of the three maps. Nothing is computed.

    ``jax.lax.conv_general_dilated`` computes ordinary convolutions (map F), their input gradients (map T, a transposed
    convolution) and their kernel gradients (map G). Which one a call is follows from its strides and dilations. Often
    it is two: F of an image and a kernel is also G of two images, of which one is as small as a kernel. Both have the
    same sums, in loops of another order.

    Args:
      lhs_shape, rhs_shape: the shapes of the operands. With the default ``dimension_numbers``,
        ``(batch, in, spatial...)`` and ``(out, in / feature_group_count, k...)``.
      window_strides: one integer for each spatial axis.
      padding: "SAME", "SAME_LOWER", "VALID", or a pair (before, after) for each spatial axis. Negative numbers crop.
        If ``lhs`` is dilated, the padding has no name, as in ``jax.lax``.
      lhs_dilation, rhs_dilation: one integer for each spatial axis. ``None`` means 1.
      dimension_numbers: names of the axes of ``lhs``, ``rhs`` and the result, like ``("NHWC", "HWIO", "NHWC")``, or a
        ``jax.lax.ConvDimensionNumbers``. As in ``jax.lax``, ``None`` means ``("NCHW", "OIHW", "NCHW")``.
      feature_group_count: the number of groups that the channels are split into.
      batch_group_count: the number of groups that the batch is split into. JAX writes the kernel gradient of a grouped
        convolution with it.

    Returns:
      One ``Reading`` for each map that the convolution is. Each computes the whole convolution.

    Raises:
      ArgumentError: an argument has a value that ``jax.lax`` has no convolution for, or the convolution is none of the
        maps: it has no spatial axis; an operand or the output is empty; or it has a window stride and both dilations,
        or groups and two of these that exclude all maps. The message says which.
      ArgumentTypeError: an argument has the wrong type, such as a symbolic or traced size.

    >>> numbers = ("NHWC", "HWIO", "NHWC")
    >>> found = recognize((8, 32, 32, 64), (3, 3, 64, 128), (2, 2), "SAME", dimension_numbers=numbers)
    >>> [each.map.symbol for each in found]
    ['F', 'G']
    >>> found[0].spec.axes[0]
    Axis(kernel=3, stride=2, dilation=1, lo=0, hi=1)
    >>> found[0].roles  # x is the result, w is rhs, and z is lhs
    ('out', 'rhs', 'lhs')

    The gradient of this convolution in its input:

    >>> pads = [(2, 1), (2, 1)]
    >>> dilation = (2, 2)
    >>> found = recognize((8, 16, 16, 128), (3, 3, 128, 64), (1, 1), pads, dilation, dimension_numbers=numbers)
    >>> [each.map.symbol for each in found]
    ['T', 'G']

    And back:

    >>> found[0].convolution().lhs_dilation
    (2, 2)
    """
    return tuple(
        readings(
            convolution_arguments.read(
                lhs_shape, rhs_shape, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers,
                feature_group_count, batch_group_count,
            )
        )
    )  # fmt: skip


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
