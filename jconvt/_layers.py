"""What a layer computes, in no framework: batch axes merged, circular padding, the transposed convolution, the bias."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ._conventions import _flax_layer
from ._conventions import equinox as equinox_layer
from ._conventions._layers import ResolvedLayer
from ._core import operation, out_sharding
from .errors import ArgumentError, ArgumentTypeError


def masked(kernel: jax.Array, mask: Any) -> jax.Array:
    """``kernel`` times ``mask``, of the same shape; ``None`` is no mask."""
    if mask is None:
        return kernel
    if jnp.shape(mask) != kernel.shape:
        raise ArgumentError(
            "mask has another shape than the kernel",
            got=f"mask of shape {jnp.shape(mask)}",
            legal=f"{kernel.shape}, the kernel's",
            fix="pass a mask of that shape, or none",
        )
    return kernel * mask


def check_source(found: bool, legal: str, **given: Any) -> None:
    """Refuses what is no source of random numbers for the initialisers."""
    if not found:
        ((name, value),) = given.items()
        raise ArgumentTypeError(
            f"{name} is no source of random numbers, which the parameters are drawn from",
            got=f"{name} = {value!r}",
            legal=legal,
            fix=f"pass {name}={legal}",
        )


def flax(module: Any, operands: Sequence[jax.Array | None], output_shape: Sequence[int] | None) -> jax.Array:
    """The layer of Linen or NNX, whose attributes ``module`` has; ``output_shape`` overrules its own.

    ``operands`` are the inputs, the kernel and, if there is one, the bias.
    """
    inputs, kernel, bias = operands
    assert inputs is not None
    assert kernel is not None
    count = _flax_layer.batch_axes(inputs.shape, module.kernel_size)
    batch_shape = inputs.shape[:count]
    if count != 1:
        out_sharding.check_unsharded(inputs, range(1, count), "an axis of the batch after its first one")
        inputs = inputs.reshape(math.prod(batch_shape), *inputs.shape[count:])
    resolved = _flax_layer.resolve(
        inputs.shape,
        kernel.shape,
        module.strides,
        module.padding,
        module.kernel_dilation,
        module.transpose_kernel,
        groups=module.groups,
        output_shape=module.output_shape if output_shape is None else output_shape,
        output_padding=module.output_padding,
        use_consistent_padding=module.use_consistent_padding,
    )
    arrays = {"inputs": inputs, "kernel": kernel}
    y = _computed(arrays, bias, resolved, module.method, module.precision, module.preferred_element_type)
    if count != 1:
        y = y.reshape(*batch_shape, *y.shape[1:])
    out_sharding.check(module.out_sharding, y.shape, y)
    return out_sharding.apply(y, module.out_sharding)


def equinox(module: Any, x: jax.Array, output_shape: Sequence[int] | None) -> jax.Array:
    """The layer of Equinox, whose attributes ``module`` has; ``output_shape`` overrules its own."""
    equinox_layer.check_input(x.shape, module.num_spatial_dims, module.in_channels)
    resolved = equinox_layer.resolve(
        (1, *x.shape),
        module.weight.shape,
        module.stride,
        module.padding,
        module.output_padding,
        module.dilation,
        module.groups,
        module.padding_mode,
        output_shape=module.output_shape if output_shape is None else output_shape,
    )
    arrays = {"x": x[None], "weight": module.weight}
    y = _computed(arrays, module.bias, resolved, module.method, module.precision)
    out_sharding.check(module.out_sharding, y.shape[1:], y)
    return out_sharding.apply(y[0], module.out_sharding)


def _computed(
    arrays: dict[str, jax.Array],
    bias: jax.Array | None,
    layer: ResolvedLayer,
    method: str,
    precision: Any,
    preferred_element_type: Any = None,
) -> jax.Array:
    """``layer`` of an input with one batch axis, and of a kernel and a bias as the parameters lie.

    ``arrays`` are the first two, by the names that errors call them.
    """
    spec, layout = layer.spec, layer.layout
    x, w = operation.operands(**arrays)
    if any(before + after for before, after in layer.repeats):
        out_sharding.check_unsharded(x, layout.spatial_axes, "an axis that is padded with what lies at its other end")
        x = jnp.pad(x, layout.shape((0, 0), layer.repeats, (0, 0)), mode="wrap")
    y = operation.transposed_convolution(
        x,
        layer.kernel.filters(w),
        spec,
        layout,
        name="conv_transpose",
        method=method,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
    return y if bias is None else y + bias.reshape(layout.shape(1, (1,) * layout.rank, bias.size))
