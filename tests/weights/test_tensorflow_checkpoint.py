"""TensorFlow's checkpoints and SavedModels, which are not read: the code of the page loads their numbers."""

import pathlib
import re
import textwrap

import numpy as np
import pytest

from jconvt import ArgumentError, weights

nn = pytest.importorskip("flax.linen")
tf = pytest.importorskip("tensorflow")

from jconvt import linen  # noqa: E402

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "weights.md").read_text()


@pytest.fixture
def variable(tmp_path, monkeypatch):
    """A variable, saved in both formats in the working directory."""
    monkeypatch.chdir(tmp_path)
    model = tf.Module()
    model.up = tf.Variable(np.random.default_rng(0).normal(size=(4, 4, 3, 4)).astype(np.float32), name="up")
    tf.train.Checkpoint(up=model.up).write("ckpt")
    tf.saved_model.save(model, "saved")
    return model.up


def test_page__code_loads_a_checkpoint(variable):
    (code,) = re.findall(r"```py\n(.*?)```", PAGE, re.DOTALL)
    module = nn.Sequential([linen.ConvTranspose(3, (4, 4), (2, 2), "SAME", use_bias=False)])
    x = np.random.default_rng(1).normal(size=(1, 5, 5, 4)).astype(np.float32)
    found = {"tf": tf, "weights": weights, "module": module, "x": x}
    exec(textwrap.dedent(code), found)
    wanted = tf.nn.conv2d_transpose(x, variable, [1, 10, 10, 3], 2, "SAME")
    np.testing.assert_allclose(module.apply(found["variables"], x), wanted, rtol=1e-5, atol=1e-5)


def test_page__expression_opens_a_saved_model(variable):
    (code,) = re.findall(r"`(tf\.train\.load[^`]*)`", PAGE)
    found = eval(code, {"tf": tf}).get_tensor("up/.ATTRIBUTES/VARIABLE_VALUE")
    np.testing.assert_array_equal(found, variable)


@pytest.mark.parametrize("path", ["ckpt.index", "saved"])
def test_read__says_how_to_open_them(variable, path):
    with pytest.raises(ArgumentError, match=r"tf\.train\.load_checkpoint.*weights\.from_state_dict"):
        weights.read(path)
