"""The operation on JAX arrays: the three primitives, and which method computes each of them."""
