"""Transposed convolution with TensorFlow's signatures: to convert a call of ``tf.nn``, replace the module name.

Features that TensorFlow supports only on some devices or in some dtypes work everywhere: channels first, dilation,
groups. So does explicit padding in one and three dimensions. Arguments that TensorFlow lacks are keyword-only.
"""

from collections.abc import Sequence
from typing import Any

import jax
from jax.typing import ArrayLike

from ._conventions import tensorflow as convention
from ._core import operation
from ._geometry.arguments import integer, sequence
from .errors import ArgumentError, ArgumentTypeError

Integers = int | Sequence[int]
Paddings = str | Sequence[Sequence[int]]


def conv_transpose(
    input: ArrayLike,
    filters: ArrayLike,
    output_shape: Sequence[Any] | None = None,
    strides: Integers = 1,
    padding: Paddings = "SAME",
    data_format: str | None = None,
    dilations: Integers | None = None,
    name: str | None = None,
    *,
    output_padding: Integers | None = None,
    groups: int = 1,
    method: str = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> jax.Array:
    """Compute the transpose of a convolution over any number of spatial dimensions, as ``tf.nn.conv_transpose``.

    Each input pixel stamps the kernel, scaled by its value, on a canvas. Overlapping stamps add up. The canvas is
    cropped to the output size. The result is the gradient of ``tf.nn.convolution`` with respect to its input::

        output[n, i * stride + t * dilation - lo, o]  =  sum over i, t, c of  input[n, i, c] * filters[t, o, c]

    With extent ``e = (k - 1) * dilation + 1``, stride ``s`` and input size ``n``, the legal output sizes, the crop
    ``lo`` at the start and the default size are:

    ========  ============================  ==========================  ======================
    padding   legal sizes                   lo                          default
    ========  ============================  ==========================  ======================
    SAME      s(n-1) + 1 to s n             max(0, s(n-1)+e-size) // 2  s n
    VALID     s(n-1) + e to s n + e - 1     0                           s n + max(e - s, 0)
    (a, b)    VALID's, minus a + b          a                           VALID's, minus a + b
    ========  ============================  ==========================  ======================

    Sizes are clamped at 0, including when a + b is larger than the canvas.

    Args:
      input: ``(batch, spatial..., in)``, or ``(batch, in, spatial...)`` if ``data_format`` starts with "NC". Any
        integer, floating-point or complex dtype that XLA can convolve on the device. Batch and sizes may be 0.
      filters: ``(k..., out / groups, in)``, with the dtype of ``input``. Different dtypes are promoted as in
        ``jax.numpy``. Output channel ``g * out / groups + o`` belongs to group ``g``.
      output_shape: the full shape of the output in the order of ``data_format``, or its spatial sizes. Under
        ``jax.export`` they may be symbolic. If the full shape has ``m * filters.shape[-2]`` channels and ``groups`` is
        1, ``groups`` becomes ``m``, as in TensorFlow.
      strides: an integer, or a sequence of 1, rank or rank + 2. Those of batch and channels must be 1.
      padding: "SAME", "VALID" (in any case), or a pair (before, after) for each axis of the output, or for each
        spatial axis: the padding of the forward convolution, which is the crop here.
      data_format: "NWC", "NCW", "NHWC", "NCHW", "NDHWC" or "NCDHW". ``None`` means channels last. With four or more
        spatial axes, any other letters may name them.
      dilations: the spacing of the taps, as ``strides``. ``None`` means 1.
      name: the name of the operation in compiled programs and profiles.
      output_padding: chooses the output size instead of ``output_shape``, as in ``tf.keras.layers.Conv2DTranspose``:
        ``s(n-1) + e + p``, minus ``2 * (e // 2)`` under SAME, minus ``a + b`` under explicit padding. An integer, or
        one for each spatial axis. The resulting size must be legal.
      groups: the number of independent transposed convolutions that the channels of input and output are split into.
      method: "auto"; "dilated", a convolution over a dilated input with a flipped kernel; "vjp", the vector-Jacobian
        product of the forward convolution; "polyphase", a dense convolution for each output phase; "gemm", matrix
        products that overlap and add; "reference", NumPy loops that define the result. The programs of "polyphase"
        and "gemm" grow with the stride and with kernel size / stride; above a limit they raise an error. If XLA shards
        the program over automatic mesh axes, ``method`` is ignored: see ``jconvt.choose`` with ``devices``.
      precision: as in ``jax.lax.conv_general_dilated``.
      preferred_element_type: the dtype of the sums and of the result, at least as wide as that of the operands. By
        default, float16 and bfloat16 are summed in float32 and rounded once.
      out_sharding: a ``jax.sharding.NamedSharding`` or ``PartitionSpec`` for the result.

    Returns:
      ``(batch, output sizes..., out)`` in the order of ``data_format``, with the dtype of the operands.

    Raises:
      ArgumentError: the operation is not defined for a value; a ``ValueError``.
      ArgumentTypeError: an argument has the wrong type, such as a traced size; a ``TypeError``.

    >>> import jax.numpy as jnp
    >>> x, kernel = jnp.ones((1, 4, 1)), jnp.array([1.0, 10.0, 100.0]).reshape(3, 1, 1)
    >>> conv_transpose(x, kernel, strides=2).ravel()
    Array([  1.,  10., 101.,  10., 101.,  10., 101.,  10.], dtype=float32)
    >>> conv_transpose(x, kernel, [1, 7, 1], strides=2).ravel()
    Array([ 10., 101.,  10., 101.,  10., 101.,  10.], dtype=float32)

    References:
      Size rules: "Notes on padding" in the documentation of ``tf.nn``; Keras's ``deconv_output_length``. Transposed
      convolution: Dumoulin and Visin, arXiv 1603.07285; Zeiler et al., "Deconvolutional Networks", CVPR 2010.
    """
    return _call(
        "conv_transpose", None, input, filters, output_shape, strides, padding, data_format, dilations, name,
        output_padding, groups, method, precision, preferred_element_type, out_sharding,
    )  # fmt: skip


def conv1d_transpose(
    input: ArrayLike, filters: ArrayLike, output_shape: Sequence[Any] | None = None, strides: Integers = 1,
    padding: Paddings = "SAME", data_format: str | None = None, dilations: Integers | None = None,
    name: str | None = None, *, output_padding: Integers | None = None, groups: int = 1, method: str = "auto",
    precision: Any = None, preferred_element_type: Any = None, out_sharding: Any = None,
) -> jax.Array:  # fmt: skip
    """Compute the transpose of ``tf.nn.conv1d``, as ``tf.nn.conv1d_transpose``.

    Args:
      input: ``(batch, width, in)``, or channels first with ``data_format="NCW"``.
      filters: ``(k, out / groups, in)``.
      output_shape, strides, padding, data_format, dilations, name: as in ``conv_transpose``.
      output_padding, groups, method, precision, preferred_element_type, out_sharding: as in ``conv_transpose``.

    Returns:
      ``(batch, width, out)``, with the dtype of the operands.

    Raises:
      ArgumentError, ArgumentTypeError: as in ``conv_transpose``.

    >>> import jax.numpy as jnp
    >>> conv1d_transpose(jnp.ones((1, 3, 1)), jnp.ones((2, 1, 1)), strides=2).ravel()
    Array([1., 1., 1., 1., 1., 1.], dtype=float32)
    """
    return _call(
        "conv1d_transpose", 1, input, filters, output_shape, strides, padding, data_format, dilations, name,
        output_padding, groups, method, precision, preferred_element_type, out_sharding,
    )  # fmt: skip


def conv2d_transpose(
    input: ArrayLike, filters: ArrayLike, output_shape: Sequence[Any] | None = None, strides: Integers = 1,
    padding: Paddings = "SAME", data_format: str | None = None, dilations: Integers | None = None,
    name: str | None = None, *, output_padding: Integers | None = None, groups: int = 1, method: str = "auto",
    precision: Any = None, preferred_element_type: Any = None, out_sharding: Any = None,
) -> jax.Array:  # fmt: skip
    """Compute the transpose of ``tf.nn.conv2d``, as ``tf.nn.conv2d_transpose``.

    Args:
      input: ``(batch, height, width, in)``, or channels first with ``data_format="NCHW"``.
      filters: ``(kh, kw, out / groups, in)``.
      output_shape, strides, padding, data_format, dilations, name: as in ``conv_transpose``.
      output_padding, groups, method, precision, preferred_element_type, out_sharding: as in ``conv_transpose``.

    Returns:
      ``(batch, height, width, out)``, with the dtype of the operands.

    Raises:
      ArgumentError, ArgumentTypeError: as in ``conv_transpose``.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([[-67.0, -77.0], [-117.0, -127.0]]).reshape(1, 2, 2, 1)
    >>> kernel = jnp.array([[-1.0, 2.0, -3.0], [4.0, -5.0, 6.0], [-7.0, 8.0, -9.0]]).reshape(3, 3, 1, 1)
    >>> conv2d_transpose(x, kernel, [1, 5, 5, 1], strides=2, padding="VALID")[0, 0, :, 0]
    Array([  67., -134.,  278., -154.,  231.], dtype=float32)
    """
    return _call(
        "conv2d_transpose", 2, input, filters, output_shape, strides, padding, data_format, dilations, name,
        output_padding, groups, method, precision, preferred_element_type, out_sharding,
    )  # fmt: skip


def conv3d_transpose(
    input: ArrayLike, filters: ArrayLike, output_shape: Sequence[Any] | None = None, strides: Integers = 1,
    padding: Paddings = "SAME", data_format: str | None = None, dilations: Integers | None = None,
    name: str | None = None, *, output_padding: Integers | None = None, groups: int = 1, method: str = "auto",
    precision: Any = None, preferred_element_type: Any = None, out_sharding: Any = None,
) -> jax.Array:  # fmt: skip
    """Compute the transpose of ``tf.nn.conv3d``, as ``tf.nn.conv3d_transpose``.

    Args:
      input: ``(batch, depth, height, width, in)``, or channels first with ``data_format="NCDHW"``.
      filters: ``(kd, kh, kw, out / groups, in)``.
      output_shape, strides, padding, data_format, dilations, name: as in ``conv_transpose``.
      output_padding, groups, method, precision, preferred_element_type, out_sharding: as in ``conv_transpose``.

    Returns:
      ``(batch, depth, height, width, out)``, with the dtype of the operands.

    Raises:
      ArgumentError, ArgumentTypeError: as in ``conv_transpose``.

    >>> import jax.numpy as jnp
    >>> conv3d_transpose(jnp.ones((1, 2, 2, 2, 8)), jnp.ones((4, 4, 4, 3, 8)), strides=2).shape
    (1, 4, 4, 4, 3)
    """
    return _call(
        "conv3d_transpose", 3, input, filters, output_shape, strides, padding, data_format, dilations, name,
        output_padding, groups, method, precision, preferred_element_type, out_sharding,
    )  # fmt: skip


def atrous_conv2d_transpose(
    value: ArrayLike, filters: ArrayLike, output_shape: Sequence[Any] | None, rate: int, padding: str,
    name: str | None = None, *, groups: int = 1, method: str = "auto", precision: Any = None,
    preferred_element_type: Any = None, out_sharding: Any = None,
) -> jax.Array:  # fmt: skip
    """Compute the transpose of ``tf.nn.atrous_conv2d``, as ``tf.nn.atrous_conv2d_transpose``, with stride 1.

    Args:
      value: ``(batch, height, width, in)``.
      filters: ``(kh, kw, out / groups, in)``.
      output_shape: ``(batch, height, width, out)`` or ``(height, width)``; ``None`` means the only legal size.
      rate: the dilation along height and width.
      padding: "SAME" or "VALID", or explicit pairs.
      name: the name of the operation.
      groups, method, precision, preferred_element_type, out_sharding: as in ``conv_transpose``.

    Returns:
      ``(batch, height, width, out)``; under VALID, sizes are larger by ``(k - 1) * rate``.

    Raises:
      ArgumentError, ArgumentTypeError: as in ``conv_transpose``.

    >>> import jax.numpy as jnp
    >>> atrous_conv2d_transpose(jnp.ones((1, 5, 5, 2)), jnp.ones((3, 3, 4, 2)), [1, 9, 9, 4], 2, "VALID").shape
    (1, 9, 9, 4)
    """
    return _call(
        "atrous_conv2d_transpose", 2, value, filters, output_shape, 1, padding, None, integer(rate, "rate", lowest=1),
        name, None, groups, method, precision, preferred_element_type, out_sharding,
        ("value", "filters", "output_shape"),
    )  # fmt: skip


def conv2d_backprop_input(
    input_sizes: Sequence[Any],
    filter: ArrayLike | None = None,
    out_backprop: ArrayLike | None = None,
    strides: Integers | None = None,
    padding: Paddings | None = None,
    use_cudnn_on_gpu: bool = True,
    data_format: str = "NHWC",
    dilations: Integers = (1, 1, 1, 1),
    name: str | None = None,
    filters: ArrayLike | None = None,
    *,
    explicit_paddings: Sequence[int] = (),
    groups: int = 1,
    method: str = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> jax.Array:
    """Compute the gradient of ``tf.nn.conv2d`` with respect to its input, as ``tf.compat.v1.nn.conv2d_backprop_input``.

    The keywords of ``tf.raw_ops.Conv2DBackpropInput`` work, too.

    Args:
      input_sizes: the shape of the forward convolution's input, which is the shape of the result: four sizes, or two
        spatial sizes.
      filter: ``(kh, kw, out / groups, in)``; also accepted as ``filters``.
      out_backprop: the gradient in the forward convolution's output: ``(batch, height, width, in)``, or channels first.
      strides: as in ``conv_transpose``.
      padding: "SAME", "VALID", "EXPLICIT", or explicit pairs.
      use_cudnn_on_gpu: accepted and ignored, because XLA decides.
      data_format: "NHWC" or "NCHW".
      dilations: as in ``conv_transpose``.
      name: the name of the operation.
      filters: another name for ``filter``.
      explicit_paddings: with ``padding="EXPLICIT"``, eight numbers: (before, after) of each axis in turn.
      groups, method, precision, preferred_element_type, out_sharding: as in ``conv_transpose``.

    Returns:
      The gradient, with the shape of the forward convolution's input, in the order of ``data_format``.

    Raises:
      ArgumentError, ArgumentTypeError: as in ``conv_transpose``.

    >>> import jax.numpy as jnp
    >>> kernel, gradient = jnp.ones((3, 3, 1, 1)), jnp.ones((1, 2, 2, 1))
    >>> conv2d_backprop_input([1, 5, 5, 1], kernel, gradient, strides=2, padding="VALID")[0, :, :, 0]
    Array([[1., 1., 2., 1., 1.],
           [1., 1., 2., 1., 1.],
           [2., 2., 4., 2., 2.],
           [1., 1., 2., 1., 1.],
           [1., 1., 2., 1., 1.]], dtype=float32)
    """
    del use_cudnn_on_gpu
    if (filter is None) == (filters is None):
        raise ArgumentTypeError(
            "conv2d_backprop_input takes one kernel",
            got="neither filter nor filters" if filter is None else "both filter and filters",
            legal="filter, or its other name filters",
            fix="pass filter=...",
        )
    required = {"input_sizes": input_sizes, "out_backprop": out_backprop, "strides": strides, "padding": padding}
    for argument, value in required.items():
        if value is None:
            raise ArgumentTypeError(
                f"conv2d_backprop_input needs {argument}",
                got=f"{argument} = None",
                legal=f"{argument} as in tf.compat.v1.nn.conv2d_backprop_input",
                fix=f"pass {argument}=...",
            )
    return _call(
        "conv2d_backprop_input", 2, out_backprop, filter if filters is None else filters, input_sizes, strides,
        _explicit(padding, explicit_paddings), data_format, dilations, name, None, groups, method, precision,
        preferred_element_type, out_sharding, ("out_backprop", "filter", "input_sizes"),
    )  # fmt: skip


def _explicit(padding: Any, explicit_paddings: Sequence[int]) -> Any:
    """The pairs of ``padding="EXPLICIT"``, which the raw operation takes as a flat list."""
    numbers = sequence(explicit_paddings, "explicit_paddings", "8 numbers")
    if len(numbers) != (8 if isinstance(padding, str) and padding.upper() == "EXPLICIT" else 0):
        raise ArgumentError(
            "explicit_paddings goes with padding='EXPLICIT', and holds a pair for each axis",
            got=f"padding = {padding!r}, explicit_paddings = {numbers}",
            legal="padding='EXPLICIT' with 8 numbers, or no explicit_paddings",
            fix="pass both, or the pairs themselves as padding",
        )
    return list(zip(numbers[::2], numbers[1::2], strict=True)) if numbers else padding


def _call(
    function: str, rank: int | None, input: Any, filters: Any, output_shape: Any, strides: Any, padding: Any,
    data_format: Any, dilations: Any, name: Any, output_padding: Any, groups: Any, method: Any, precision: Any,
    preferred_element_type: Any, out_sharding: Any, names: tuple[str, str, str] = convention.NAMES,
) -> jax.Array:  # fmt: skip
    """``names`` are the function's own names of the arguments, for errors."""
    if not (name is None or isinstance(name, str)):
        raise ArgumentTypeError(
            "name must be a string",
            got=f"name = {name!r}",
            legal="a name for the operation in profiles and compiled programs",
            fix="leave it out for the name of the function",
        )
    x, w = operation.operands(**{names[0]: input, names[1]: filters})
    spec, layout = convention.resolve(
        x.shape, w.shape, output_shape, strides, padding, data_format, dilations,
        output_padding=output_padding, groups=groups, rank=rank, names=names,
    )  # fmt: skip
    return operation.transposed_convolution(
        x, w, spec, layout, name=name or function, method=method, precision=precision,
        preferred_element_type=preferred_element_type, out_sharding=out_sharding,
    )  # fmt: skip
