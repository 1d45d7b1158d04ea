"""A transposed convolution, product by product: the input pixels and kernel taps of each output, and their sums.

``call`` resolves a call and computes; ``explanation`` is the object that it returns. Below them, ``text``, ``figures``,
``page`` and ``export`` show the numbers, which are in ``products``.
"""

from .call import explain
from .explanation import Explanation
from .products import Product

__all__ = ["Explanation", "Product", "explain"]
