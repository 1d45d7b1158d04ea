"""TensorFlow with oneDNN, its default on x86, computes dilation, groups and channels first on CPU, as the docs say."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

import jconvt

pytest.importorskip("tensorflow")

X86 = ("x86_64", "amd64")
CALLS = {
    "dilation": ((1, 6, 5, 4), (3, 3, 2, 4), [1, 12, 10, 2], {"dilations": 2}),
    "groups": ((1, 6, 5, 4), (3, 3, 1, 4), [1, 12, 10, 4], {}),
    "both": ((1, 6, 5, 4), (3, 3, 3, 4), [1, 12, 10, 6], {"dilations": [2, 1]}),
    "channels first": ((1, 4, 6, 5), (3, 3, 2, 4), [1, 2, 12, 10], {"data_format": "NCHW"}),
    "dilation in 3-D": ((1, 3, 4, 3, 4), (3, 2, 3, 2, 4), [1, 6, 8, 6, 2], {"dilations": 2}),
    "groups in 3-D": ((1, 3, 4, 3, 4), (3, 2, 3, 1, 4), [1, 6, 8, 6, 4], {}),
}
SCRIPT = """
import sys
import numpy as np, tensorflow as tf
from tests.conventions.test_onednn import CALLS, operands
answers = {}
for name, (*shapes, output_shape, more) in CALLS.items():
    try:
        answers[name] = tf.nn.conv_transpose(*operands(*shapes), output_shape, 2, "SAME", **more).numpy()
    except tf.errors.InvalidArgumentError:
        pass
np.savez(sys.argv[1], **answers)
"""


def operands(*shapes):
    return [np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32) for shape in shapes]


def answers(path):
    """TensorFlow's results in a process with oneDNN: in this one, it is off."""
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "1", "PYTHONPATH": os.getcwd()}
    subprocess.run([sys.executable, "-c", SCRIPT, str(path)], check=True, env=environment, capture_output=True)
    return np.load(path)


@pytest.mark.skipif(platform.machine().lower() not in X86, reason="oneDNN is TensorFlow's default on x86 only")
def test_tensorflow__with_onednn_equals_jconvt(tmp_path):
    found = answers(tmp_path / "answers.npz")
    assert set(found) == set(CALLS) - {"groups in 3-D"}
    for name in found:
        *shapes, output_shape, more = CALLS[name]
        wanted = jconvt.conv_transpose(*operands(*shapes), output_shape, 2, "SAME", **more)
        np.testing.assert_allclose(wanted, found[name], rtol=1e-4, atol=1e-4)
