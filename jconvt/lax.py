"""Transposed convolution as ``jax.lax`` calls it: a call of ``jax.lax.conv_transpose`` works with the name replaced.

What ``jax.lax.conv_transpose`` has no argument for is keyword-only.
"""

from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from ._conventions import lax as convention
from ._conventions._dimension_numbers import Dimensions, dimensions
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
    """Transposed convolution with the arguments of ``jax.lax.conv_transpose``, and with groups.

    The result is a convolution of stride 1 over ``lhs`` with ``stride - 1`` zeros between its pixels, padded; what is
    computed is the same without the zeros. With the extent ``e = (k - 1) * dilation + 1`` of the kernel, stride ``s``
    and input size ``n``:

    =============  =======================  ==============================
    padding        output size              the first output lies
    =============  =======================  ==============================
    SAME           s n                      max(0, e - s) // 2 past the start of the canvas
    VALID          s n + max(0, e - s)      at the start of the canvas
    (a, b)         s(n-1) + 2 - e + a + b   e - 1 - a past the start
    =============  =======================  ==============================

    The canvas is all that the stamps of the kernel cover. No size is below 0.

    Two things differ from ``jax.lax``. "same" and "valid" in lower case are read as "SAME" and "VALID"; there they pad
    as for a convolution, or are refused. And dtypes that differ are promoted as ``jax.numpy`` promotes them.

    Args:
      lhs: the input, ``(batch, spatial..., in)`` or as ``dimension_numbers`` say. Any integer, floating or complex
        dtype that XLA can convolve on the device; batch and sizes may be 0, and symbolic under ``jax.export``.
      rhs: the kernel, ``(k..., in / groups, out)`` or as ``dimension_numbers`` say, of ``lhs``'s dtype. It slides over
        the input as a convolution's; that stamps it backwards.
      strides: one integer for each spatial axis.
      padding: "SAME", "VALID" (in any case), or a pair (before, after) for each spatial axis: what is added to the
        input, or removed where it is negative.
      rhs_dilation: spacing of the kernel's taps, one integer for each spatial axis; ``None`` is 1.
      dimension_numbers: names of the axes of ``lhs``, ``rhs`` and the result, like ``("NCHW", "OIHW", "NCHW")``, or a
        ``jax.lax.ConvDimensionNumbers``. Strides, paddings and dilations are in the order of the kernel's spatial axes.
        ``None`` is channels last, ``("NHWC", "HWIO", "NHWC")``, for up to three spatial axes.
      transpose_kernel: whether ``rhs`` is the kernel of the convolution that is transposed, as TensorFlow's is:
        ``(k..., out / groups, in)``, where ``dimension_numbers`` name the first of the channels "I", and stamped as
        it is.
      precision: as in ``jax.lax.conv_general_dilated``.
      preferred_element_type: dtype of the sums and of the result, no narrower than the operands'.
      use_consistent_padding: whether pairs are the padding of the convolution that is transposed, so what is cropped
        from the canvas.
      feature_group_count: splits the channels of input and output into as many independent transposed convolutions.
      method: how to compute it, as in ``jconvt.conv_transpose``.
      out_sharding: a ``jax.sharding.NamedSharding`` or ``PartitionSpec`` for the result.

    Returns:
      The output, ``(batch, output sizes..., out)`` or as ``dimension_numbers`` say, of the operands' dtype.

    Raises:
      ArgumentError: a value that the operation is not defined for; a ``ValueError``.
      ArgumentTypeError: an argument of the wrong kind, such as a traced size; a ``TypeError``.

    >>> import jax.numpy as jnp
    >>> x, kernel = jnp.ones((1, 4, 1)), jnp.array([1.0, 10.0, 100.0]).reshape(3, 1, 1)
    >>> conv_transpose(x, kernel, (2,), "VALID").ravel()
    Array([100.,  10., 101.,  10., 101.,  10., 101.,  10.,   1.], dtype=float32)
    >>> conv_transpose(x, kernel, (2,), [(1, 1)], transpose_kernel=True).ravel()
    Array([ 10., 101.,  10., 101.,  10., 101.,  10.], dtype=float32)
    """
    x, w = operation.operands(lhs=lhs, rhs=rhs)
    spec, layout = convention.resolve(
        x.shape,
        w.shape,
        strides,
        padding,
        rhs_dilation,
        dimension_numbers,
        transpose_kernel,
        use_consistent_padding,
        feature_group_count=feature_group_count,
    )
    numbers = dimensions(dimension_numbers, layout.rank)
    kernel = convention.kernel_layout(layout.rank, dimension_numbers, transpose_kernel, spec.groups)
    y = operation.transposed_convolution(
        x.transpose(numbers.input_order),
        kernel.filters(w),
        spec,
        layout,
        name="conv_transpose",
        method=method,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=_before(out_sharding, numbers),
    )
    return y.transpose(numbers.output_order)


def _before(out_sharding: Any, numbers: Dimensions) -> Any:
    """The sharding of the result before its axes are brought into the output's order.

    What is none, or has too many entries, stays as it is: it is refused where shardings are checked.
    """
    order = numbers.output_order
    if isinstance(out_sharding, NamedSharding):
        return NamedSharding(out_sharding.mesh, _before(out_sharding.spec, numbers))
    if not isinstance(out_sharding, PartitionSpec) or len(out_sharding) > len(order):
        return out_sharding
    entries = [*out_sharding, *[None] * (len(order) - len(out_sharding))]
    return PartitionSpec(*(entries[order.index(axis)] for axis in range(len(order))))
