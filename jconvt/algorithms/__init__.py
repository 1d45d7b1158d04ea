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

from ..spec import Spec
from . import apart, derived, dilated, gemm, polyphase, reference, vjp

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
    """What computes a map by a method: an entry of ``MAPS``, or the transpose that JAX derives."""
    if method in MAPS[name]:
        return MAPS[name][method]
    if name == "transposed_convolution":
        return METHODS[method]
    return functools.partial(getattr(derived, name), METHODS[method])


def computing_split(name: str, method: str, spec: Spec, platform: str | None) -> Callable[..., jax.Array]:
    """What computes a map by a method, or by ``"auto"``, in a program that XLA splits over devices by itself.

    It splits convolutions best, but gathers all groups of one. Products it gathers, too, but for those of ``apart``.
    """
    transposed = name == "transposed_convolution"
    written_out = polyphase.refusal(spec) is None
    if method == "auto":
        zeros = transposed and any(axis.stride > 1 for axis in spec.axes)  # which a CPU multiplies slowly
        method = "gemm" if spec.groups > 1 or (zeros and platform == "cpu") else "dilated" if transposed else "vjp"
        if not written_out:
            method = "dilated" if transposed else "vjp"
    if method in ("gemm", "polyphase") and written_out:
        return getattr(apart, name)
    if (name, method) == ("kernel_gradient", "dilated"):
        method = "vjp"  # the same number, by a convolution that XLA does not gather the image for
    return computing(name, method)
