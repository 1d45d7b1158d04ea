"""One file for each framework's way to say which transposed convolution is meant. No numerics, no JAX.

``arguments`` is what their front ends are written with.
"""
