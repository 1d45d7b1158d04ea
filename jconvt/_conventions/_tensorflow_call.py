"""A geometry in TensorFlow's words, and in those of ``jconvt.conv_transpose``, which are the same and go further."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from .._geometry.arguments import Size, sequence, wrong_length
from .._geometry.axis import Axis
from .._geometry.kernel_layout import filters_layout
from .._geometry.layout import Layout
from .._geometry.spec import Spec
from ..errors import ArgumentError
from .call import Call, remainder


def call(spec: Spec, input_shape: Sequence[Size], filters_shape: Sequence[int], *, own: bool = False) -> Call:
    """The call that computes a geometry on an input of ``input_shape``, channels last: sizes are arguments there.

    SAME and VALID are told from the crop. Else the ends are cropped explicitly: in TensorFlow in 2-D alone, in other
    dimensions the result of VALID is left to crop. The function that is ``own``, ``jconvt.conv_transpose``, crops
    explicitly in any number of dimensions, and has ``groups``, which TensorFlow reads from the full ``output_shape``.
    """
    axes, groups, rank = spec.axes, spec.groups, spec.rank
    for name, shape in (("input_shape", input_shape), ("filters_shape", filters_shape)):
        found = sequence(shape, name, f"{rank + 2} sizes")
        if len(found) != rank + 2:
            raise wrong_length(name, found, f"{rank + 2} sizes, the channels among them")
    sizes = input_shape[1:-1]
    if rank > 3 and not own:
        raise ArgumentError(
            f"tf.nn has no transposed convolution in {rank}-D",
            got=f"{rank} spatial axes",
            legal="1 to 3 spatial axes",
            fix="call jconvt.conv_transpose, which takes the same arguments in any number of dimensions",
        )
    added = [min(max(-axis.hi, 0), axis.stride - 1) for axis in axes]
    padding: Any = "VALID"
    computed = [dataclasses.replace(axis, lo=0, hi=-more) for axis, more in zip(axes, added, strict=True)]
    if all(_is_same(axis, n) for axis, n in zip(axes, sizes, strict=True)):
        padding, computed = "SAME", [*axes]
    elif (own or rank == 2) and any(axis.lo > 0 or axis.hi > 0 for axis in axes):
        ends = [(max(axis.lo, 0), max(axis.hi, 0)) for axis in axes]
        padding = tuple(ends) if own else ((0, 0), *ends, (0, 0))
        computed = [
            dataclasses.replace(axis, lo=before, hi=after - more)
            for axis, more, (before, after) in zip(axes, added, ends, strict=True)
        ]
    outputs = tuple(axis.output_size(n) for axis, n in zip(computed, sizes, strict=True))
    arguments: dict[str, Any] = {
        "output_shape": outputs if own else (input_shape[0], *outputs, filters_shape[-2] * groups),
        "strides": tuple(axis.stride for axis in axes),
        "padding": padding,
    }
    if any(axis.dilation > 1 for axis in axes):
        arguments["dilations"] = tuple(axis.dilation for axis in axes)
    if own and groups > 1:
        arguments["groups"] = groups
    function = "jconvt.conv_transpose" if own else f"tf.nn.conv{rank}d_transpose"
    return Call(function, arguments, Layout(rank), filters_layout(rank), remainder(axes, computed))


def _is_same(axis: Axis, size: Size) -> bool:
    """Whether SAME crops these ends for an input of this size."""
    out = axis.output_size(size)
    beyond = axis.stride * size - out  # from the largest legal size down
    if not isinstance(beyond, int) or not 0 <= beyond < axis.stride:
        return False
    return axis.lo == max(0, axis.extent - axis.stride + beyond) // 2
