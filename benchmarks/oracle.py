"""The exact results: the three maps in float64, one matrix product for each tap.

It shares no code with the methods. The pixels of all images are the rows of one matrix; a tap's products land on the
canvas ``stride`` apart, from ``tap * dilation`` on.
"""

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jconvt._geometry.spec import Spec


def maps(x: Any, w: Any, z: Any, spec: Spec) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return ``T(x, w)``, and the gradients of ``<z, T(x, w)>`` in ``x`` and in ``w``.

    Args:
      x: ``(batch, spatial..., c)``.
      w: ``(k..., o / groups, c)``.
      z: ``(batch, output spatial..., o)``.
      spec: the geometry.
    """
    sizes, output_sizes = x.shape[1:-1], z.shape[1:-1]
    canvas = [
        max(axis.full_size(size), axis.lo + output)
        for axis, size, output in zip(spec.axes, sizes, output_sizes, strict=True)
    ]
    window = (..., *(slice(a.lo, a.lo + size) for a, size in zip(spec.axes, output_sizes, strict=True)), slice(None))
    pixels = _split_groups(x, spec)
    stamps = np.zeros((spec.groups, x.shape[0], *canvas, w.shape[-2]))
    padded_z = np.zeros_like(stamps)
    padded_z[window] = _split_groups(z, spec)
    rows = pixels.reshape(spec.groups, -1, pixels.shape[-1])
    taps = np.moveaxis(np.float64(w).reshape(*w.shape[:-1], spec.groups, -1), -2, 0)  # (groups, k..., o / groups, c)
    in_rows, in_taps = np.zeros_like(rows), np.zeros_like(taps)
    for tap in itertools.product(*(range(axis.kernel) for axis in spec.axes)):
        positions = (
            slice(None),
            slice(None),
            *(
                slice(t * a.dilation, t * a.dilation + (size - 1) * a.stride + 1, a.stride)
                for t, a, size in zip(tap, spec.axes, sizes, strict=True)
            ),
        )
        matrix = taps[(slice(None), *tap)]
        stamps[positions] += (rows @ matrix.mT).reshape(*pixels.shape[:-1], -1)
        pixels_of_z = padded_z[positions].reshape(spec.groups, math.prod(pixels.shape[1:-1]), -1)
        in_rows += pixels_of_z @ matrix
        in_taps[(slice(None), *tap)] = pixels_of_z.mT @ rows
    in_w = np.moveaxis(in_taps, 0, -2).reshape(w.shape)
    return _merge_groups(stamps[window]), _merge_groups(in_rows.reshape(pixels.shape)), in_w


def _split_groups(array: Any, spec: Spec) -> NDArray[Any]:
    """Convert (..., channels) to (groups, ..., channels / groups), in float64."""
    return np.moveaxis(np.float64(array).reshape(*array.shape[:-1], spec.groups, -1), -2, 0)


def _merge_groups(array: NDArray[Any]) -> NDArray[Any]:
    """Convert (groups, ..., channels / groups) to (..., channels)."""
    return np.moveaxis(array, 0, -2).reshape(*array.shape[1:-1], -1)
