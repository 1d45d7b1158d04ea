"""Initialisers for kernels of transposed convolutions, with the signature of those of ``jax.nn.initializers``."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn.initializers import Initializer, lecun_normal

from ._core import out_sharding as placement
from ._geometry.arguments import integer, per_axis, sequence
from .errors import ArgumentError

_LECUN_NORMAL = lecun_normal()


def bilinear(in_axis: int = -2, out_axis: int = -1, dtype: Any = None) -> Initializer:
    """Interpolation between the pixels: linear along each axis, bilinear in two dimensions.

    Along an axis of ``k`` taps the kernel is the triangle ``1 - |t - (k - 1) / 2| / f`` with ``f = (k + 1) // 2``. With
    a stride of ``f`` its stamps add up to one, so the layer enlarges ``f`` times; the usual ``k`` is ``2 f - f % 2``.
    Channels are copied one to one, in a dense kernel as in a grouped or depthwise one. It is the upsampling of
    arXiv 1411.4038.

    Args:
      in_axis, out_axis: the axes of the channels; all others are spatial. The defaults are Flax's. For a kernel of
        Equinox they are 1 and 0.
      dtype: of the kernel, where the layer names none.

    Returns:
      ``init(key, shape, dtype=dtype, out_sharding=None)``, which does not use ``key``.

    Raises:
      ArgumentError: from ``init``, where ``shape[out_axis]`` is no multiple of ``shape[in_axis]``, so that channels
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
        taken, given, spatial = _axes(shape, in_axis, out_axis)
        if shape[given] % shape[taken]:
            raise ArgumentError(
                "a bilinear kernel copies channels one to one",
                got=f"{shape[taken]} channels along axis {taken}, {shape[given]} along axis {given}: {tuple(shape)}",
                legal=f"a multiple of {shape[taken]} along axis {given}",
                fix="give the layer as many output as input channels; groups may be any",
            )
        copies = np.arange(shape[taken])[:, None] == np.arange(shape[given]) % shape[taken]
        kernel = np.expand_dims(copies if taken < given else copies.T, spatial)
        for axis in spatial:
            k = shape[axis]
            triangle = 1 - np.abs(np.arange(k) - (k - 1) / 2) / ((k + 1) // 2)
            kernel = kernel * np.expand_dims(triangle, [other for other in range(len(shape)) if other != axis])
        placement.check(out_sharding, kernel.shape)
        return placement.apply(jnp.asarray(kernel, _dtype(dtype)), out_sharding)

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
    """A start without a checkerboard: every output of a block of ``scale`` pixels is the same, as in nearest neighbour.

    For a transposed convolution with strides of ``scale`` the taps are drawn for one output of each block, and are
    repeated for the others: tap ``t`` is drawn tap ``t // scale``. The kernel size should be a multiple of ``scale``.
    For a convolution that is followed by depth to space (sub-pixel convolution) the output channels are drawn once for
    each block instead. That is ICNR of arXiv 1707.02937.

    Args:
      scale: how much larger the output is along each spatial axis: the strides, or the block of depth to space.
      initializer: draws what is repeated.
      depth_to_space: ``None`` for a transposed convolution. "DCR" where the channels of a convolution count the pixels
        of the block first, as in TensorFlow; "CRD" where they count them last, as in PyTorch's pixel shuffle.
      in_axis, out_axis: the axes of the channels; all others are spatial.
      dtype: of the kernel, where the layer names none.

    Returns:
      ``init(key, shape, dtype=dtype, out_sharding=None)``.

    Raises:
      ArgumentError: ``depth_to_space`` is none of these, or from ``init``, where the output channels are no multiple of
        the block's pixels.

    >>> import jax
    >>> kernel = icnr(2)(jax.random.key(0), (4, 1, 1))
    >>> bool((kernel[0] == kernel[1]).all() and (kernel[2] == kernel[3]).all())
    True
    """
    default = dtype
    if depth_to_space not in (None, "DCR", "CRD"):
        raise ArgumentError(
            "unknown depth_to_space",
            got=f"depth_to_space = {depth_to_space!r}",
            legal="None, 'DCR' or 'CRD'",
            fix="leave it out for a transposed convolution",
        )

    def init(key: Any, shape: Sequence[int], dtype: Any = default, out_sharding: Any = None) -> jax.Array:
        _, given, spatial = _axes(shape, in_axis, out_axis)
        factors = per_axis(scale, "scale", len(spatial), broadcast=True)
        drawn = list(shape)
        if depth_to_space is None:
            for axis, factor in zip(spatial, factors, strict=True):
                drawn[axis] = -(-shape[axis] // factor)
        else:
            drawn[given], rest = divmod(shape[given], math.prod(factors))
            if rest:
                raise ArgumentError(
                    "the output channels are no multiple of the block's pixels",
                    got=f"{shape[given]} output channels, scale {tuple(factors)}",
                    legal=f"a multiple of {math.prod(factors)}",
                    fix="give the convolution as many channels as depth to space takes",
                )
        kernel = initializer(key, tuple(drawn), _dtype(dtype))
        if depth_to_space == "DCR":
            kernel = jnp.concatenate([kernel] * math.prod(factors), axis=given)
        elif depth_to_space == "CRD":
            kernel = jnp.repeat(kernel, math.prod(factors), axis=given)
        else:
            for axis, factor in zip(spatial, factors, strict=True):
                kernel = jnp.repeat(kernel, factor, axis=axis)
            kernel = kernel[tuple(slice(size) for size in shape)]
        placement.check(out_sharding, kernel.shape, kernel)
        return placement.apply(kernel, out_sharding)

    return init


def _axes(shape: Sequence[int], in_axis: int, out_axis: int) -> tuple[int, int, list[int]]:
    """The axes of the input and output channels of a kernel of ``shape``, and the spatial ones."""
    sizes = [integer(size, f"shape[{i}]", 1) for i, size in enumerate(sequence(shape, "shape", "a kernel's sizes"))]
    rank = len(sizes)
    taken, given = (axis + rank if axis < 0 else axis for axis in (in_axis, out_axis))
    if rank < 3 or taken == given or not 0 <= min(taken, given) <= max(taken, given) < rank:
        raise ArgumentError(
            "the shape is no kernel's",
            got=f"shape {tuple(sizes)}, in_axis {in_axis}, out_axis {out_axis}",
            legal="3 axes or more, two of them of channels",
            fix="pass the shape of a transposed convolution's kernel",
        )
    return taken, given, [axis for axis in range(rank) if axis not in (taken, given)]


def _dtype(dtype: Any) -> Any:
    return jax.dtypes.canonicalize_dtype(float if dtype is None else dtype)
