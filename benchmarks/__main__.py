"""``python -m benchmarks``."""

import os
import sys

# Set before the imports that read them: JAX leaves GPU memory to other libraries, and NumPy, which only computes the
# exact results, has no threads that spin beside the candidates'.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
