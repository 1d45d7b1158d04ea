"""A transposed convolution, product by product: which input pixel meets which kernel tap where, and their sums.

``views`` holds the numbers, and ``call`` makes them from a call; the other files show them.
"""

from .call import explain
from .explanation import Explanation
from .views import Product

__all__ = ["Explanation", "Product", "explain"]
