"""Transposed convolution with Keras's signature: to convert a call of ``keras.ops``, replace the module name.

The results equal those of Keras on JAX. Arguments that Keras lacks are keyword-only.
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
    """Compute the transpose of a convolution over any number of spatial dimensions, as ``keras.ops.conv_transpose``.

    Each input pixel stamps the kernel, scaled by its value, on a canvas. Overlapping stamps add up. The canvas is
    cropped to the output size, or padded with zeros at its end. With extent ``e = (k - 1) * dilation_rate + 1``, stride
    ``s`` and input size ``n``, the output size is:

    ========  ===================  ======================
    padding   output_padding None  output_padding p
    ========  ===================  ======================
    "same"    s n                  s(n-1) + e % 2 + p
    "valid"   s n + max(e - s, 0)  s(n-1) + e + p
    ========  ===================  ======================

    Half of the crop, rounded down, is at the start. Keras on JAX accepts any ``p``. Keras on TensorFlow computes the
    same result, or raises an error if TensorFlow does not support the size.

    Args:
      inputs: ``(batch, spatial..., in)``, or ``(batch, in, spatial...)`` with ``data_format="channels_first"``. Any
        integer, floating-point or complex dtype that XLA can convolve on the device, or booleans, as in
        ``jconvt.lax.conv_transpose``. Batch and sizes may be 0: no pixels give ``s - 1`` positions more than above.
      kernel: ``(k..., out / groups, in)``, with the dtype of ``inputs``. Different dtypes, for which Keras raises an
        error, are promoted as in ``jax.numpy``. Output channel ``g * out / groups + o`` belongs to group ``g``.
      strides: an integer of at least 1, or one for each spatial axis.
      padding: "valid" or "same", in any case.
      output_padding: an integer of at least 0, or one for each spatial axis, which chooses the output size as above.
        ``None`` and 0 differ.
      data_format: "channels_last" or "channels_first", in any case. ``None`` means ``keras.config.image_data_format()``
        if the program has imported Keras, and else channels last.
      dilation_rate: the spacing of the taps, as ``strides``.
      groups: the number of independent transposed convolutions that the channels of input and output are split into.
      method, precision, preferred_element_type, out_sharding: as in ``jconvt.conv_transpose``.

    Returns:
      ``(batch, output sizes..., out)`` in the order of ``data_format``, with the dtype of the operands.

    Raises:
      ArgumentError: the operation is not defined for a value; a ``ValueError``.
      ArgumentTypeError: an argument has the wrong type, such as a traced stride; a ``TypeError``.

    >>> import jax.numpy as jnp
    >>> inputs, kernel = jnp.ones((1, 4, 1)), jnp.array([1.0, 10.0, 100.0]).reshape(3, 1, 1)
    >>> conv_transpose(inputs, kernel, 2, "same").ravel()
    Array([  1.,  10., 101.,  10., 101.,  10., 101.,  10.], dtype=float32)
    >>> conv_transpose(inputs, kernel, 2, "same", output_padding=0).ravel()
    Array([ 10., 101.,  10., 101.,  10., 101.,  10.], dtype=float32)
    """
    x, w = operation.numbers_or_booleans(inputs=inputs, kernel=kernel)
    spec, layout = convention.resolve(
        x.shape, w.shape, strides, padding, output_padding, data_format, dilation_rate, groups=groups
    )
    return operation.transposed_convolution(
        x,
        operation.filters(w, convention.kernel_layout(spec.rank)),
        spec,
        layout,
        name="conv_transpose",
        method=method,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
    )
