"""Transposed convolution as one dense convolution for each output phase.

Output position ``q * stride + p`` is of phase ``p``. Only the taps with ``t * dilation = p + lo`` modulo ``stride``
reach it, each from another pixel:

    output[q * stride + p]  =  sum over those t of  w[t] * x[q + (p + lo - t * dilation) / stride]

so each phase is a convolution of stride 1, with its own share of the taps. Neighbouring phases that meet the same
pixels with neighbouring taps are the output channels of one convolution. No zero is multiplied.

JAX transposes these convolutions: in their input they are the forward convolution, a sum of one dense convolution for
each phase, and in their kernel they are the kernel gradient.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ..axis import Axis
from ..errors import ArgumentError
from ..layout import Layout
from ..spec import Spec
from .blocks import MOST_PARTS, counts, interleave, refuse
from .sums import alike, sums_in


def transposed_convolution(
    x: jax.Array, w: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any
) -> jax.Array:
    x, w = alike(x, w, sums_in(dtype))
    return _phases(x, w, spec, layout, sums_in(dtype), precision).astype(dtype)


def forward_convolution(
    z: jax.Array, w: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any
) -> jax.Array:
    wide = sums_in(dtype)
    shape = layout.shape(z.shape[0], spec.input_sizes(layout.spatial(z.shape)), w.shape[spec.rank + 1])
    w = w.astype(wide)
    transpose = jax.linear_transpose(
        lambda x: _phases(x, w, spec, layout, wide, precision), jax.ShapeDtypeStruct(shape, wide)
    )
    (x,) = transpose(z.astype(wide))
    return x.astype(dtype)


def kernel_gradient(x: jax.Array, z: jax.Array, spec: Spec, layout: Layout, dtype: Any, precision: Any) -> jax.Array:
    wide = sums_in(dtype)
    channel, kernel = layout.channel_axis, [axis.kernel for axis in spec.axes]
    shape = (*kernel, z.shape[channel] // spec.groups, x.shape[channel])
    x = x.astype(wide)
    transpose = jax.linear_transpose(
        lambda w: _phases(x, w, spec, layout, wide, precision), jax.ShapeDtypeStruct(shape, wide)
    )
    (w,) = transpose(z.astype(wide))
    return w.astype(dtype)


def refusal(spec: Spec) -> ArgumentError | None:
    """The error for a geometry that takes too many convolutions."""
    many = max(axis.stride for axis in spec.axes) > MOST_PARTS  # then do not count them one by one
    if many or math.prod(len(_shares(axis)) for axis in spec.axes) > MOST_PARTS:
        return refuse("polyphase", "convolutions", spec)
    return None


def _phases(x: jax.Array, w: jax.Array, spec: Spec, layout: Layout, wide: Any, precision: Any) -> jax.Array:
    """The transposed convolution, of the dtype ``wide``."""
    rank, groups, out = spec.rank, spec.groups, w.shape[spec.rank]
    sizes = layout.spatial(x.shape)
    numbers = counts(spec, sizes)

    def phases(chosen: tuple[_Share, ...]) -> jax.Array:
        """``(groups, batch, blocks..., phases..., o / groups)`` of the phases that these shares have."""
        axis = len(chosen)
        if axis < rank:
            each = [phases((*chosen, share)) for share in _shares(spec.axes[axis])]
            return lax.concatenate(each, 2 + rank + axis)
        widths = [share.width for share in chosen]
        if not all(share.taps for share in chosen):
            return jnp.zeros((groups, x.shape[0], *numbers, *widths, out), wide)
        y = lax.conv_general_dilated(
            x,
            _kernel(w, chosen, groups),
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

    return interleave(phases(()), spec, layout, spec.output_sizes(sizes))


class _Share(NamedTuple):
    """Phases side by side that meet the same pixels: ``taps`` are those of the first, and the next one's are one on.

    The first tap meets the pixel ``ahead`` of the block; each further one, the pixel ``spacing`` before.
    """

    width: int
    taps: tuple[int, ...]
    ahead: int
    spacing: int

    @property
    def reach(self) -> int:
        """From the last to the first pixel."""
        return (len(self.taps) - 1) * self.spacing


def _shares(axis: Axis) -> list[_Share]:
    found: list[_Share] = []
    for phase in range(axis.stride):
        position = phase + axis.lo
        taps = [tap for tap in range(axis.kernel) if (position - tap * axis.dilation) % axis.stride == 0]
        ahead = (position - taps[0] * axis.dilation) // axis.stride if taps else 0
        spacing = (taps[1] - taps[0]) * axis.dilation // axis.stride if len(taps) > 1 else 1
        before = found[-1] if found else None
        if before and (before.ahead, [tap + before.width for tap in before.taps]) == (ahead, taps):
            found[-1] = before._replace(width=before.width + 1)
        else:
            found.append(_Share(1, tuple(taps), ahead, spacing))
    return found


def _kernel(w: jax.Array, chosen: tuple[_Share, ...], groups: int) -> jax.Array:
    """``(taps..., c / groups, groups * phases... * o / groups)``: the kernel of one convolution, last tap first."""
    rank = len(chosen)
    for axis, share in enumerate(chosen):  # one axis of taps after the other becomes one of taps and one of phases
        parts = [lax.slice_in_dim(w, tap, tap + share.width, axis=2 * axis) for tap in reversed(share.taps)]
        w = jnp.stack(parts, 2 * axis)
    *_, out, taken = w.shape
    w = w.reshape(*w.shape[:-1], groups, taken // groups)
    taps, phases = range(0, 2 * rank, 2), range(1, 2 * rank, 2)
    w = w.transpose(*taps, 2 * rank + 2, 2 * rank + 1, *phases, 2 * rank)
    width = math.prod(share.width for share in chosen)
    return w.reshape(*w.shape[: rank + 1], groups * width * out)
