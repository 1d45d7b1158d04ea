"""Small versions of published models, with their modules' names, order and parametrisation, in PyTorch and NNX.

Each is written once, for a ``Library``: PyTorch's modules have the names that released files have, and those of NNX get
the same ones. PyTorch computes with channels first, NNX with channels last.
"""
