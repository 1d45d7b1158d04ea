"""The limits for ``auto`` on a TPU, relative to ``jax.lax.conv_transpose``, in the estimates of the TPU compiler."""

_BYTES_A_CYCLE = 500
"""Below the memory bandwidth of each of these chips."""
_LAYOUT = 1.02
"""The effect of the layouts that the compiler chooses, on equal programs."""


def missed(auto, rival, useful_flops):
    """Return the limits that ``auto`` exceeds.

    ``auto`` and ``rival`` are ``Figures``; ``useful_flops`` is the minimum for any method.
    """
    limits = {
        "FLOPs": auto.flops <= 1.05 * (useful_flops + rival.flops),
        "memory": auto.temporary <= rival.temporary,
        "time": _no_slower(auto, rival),
    }
    return {name for name, kept in limits.items() if not kept}


def _no_slower(auto, rival):
    """Compare cycles if they count the same operations, or if ``auto`` has fewer even with its bytes moved twice."""
    if auto.unpriced == rival.unpriced:
        return auto.cycles <= _LAYOUT * rival.cycles
    if auto.cycles + auto.bytes / _BYTES_A_CYCLE <= rival.cycles:
        return True
    return auto.flops <= _LAYOUT * rival.flops and auto.bytes <= _LAYOUT * rival.bytes
