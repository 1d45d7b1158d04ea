"""One file for each way to compute a transposed convolution, all under one contract; ``blocks`` is what two share.

    transposed_convolution(x, w, spec, layout, dtype, precision) -> y

``x`` is ``(batch, spatial..., c)`` in ``layout``; ``w`` is ``(k..., o / groups, c)``, TensorFlow's order; ``y`` is
``(batch, spec.output_sizes(...)..., o)`` in ``layout``, of ``dtype``. The operands have one dtype and no axis of size
0: the caller has seen to both. Laws that every algorithm keeps:

- its result is that of ``reference``, up to the rounding of its sums;
- it is linear in ``x`` and in ``w``;
- an input pixel that is not a number reaches the outputs under its stamp and no other.
"""

from . import dilated, gemm, polyphase, reference, vjp

METHODS = {
    "dilated": dilated.transposed_convolution,
    "vjp": vjp.transposed_convolution,
    "polyphase": polyphase.transposed_convolution,
    "gemm": gemm.transposed_convolution,
    "reference": reference.transposed_convolution,
}
