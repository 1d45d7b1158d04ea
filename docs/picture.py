"""Draws docs/_static/stamps.png, the whole operation in one picture: ``python docs/picture.py``.

The numbers, their sums and the three views come from ``jconvt.explain``, which the tests hold to the definition.
"""

import pathlib

import jconvt
from jconvt._testing import example

TARGET = pathlib.Path(__file__).parent / "_static" / "stamps.png"


def main() -> None:
    call = 'conv2d_transpose(input, kernel, strides=2, padding="VALID")'
    explanation = jconvt.explain(example.INPUT, example.FILTERS, **example.ARGUMENTS, name=call)
    explanation.save(TARGET, view="all")


if __name__ == "__main__":
    main()
