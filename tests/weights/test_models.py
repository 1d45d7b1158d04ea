"""``jconvt.weights`` against live frameworks: a model has the same output with the weights of another framework's."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jconvt import ArgumentError, weights
from tests.support import decoders

RANKS = (1, 2, 3)

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def close(found, wanted):
    np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), rtol=1e-5, atol=1e-5)


@pytest.fixture
def saved(tmp_path):
    """Saves a PyTorch model's state_dict."""

    def save(model, name="model.pt"):
        import torch

        torch.save(model.state_dict(), tmp_path / name)
        return tmp_path / name

    return save


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("transpose_kernel", [False, True])
def test_into_linen__torch(rank, transpose_kernel, saved):
    model = decoders.torch_decoder(rank)
    module, x = decoders.linen_decoder(rank, transpose_kernel=transpose_kernel), decoders.images(rank, 6)
    checkpoint = weights.read(saved(model))
    variables, report = weights.into_linen(checkpoint, module, x)
    close(decoders.linen_answer(module, variables, x), decoders.torch_answer(model, x))
    assert [row.rule for row in report.rows] == ["path"] * 5
    assert report.unused == ("1: num_batches_tracked",)
    assert report.missing == report.notes == ()


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("transpose_kernel", [False, True])
def test_into_nnx__torch(rank, transpose_kernel, saved):
    model, x = decoders.torch_decoder(rank), decoders.images(rank, 6)
    target = decoders.nnx_decoder(rank, transpose_kernel=transpose_kernel)
    weights.into_nnx(weights.read(saved(model)), target)
    close(decoders.nnx_answer(target, x), decoders.torch_answer(model, x))


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("groups", [1, 2])
def test_into_equinox__torch(rank, groups, saved):
    model, x = decoders.torch_decoder(rank, groups), decoders.images(rank, 6)
    target, state = decoders.equinox_decoder(rank, groups)
    (target, state), report = weights.into_equinox(weights.read(saved(model)), target, state=state)
    close(decoders.equinox_answer(target, state, x), decoders.torch_answer(model, x))
    assert report.missing == ()


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_into_linen__keras(rank, suffix, tmp_path):
    model, x = decoders.keras_decoder(rank), decoders.images(rank, 6)
    path = tmp_path / f"model{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that .h5 is an old format
        model.save(path)
    answer = model(x)
    checkpoint = weights.read(path)
    assert list(checkpoint.layers) == [
        "up1",
        "inner.mix",
        "inner.scale",
        next(name for name in checkpoint.layers if name.startswith(f"conv{rank}d_transpose")),
        "pixels",
        next(name for name in checkpoint.layers if name.startswith("layer_normalization")),
    ]
    module = decoders.keras_linen(rank)
    variables, report = weights.into_linen(checkpoint, module, x)
    close(decoders.linen_answer(module, variables, x), answer)
    assert report.notes == report.unused == report.missing == ()


def test_into_linen__keras_weights_by_names(tmp_path):
    model, x = decoders.keras_decoder(2), decoders.images(2, 6)
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    checkpoint = weights.read(path)
    assert checkpoint.layers["up1"].kind == "conv_transpose"
    _, report = weights.into_linen(checkpoint, decoders.keras_linen(2), x)
    assert {row.rule for row in report.rows} == {"shape"}  # all shapes differ, so no order is needed
    last, norm = (
        next(n for n in checkpoint.layers if n.startswith(p)) for p in ("conv2d_transpose", "layer_normalization")
    )
    names = {
        "up1": "layers_0",
        "inner.mix": "layers_2.Conv_0",
        "inner.scale": "layers_2.BatchNorm_0",
        last: "layers_3",
        "pixels": "layers_4",
        norm: "layers_5",
    }
    module = decoders.keras_linen(2)
    for mapping in (names, names.get):
        variables, report = weights.into_linen(checkpoint, module, x, names=mapping)
        close(decoders.linen_answer(module, variables, x), model(x))
        assert {row.rule for row in report.rows} == {"name"}


