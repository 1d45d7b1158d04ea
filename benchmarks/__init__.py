"""jconvt beside TensorFlow, PyTorch, ``jax.lax`` and Flax: ``python -m benchmarks``, from a checkout."""
