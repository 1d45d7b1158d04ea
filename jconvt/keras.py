"""Transposed convolution as Keras calls it: a call written for ``keras.ops`` works with the module's name replaced.

It is what Keras computes on JAX. What Keras has no argument for is keyword-only.
"""

from collections.abc import Sequence
from typing import Any

import jax
from jax.typing import ArrayLike

from ._conventions import keras as convention
from ._core import operation


def conv_transpose(
    inputs: ArrayLike,
    kernel: ArrayLike,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    output_padding: int | Sequence[int] | None = None,
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
    *,
    groups: int = 1,
    method: str = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> jax.Array:
    """The transpose of a convolution, in any number of spatial dimensions, as ``keras.ops.conv_transpose``.

    Each input pixel stamps the kernel, scaled by its value, on a canvas; where stamps overlap they add up; the canvas
    is cropped to the output size, or zeros are added at its end. With the extent ``e = (k - 1) * dilation_rate + 1`` of
    one stamp, stride ``s`` and input size ``n``, that size is:

    ========  ===================  ======================
    padding   output_padding None  output_padding p
    ========  ===================  ======================
    "same"    s n                  s(n-1) + e % 2 + p
    "valid"   s n + max(e - s, 0)  s(n-1) + e + p
    ========  ===================  ======================

    Of what is cropped, half is at the start, rounded down. This is Keras on JAX, which takes any ``p``; on TensorFlow
    it computes the same or, where TensorFlow has no such size, nothing.

    Args:
      inputs: ``(batch, spatial..., in)``, or ``(batch, in, spatial...)`` with ``data_format="channels_first"``. Any
        integer, floating or complex dtype that XLA can convolve on the device; batch and sizes may be 0.
      kernel: ``(k..., out / groups, in)``, of ``inputs``'s dtype; dtypes that differ are promoted as ``jax.numpy``
        promotes them. Output channel ``g * out / groups + o`` belongs to group ``g``.
      strides: an integer of at least 1, or one for each spatial axis.
      padding: "valid" or "same", in any case.
      output_padding: an integer of at least 0, or one for each spatial axis, which chooses the output size as above;
        ``None`` is not 0.
      data_format: "channels_last" or "channels_first", in any case. ``None`` is channels last: Keras's global setting
        is not asked.
      dilation_rate: spacing of the kernel's taps, as ``strides``.
      groups: splits the channels of input and output into as many independent transposed convolutions.
      method, precision, preferred_element_type, out_sharding: as in ``jconvt.conv_transpose``.

    Returns:
      ``(batch, output sizes..., out)`` in the order of ``data_format``, of the operands' dtype.

    Raises:
      ArgumentError: a value that the operation is not defined for; a ``ValueError``.
      ArgumentTypeError: an argument of the wrong kind, such as a traced stride; a ``TypeError``.

    >>> import jax.numpy as jnp
    >>> inputs, kernel = jnp.ones((1, 4, 1)), jnp.array([1.0, 10.0, 100.0]).reshape(3, 1, 1)
    >>> conv_transpose(inputs, kernel, 2, "same").ravel()
    Array([  1.,  10., 101.,  10., 101.,  10., 101.,  10.], dtype=float32)
    >>> conv_transpose(inputs, kernel, 2, "same", output_padding=0).ravel()
    Array([ 10., 101.,  10., 101.,  10., 101.,  10.], dtype=float32)
    """
    x, w = operation.operands(inputs=inputs, kernel=kernel)
    spec, layout = convention.resolve(
        x.shape, w.shape, strides, padding, output_padding, data_format, dilation_rate, groups=groups
    )
    return operation.transposed_convolution(
        x,
        convention.kernel_layout(spec.rank).filters(w),
        spec,
        layout,
        name="conv_transpose",
        method=method,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
    )
