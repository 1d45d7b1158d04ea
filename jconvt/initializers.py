"""Initializers for kernels of transposed convolutions, with the signature of those of ``jax.nn.initializers``."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn.initializers import Initializer, lecun_normal

from ._core import out_sharding as sharding
from ._geometry.arguments import integers, per_axis
from .errors import ArgumentError

_LECUN_NORMAL = lecun_normal()


def bilinear(in_axis: int = -2, out_axis: int = -1, dtype: Any = None) -> Initializer:
    """Interpolation between the pixels: linear along each axis, bilinear in two dimensions.

    Along an axis of ``k`` taps the kernel is the triangle ``1 - |t - (k - 1) / 2| / f`` with ``f = (k + 1) // 2``. With
    stride ``f`` its stamps add up to one, so the layer enlarges ``f`` times; the usual ``k`` is ``2 f - f % 2``. It
    copies channels one to one, in dense, grouped and depthwise kernels. It is the upsampling of arXiv 1411.4038.

    Args:
      in_axis, out_axis: the axes of the channels; all others are spatial. The defaults are Flax's. For a kernel of
        Equinox they are 1 and 0.
      dtype: of the kernel, if the layer passes none.

    Returns:
      ``init(key, shape, dtype=dtype, out_sharding=None)``, which does not use ``key``.

    Raises:
      ArgumentError: from ``init``, if ``shape[out_axis]`` is not a multiple of ``shape[in_axis]``, so that channels
        cannot be copied.

    >>> import jax, jax.numpy as jnp
    >>> kernel = bilinear()(jax.random.key(0), (4, 1, 1))
    >>> kernel.ravel()
    Array([0.25, 0.75, 0.75, 0.25], dtype=float32)
    >>> import jconvt
    >>> jconvt.lax.conv_transpose(jnp.array([0.0, 4, 8]).reshape(1, 3, 1), kernel, (2,), "SAME").ravel()
    Array([0., 1., 3., 5., 7., 6.], dtype=float32)
    """
    default = dtype

    def init(key: Any, shape: Sequence[int], dtype: Any = default, out_sharding: Any = None) -> jax.Array:
        del key
        i, o, spatial = _axes(shape, in_axis, out_axis)
        if shape[o] % shape[i]:
            got = f"{shape[i]} channels along axis {i}, {shape[o]} along axis {o}: {tuple(shape)}"
            fix = "give the layer as many output as input channels; any number of groups works"
            legal = f"a multiple of {shape[i]} along axis {o}"
            raise ArgumentError("a bilinear kernel copies channels one to one", got=got, legal=legal, fix=fix)
        copies = np.arange(shape[i])[:, None] == np.arange(shape[o]) % shape[i]
        kernel = np.expand_dims(copies if i < o else copies.T, spatial)
        for axis in spatial:
            k = shape[axis]
            triangle = 1 - np.abs(np.arange(k) - (k - 1) / 2) / ((k + 1) // 2)
            kernel = kernel * np.expand_dims(triangle, [other for other in range(len(shape)) if other != axis])
        return _sharded(jnp.asarray(kernel, _dtype(dtype)), out_sharding)

    return init


def icnr(
    scale: int | Sequence[int],
    initializer: Initializer = _LECUN_NORMAL,
    *,
    depth_to_space: str | None = None,
    in_axis: int = -2,
    out_axis: int = -1,
    dtype: Any = None,
) -> Initializer:
    """A start without a checkerboard: the outputs of each block of ``scale`` pixels are equal, as in nearest neighbor.

    For a transposed convolution with strides ``scale``, it draws the taps of one output of each block and repeats them
    for the others: tap ``t`` is drawn tap ``t // scale``. The kernel size should be a multiple of ``scale``. For a
    convolution before depth to space (sub-pixel convolution), it draws the output channels once for each block instead.
    That is ICNR of arXiv 1707.02937.

    Args:
      scale: the ratio of output to input size along each spatial axis: the strides, or the block of depth to space.
      initializer: draws the numbers that are repeated.
      depth_to_space: ``None`` for a transposed convolution. "DCR" if the channels of a convolution count the pixels of
        the block first, as in TensorFlow; "CRD" if they count them last, as in PyTorch's pixel shuffle.
      in_axis, out_axis: the axes of the channels; all others are spatial.
      dtype: of the kernel, if the layer passes none.

    Returns:
      ``init(key, shape, dtype=dtype, out_sharding=None)``.

    Raises:
      ArgumentError: ``depth_to_space`` is not one of these values; or, from ``init``, the number of output channels is
        not a multiple of the block's pixels.

    >>> import jax
    >>> kernel = icnr(2)(jax.random.key(0), (4, 1, 1))
    >>> bool((kernel[0] == kernel[1]).all() and (kernel[2] == kernel[3]).all())
    True
    """
    default = dtype
    if depth_to_space not in (None, "DCR", "CRD"):
        got, fix = f"depth_to_space = {depth_to_space!r}", "leave it out for a transposed convolution"
        raise ArgumentError("unknown depth_to_space", got=got, legal="None, 'DCR' or 'CRD'", fix=fix)

    def init(key: Any, shape: Sequence[int], dtype: Any = default, out_sharding: Any = None) -> jax.Array:
        _, o, spatial = _axes(shape, in_axis, out_axis)
        factors = per_axis(scale, "scale", len(spatial), broadcast=True)
        block = math.prod(factors)
        drawn = list(shape)
        if depth_to_space is None:
            for axis, factor in zip(spatial, factors, strict=True):
                drawn[axis] = -(-shape[axis] // factor)
        elif shape[o] % block:
            problem = "the number of output channels is not a multiple of the block's pixels"
            fix, legal = "give the convolution as many as depth to space needs", f"a multiple of {block}"
            raise ArgumentError(problem, got=f"{shape[o]} output channels, scale {factors}", legal=legal, fix=fix)
        else:
            drawn[o] = shape[o] // block
        kernel = initializer(key, tuple(drawn), _dtype(dtype))
        if depth_to_space == "DCR":
            kernel = jnp.concatenate([kernel] * block, axis=o)
        elif depth_to_space == "CRD":
            kernel = jnp.repeat(kernel, block, axis=o)
        else:
            for axis, factor in zip(spatial, factors, strict=True):
                kernel = jnp.repeat(kernel, factor, axis=axis)
            kernel = kernel[tuple(slice(size) for size in shape)]
        return _sharded(kernel, out_sharding)

    return init


def _axes(shape: Sequence[int], in_axis: int, out_axis: int) -> tuple[int, int, list[int]]:
    """Return the axes of the input and output channels of a kernel of ``shape``, and the spatial axes."""
    sizes = integers(shape, "shape", range(100), "the sizes of a kernel")
    rank = len(sizes)
    i, o = (axis + rank if axis < 0 else axis for axis in (in_axis, out_axis))
    if rank < 3 or i == o or not {i, o} <= {*range(rank)}:
        got, legal = f"shape {sizes}, in_axis {in_axis}, out_axis {out_axis}", "3 axes or more, two of them of channels"
        fix = "pass the shape of a transposed convolution's kernel"
        raise ArgumentError("the shape is not that of a kernel", got=got, legal=legal, fix=fix)
    return i, o, [axis for axis in range(rank) if axis not in (i, o)]


def _dtype(dtype: Any) -> Any:
    return jax.dtypes.canonicalize_dtype(float if dtype is None else dtype)


def _sharded(kernel: jax.Array, out_sharding: Any) -> jax.Array:
    sharding.check(out_sharding, kernel.shape, kernel)
    return sharding.apply(kernel, out_sharding)
