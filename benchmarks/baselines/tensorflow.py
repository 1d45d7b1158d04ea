"""``tf.nn.conv1d_transpose`` to ``conv3d_transpose``, channels last, as a ``tf.function``.

TensorFlow has no groups there. A depthwise layer is the gradient of its depthwise convolution.
"""

import os
from typing import Any

import jax
import numpy as np

# TensorFlow's start-up messages would break the progress bar.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf

from ..measurement import Candidate, Program, Unsupported
from ..problem import Problem

tf.get_logger().setLevel("ERROR")


def candidates() -> dict[str, Candidate]:
    here = {"cpu": "CPU", "gpu": "GPU"}.get(jax.default_backend())
    if here is None or not tf.config.list_physical_devices(here):
        raise ImportError(f"TensorFlow does not see the {jax.default_backend()} that JAX computes on")
    if here == "GPU":
        for device in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, True)
    return {"tensorflow": _prepare}


def _prepare(problem: Problem) -> Program:
    transpose = _transpose(problem)
    tf.config.experimental.enable_tensor_float_32_execution(problem.dtype == "tf32")

    @tf.function
    def forward(x: Any, w: Any) -> Any:
        return (transpose(x, w),)

    @tf.function
    def gradient(x: Any, w: Any, z: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch((x, w))
            y = transpose(x, w)
        return y, *tape.gradient(y, (x, w), output_gradients=z)

    x, w, z = (tf.constant(array.astype(np.float32)) for array in problem.operands)
    operands = [tf.cast(array, problem.array_dtype) for array in (x, _kernel(problem, w), z)]
    on_gpu = jax.default_backend() == "gpu"

    def run() -> Any:
        results = gradient(*operands) if problem.step == "gradient" else forward(*operands[:2])
        if on_gpu:
            tf.test.experimental.sync_devices()
        return results

    def arrays(results: Any) -> tuple[Any, ...]:
        y, *gradients = (tf.cast(array, tf.float32).numpy() for array in results)
        if gradients:
            gradients[1] = _kernel(problem, gradients[1])
        return y, *gradients

    return Program(run, arrays)


def _transpose(problem: Problem) -> Any:
    workload = problem.workload
    if workload.groups == 1:
        function = getattr(tf.nn, f"conv{workload.rank}d_transpose")
        return lambda x, w: function(x, w, workload.output_shape, workload.stride, workload.padding)
    if workload.rank != 2 or not workload.groups == workload.input_channels == workload.output_channels:
        raise Unsupported("TensorFlow has no transposed convolution in groups")
    strides = [1, workload.stride, workload.stride, 1]
    return lambda x, w: tf.nn.depthwise_conv2d_backprop_input(workload.output_shape, w, x, strides, workload.padding)


def _kernel(problem: Problem, w: Any) -> Any:
    """Convert a depthwise kernel from (k, k, 1, c) to (k, k, c, 1), or back."""
    return w if problem.workload.groups == 1 else np.swapaxes(w, -1, -2)
