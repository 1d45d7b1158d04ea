"""What ``auto`` may take on a TPU, beside ``jax.lax.conv_transpose``, by the figures of TPU's compiler."""

_BYTES_A_CYCLE = 500
"""Fewer than the main memory of any of these chips gives."""
_LAYOUT = 1.02
"""What the compiler's choice of a layout decides, for programs that compute the same."""


def missed(auto, rival, useful_flops):
    """Which goals ``auto`` misses: it takes more than the rival where it is to take no more.

    ``auto`` and ``rival`` are ``Figures``; ``useful_flops`` are what no method does without.
    """
    limits = {
        "FLOPs": auto.flops <= 1.05 * (useful_flops + rival.flops),
        "memory": auto.temporary <= rival.temporary,
        "time": _no_slower(auto, rival),
    }
    return {name for name, kept in limits.items() if not kept}


def _no_slower(auto, rival):
    """By cycles, where they cover the same operations, or are fewer even with all bytes read and written once more."""
    if auto.unpriced == rival.unpriced:
        return auto.cycles <= _LAYOUT * rival.cycles
    if auto.cycles + auto.bytes / _BYTES_A_CYCLE <= rival.cycles:
        return True
    return auto.flops <= _LAYOUT * rival.flops and auto.bytes <= _LAYOUT * rival.bytes
