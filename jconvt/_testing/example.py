"""The five-by-five example that jconvt began with.

A person slid the kernel over the zero-filled input, expected -67 * -9 = 603 in the corner, and got -67 * -1 = 67 from
TensorFlow: each input pixel *stamps* the kernel, so the first tap falls on the corner.
"""

import numpy as np

INPUT = np.array([[-67, -77], [-117, -127]], np.float32).reshape(1, 2, 2, 1)
FILTERS = np.array([[-1, 2, -3], [4, -5, 6], [-7, 8, -9]], np.float32).reshape(3, 3, 1, 1)
ARGUMENTS = {"output_shape": (1, 5, 5, 1), "strides": 2, "padding": "VALID"}
