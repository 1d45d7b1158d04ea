"""Rewrite ``jconvt/_testing/goldens`` with TensorFlow's results: ``python -m tests.support.make_goldens``.

Needs TensorFlow. Run it when a case is added: each case seeds its operands with its name, so other cases keep theirs.
"""

import json
import pathlib
import zlib
from typing import Any

import numpy as np
import tensorflow as tf

import jconvt._testing.example

FOLDER = pathlib.Path(__file__).parents[2] / "jconvt" / "_testing" / "goldens"

# name, function, shape of input, shape of filters, arguments
ONE, TWO, THREE = "conv1d_transpose", "conv2d_transpose", "conv3d_transpose"
VALID = {"padding": "VALID"}
EXPLICIT = {"padding": [[0, 0], [1, 2], [0, 1], [0, 0]]}
CASES: list[tuple[str, str, list[int], list[int], dict[str, Any]]] = [
    ("2d-same", TWO, [2, 4, 3, 5], [3, 3, 4, 5], dict(output_shape=[2, 8, 6, 4], strides=2)),
    ("2d-same-odd", TWO, [2, 4, 3, 5], [3, 3, 4, 5], dict(output_shape=[2, 7, 5, 4], strides=2)),
    ("2d-unequal", TWO, [1, 3, 4, 2], [2, 5, 3, 2], dict(output_shape=[1, 8, 4, 3], strides=[3, 1])),
    ("2d-valid", TWO, [1, 3, 4, 2], [4, 3, 3, 2], dict(output_shape=[1, 6, 10, 3], strides=[1, 1, 2, 1], **VALID)),
    ("2d-explicit", TWO, [1, 3, 4, 2], [4, 3, 3, 2], dict(output_shape=[1, 5, 8, 3], strides=2, **EXPLICIT)),
    ("2d-dcgan", TWO, [2, 4, 4, 6], [5, 5, 3, 6], dict(output_shape=[2, 8, 8, 3], strides=2)),
    ("2d-pix2pix", TWO, [1, 4, 4, 4], [4, 4, 2, 4], dict(output_shape=[1, 8, 8, 2], strides=2)),
    ("2d-gaps", TWO, [1, 3, 3, 2], [2, 2, 3, 2], dict(output_shape=[1, 9, 9, 3], strides=3)),
    ("2d-batch-0", TWO, [0, 3, 3, 2], [3, 3, 3, 2], dict(output_shape=[0, 6, 6, 3], strides=2)),
    ("2d-no-pixels", TWO, [1, 0, 2, 2], [3, 3, 3, 2], dict(output_shape=[1, 2, 5, 3], strides=2, **VALID)),
    ("2d-nchw", TWO, [1, 5, 4, 3], [3, 2, 4, 5], dict(output_shape=[1, 4, 8, 6], strides=2, data_format="NCHW")),
    ("2d-dilated", TWO, [1, 4, 3, 3], [3, 2, 2, 3], dict(output_shape=[1, 8, 6, 2], strides=2, dilations=[2, 3])),
    ("2d-groups", TWO, [1, 4, 3, 6], [3, 3, 2, 6], dict(output_shape=[1, 8, 6, 6], strides=2)),
    ("2d-depthwise", TWO, [1, 4, 3, 4], [4, 4, 1, 4], dict(output_shape=[1, 8, 6, 4], strides=2)),
    ("2d-both", TWO, [1, 3, 3, 4], [3, 3, 3, 4], dict(output_shape=[1, 6, 6, 6], strides=2, dilations=2)),
    ("3d-same", THREE, [1, 2, 3, 2, 3], [3, 2, 4, 2, 3], dict(output_shape=[1, 4, 6, 4, 2], strides=2)),
    (
        "3d-valid",
        THREE,
        [1, 2, 3, 2, 3],
        [3, 3, 4, 2, 3],
        dict(output_shape=[1, 5, 5, 7, 2], strides=[2, 1, 3], **VALID),
    ),
    ("nd", "conv_transpose", [1, 3, 2], [3, 2, 2], dict(output_shape=[1, 6, 2], strides=2)),
    (
        "atrous",
        "atrous_conv2d_transpose",
        [1, 4, 4, 2],
        [3, 3, 3, 2],
        dict(output_shape=[1, 4, 4, 3], rate=2, padding="SAME"),
    ),
    (
        "backprop",
        "conv2d_backprop_input",
        [1, 3, 3, 2],
        [3, 3, 3, 2],
        dict(input_sizes=[1, 6, 6, 3], strides=[1, 2, 2, 1], padding="SAME"),
    ),
]
for n, k, s in [(1, 1, 1), (3, 2, 1), (3, 3, 2), (2, 4, 2), (3, 5, 2), (3, 2, 3), (2, 1, 4), (4, 5, 3), (1, 7, 2)]:
    for padding, least, most in (("SAME", s * (n - 1) + 1, s * n), ("VALID", s * (n - 1) + k, s * n + k - 1)):
        for out in range(least, most + 1):
            name = f"1d-{padding.lower()}-n{n}-k{k}-s{s}-out{out}"
            CASES.append((name, ONE, [2, n, 3], [k, 2, 3], dict(output_shape=[2, out, 2], strides=s, padding=padding)))


def tensorflow_result(function: str, input: Any, filters: Any, arguments: dict[str, Any]) -> Any:
    """TensorFlow's result, from its CPU kernels or, for calls that these do not support, from its XLA compiler."""

    def call() -> Any:
        if function == "conv2d_backprop_input":
            return tf.compat.v1.nn.conv2d_backprop_input(filter=filters, out_backprop=input, **arguments)
        return getattr(tf.nn, function)(input, filters, **arguments)

    grouped = arguments.get("output_shape", [0])[-1] != filters.shape[-2]
    compiled = "data_format" in arguments or "dilations" in arguments or (grouped and function == TWO)
    return (tf.function(call, jit_compile=True) if compiled else call)().numpy()


def main() -> None:
    drawn: list[tuple[str, str, str, bool, Any, Any, dict[str, Any]]] = [
        (
            "example",
            TWO,
            "float32",
            True,
            jconvt._testing.example.INPUT,
            jconvt._testing.example.FILTERS,
            jconvt._testing.example.ARGUMENTS,
        )
    ]
    for name, function, input, filters, arguments in CASES:
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        x, w = (rng.integers(-9, 10, shape).astype(np.float32) for shape in (input, filters))
        drawn.append((name, function, "float32", True, x, w, arguments))
    for dtype, exact in (("int32", True), ("float64", False), ("float32", False)):
        rng = np.random.default_rng(len(drawn))
        x, w = ((rng.standard_normal(shape) * 9).astype(dtype) for shape in ([2, 4, 4, 8], [5, 5, 3, 8]))
        drawn.append((f"2d-{dtype}", TWO, dtype, exact, x, w, dict(output_shape=[2, 8, 8, 3], strides=2)))
    arrays: dict[str, Any] = {}
    cases = []
    for name, function, dtype, exact, x, w, arguments in drawn:
        cases.append(dict(name=name, function=function, dtype=dtype, exact=exact, arguments=arguments))
        output = tensorflow_result(function, x, w, arguments)
        arrays |= {f"{name}/input": x, f"{name}/filters": w, f"{name}/output": output}
    np.savez_compressed(FOLDER / "arrays.npz", **arrays)
    manifest = dict(
        tensorflow=tf.__version__, numpy=np.__version__, script="tests/support/make_goldens.py", cases=cases
    )
    (FOLDER / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    print(f"{len(cases)} cases from TensorFlow {tf.__version__}")


if __name__ == "__main__":
    main()
