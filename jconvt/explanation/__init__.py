"""A transposed convolution, product by product: which input pixel meets which kernel tap where, and their sums.

``views`` holds the numbers, ``call`` makes them from a call; ``text``, ``figures`` and ``page`` show them.
"""

from .call import explain
from .views import Explanation, Product

__all__ = ["Explanation", "Product", "explain"]
