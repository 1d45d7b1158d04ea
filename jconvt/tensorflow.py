"""Transposed convolution as TensorFlow calls it: a call written for ``tf.nn`` works with the module's name replaced.

What TensorFlow computes on some devices only works on all of them: channels first, dilation with stride, groups,
explicit padding in one and three dimensions. What TensorFlow has no argument for is keyword-only.
"""

from collections.abc import Sequence
from typing import Any

import jax
from jax.typing import ArrayLike

from ._conventions import tensorflow as convention
from ._core import operation
from ._geometry.arguments import integer, sequence
from .errors import ArgumentError, ArgumentTypeError

Sizes = Any
"""An integer, or a sequence of integers: see each function."""


_GEOMETRY = ("output_shape", "strides", "padding", "data_format", "dilations", "output_padding", "groups")


def conv_transpose(
    input: ArrayLike,
    filters: ArrayLike,
    output_shape: Sequence[Any] | None = None,
    strides: Sizes = 1,
    padding: str | Sequence[Sequence[int]] = "SAME",
    data_format: str | None = None,
    dilations: Sizes = None,
    name: str | None = None,
    *,
    output_padding: Sizes = None,
    groups: int = 1,
    method: str = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> jax.Array:
    """The transpose of a convolution, in any number of spatial dimensions, as ``tf.nn.conv_transpose``.

    Each input pixel stamps the kernel, scaled by its value, on a canvas; where stamps overlap they add up; the canvas
    is cropped to the output size. It is the gradient of ``tf.nn.convolution`` with respect to its input::

        output[n, i * stride + t * dilation - lo, o]  =  sum over i, t, c of  input[n, i, c] * filters[t, o, c]

    With the extent ``e = (k - 1) * dilation + 1`` of one stamp, stride ``s`` and input size ``n``, these output sizes
    are legal, and the crop's start ``lo`` and the default size are:

    ========  ============================  ==========================  ======================
    padding   legal sizes                   lo                          default
    ========  ============================  ==========================  ======================
    SAME      s(n-1) + 1 to s n             max(0, s(n-1)+e-size) // 2  s n
    VALID     s(n-1) + e to s n + e - 1     0                           s n + max(e - s, 0)
    (a, b)    VALID's, less a + b           a                           VALID's, less a + b
    ========  ============================  ==========================  ======================

    No size is below 0, also where a + b is more than there is to crop.

    Args:
      input: ``(batch, spatial..., in)``, or ``(batch, in, spatial...)`` where ``data_format`` starts with "NC". Any
        integer, floating or complex dtype that XLA can convolve on the device; batch and sizes may be 0.
      filters: ``(k..., out / groups, in)``, of ``input``'s dtype; dtypes that differ are promoted as ``jax.numpy``
        promotes them. Output channel ``g * out / groups + o`` belongs to group ``g``.
      output_shape: the output's full shape in the order of ``data_format``, or its spatial sizes alone. Under
        ``jax.export`` they may be symbolic. Where the full shape has ``m * filters.shape[-2]`` channels, ``groups``
        left at 1 is read as ``m``, as TensorFlow reads it.
      strides: an integer, or 1, rank or rank + 2 of them; among rank + 2, the batch's and the channels' are 1.
      padding: "SAME", "VALID" (in any case), or a pair (before, after) for each axis of the output, or for each
        spatial axis: what the forward convolution pads, so what is cropped here.
      data_format: "NWC", "NCW", "NHWC", "NCHW", "NDHWC" or "NCDHW"; ``None`` is channels last. With four spatial axes
        or more, any other letters may name them.
      dilations: spacing of the kernel's taps, as ``strides``; ``None`` is 1.
      name: the name of the operation in compiled programs and their profiles.
      output_padding: chooses the output size where ``output_shape`` does not, as ``tf.keras.layers.Conv2DTranspose``
        does: ``s(n-1) + e + p``, under SAME less ``2 * (e // 2)``, under explicit padding less ``a + b``. An integer,
        or one for each spatial axis. Legal where the size is.
      groups: splits the channels of input and output into as many independent transposed convolutions. With a full
        ``output_shape`` of more channels, 1 is read as in TensorFlow: see there.
      method: "auto"; "dilated", a convolution over a dilated input with a flipped kernel; "vjp", the vector-Jacobian
        product of the forward convolution; "polyphase", a dense convolution for each output phase; "gemm", matrix
        products that overlap and add; "reference", NumPy loops that define the result. The programs of "polyphase"
        and "gemm" grow with the stride and with the kernel's size over it; beyond a bound they are refused.
      precision: as in ``jax.lax.conv_general_dilated``.
      preferred_element_type: dtype of the sums and of the result, no narrower than the operands'. Without it, the sums
        of float16 and bfloat16 are held in float32 and rounded once.
      out_sharding: a ``jax.sharding.NamedSharding`` or ``PartitionSpec`` for the result.

    Returns:
      ``(batch, output sizes..., out)`` in the order of ``data_format``, of the operands' dtype.

    Raises:
      ArgumentError: a value that the operation is not defined for; a ``ValueError``.
      ArgumentTypeError: an argument of the wrong kind, such as a traced size; a ``TypeError``.

    >>> import jax.numpy as jnp
    >>> x, kernel = jnp.ones((1, 4, 1)), jnp.array([1.0, 10.0, 100.0]).reshape(3, 1, 1)
    >>> conv_transpose(x, kernel, strides=2).ravel()
    Array([  1.,  10., 101.,  10., 101.,  10., 101.,  10.], dtype=float32)
    >>> conv_transpose(x, kernel, [1, 7, 1], strides=2).ravel()
    Array([ 10., 101.,  10., 101.,  10., 101.,  10.], dtype=float32)

    References:
      The rules for sizes: "Notes on padding", documentation of ``tf.nn``; Keras's ``deconv_output_length``. Transposed
      convolution: Dumoulin and Visin, arXiv 1603.07285; Zeiler et al., "Deconvolutional Networks", CVPR 2010.
    """
    return _call(locals(), "conv_transpose")


def conv1d_transpose(
    input: ArrayLike,
    filters: ArrayLike,
    output_shape: Sequence[Any] | None = None,
    strides: Sizes = 1,
    padding: str | Sequence[Sequence[int]] = "SAME",
    data_format: str | None = None,
    dilations: Sizes = None,
    name: str | None = None,
    *,
    output_padding: Sizes = None,
    groups: int = 1,
    method: str = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> jax.Array:
    """The transpose of ``tf.nn.conv1d``, as ``tf.nn.conv1d_transpose``.

    Args:
      input: ``(batch, width, in)``, or channels first with ``data_format="NCW"``.
      filters: ``(k, out / groups, in)``.
      output_shape, strides, padding, data_format, dilations, name: as in ``conv_transpose``.
      output_padding, groups, method, precision, preferred_element_type, out_sharding: as in ``conv_transpose``.

    Returns:
      ``(batch, width, out)``, of the operands' dtype.

    Raises:
      ArgumentError, ArgumentTypeError: as ``conv_transpose``.

    >>> import jax.numpy as jnp
    >>> conv1d_transpose(jnp.ones((1, 3, 1)), jnp.ones((2, 1, 1)), strides=2).ravel()
    Array([1., 1., 1., 1., 1., 1.], dtype=float32)
    """
    return _call(locals(), "conv1d_transpose", 1)


def conv2d_transpose(
    input: ArrayLike,
    filters: ArrayLike,
    output_shape: Sequence[Any] | None = None,
    strides: Sizes = 1,
    padding: str | Sequence[Sequence[int]] = "SAME",
    data_format: str | None = None,
    dilations: Sizes = None,
    name: str | None = None,
    *,
    output_padding: Sizes = None,
    groups: int = 1,
    method: str = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> jax.Array:
    """The transpose of ``tf.nn.conv2d``, as ``tf.nn.conv2d_transpose``.

    Args:
      input: ``(batch, height, width, in)``, or channels first with ``data_format="NCHW"``.
      filters: ``(kh, kw, out / groups, in)``.
      output_shape, strides, padding, data_format, dilations, name: as in ``conv_transpose``.
      output_padding, groups, method, precision, preferred_element_type, out_sharding: as in ``conv_transpose``.

    Returns:
      ``(batch, height, width, out)``, of the operands' dtype.

    Raises:
      ArgumentError, ArgumentTypeError: as ``conv_transpose``.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([[-67.0, -77.0], [-117.0, -127.0]]).reshape(1, 2, 2, 1)
    >>> kernel = jnp.array([[-1.0, 2.0, -3.0], [4.0, -5.0, 6.0], [-7.0, 8.0, -9.0]]).reshape(3, 3, 1, 1)
    >>> conv2d_transpose(x, kernel, [1, 5, 5, 1], strides=2, padding="VALID")[0, 0, :, 0]
    Array([  67., -134.,  278., -154.,  231.], dtype=float32)
    """
    return _call(locals(), "conv2d_transpose", 2)


def conv3d_transpose(
    input: ArrayLike,
    filters: ArrayLike,
    output_shape: Sequence[Any] | None = None,
    strides: Sizes = 1,
    padding: str | Sequence[Sequence[int]] = "SAME",
    data_format: str | None = None,
    dilations: Sizes = None,
    name: str | None = None,
    *,
    output_padding: Sizes = None,
    groups: int = 1,
    method: str = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> jax.Array:
    """The transpose of ``tf.nn.conv3d``, as ``tf.nn.conv3d_transpose``.

    Args:
      input: ``(batch, depth, height, width, in)``, or channels first with ``data_format="NCDHW"``.
      filters: ``(kd, kh, kw, out / groups, in)``.
      output_shape, strides, padding, data_format, dilations, name: as in ``conv_transpose``.
      output_padding, groups, method, precision, preferred_element_type, out_sharding: as in ``conv_transpose``.

    Returns:
      ``(batch, depth, height, width, out)``, of the operands' dtype.

    Raises:
      ArgumentError, ArgumentTypeError: as ``conv_transpose``.

    >>> import jax.numpy as jnp
    >>> conv3d_transpose(jnp.ones((1, 2, 2, 2, 8)), jnp.ones((4, 4, 4, 3, 8)), strides=2).shape
    (1, 4, 4, 4, 3)
    """
    return _call(locals(), "conv3d_transpose", 3)


def atrous_conv2d_transpose(
    value: ArrayLike,
    filters: ArrayLike,
    output_shape: Sequence[Any] | None,
    rate: int,
    padding: str,
    name: str | None = None,
    *,
    groups: int = 1,
    method: str = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> jax.Array:
    """The transpose of ``tf.nn.atrous_conv2d``, as ``tf.nn.atrous_conv2d_transpose``: stride 1, dilation ``rate``.

    Args:
      value: ``(batch, height, width, in)``.
      filters: ``(kh, kw, out / groups, in)``.
      output_shape: ``(batch, height, width, out)`` or ``(height, width)``; ``None`` for the only legal size.
      rate: spacing of the kernel's taps along height and width.
      padding: "SAME" or "VALID", or explicit pairs.
      name: the name of the operation.
      groups, method, precision, preferred_element_type, out_sharding: as in ``conv_transpose``.

    Returns:
      ``(batch, height, width, out)``; under VALID, sizes are larger by ``(k - 1) * rate``.

    Raises:
      ArgumentError, ArgumentTypeError: as ``conv_transpose``.

    >>> import jax.numpy as jnp
    >>> atrous_conv2d_transpose(jnp.ones((1, 5, 5, 2)), jnp.ones((3, 3, 4, 2)), [1, 9, 9, 4], 2, "VALID").shape
    (1, 9, 9, 4)
    """
    arguments = locals()
    arguments["dilations"] = integer(arguments.pop("rate"), "rate", lowest=1)
    return _call(arguments, "atrous_conv2d_transpose", 2, convention.Names(input="value", dilations="rate"))


def conv2d_backprop_input(
    input_sizes: Sequence[Any],
    filter: ArrayLike | None = None,
    out_backprop: ArrayLike | None = None,
    strides: Sizes = None,
    padding: str | Sequence[Sequence[int]] | None = None,
    use_cudnn_on_gpu: bool = True,
    data_format: str = "NHWC",
    dilations: Sizes = (1, 1, 1, 1),
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
    """The gradient of ``tf.nn.conv2d`` in its input, as ``tf.compat.v1.nn.conv2d_backprop_input``.

    The keywords of ``tf.raw_ops.Conv2DBackpropInput`` work, too.

    Args:
      input_sizes: the shape of the forward convolution's input, which is the result's: four sizes, or the spatial two.
      filter: ``(kh, kw, out / groups, in)``; also accepted as ``filters``.
      out_backprop: the gradient in the forward convolution's output: ``(batch, height, width, in)``, or channels first.
      strides: as in ``conv_transpose``.
      padding: "SAME", "VALID", "EXPLICIT", or explicit pairs.
      use_cudnn_on_gpu: accepted and without effect, as XLA decides that.
      data_format: "NHWC" or "NCHW".
      dilations: as in ``conv_transpose``.
      name: the name of the operation.
      filters: another name for ``filter``.
      explicit_paddings: with ``padding="EXPLICIT"``, the eight numbers (before, after) of each axis in turn.
      groups, method, precision, preferred_element_type, out_sharding: as in ``conv_transpose``.

    Returns:
      The gradient, of the shape of the forward convolution's input, in the order of ``data_format``.

    Raises:
      ArgumentError, ArgumentTypeError: as ``conv_transpose``.

    >>> import jax.numpy as jnp
    >>> kernel, gradient = jnp.ones((3, 3, 1, 1)), jnp.ones((1, 2, 2, 1))
    >>> conv2d_backprop_input([1, 5, 5, 1], kernel, gradient, strides=2, padding="VALID")[0, :, :, 0]
    Array([[1., 1., 2., 1., 1.],
           [1., 1., 2., 1., 1.],
           [2., 2., 4., 2., 2.],
           [1., 1., 2., 1., 1.],
           [1., 1., 2., 1., 1.]], dtype=float32)
    """
    arguments = locals()
    del arguments["use_cudnn_on_gpu"]
    if (filter is None) == (filters is None):
        raise ArgumentTypeError(
            "conv2d_backprop_input takes one kernel",
            got="neither filter nor filters" if filter is None else "both filter and filters",
            legal="filter, or its other name filters",
            fix="pass filter=...",
        )
    for argument in ("input_sizes", "out_backprop", "strides", "padding"):
        if arguments[argument] is None:
            raise ArgumentTypeError(
                f"conv2d_backprop_input needs {argument}",
                got=f"{argument} = None",
                legal=f"{argument} as in tf.compat.v1.nn.conv2d_backprop_input",
                fix=f"pass {argument}=...",
            )
    arguments["filter"] = filter if filters is None else filters
    del arguments["filters"]
    arguments["output_shape"] = arguments.pop("input_sizes")
    arguments["padding"] = _explicit(padding, arguments.pop("explicit_paddings"))
    return _call(arguments, "conv2d_backprop_input", 2, convention.Names("out_backprop", "filter", "input_sizes"))


def _explicit(padding: Any, explicit_paddings: Sequence[int]) -> Any:
    """The pairs that the raw operation takes as ``padding="EXPLICIT"`` and a flat list."""
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
    arguments: dict[str, Any], function: str, rank: int | None = None, names: convention.Names = convention.NAMES
) -> jax.Array:
    """Makes the call that a function's arguments describe, by their names in ``conv_transpose`` but for the operands'.

    On a function's first line its ``locals()`` are its arguments. ``names`` are the function's own, for errors.
    """
    x, w = operation.operands(**{name: arguments.pop(name) for name in (names.input, names.filters)})
    geometry = {argument: arguments.pop(argument) for argument in _GEOMETRY if argument in arguments}
    spec, layout = convention.resolve(x.shape, w.shape, rank=rank, names=names, **geometry)
    arguments["name"] = function if arguments["name"] is None else arguments["name"]
    return operation.transposed_convolution(x, w, spec, layout, **arguments)
