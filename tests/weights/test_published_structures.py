"""Small versions of published models with random weights: ported by paths, their outputs equal PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jconvt import ArgumentError, weights

torch = pytest.importorskip("torch")
nnx = pytest.importorskip("flax.nnx")

from tests.support import decoders  # noqa: E402
from tests.support.published import audio, image_to_image, keras_unet, segmentation  # noqa: E402
from tests.support.published.libraries import NNX, Torch  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")

INPUTS = {
    audio.hifi_gan: (2, 6, 5),
    audio.dac: (2, 6, 5),
    audio.encodec: (2, 6, 8),
    audio.vocos: (2, 6, 9),
    image_to_image.pix2pix: (2, 3, 16, 16),
    image_to_image.center_net: (2, 3, 8, 8),
    image_to_image.vq_vae_2: (2, 3, 16, 16),
    image_to_image.style_gan_2: (2, 6),
    segmentation.nn_unet: (2, 3, 12, 12),
    segmentation.unetr: (2, 3, 16, 16),
    segmentation.sam_mask_decoder: (2, 8, 4, 4),
}


def randomised(model):
    """The model in evaluation mode, with random parameters and statistics."""
    torch.manual_seed(0)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.is_floating_point():
            scale = 1.5 / tensor[0].numel() ** 0.5 if tensor.ndim > 1 else 0.5
            tensor.data = torch.rand_like(tensor) + 0.5 if name.endswith("var") else torch.randn_like(tensor) * scale
    return model.eval()


def set_others(model, missing, state):
    """Set the parameters that belong to no layer of a known kind, and return their names, the same in both models."""
    found = set()
    for path, variable in nnx.iter_graph(model):
        name = ".".join(map(str, path))
        if name in missing and isinstance(variable, nnx.Variable):
            found.add(name.replace("layers.", ""))
            array = state[name.replace("layers.", "")].numpy()
            assert [size for size in array.shape if size > 1] == [size for size in variable.shape if size > 1]
            variable[...] = jnp.asarray(array).reshape(variable.shape)
    return found


@pytest.mark.parametrize("structure", INPUTS)
def test_published__torch_into_nnx(structure):
    source, target = randomised(structure(Torch)), structure(NNX)
    x = np.random.default_rng(0).normal(size=INPUTS[structure]).astype(np.float32)
    wanted = source(torch.tensor(x)).detach().numpy()
    checkpoint = weights.from_state_dict(source.state_dict())
    target.eval()
    report = weights.into_nnx(checkpoint, target, strict=False)
    assert {row.rule for row in report.rows} == {"path"}
    others = set_others(target, report.missing, source.state_dict())
    # Counters have no meaning in Flax, and nnU-Net's file has some modules under a second and a third name.
    expected = ("num_batches_tracked", ".all_modules.", "decoder.encoder.")
    unused = [each for each in report.unused if not any(part in each for part in expected)]
    assert len(unused) == len(others)
    with jax.numpy_rank_promotion("allow"):
        found = decoders.first(target(decoders.last(x)))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=2e-4 * np.std(wanted))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_published__keras_unet_into_linen(tmp_path):
    keras = pytest.importorskip("keras")
    keras.utils.clear_session()
    source, target = keras_unet.keras_unet(keras), keras_unet.LinenUNet()
    generator = np.random.default_rng(0)
    source.set_weights([generator.uniform(0.2, 1, array.shape).astype(np.float32) for array in source.get_weights()])
    source.set_weights([array if array.ndim == 1 else array - 0.6 for array in source.get_weights()])
    source.save(tmp_path / "unet.keras")
    x = generator.normal(size=(2, 16, 16, 3)).astype(np.float32)
    checkpoint = weights.read(tmp_path / "unet.keras")
    with pytest.raises(ArgumentError, match="paths and shapes leave a choice"):
        weights.into_linen(checkpoint, target, x)
    check = (x, np.asarray(source(x)))
    variables, report = weights.into_linen(checkpoint, target, x, names=keras_unet.linen_name, check=check)
    np.testing.assert_allclose(target.apply(variables, x), check[1], rtol=1e-4, atol=2e-4 * np.std(check[1]))
    assert report.unused == report.missing == ()
