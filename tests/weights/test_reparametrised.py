"""Weight norm, spectral norm and pruning: files give the kernel that PyTorch's module has in evaluation."""

import re

import numpy as np
import pytest

from jconvt import ArgumentError, weights

torch = pytest.importorskip("torch")
prune = pytest.importorskip("torch.nn.utils.prune")
nn = torch.nn
old, new = torch.nn.utils, torch.nn.utils.parametrizations

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")

LAYERS = {
    "conv1d": lambda: nn.Conv1d(6, 4, 3),
    "conv2d": lambda: nn.Conv2d(6, 4, (3, 2), groups=2),
    "conv3d": lambda: nn.Conv3d(2, 3, 2, bias=False),
    "up1d": lambda: nn.ConvTranspose1d(8, 4, 8, 4, 2),
    "up2d": lambda: nn.ConvTranspose2d(6, 4, 3, groups=2),
    "up3d": lambda: nn.ConvTranspose3d(2, 3, 2),
    "linear": lambda: nn.Linear(6, 4),
    "one": lambda: nn.ConvTranspose1d(1, 1, 4),
    "to_one": lambda: nn.Conv1d(5, 1, 3),
}


def perturbed(layer, dtype=torch.float32):
    """The layer with other numbers, whose effective kernel is computed again."""
    generator = torch.Generator().manual_seed(0)
    for parameter in layer.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return layer.to(dtype)


def effective(layer):
    """The kernel of the module in evaluation."""
    layer.eval()
    for hook in layer._forward_pre_hooks.values():
        hook(layer, None)
    return layer.weight.detach()


def read(model, **options):
    return weights.from_state_dict(nn.ModuleDict({"a": model}).state_dict(), **options).layers["a"]


@pytest.mark.parametrize("spelling", [old, new], ids=["old", "new"])
@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("name", LAYERS)
def test_weight_norm__is_folded(name, dim, spelling, tmp_path):
    layer = perturbed(spelling.weight_norm(LAYERS[name](), dim=dim))
    torch.save(nn.ModuleDict({"a": layer}).state_dict(), tmp_path / "a.pt")
    found = weights.read(tmp_path / "a.pt").layers["a"]
    np.testing.assert_allclose(found.arrays["kernel"], effective(layer).numpy(), rtol=1e-6, atol=1e-7)
    assert found.kind == ("dense" if name == "linear" else "unknown")
    assert set(found.arrays) == {"kernel", "bias"} - ({"bias"} if layer.bias is None else set())


@pytest.mark.parametrize("spelling", [old, new], ids=["old", "new"])
@pytest.mark.parametrize("name", LAYERS)
def test_spectral_norm__is_folded(name, spelling, tmp_path):
    torch.manual_seed(0)
    layer = perturbed(spelling.spectral_norm(LAYERS[name]()))
    torch.save(nn.ModuleDict({"a": layer}).state_dict(), tmp_path / "a.pt")
    found = weights.read(tmp_path / "a.pt").layers["a"]
    np.testing.assert_allclose(found.arrays["kernel"], effective(layer).numpy(), rtol=1e-5, atol=1e-6)
    assert set(found.arrays) == {"kernel", "bias"} - ({"bias"} if layer.bias is None else set())


