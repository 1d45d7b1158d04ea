"""Transposed convolution as one dense convolution for each output phase.

Only some taps reach an output phase, each from another pixel, as ``phases`` says. So each phase is a convolution of
stride 1, with its own share of the taps. Neighbouring phases that meet the same pixels with neighbouring taps are the
output channels of one convolution. No zero is multiplied.

Read backwards, the outputs of these phases in one block, times the taps, are what the block adds to the pixels that it
meets: that is the forward convolution. Times these pixels, they are the share's part of the kernel gradient. These are
the products of ``joint``, with every axis gathered.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ..errors import ArgumentError
from . import _matmul
from ._accumulation import alike, sums_in
from ._phases import MOST_PARTS, Share, aligned, counts, interleave, of_all_shares, refuse, shares, taps_of_shares


def transposed_convolution(
    x: jax.Array, w: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any
) -> jax.Array:
    wide = sums_in(dtype)
    x, w = alike(x, w, wide)
    rank, groups, out = spec.rank, spec.groups, w.shape[spec.rank]
    sizes = layout.spatial(x.shape)
    starts, blocks_spec = aligned(spec)
    numbers = counts(blocks_spec, sizes)

    def part(chosen: tuple[Share, ...]) -> jax.Array:
        widths = [share.width for share in chosen]
        if not all(share.taps for share in chosen):
            return jnp.zeros((groups, x.shape[0], *numbers, *widths, out), wide)
        kernel = _taps(w, chosen, groups)
        y = lax.conv_general_dilated(
            x,
            lax.optimization_barrier(kernel.reshape(*kernel.shape[: rank + 1], groups * math.prod(widths) * out)),
            window_strides=(1,) * rank,
            padding=[
                (share.reach - share.ahead, number - size + share.ahead)
                for share, number, size in zip(chosen, numbers, sizes, strict=True)
            ],
            rhs_dilation=[share.spacing for share in chosen],
            dimension_numbers=lax.ConvDimensionNumbers(
                lhs_spec=(0, layout.channel_axis, *layout.spatial_axes),
                rhs_spec=(rank + 1, rank, *range(rank)),
                out_spec=(0, rank + 1, *range(1, rank + 1)),
            ),
            feature_group_count=groups,
            precision=precision,
            preferred_element_type=wide,
        )
        return jnp.moveaxis(y.reshape(*y.shape[:-1], groups, *widths, out), rank + 1, 0)

    return interleave(of_all_shares(part, blocks_spec), blocks_spec, layout, starts, spec.output_sizes(sizes)).astype(
        dtype
    )


def forward_convolution(
    z: jax.Array, w: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any
) -> jax.Array:
    return _matmul.forward_convolution(z, w, spec, layout, dtype, precision, stamped=0)


def kernel_gradient(x: jax.Array, z: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> jax.Array:
    return _matmul.kernel_gradient(x, z, spec, layout, dtype, precision, stamped=0)


def refusal(spec: Spec) -> ArgumentError | None:
    """The error for a geometry that takes too many convolutions, or whose forward convolution adds up too much."""
    many = max(axis.stride for axis in spec.axes) > MOST_PARTS  # then do not count them one by one
    if many or math.prod(len(shares(axis)) for axis in aligned(spec)[1].axes) > MOST_PARTS:
        return refuse("polyphase", "convolutions", spec)
    return refuse("polyphase", "slices", spec) if _matmul.parts(spec, 0) > MOST_PARTS else None


def _taps(w: jax.Array, chosen: tuple[Share, ...], groups: int) -> jax.Array:
    """``(taps..., c / groups, groups, phases..., o / groups)``, the last tap first."""
    rank = len(chosen)
    w = taps_of_shares(w, chosen, last_first=True)
    w = w.reshape(*w.shape[:-1], groups, w.shape[-1] // groups)
    return w.transpose(*range(0, 2 * rank, 2), 2 * rank + 2, 2 * rank + 1, *range(1, 2 * rank, 2), 2 * rank)
