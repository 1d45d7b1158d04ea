"""``flax.linen.ConvTranspose``, computed by jconvt, and with what it lacks. It needs the extra ``jconvt[flax]``."""

from collections.abc import Sequence
from dataclasses import field
from typing import Any

import flax.linen as nn
import jax

from . import _layers
from ._conventions import _flax_layer as convention


class ConvTranspose(nn.ConvTranspose):
    """Transposed convolution as a Linen module.

    The arguments, defaults, initialisers and parameters are those of ``flax.linen.ConvTranspose``, so that a model and
    its checkpoints work with the name replaced. ``padding`` may also be "SAME_LOWER". What follows is keyword-only, and
    Flax has it not.

    Args:
      groups: splits input and output features into as many independent transposed convolutions. The kernel is
        ``(k..., in / groups, features)``, with ``transpose_kernel`` ``(k..., features / groups, in)``.
      output_shape: the spatial sizes of the output; a call may say others. TensorFlow's rules say which are legal, and
        how they are aligned.
      output_padding: chooses the output size as in ``jconvt.conv_transpose``.
      use_consistent_padding: whether a ``padding`` of numbers is that of the convolution that is transposed, as in
        TensorFlow and PyTorch; otherwise it pads the input with zeros between its pixels.
      method: how to compute it, as in ``jconvt.conv_transpose``.
      out_sharding: a ``jax.sharding.NamedSharding`` or ``PartitionSpec`` for the result.

    Raises:
      ArgumentError: an argument or an input that the layer is not defined for; a ``ValueError``.
      ArgumentTypeError: an argument of the wrong kind; a ``TypeError``.

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
        """The layer of ``inputs``, ``(batch..., spatial..., in)`` with any number of batch axes, also none."""
        convention.batch_axes(inputs.shape, self.kernel_size)
        shape = convention.kernel_shape(
            self.kernel_size, inputs.shape[-1], self.features, self.groups, self.transpose_kernel, name="features"
        )
        kernel = _layers.masked(self.param("kernel", self.kernel_init, shape, self.param_dtype), self.mask)
        bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype) if self.use_bias else None
        operands = self.promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        return _layers.flax(self, operands, output_shape)