@pytest.mark.parametrize("spelling", [old, new], ids=["old", "new"])
@pytest.mark.parametrize(("build", "kind"), [(nn.Conv2d, "conv"), (nn.ConvTranspose2d, "conv_transpose")])
def test_spectral_norm__of_as_many_inputs_as_outputs(build, kind, spelling):
    """Two matrices fit. Vectors after training show the right one; else the kind does."""
    torch.manual_seed(0)
    trained = spelling.spectral_norm(build(6, 6, 3, padding=1))
    for _ in range(20):
        trained(torch.randn(1, 6, 8, 8))
    np.testing.assert_allclose(read(trained).arrays["kernel"], effective(trained).numpy(), rtol=1e-5, atol=1e-6)
    random = spelling.spectral_norm(build(6, 6, 3))
    vectors = [buffer for name, buffer in random.named_buffers() if name.endswith(("_u", "_v"))]
    for vector in vectors:
        vector.copy_(nn.functional.normalize(torch.randn(vector.shape), dim=0))
    with pytest.raises(ArgumentError, match=r"a\.weight fits two matrices[\s\S]*orig \(6, 6, 3, 3\)[\s\S]*kinds={'a'"):
        read(random)
    found = read(random, kinds={"*": kind}).arrays["kernel"]
    # The scale of random vectors is almost zero, and PyTorch computes it in float32.
    np.testing.assert_allclose(found, effective(random).numpy(), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("spelling", [old, new], ids=["old", "new"])
def test_spectral_norm__of_a_square_dense_layer(spelling):
    """The matrix is that of the layer, unless it is evident that it is the transpose."""
    torch.manual_seed(0)
    for size in (4, 32):
        for dim in (0, 1):
            layer = spelling.spectral_norm(nn.Linear(size, size), dim=dim)
            for _ in range(20):
                layer(torch.randn(1, size))
            if (size, dim) == (4, 1):
                with pytest.raises(ArgumentError, match=r"a\.weight fits two[\s\S]*save .* after remove_spectral_norm"):
                    read(layer)
            else:
                found = read(layer).arrays["kernel"]
                np.testing.assert_allclose(found, effective(layer).numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_weight_norm__is_rounded_once(dtype, tmp_path):
    layer = perturbed(new.weight_norm(nn.ConvTranspose1d(8, 4, 8)), dtype)
    torch.save(layer.state_dict(), tmp_path / "a.pt")
    found = weights.read(tmp_path / "a.pt").layers[""].arrays["kernel"]
    wanted = torch._weight_norm(*(each.double() for each in reversed(list(layer.parametrizations.weight.parameters()))))
    assert found.dtype.name == str(dtype).removeprefix("torch.")
    np.testing.assert_array_equal(found.astype(np.float64), wanted.to(dtype).double().detach().numpy())


def test_weight_norm__of_pytorch_0_3_has_a_norm_with_an_axis():
    layer = old.weight_norm(nn.Conv1d(3, 4, 2), dim=None)
    state = {**layer.state_dict(), "weight_g": layer.weight_g.detach().reshape(1)}
    found = weights.from_state_dict(state).layers[""].arrays["kernel"]
    np.testing.assert_allclose(found, layer.weight.detach().numpy(), rtol=1e-6)


def test_spectral_norm__before_pytorch_1_0_stored_the_kernel():
    state = {"a.weight_orig": torch.randn(3, 4, 2), "a.weight": torch.randn(3, 4, 2), "a.weight_u": torch.randn(3)}
    found = weights.from_state_dict(state).layers["a"].arrays
    assert list(found) == ["kernel"]
    np.testing.assert_array_equal(found["kernel"], state["a.weight"])


def test_prune__is_folded():
    layer = prune.random_unstructured(nn.Conv2d(3, 4, 3), "weight", 0.5)
    np.testing.assert_array_equal(read(layer).arrays["kernel"], layer.weight.detach().numpy())


ones = np.ones
BAD = [
    ({"a.weight_g": ones((3, 1, 1))}, "parts of a.weight are missing", "a.weight_g", "weight_g and weight_v"),
    (
        {"a.weight_v": ones((3, 1, 1)), "a.bias": ones(3)},
        "parts of a.weight are missing",
        "got:   a.weight_v\n",
        "whole",
    ),
    ({"a.parametrizations.weight.original1": ones((3, 1))}, "parts of a.weight", "weight.original1", "save the whole"),
    ({"a.weight_orig": ones((3, 1, 1)), "a.weight_u": ones(3)}, "are missing", "a.weight_orig, a.weight_u", "weight_v"),
    ({"weight_g": ones((1, 1, 1)), "weight_v": ones((3, 4, 5))}, "do not fit", "g (1, 1, 1), v (3, 4, 5)", "scalar"),
    ({"weight_g": ones((3, 1, 1)), "weight_v": ones((4, 3, 5))}, "do not fit", "g (3, 1, 1), v (4, 3, 5)", "one axis"),
    ({"weight_g": ones((3, 4, 1)), "weight_v": ones((3, 4, 5))}, "do not fit", "g (3, 4, 1), v (3, 4, 5)", "one axis"),
    ({"weight_g": ones(3), "weight_v": ones((3, 4))}, "do not fit", "g (3,), v (3, 4)", "one axis"),
    ({"weight_orig": ones((3, 4)), "weight_u": ones(3), "weight_v": ones(5)}, "do not fit", "v (5,)", "all others"),
    ({"weight_orig": ones((3, 4)), "weight_mask": ones(3)}, "do not fit", "mask (3,)", "kernel's shape"),
]


@pytest.mark.parametrize(("state", *"abc"), BAD, ids=[str(i) for i in range(len(BAD))])
def test_fold__incomplete_or_ambiguous_sets_raise(state, a, b, c):
    with pytest.raises(ArgumentError) as caught:
        weights.from_state_dict(state)
    for part in (a, b, c):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "state",
    [
        new.orthogonal(nn.Linear(4, 3)).state_dict(),
        new.spectral_norm(new.weight_norm(nn.Linear(4, 3))).state_dict(),
        {"weight_bar": ones((3, 4)), "weight_u": ones(3), "weight_v": ones(4), "bias": ones(3)},
        {"weight": ones((3, 4)), "weight_mask": ones((3, 4)), "bias": ones(3)},
        {"weight": ones((3, 4)), "weight_g": ones((3, 1)), "weight_v": ones((3, 4)), "bias": ones(3)},
        {"weight_g": ones((3, 1)), "weight_v": ones((3, 4), np.int8), "bias": ones(3)},
        {"weight_g": ones((3, 1)), "weight_v": torch.zeros(3, 4, device="meta"), "bias": ones(3)},
    ],
    ids=["orthogonal", "chain", "other name", "mask of a whole kernel", "parts of a whole kernel", "integers", "meta"],
)
def test_fold__unknown_computations_cost_only_their_layer(state):
    layers = weights.from_state_dict({**state, "next.weight": ones((3, 2, 1))}).layers
    assert (layers[""].kind, layers["next"].kind) == ("other", "unknown")
    assert list(layers[""].arrays) == ["bias"]
    assert re.search(r"weight is not read \((computed from .*|torch.float32 \(3, 4\))\)", str(layers[""]))


def test_fold__other_names_stay():
    state = nn.ModuleDict({"gru": nn.GRUCell(2, 3), "up": old.weight_norm(nn.Conv1d(2, 3, 1))}).state_dict()
    state["attention.proj_g"] = state["attention.proj_v"] = torch.zeros(3, 2)
    checkpoint = weights.from_state_dict(state)
    assert list(checkpoint.layers) == ["gru", "up", "attention"]
    assert list(checkpoint.layers["gru"].arrays) == ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    assert list(checkpoint.layers["attention"].arrays) == ["proj_g", "proj_v"]
