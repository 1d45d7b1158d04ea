"""``flax.linen.ConvTranspose`` computed by jconvt, with more arguments. It needs the extra ``jconvt[flax]``."""

from collections.abc import Sequence
from dataclasses import field
from typing import Any

import flax.linen as nn
import jax

from . import _layers
from ._conventions import flax as convention


class ConvTranspose(nn.ConvTranspose):
    """Transposed convolution as a Linen module.

    It has the arguments, defaults, initializers and parameters of ``flax.linen.ConvTranspose``: replace the name, and
    models and checkpoints keep working. The arguments below are keyword-only, and Flax lacks them.

    Args:
      groups: the number of independent transposed convolutions, each with its share of the input and output features.
        The kernel is ``(k..., in / groups, features)``, with ``transpose_kernel`` ``(k..., features / groups, in)``.
      output_shape: the spatial sizes of the output, unless the call passes others. TensorFlow's rules say which sizes
        are legal, and align them.
      output_padding: chooses the output size as in ``jconvt.conv_transpose``.
      use_consistent_padding: whether ``padding`` is that of the convolution that is transposed. Numbers are then those
        of TensorFlow and PyTorch; otherwise they pad the input with zeros between its pixels. "SAME_LOWER" is then
        "SAME" with an odd crop larger at the start of the output, at every stride; otherwise it is Flax's, which has it
        at stride 1. "CIRCULAR" is then the transpose of Flax's ``Conv`` with "CIRCULAR", for images whose sizes are
        multiples of ``strides``; otherwise it is Flax's, which for some kernel sizes and strides is shifted.
      method: as in ``jconvt.conv_transpose``.
      out_sharding: a ``jax.sharding.NamedSharding`` or ``PartitionSpec`` for the output.

    Raises:
      ArgumentError: an argument or an input has a value that the layer is not defined for; a ``ValueError``.
      ArgumentTypeError: an argument is of the wrong type; a ``TypeError``.

    >>> import jax, jax.numpy as jnp
    >>> layer = ConvTranspose(features=4, kernel_size=(4, 4), strides=(2, 2), groups=2)
    >>> y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((1, 8, 8, 6)))
    >>> y.shape, jax.tree.map(jnp.shape, variables)
    ((1, 16, 16, 4), {'params': {'bias': (4,), 'kernel': (4, 4, 3, 4)}})
    """

    groups: int = field(default=1, kw_only=True)
    output_shape: Sequence[int] | None = field(default=None, kw_only=True)
    output_padding: int | Sequence[int] | None = field(default=None, kw_only=True)
    use_consistent_padding: bool = field(default=False, kw_only=True)
    method: str = field(default="auto", kw_only=True)
    out_sharding: Any = field(default=None, kw_only=True)

    @nn.compact
    def __call__(self, inputs: jax.Array, *, output_shape: Sequence[int] | None = None) -> jax.Array:
        """Apply the layer to ``inputs``, ``(batch..., spatial..., in)`` with any number of batch axes, even none."""
        sizes = convention.kernel_sizes(self.kernel_size)
        batch_axes = convention.batch_axes(inputs.shape, len(sizes))
        channels = (inputs.shape[-1], self.features, self.groups)
        shape = convention.kernel_shape(sizes, *channels, self.transpose_kernel, name="features")
        kernel = _layers.apply_mask(self.param("kernel", self.kernel_init, shape, self.param_dtype), self.mask)
        bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype) if self.use_bias else None
        operands = self.promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        return _layers.apply_flax_layer(self, operands, batch_axes, output_shape)
