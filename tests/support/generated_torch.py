"""The generated models in PyTorch: their outputs, and their files."""

import dataclasses
import pathlib
import warnings

import numpy as np
import safetensors.torch
import torch

from jconvt import ArgumentError, weights
from jconvt.weights import Checkpoint
from tests.support.generated_models import Generated, Unit, run

FORMATS = ("pt", "safetensors", "memory", "onnx")


def torch_layer(unit: Unit, has_wrapper: bool = True) -> torch.nn.Module:
    """Return the layer, with random numbers."""
    nn = torch.nn
    sizes = unit.inputs, unit.outputs, unit.kernel
    options = {"padding": unit.padding, "dilation": unit.dilation, "groups": unit.groups, "bias": unit.bias}
    layer = {
        "conv": lambda: nn.Conv1d(*sizes, **options),
        "conv_transpose": lambda: nn.ConvTranspose1d(*sizes, stride=unit.stride, **options),
        "dense": lambda: nn.Linear(unit.inputs, unit.outputs),
        "batch_norm": lambda: nn.BatchNorm1d(unit.outputs),
        "layer_norm": lambda: nn.LayerNorm(unit.outputs),
        "prelu": lambda: nn.PReLU(unit.slopes),
    }[unit.kind]()
    for name, tensor in layer.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape) + 0.5 if "var" in name else torch.randn(tensor.shape))
    return _wrapped(layer, unit) if unit.wrapper and has_wrapper else layer


def _wrapped(layer: torch.nn.Module, unit: Unit) -> torch.nn.Module:
    """Return the layer with a computed kernel, in one of PyTorch's two spellings."""
    utils, options = torch.nn.utils, {}
    if unit.wrapper == "weight_norm":
        options["dim"] = (0, 1, None)[unit.number % 3]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the old spelling is deprecated, but most files have it
        layer = getattr(utils if unit.number % 2 else utils.parametrizations, unit.wrapper)(layer, **options)
    if unit.wrapper == "weight_norm":
        norm = next(each for name, each in layer.named_parameters() if name.endswith(("_g", "original0")))
        norm.data *= torch.rand(norm.shape) + 0.5
    else:
        x = torch.ones(1, *((3, 4) if unit.kind == "dense" else (4, 8)))
        for _ in range(3):  # so that the scale is not almost zero
            layer(x)
    return layer


class _Model(torch.nn.Module):
    def __init__(self, model: Generated, layers: dict[Unit, torch.nn.Module]):
        super().__init__()
        self.model, self.layer_of = model, {unit: (layer,) for unit, layer in layers.items()}  # not as submodules

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output for ``(n, channels, length)``."""

        def apply(unit: Unit, x: torch.Tensor) -> torch.Tensor:
            (layer,) = self.layer_of[unit]
            return layer(x.transpose(1, 2)).transpose(1, 2) if unit.kind in ("dense", "layer_norm") else layer(x)

        return run(self.model.steps, apply, torch.nn.functional.leaky_relu, x)


def torch_model(model: Generated, seed: int, has_wrappers: bool = True) -> torch.nn.Module:
    """Return a module whose state_dict has the sources in order."""
    torch.manual_seed(seed)
    layers = {unit: torch_layer(unit, has_wrappers) for _, unit in model.sources}
    root = _Model(model, layers)
    for path, layer in [
        *((path, layers[unit]) for path, unit in model.sources),
        *((path, torch_layer(unit, has_wrappers)) for path, unit in model.others),
    ]:
        node = root
        for part in path[:-1]:
            if part not in dict(node.named_children()):
                node.add_module(part, torch.nn.Module())
            node = getattr(node, part)
        node.add_module(path[-1], layer)
    return root.eval()


def output(module: torch.nn.Module, x: np.ndarray) -> np.ndarray:
    """Return the output for ``(n, length, channels)``."""
    with torch.no_grad():
        return module(torch.from_numpy(x).transpose(1, 2)).transpose(1, 2).numpy()


def saved(module: torch.nn.Module, model: Generated, format: str, folder: pathlib.Path) -> Checkpoint:
    """Return the checkpoint of a module, which goes through a file of this format."""
    if format == "onnx":
        x = torch.ones(2, 4, 5)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter is deprecated, but the new one needs more packages
            torch.onnx.export(module, (x,), str(folder / "model.onnx"), dynamo=False)
        return weights.read(folder / "model.onnx")
    state = module.state_dict()
    if format == "memory":
        return _with_kinds(lambda **kinds: weights.from_state_dict(state, **kinds), model)
    file = folder / f"model.{format}"
    if format == "pt":
        torch.save(state, file)
    else:
        safetensors.torch.save_file({name: tensor.clone() for name, tensor in state.items()}, file)
    return _with_kinds(lambda **kinds: weights.read(file, **kinds), model)


def _with_kinds(read, model: Generated) -> Checkpoint:
    """Read without kinds, unless that raises."""
    try:
        return read()
    except ArgumentError:
        return read(kinds=model.kinds)


def names(checkpoint: Checkpoint, model: Generated) -> dict[str, str]:
    """Return the name map with all layers.

    In ONNX a path may have the operator at its end, and not the names of modules that are not called.
    """
    found: dict[str, str] = {}
    for path in checkpoint.layers:
        for short in (path, path.rpartition(".")[0]):
            for source, target in model.names.items():
                if short and f".{source}".endswith(f".{short}") and target not in found.values():
                    found[path] = target
    return found


def load(file: pathlib.Path, model: Generated, x: np.ndarray) -> np.ndarray:
    """Return the output of a new module, without wrappers and other names, with the state_dict of a file."""
    sources = tuple((path, unit) for unit, path in model.source_of.items())
    module = torch_model(dataclasses.replace(model, sources=sources, others=()), seed=0, has_wrappers=False)
    module.load_state_dict(safetensors.torch.load_file(file) if file.suffix == ".safetensors" else torch.load(file))
    return output(module, x)
