"""The shared body of the Flax and Equinox layers: merged batch axes, wrap padding, transposed convolution, bias."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ._conventions import equinox as equinox_convention
from ._conventions import flax as flax_convention
from ._conventions._layers import ResolvedLayer
from ._core import operation, out_sharding
from .errors import ArgumentError, ArgumentTypeError


def apply_mask(kernel: jax.Array, mask: Any) -> jax.Array:
    """Return ``kernel * mask``, or ``kernel`` where ``mask`` is ``None``."""
    if mask is None:
        return kernel
    if jnp.shape(mask) != kernel.shape:
        got, legal = f"mask of shape {jnp.shape(mask)}", f"{kernel.shape}, the shape of the kernel"
        fix = "pass a mask of that shape, or None"
        raise ArgumentError("mask and kernel have different shapes", got=got, legal=legal, fix=fix)
    return kernel * mask


def check_rng(is_rng: bool, name: str, value: Any, legal: str) -> None:
    """Raise an error that names the argument if ``value`` is not a random number generator."""
    if not is_rng:
        problem = f"{name} is not an RNG, and initialising the parameters needs one"
        raise ArgumentTypeError(problem, got=f"{name} = {value!r}", legal=legal, fix=f"pass {name}={legal}")


def apply_flax_layer(
    module: Any, operands: Sequence[Any], batch_axes: int, output_shape: Sequence[int] | None
) -> jax.Array:
    """Apply a Linen or NNX layer, whose attributes ``module`` has, to inputs with ``batch_axes`` batch axes.

    ``operands`` are the inputs, the kernel, and the bias or ``None``. ``output_shape`` overrides the module's.
    """
    inputs, kernel, bias = operands
    layer = flax_convention.resolve_layer(
        (1, *inputs.shape[batch_axes:]), kernel.shape, module.strides, module.padding, module.kernel_dilation,
        module.transpose_kernel, output_shape=module.output_shape if output_shape is None else output_shape,
        output_padding=module.output_padding, groups=module.groups,
        use_consistent_padding=module.use_consistent_padding,
    )  # fmt: skip
    arrays = {"inputs": inputs, "kernel": kernel}
    return _apply(module, arrays, bias, layer, batch_axes, module.preferred_element_type)


def apply_equinox_layer(module: Any, x: jax.Array, output_shape: Sequence[int] | None) -> jax.Array:
    """Apply an Equinox layer, whose attributes ``module`` has, to ``x``; ``output_shape`` overrides the module's."""
    layer = equinox_convention.resolve(
        x.shape, module.weight.shape, module.stride, module.padding, module.output_padding, module.dilation,
        module.groups, module.padding_mode, output_shape=module.output_shape if output_shape is None else output_shape,
    )  # fmt: skip
    return _apply(module, {"x": x, "weight": module.weight}, module.bias, layer, batch_axes=0)


def _apply(
    module: Any,
    arrays: dict[str, jax.Array],
    bias: jax.Array | None,
    layer: ResolvedLayer,
    batch_axes: int,
    preferred_element_type: Any = None,
) -> jax.Array:
    """Compute ``layer``. ``arrays`` are the input and the kernel, under the names that errors use."""
    spec, layout = layer.spec, layer.layout
    x, w = operation.operands(**arrays)
    batch_shape = x.shape[:batch_axes]
    if batch_axes != 1:
        out_sharding.check_unsharded(x, range(1, batch_axes), "a batch axis after the first")
        x = x.reshape(math.prod(batch_shape), *x.shape[batch_axes:])
    if any(before + after for before, after in layer.wrap):
        out_sharding.check_unsharded(x, layout.spatial_axes, "an axis with circular padding")
        x = jnp.pad(x, layout.shape((0, 0), layer.wrap, (0, 0)), mode="wrap")
    filters = operation.filters(w, layer.kernel)
    channels = filters.shape[spec.rank] * spec.groups
    if module.out_sharding is not None:
        sizes = spec.output_sizes(layout.spatial(x.shape))
        out_sharding.check(module.out_sharding, (*batch_shape, *layout.shape(1, sizes, channels)[1:]), x, w)
    y = operation.transposed_convolution(
        x, filters, spec, layout, name="conv_transpose", method=module.method, precision=module.precision,
        preferred_element_type=preferred_element_type,
    )  # fmt: skip
    if bias is not None:
        y = y + lax.reshape(bias, layout.shape(1, (1,) * layout.rank, channels))
    if batch_axes != 1:
        y = y.reshape(*batch_shape, *y.shape[1:])
    return out_sharding.apply(y, module.out_sharding)