def test_into_nnx__depthwise_keras(tmp_path):
    keras, nnx = pytest.importorskip("keras"), pytest.importorskip("flax.nnx")
    layer = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", bias_initializer="random_normal")
    model = keras.Sequential([keras.Input((4, 5, 3)), layer])
    x = decoders.images(2, 3)
    for name in ("model.keras", "model.weights.h5"):
        (model.save if name.endswith("keras") else model.save_weights)(tmp_path / name)
        target = nnx.Conv(3, 6, (3, 3), feature_group_count=3, rngs=nnx.Rngs(0))
        target = nnx.Sequential(target)
        weights.into_nnx(
            weights.read(tmp_path / name), target, names={layer.name: "layers.0"} if "weights" in name else None
        )
        close(target(x), model(x))


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("external", [False, True])
def test_into_equinox_and_linen__onnx(rank, external, tmp_path):
    onnx_decoder = pytest.importorskip("onnx") and onnx_of
    groups, x = 1 + (rank == 2), decoders.images(rank, 6)
    model = decoders.torch_decoder(rank, groups)
    path = onnx_decoder(model, rank, tmp_path / "model.onnx", external)
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    answer = decoders.last(session.run(None, {"x": np.ascontiguousarray(decoders.first(x))})[0])
    close(answer, decoders.torch_answer(model, x))
    checkpoint = weights.read(path)
    assert list(checkpoint.layers) == ["0", "1", "3", "4", "5"]
    assert checkpoint.layers["0"].groups == groups
    target, state = decoders.equinox_decoder(rank, groups)
    (target, state), report = weights.into_equinox(checkpoint, target, state=state)
    close(decoders.equinox_answer(target, state, x), answer)
    assert report.notes == ()
    if groups == 1:
        module = decoders.linen_decoder(rank)
        variables, report = weights.into_linen(checkpoint, module, x)
        close(decoders.linen_answer(module, variables, x), answer)
        assert report.notes == ()


