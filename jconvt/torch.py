"""Transposed convolution as PyTorch calls it: a call written for ``torch.nn.functional`` works with its name replaced.

Channels come first, and the weight is PyTorch's. The operands are JAX's arrays: PyTorch is not needed, nor imported.
"""

from typing import Any

import jax
from jax.typing import ArrayLike

from ._conventions import torch as convention
from ._core import operation

Sizes = Any
"""An integer, or a sequence of 1 or of one for each spatial axis."""

_GEOMETRY = ("stride", "padding", "output_padding", "groups", "dilation")


def conv_transpose1d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
    *,
    method: str = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> jax.Array:
    """The transpose of a convolution over one axis, as ``torch.nn.functional.conv_transpose1d``.

    Args:
      input: ``(batch, in, width)``, or ``(in, width)``.
      weight: ``(in, out / groups, k)``.
      bias, stride, padding, output_padding, groups, dilation: as in ``conv_transpose2d``.
      method, precision, preferred_element_type, out_sharding: as in ``conv_transpose2d``.

    Returns:
      ``(batch, out, width)``, or ``(out, width)``, of the operands' dtype.

    Raises:
      ArgumentError, ArgumentTypeError: as ``conv_transpose2d``.

    >>> import jax.numpy as jnp
    >>> kernel = jnp.array([1.0, 10.0, 100.0]).reshape(1, 1, 3)
    >>> conv_transpose1d(jnp.ones((1, 1, 3)), kernel, stride=2, padding=1)[0, 0]
    Array([ 10., 101.,  10., 101.,  10.], dtype=float32)
    """
    return _call(locals(), 1)


def conv_transpose2d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
    *,
    method: str = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> jax.Array:
    """The transpose of a convolution over two axes, as ``torch.nn.functional.conv_transpose2d``.

    Each input pixel stamps the kernel, scaled by its value, on a canvas; where stamps overlap they add up. ``padding``
    pixels are cropped at either end, and ``output_padding`` fewer at the end of each axis. With the extent
    ``e = (k - 1) * dilation + 1`` of one stamp, the output size for input size ``n`` is::

        (n - 1) * stride - 2 * padding + e + output_padding

    Args:
      input: ``(batch, in, height, width)``, or ``(in, height, width)``. Any integer, floating or complex dtype that XLA
        can convolve on the device; the batch may be empty.
      weight: ``(in, out / groups, kh, kw)``, of ``input``'s dtype; dtypes that differ, the bias's too, are promoted as
        ``jax.numpy`` promotes them. Output channel ``g * out / groups + o`` belongs to group ``g``.
      bias: ``(out,)``, added to each pixel in the result's dtype.
      stride: the distance of neighbouring stamps: an integer, or a sequence of 1 or 2.
      padding: what the forward convolution pads at both ends, so what is cropped here; as ``stride``, at least 0.
      output_padding: how much less is cropped at the end; as ``stride``, at least 0, and less than the larger of
        stride and dilation. What it adds past the last stamp is zero, before the bias.
      groups: splits the channels of input and output into as many independent transposed convolutions.
      dilation: spacing of the kernel's taps, as ``stride``.
      method: how to compute, as in ``jconvt.conv_transpose``.
      precision: as in ``jax.lax.conv_general_dilated``.
      preferred_element_type: dtype of the sums and of the result, no narrower than the operands'. Without it, the sums
        of float16 and bfloat16 are held in float32 and rounded once, before the bias is added.
      out_sharding: a ``jax.sharding.NamedSharding`` or ``PartitionSpec`` for the result.

    Returns:
      ``(batch, out, height, width)``, or ``(out, height, width)``, of the operands' dtype.

    Raises:
      ArgumentError: a value that the operation is not defined for, such as one that leaves no pixel; a ``ValueError``.
      ArgumentTypeError: an argument of the wrong kind, such as a traced stride; a ``TypeError``.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 1, 2, 2)
    >>> kernel = jnp.array([[1.0, 10.0], [100.0, 1000.0]]).reshape(1, 1, 2, 2)
    >>> conv_transpose2d(x, kernel, jnp.array([0.5]), stride=2)[0, 0, 0]
    Array([ 1.5, 10.5,  2.5, 20.5], dtype=float32)
    """
    return _call(locals(), 2)


def conv_transpose3d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
    *,
    method: str = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> jax.Array:
    """The transpose of a convolution over three axes, as ``torch.nn.functional.conv_transpose3d``.

    Args:
      input: ``(batch, in, depth, height, width)``, or ``(in, depth, height, width)``.
      weight: ``(in, out / groups, kd, kh, kw)``.
      bias, stride, padding, output_padding, groups, dilation: as in ``conv_transpose2d``.
      method, precision, preferred_element_type, out_sharding: as in ``conv_transpose2d``.

    Returns:
      ``(batch, out, depth, height, width)``, or ``(out, depth, height, width)``, of the operands' dtype.

    Raises:
      ArgumentError, ArgumentTypeError: as ``conv_transpose2d``.

    >>> import jax.numpy as jnp
    >>> conv_transpose3d(jnp.ones((1, 8, 2, 2, 2)), jnp.ones((8, 3, 4, 4, 4)), stride=2, padding=1).shape
    (1, 3, 4, 4, 4)
    """
    return _call(locals(), 3)


def _call(arguments: dict[str, Any], rank: int) -> jax.Array:
    """Makes the call that a function's arguments describe: on its first line, its ``locals()`` are these."""
    given = {name: arguments.pop(name) for name in ("input", "weight", "bias")}
    if given["bias"] is None:
        del given["bias"]
    x, w, *rest = operation.operands(**given)
    bias = rest[0] if rest else None
    geometry = {argument: arguments.pop(argument) for argument in _GEOMETRY}
    spec, layout = convention.resolve(
        x.shape, w.shape, rank=rank, bias_shape=None if bias is None else bias.shape, **geometry
    )
    batched = x.ndim == rank + 2
    if not batched:
        arguments["out_sharding"] = _one_more_axis(arguments["out_sharding"])
    y = operation.transposed_convolution(
        x if batched else x[None],
        convention.kernel_layout(rank).filters(w),
        spec,
        layout,
        name=f"conv_transpose{rank}d",
        **arguments,
    )
    if bias is not None:
        y = y + bias.astype(y.dtype).reshape(1, -1, *[1] * rank)
    return y if batched else y[0]


def _one_more_axis(out_sharding: Any) -> Any:
    """The sharding of a batch of one from the sharding of what is in it; what is no sharding is refused later."""
    if isinstance(out_sharding, jax.sharding.NamedSharding):
        return jax.sharding.NamedSharding(out_sharding.mesh, _one_more_axis(out_sharding.spec))
    if isinstance(out_sharding, jax.sharding.PartitionSpec):
        return jax.sharding.PartitionSpec(None, *out_sharding)
    return out_sharding
