"""``equinox.nn.ConvTranspose`` computed by jconvt, with more arguments. It needs the extra ``jconvt[equinox]``."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax

from . import _layers
from ._conventions import equinox as convention
from ._geometry.arguments import sequence


class ConvTranspose(eqx.nn.ConvTranspose):
    """Transposed convolution as an Equinox module.

    It has the arguments, defaults, initializers and parameters of ``equinox.nn.ConvTranspose``: replace the name, and
    models and checkpoints keep working. Equinox lacks the arguments below.

    Args:
      output_shape: the spatial sizes of the output, unless the call passes others. TensorFlow's rules say which sizes
        are legal, and align them.
      method: as in ``jconvt.conv_transpose``.
      precision: as in ``jax.lax.conv_general_dilated``.
      out_sharding: a ``jax.sharding.NamedSharding`` or ``PartitionSpec`` for the output, ``(out, spatial...)``.

    Raises:
      ArgumentError: an argument or an input has a value that the layer is not defined for; a ``ValueError``.
      ArgumentTypeError: an argument is of the wrong type; a ``TypeError``.

    >>> import jax, jax.numpy as jnp
    >>> layer = ConvTranspose(2, 6, 4, kernel_size=4, stride=2, padding=1, groups=2, key=jax.random.key(0))
    >>> layer.weight.shape, layer(jnp.ones((6, 8, 8))).shape
    ((4, 3, 4, 4), (4, 16, 16))
    """

    output_shape: tuple[int, ...] | None = eqx.field(static=True)
    method: str = eqx.field(static=True)
    precision: Any = eqx.field(static=True)
    out_sharding: Any = eqx.field(static=True)

    def __init__(
        self,
        num_spatial_dims: int,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: Any = 0,
        output_padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        use_bias: bool = True,
        padding_mode: str = "ZEROS",
        dtype: Any = None,
        *,
        key: jax.Array,
        output_shape: Sequence[int] | None = None,
        method: str = "auto",
        precision: Any = None,
        out_sharding: Any = None,
    ):
        shape = convention.weight_shape(num_spatial_dims, in_channels, out_channels, kernel_size, groups)
        axes = convention.resolve_axes(shape[2:], stride, padding, output_padding, dilation, padding_mode)
        _layers.check_rng(hasattr(key, "dtype"), "key", key, legal="jax.random.key(seed)")
        sizes = (shape[2:], tuple(axis.stride for axis in axes), padding, output_padding)
        others = (tuple(axis.dilation for axis in axes), groups, use_bias, padding_mode, dtype)
        super().__init__(num_spatial_dims, in_channels, out_channels, *sizes, *others, key=key)
        legal = f"{num_spatial_dims} sizes, one for each spatial axis"
        self.output_shape = None if output_shape is None else tuple(sequence(output_shape, "output_shape", legal))
        self.method, self.precision, self.out_sharding = method, precision, out_sharding

    @jax.named_scope("jconvt.equinox.ConvTranspose")
    def __call__(self, x: jax.Array, *, key: Any = None, output_shape: Sequence[int] | None = None) -> jax.Array:
        """Apply the layer to ``x``, ``(in, spatial...)``. ``key`` is not used."""
        return _layers.apply_equinox_layer(self, x, output_shape)


def _of_rank(rank: int) -> type[ConvTranspose]:
    class OfRank(ConvTranspose):
        # Equinox has output_padding before padding here, and after it above.
        def __init__(
            self, in_channels, out_channels, kernel_size, stride=1, output_padding=0, padding=0, *others, **keywords
        ):
            sizes = (kernel_size, stride, padding, output_padding)
            super().__init__(rank, in_channels, out_channels, *sizes, *others, **keywords)

    OfRank.__name__ = OfRank.__qualname__ = f"ConvTranspose{rank}d"
    OfRank.__doc__ = f"""``ConvTranspose`` with ``num_spatial_dims={rank}``, its arguments in the order of
    ``equinox.nn.ConvTranspose{rank}d``: ``output_padding`` before ``padding``."""
    return OfRank


ConvTranspose1d, ConvTranspose2d, ConvTranspose3d = (_of_rank(rank) for rank in (1, 2, 3))
