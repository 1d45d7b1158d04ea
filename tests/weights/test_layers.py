"""Other frameworks' files in jconvt's layers, with groups and output sizes: equal to the live frameworks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jconvt import Spec, weights
from jconvt import torch as jtorch

torch = pytest.importorskip("torch")
pytest.importorskip("flax")
pytest.importorskip("equinox")
pytest.importorskip("safetensors")

from flax import linen as nn  # noqa: E402
from flax import nnx  # noqa: E402

import jconvt.equinox  # noqa: E402
import jconvt.linen  # noqa: E402
import jconvt.nnx  # noqa: E402

# kernel, stride, padding, output_padding, groups, dilation
GEOMETRIES = [(4, 2, 1, 0, 1, 1), (3, 2, 1, 1, 2, 1), (2, 3, 0, 2, 4, 1), (5, 2, 3, 0, 2, 2)]


@pytest.fixture(params=GEOMETRIES, ids=str)
def case(request, tmp_path):
    """The arguments of a PyTorch layer; its checkpoint; an input, channels last; and the output."""
    kernel, stride, padding, added, groups, dilation = request.param
    torch.manual_seed(0)
    layer = torch.nn.ConvTranspose2d(8, 4, kernel, stride, padding, added, groups, True, dilation)
    torch.save(layer.state_dict(), tmp_path / "layer.pt")
    x = np.random.default_rng(0).normal(size=(2, 5, 4, 8)).astype(np.float32)
    output = layer(torch.tensor(np.moveaxis(x, -1, 1))).detach().numpy()
    checkpoint = weights.read(tmp_path / "layer.pt", kinds={"*": "conv_transpose"}, groups={"*": groups})
    return request.param, checkpoint, x, np.moveaxis(output, 1, -1)


def close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("transpose_kernel", [False, True])
def test_torch__into_jconvt_linen_and_nnx_and_back(case, transpose_kernel):
    (kernel, stride, padding, added, groups, dilation), checkpoint, x, output = case
    arguments = {
        "strides": stride,
        "padding": padding,
        "kernel_dilation": dilation,
        "output_padding": added,
        "groups": groups,
        "use_consistent_padding": True,
        "transpose_kernel": transpose_kernel,
    }
    module = nn.Sequential([jconvt.linen.ConvTranspose(4, (kernel, kernel), **arguments)])
    variables, report = weights.into_linen(checkpoint, module, x)
    close(module.apply(variables, x), output)
    assert [row.rule for row in report.rows] == ["shape"]
    assert report.unused == report.missing == report.notes == ()
    model = nnx.Sequential(jconvt.nnx.ConvTranspose(8, 4, (kernel, kernel), rngs=nnx.Rngs(0), **arguments))
    weights.into_nnx(checkpoint, model)
    close(model(jnp.asarray(x)), output)
    # The inverse gives the arrays of the file, bit for bit.
    for written in (weights.from_linen(variables, module, x), weights.from_nnx(model)):
        (layer,) = weights.convert(written, "torch")[0].layers.values()
        (original,) = checkpoint.layers.values()
        for role, array in original.arrays.items():
            np.testing.assert_array_equal(layer.arrays[role], array)
        assert layer.groups == groups


def test_torch__into_jconvt_equinox(case):
    (kernel, stride, padding, added, groups, dilation), checkpoint, x, output = case
    model = jconvt.equinox.ConvTranspose2d(
        8, 4, kernel, stride, added, padding, dilation, groups, dtype=jnp.float32, key=jax.random.key(0)
    )
    model, report = weights.into_equinox(checkpoint, model)
    close(jnp.moveaxis(jax.vmap(model)(jnp.moveaxis(x, -1, 1)), 1, -1), output)
    assert report.notes == ()
    (layer,) = weights.from_equinox(model).layers.values()
    arguments = {"stride": stride, "padding": padding, "output_padding": added, "groups": groups, "dilation": dilation}
    assert layer.spec == Spec.from_torch((1, 8, 5, 4), (8, 4 // groups, kernel, kernel), **arguments)
    filters = next(iter(checkpoint.layers.values())).arrays
    close(
        jtorch.conv_transpose2d(np.moveaxis(x, -1, 1), filters["kernel"], filters["bias"], **arguments),
        np.moveaxis(output, -1, 1),
    )


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's, to TensorFlow's arrays
def test_into_linen__other_geometry_is_noted(tmp_path):
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((5, 8)), keras.layers.Conv1DTranspose(4, 4, 2, "same", name="up")])
    model.save(tmp_path / "model.keras")
    checkpoint = weights.read(tmp_path / "model.keras")
    x = jnp.ones((1, 5, 8), jnp.float32)
    same, valid = (
        weights.into_linen(checkpoint, nn.Sequential([jconvt.linen.ConvTranspose(4, 4, 2, padding)]), x)[1]
        for padding in ("SAME", "VALID")
    )
    assert same.notes == ()
    assert len(valid.notes) == 1
    assert "another geometry" in valid.notes[0]
