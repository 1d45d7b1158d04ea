"""``python -m benchmarks``."""

import os
import sys

# Before anything is imported that reads them: room on a GPU for other libraries than JAX, and NumPy, which computes the
# exact answers alone, without threads that spin beside the contenders'.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
