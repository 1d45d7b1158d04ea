"""One file for each way to compute; what several share is in files of its own.

There are three maps to compute, all under one contract:

    transposed_convolution(x, w, spec, layout, dtype, precision) -> z
    forward_convolution(z, w, spec, layout, dtype, precision) -> x
    kernel_gradient(x, z, spec, layout, dtype, precision) -> w

``x`` is ``(batch, spatial..., c)`` in ``layout``; ``w`` is ``(k..., o / groups, c)``, TensorFlow's order; ``z`` is
``(batch, spec.output_sizes(...)..., o)`` in ``layout``. The result is of ``dtype``. No axis is of size 0: the caller
has seen to that. Laws that every algorithm keeps:

- its result is that of ``reference``, up to the rounding of its sums;
- it is linear in each operand;
- an input pixel that is not a number reaches the outputs under its stamp and no other.
"""

import functools
from collections.abc import Callable

import jax

from .._geometry.spec import Spec
from . import _by_transposition, _spmd_conv, _spmd_matmul, dilated, gemm, polyphase, reference, vjp

METHODS = {
    "dilated": dilated.transposed_convolution,
    "vjp": vjp.transposed_convolution,
    "polyphase": polyphase.transposed_convolution,
    "gemm": gemm.transposed_convolution,
    "reference": reference.transposed_convolution,
}

MAPS = {
    "transposed_convolution": {name: METHODS[name] for name in ("dilated", "polyphase", "gemm")},
    "forward_convolution": {
        "vjp": vjp.forward_convolution,
        "polyphase": polyphase.forward_convolution,
        "gemm": gemm.forward_convolution,
    },
    "kernel_gradient": {
        "dilated": dilated.kernel_gradient,
        "vjp": vjp.kernel_gradient,
        "polyphase": polyphase.kernel_gradient,
        "gemm": gemm.kernel_gradient,
    },
}
"""For each map, what there is to choose from."""

REFUSALS = {"polyphase": polyphase.refusal, "gemm": gemm.refusal}
"""For each method that does not serve every geometry, the error of one that it does not serve."""


def computing(name: str, method: str) -> Callable[..., jax.Array]:
    """What computes a map by a method: one that is written for it, or the transpose that JAX derives."""
    if name == "transposed_convolution":
        return METHODS[method]
    if method in MAPS[name]:
        return MAPS[name][method]
    return functools.partial(getattr(_by_transposition, name), METHODS[method])


def computing_split(
    name: str, spec: Spec, platform: str | None, one_axis: bool, whole_batches: bool
) -> Callable[..., jax.Array]:
    """What computes a map in a program that XLA splits over devices by itself, whatever the method.

    XLA splits the products of ``apart`` rightly, and gathers no image. TPU and GPU compute convolutions better: any of
    them is right if the mesh is known to have ``one_axis``, else those of ``guarded``. But for that kernel gradient XLA
    gathers images that are split. ``whole_batches`` says that the batch can be split over all devices instead.
    """
    if polyphase.refusal(spec) is not None:
        return getattr(_spmd_conv, name)
    if platform == "cpu" or spec.groups > 1:  # the groups of a convolution are gathered
        return getattr(_spmd_matmul, name)
    if one_axis:
        return MAPS[name]["dilated" if name == "transposed_convolution" else "vjp"]
    strided = any(axis.stride > 1 for axis in spec.axes)
    if platform == "tpu":
        convolved = name != "kernel_gradient" or (strided and whole_batches)
    else:  # a GPU's libraries may not know one more axis that is dilated
        convolved = name == "transposed_convolution" and strided
    return getattr(_spmd_conv if convolved else _spmd_matmul, name)
