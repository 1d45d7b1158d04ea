"""Geometry as integers: no JAX and no NumPy."""
