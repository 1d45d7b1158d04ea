"""``flax.nnx.ConvTranspose`` computed by jconvt, with more arguments. It needs the extra ``jconvt[flax]``."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.nnx.nn import dtypes
from flax.nnx.nn.linear import default_bias_init, default_kernel_init

from . import _layers
from ._conventions import flax as convention

_NONE: Mapping[str, Any] = MappingProxyType({})


class ConvTranspose(nnx.ConvTranspose):
    """Transposed convolution as an NNX module.

    It has the arguments, defaults, initializers and parameters of ``flax.nnx.ConvTranspose``: replace the name, and
    models and checkpoints keep working. Flax lacks ``groups``, ``output_shape``, ``output_padding``,
    ``use_consistent_padding``, ``method`` and ``out_sharding``. These, and the errors, are those of
    ``jconvt.linen.ConvTranspose``.

    >>> layer = ConvTranspose(6, 4, (4, 4), strides=2, groups=2, rngs=nnx.Rngs(0))
    >>> layer.kernel.shape, layer(jnp.ones((1, 8, 8, 6))).shape
    ((4, 4, 3, 4), (1, 16, 16, 4))
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] | None = None,
        *,
        padding: Any = "SAME",
        kernel_dilation: int | Sequence[int] | None = None,
        use_bias: bool = True,
        mask: jax.Array | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        precision: Any = None,
        kernel_init: Any = default_kernel_init,
        bias_init: Any = default_bias_init,
        transpose_kernel: bool = False,
        promote_dtype: Any = dtypes.promote_dtype,
        preferred_element_type: Any = None,
        rngs: nnx.Rngs,
        kernel_metadata: Mapping[str, Any] = _NONE,
        bias_metadata: Mapping[str, Any] = _NONE,
        groups: int = 1,
        output_shape: Sequence[int] | None = None,
        output_padding: int | Sequence[int] | None = None,
        use_consistent_padding: bool = False,
        method: str = "auto",
        out_sharding: Any = None,
    ):
        sizes = convention.kernel_sizes(kernel_size)
        shape = convention.kernel_shape(sizes, in_features, out_features, groups, transpose_kernel, name="out_features")
        _layers.check_rng(callable(getattr(rngs, "params", None)), "rngs", rngs, legal="nnx.Rngs(seed)")
        super().__init__(
            in_features, out_features, kernel_size, strides, padding=padding, kernel_dilation=kernel_dilation,
            use_bias=use_bias, mask=mask, dtype=dtype, param_dtype=param_dtype, precision=precision,
            kernel_init=lambda key, _, dtype: kernel_init(key, shape, dtype),  # Flax's shape has no groups
            bias_init=bias_init, transpose_kernel=transpose_kernel, promote_dtype=promote_dtype,
            preferred_element_type=preferred_element_type, rngs=rngs, kernel_metadata=kernel_metadata,
            bias_metadata=bias_metadata,
        )  # fmt: skip
        self.kernel_shape, self.groups, self.method, self.out_sharding = shape, groups, method, out_sharding
        self.output_shape, self.output_padding = output_shape, output_padding
        self.use_consistent_padding = use_consistent_padding

    def __call__(self, inputs: jax.Array, *, output_shape: Sequence[int] | None = None) -> jax.Array:
        """Apply the layer to ``inputs``, ``(batch..., spatial..., in_features)`` with any number of batch axes."""
        batch_axes = convention.batch_axes(inputs.shape, len(self.kernel_shape) - 2, self.in_features)
        kernel, bias = self.kernel[...], None if self.bias is None else self.bias[...]
        operands = self.promote_dtype((inputs, _layers.apply_mask(kernel, self.mask), bias), dtype=self.dtype)
        return _layers.apply_flax_layer(self, operands, batch_axes, output_shape)