def onnx_of(model, rank, path, external=False):
    """The decoder as PyTorch would export it, with numbers in the model or beside it."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    state = {name: tensor.numpy() for name, tensor in model.state_dict().items() if tensor.ndim}
    options = {"kernel_shape": [4] * rank, "strides": [2] * rank, "pads": [1] * 2 * rank}
    groups = model[0].groups
    last = {**options, "kernel_shape": [3] * rank, "output_padding": [1] * rank}
    batch = ["1.weight", "1.bias", "1.running_mean", "1.running_var"]
    nodes = [
        helper.make_node("ConvTranspose", ["x", "0.weight", "0.bias"], ["a"], group=groups, **options),
        helper.make_node("BatchNormalization", ["a", *batch], ["b"], epsilon=1e-5),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Conv", ["c", "3.weight", "same"], ["d"], group=2, pads=[1] * 2 * rank),
        helper.make_node("Identity", ["3.bias"], ["same"]),
        helper.make_node("GroupNormalization", ["d", "4.weight", "4.bias"], ["e"], num_groups=2, epsilon=1e-6),
        helper.make_node("ConvTranspose", ["e", "5.weight"], ["y"], group=groups, **last),
    ]
    nodes = [nodes[4], *nodes[:4], *nodes[5:]]
    unknown = ["n", *("abcdef"[: rank + 1])]
    graph = helper.make_graph(
        nodes,
        "decoder",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, unknown)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in state.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(proto, str(path), save_as_external_data=external, location="numbers.bin", size_threshold=0)
    return path


def test_into_nnx__onnx_dense_layers(tmp_path):
    pytest.importorskip("onnx")
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nnx = pytest.importorskip("flax.nnx")
    generator = np.random.default_rng(0)
    sizes = {"w": (4, 3), "b": (4,), "m": (4, 5), "c": (5,), "p": (5, 2)}
    arrays = {name: generator.normal(size=size).astype(np.float32) for name, size in sizes.items()}
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"], transB=1),
        helper.make_node("MatMul", ["h", "m"], ["i"]),
        helper.make_node("Add", ["c", "i"], ["j"]),
        helper.make_node("Gemm", ["j", "p"], ["y"], name="/head/Gemm"),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "dense",
        [info("x", TensorProto.FLOAT, [2, 3])],
        [info("y", TensorProto.FLOAT, [2, 2])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    onnx.save(helper.make_model(graph), str(tmp_path / "model.onnx"))
    checkpoint = weights.read(tmp_path / "model.onnx")
    assert list(checkpoint.layers) == ["w", "m", "head.Gemm"]
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(
        nnx.Linear(3, 4, rngs=rngs), nnx.Linear(4, 5, rngs=rngs), nnx.Linear(5, 2, use_bias=False, rngs=rngs)
    )
    weights.into_nnx(checkpoint, model)
    x = generator.normal(size=(2, 3)).astype(np.float32)
    close(model(x), ((x @ arrays["w"].T + arrays["b"]) @ arrays["m"] + arrays["c"]) @ arrays["p"])


@pytest.mark.parametrize("groups", [1, 2])
def test_from_equinox__round_trip_to_torch_is_exact(groups, tmp_path):
    torch = pytest.importorskip("torch")
    source = decoders.torch_decoder(2, groups)
    torch.save(source.state_dict(), tmp_path / "a.pt")
    model, state = decoders.equinox_decoder(2, groups)
    (model, state), _ = weights.into_equinox(weights.read(tmp_path / "a.pt"), model, state=state)
    names = {f"layers.{i}": str(i) for i in (0, 1, 3, 4, 5)}
    report = weights.write(tmp_path / "b.pt", weights.from_equinox(model, state), names=names)
    assert [row.rule for row in report.rows] == ["name"] * 5
    target = decoders.torch_decoder(2, groups)
    for parameter in target.parameters():
        parameter.data.zero_()
    found = torch.load(tmp_path / "b.pt", weights_only=True)
    target.load_state_dict({**found, "1.num_batches_tracked": torch.tensor(0)}, strict=True)
    for name, tensor in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], tensor), name


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("transpose_kernel", [False, True])
def test_into_linen_and_nnx__equinox(rank, transpose_kernel, saved):
    source, x = decoders.torch_decoder(rank), decoders.images(rank, 6)
    model, state = decoders.equinox_decoder(rank)
    (model, state), _ = weights.into_equinox(weights.read(saved(source)), model, state=state)
    checkpoint = weights.from_equinox(model, state)
    module = decoders.linen_decoder(rank, transpose_kernel=transpose_kernel)
    variables, _ = weights.into_linen(checkpoint, module, x)
    close(decoders.linen_answer(module, variables, x), decoders.torch_answer(source, x))
    other = decoders.nnx_decoder(rank, transpose_kernel=transpose_kernel)
    weights.into_nnx(checkpoint, other)
    close(decoders.nnx_answer(other, x), decoders.torch_answer(source, x))


@pytest.mark.parametrize("transpose_kernel", [False, True])
@pytest.mark.parametrize("library", ["linen", "nnx"])
def test_from_linen_and_nnx__round_trip_to_torch_is_exact(library, transpose_kernel, saved, tmp_path):
    torch = pytest.importorskip("torch")
    source, x = decoders.torch_decoder(2), decoders.images(2, 6)
    checkpoint = weights.read(saved(source))
    if library == "linen":
        module = decoders.linen_decoder(2, transpose_kernel=transpose_kernel)
        variables, _ = weights.into_linen(checkpoint, module, x)
        back = weights.from_linen(variables, module, x)
    else:
        model = decoders.nnx_decoder(2, transpose_kernel=transpose_kernel)
        weights.into_nnx(checkpoint, model)
        back = weights.from_nnx(model)
    weights.write(tmp_path / "b.pt", back, names=lambda path: path.replace("layers", "").strip("._"))
    found = torch.load(tmp_path / "b.pt", weights_only=True)
    for name, tensor in source.state_dict().items():
        if tensor.ndim:
            assert torch.equal(found[name], tensor), name


def test_into_nnx__order_is_that_of_attributes(saved):
    nnx, torch = pytest.importorskip("flax.nnx"), pytest.importorskip("torch")

    class Model(nnx.Module):
        def __init__(self):
            self.second = nnx.Linear(3, 3, rngs=nnx.Rngs(0))
            self.first = nnx.Linear(3, 3, rngs=nnx.Rngs(1))

    source = torch.nn.ModuleDict({"a": torch.nn.Linear(3, 3), "b": torch.nn.Linear(3, 3)})
    checkpoint = weights.read(saved(source))
    with pytest.raises(ArgumentError, match=r"leave a choice .*\n.*side by side\n.*\n +a +second .*\n +b +first "):
        weights.into_nnx(checkpoint, Model())
    report = weights.into_nnx(checkpoint, Model(), by_order=True)
    assert [(row.source, row.target) for row in report.guesses] == [("a", "second"), ("b", "first")]
    assert str(report).endswith("guess: a -> second, by order\nguess: b -> first, by order")


def test_into_nnx__dtypes_are_the_models(saved):
    nnx = pytest.importorskip("flax.nnx")
    source = decoders.torch_decoder(2)
    checkpoint = weights.read(saved(source.double()))
    model = decoders.nnx_decoder(2, param_dtype=jnp.bfloat16)
    report = weights.into_nnx(checkpoint, model)
    assert model.layers[0].kernel[...].dtype == jnp.bfloat16
    assert model.layers[3].kernel[...].dtype == jnp.float32
    assert "float64 to bfloat16" in report.rows[0].conversion
    back = np.asarray(model.layers[0].kernel[...], np.float64)
    close_enough = np.asarray(checkpoint.layers["0"].filters)[::-1, ::-1].swapaxes(-1, -2)
    np.testing.assert_allclose(back, close_enough, rtol=1e-2)
    assert isinstance(nnx.state(model), nnx.State)


def test_into_linen__other_epsilon_and_geometry_are_noted(tmp_path):
    model, x = decoders.keras_decoder(1), decoders.images(1, 6)
    model.save(tmp_path / "model.keras")
    nn = pytest.importorskip("flax.linen")
    module = decoders.keras_linen(1)
    changed = nn.Sequential([nn.ConvTranspose(8, (4,), strides=(1,)), *module.layers[1:-1], nn.LayerNorm(epsilon=1e-2)])
    _, report = weights.into_linen(weights.read(tmp_path / "model.keras"), changed, x)
    assert len(report.notes) == 2
    assert "layers_5: epsilon is 0.01 here, and 0.1 in the source" in report.notes[1]
    assert report.notes[0].startswith("layers_0: another geometry: Spec(axes=(Axis(kernel=4, stride=1,")


def test_into_nnx__flattening_is_noted(tmp_path):
    nnx = pytest.importorskip("flax.nnx")
    torch = pytest.importorskip("torch")
    source = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 1), torch.nn.Flatten(), torch.nn.Linear(12, 5))
    torch.save(source.state_dict(), tmp_path / "model.pt")
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(nnx.Conv(2, 3, (1, 1), rngs=rngs), nnx.Linear(12, 5, rngs=rngs))
    report = weights.into_nnx(weights.read(tmp_path / "model.pt"), model)
    assert report.notes[0].startswith("images are flattened in another order")
    assert str(report).endswith("as this is not done here")


def test_into_linen__partial_with_variables(saved):
    nn = pytest.importorskip("flax.linen")
    x = decoders.images(2, 6)
    checkpoint = weights.read(saved(decoders.torch_decoder(2)))
    module = nn.Sequential([*decoders.linen_decoder(2).layers, nn.Dense(3)])
    with pytest.raises(ArgumentError, match=r"unmatched: .*layers_6 \(dense \(4, 3\)\)"):
        weights.into_linen(checkpoint, module, x)
    names = {name: f"layers_{name}" for name in checkpoint.layers}
    with pytest.raises(ArgumentError, match=r"no numbers for layers_6\.bias, layers_6\.kernel"):
        weights.into_linen(checkpoint, module, x, names=names, strict=False)
    initial = module.init(jax.random.key(1), x)
    variables, report = weights.into_linen(checkpoint, module, x, names=names, strict=False, variables=initial)
    assert report.missing == ("layers_6",)
    assert variables["params"]["layers_6"] == initial["params"]["layers_6"]
    assert not (variables["params"]["layers_0"]["kernel"] == initial["params"]["layers_0"]["kernel"]).any()


def test_into_nnx__parameters_of_other_layers_raise_or_are_listed(saved):
    nnx, torch = pytest.importorskip("flax.nnx"), pytest.importorskip("torch")
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(nnx.Embed(5, 3, rngs=rngs), nnx.Linear(3, 2, rngs=rngs))
    checkpoint = weights.read(saved(torch.nn.Sequential(torch.nn.Linear(3, 2))))
    before = np.asarray(model.layers[1].kernel[...])
    with pytest.raises(ArgumentError, match=r"not converted\n  got:   layers\.0\.embedding"):
        weights.into_nnx(checkpoint, model)
    assert (before == model.layers[1].kernel[...]).all()
    report = weights.into_nnx(checkpoint, model, strict=False)
    assert report.missing == ("layers.0.embedding",)
    assert not (before == model.layers[1].kernel[...]).all()


def test_into_equinox__partial_keeps_other_parameters(saved):
    eqx, torch = pytest.importorskip("equinox"), pytest.importorskip("torch")
    linear = eqx.nn.Linear(3, 3, dtype=np.float32, key=jax.random.key(0))
    model = eqx.nn.Sequential([linear, eqx.nn.PReLU(np.ones((3, 2), np.float32))])
    checkpoint = weights.read(saved(torch.nn.Sequential(torch.nn.Linear(3, 3))))
    with pytest.raises(ArgumentError, match="not converted\n  got:   layers"):
        weights.into_equinox(checkpoint, model)
    new, report = weights.into_equinox(checkpoint, model, strict=False)
    assert len(report.missing) == 1
    assert (new.layers[0].weight == checkpoint.layers["0"].arrays["kernel"]).all()
    assert not (new.layers[0].weight == model.layers[0].weight).all()


def test_from_linen__root_module_has_an_empty_path(tmp_path):
    nn = pytest.importorskip("flax.linen")
    module, x = nn.ConvTranspose(4, (3, 3)), decoders.images(2, 6)
    variables = module.init(jax.random.key(0), x)
    weights.write(tmp_path / "a.safetensors", weights.from_linen(variables, module, x))
    checkpoint = weights.read(tmp_path / "a.safetensors")
    assert checkpoint.framework == "flax"
    back, _ = weights.into_linen(checkpoint, module, x)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), back, variables))


def test_into_linen__groups_of_custom_layers(tmp_path):
    """A layer with linen's name and with groups, which Flax's does not have."""
    torch = pytest.importorskip("torch")
    import flax.linen as nn

    import jconvt

    class ConvTranspose(nn.Module):
        groups: int = 2
        strides: int = 2
        padding: object = ((2, 2), (2, 2))
        kernel_dilation: int = 1
        transpose_kernel: bool = False

        @nn.compact
        def __call__(self, x):
            kernel = self.param("kernel", nn.initializers.zeros, (4, 4, 6 // self.groups, 8), np.float32)
            bias = self.param("bias", nn.initializers.zeros, (8,), np.float32)
            options = {"feature_group_count": self.groups}
            return jconvt.lax.conv_transpose(x, kernel, (2, 2), self.padding, **options) + bias[None, None, None]

    source, x = decoders.torch_decoder(2, 2)[:1], decoders.images(2, 6)
    torch.save(source.state_dict(), tmp_path / "model.pt")
    module = nn.Sequential([ConvTranspose()])
    variables, report = weights.into_linen(weights.read(tmp_path / "model.pt"), module, x)
    close(module.apply(variables, x), decoders.torch_answer(source, x))
    assert "reshape" in report.rows[0].conversion
    wrong = nn.Sequential([ConvTranspose(groups=1)])
    with pytest.raises(ArgumentError, match=r"groups of layer '0', for 'layers_0' differ\n.*groups 2 .*\n.*groups 1"):
        weights.into_linen(weights.read(tmp_path / "model.pt"), wrong, x)
    layer = weights.read(tmp_path / "model.pt", kinds={"0": "conv_transpose"}).layers["0"]
    assert layer.groups == 2  # by the bias
    assert dataclasses.replace(layer, arrays={"kernel": layer.arrays["kernel"]}).filters.shape == (4, 4, 4, 6)


def test_into_nnx__layers_that_share_a_variable_get_one_value():
    nnx = pytest.importorskip("flax.nnx")
    model = nnx.List([nnx.Linear(3, 3, use_bias=False, rngs=nnx.Rngs(i)) for i in range(2)])
    model[1].kernel = model[0].kernel
    before = np.asarray(model[0].kernel[...])
    kernels = {f"{i}.weight": np.full((3, 3), i, np.float32) for i in range(2)}
    with pytest.raises(ArgumentError, match=r"layers '0' and '1' of the target share one kernel[\s\S]*without sharing"):
        weights.into_nnx(weights.from_state_dict(kernels), model)
    np.testing.assert_array_equal(model[0].kernel[...], before)
    weights.into_nnx(weights.from_state_dict(dict.fromkeys(kernels, kernels["1.weight"])), model)
    np.testing.assert_array_equal(model[1].kernel[...], 1)


def test_equinox__shared_nodes_raise():
    eqx = pytest.importorskip("equinox")
    model = eqx.nn.Sequential([eqx.nn.Linear(3, 3, key=jax.random.key(i)) for i in range(2)])
    shared = eqx.nn.Shared(model, lambda each: each[1].weight, lambda each: each[0].weight)
    with pytest.raises(ArgumentError, match=r"'pytree\.layers\.1' has something else than arrays[\s\S]*shared\(\)"):
        weights.from_equinox(shared)
    assert list(weights.from_equinox(shared()).layers) == ["layers.0", "layers.1"]
