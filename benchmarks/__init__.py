"""jconvt's speed beside TensorFlow's, PyTorch's, ``jax.lax``'s and Flax's: ``python -m benchmarks``, in a checkout."""
