"""The generated models in PyTorch."""

import torch

from tests.support.generated_models import Generated, Unit, run


def torch_layer(unit: Unit) -> torch.nn.Module:
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
    }[unit.kind]()
    for name, tensor in layer.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape) + 0.5 if "var" in name else torch.randn(tensor.shape))
    return layer


def torch_model(model: Generated, seed: int) -> tuple[torch.nn.Module, dict[Unit, torch.nn.Module]]:
    """Return a module whose state_dict has the sources in order, and the layers that are called."""
    torch.manual_seed(seed)
    root = torch.nn.Module()
    layers = {unit: torch_layer(unit) for _, unit in model.sources}
    for path, layer in [
        *((path, layers[unit]) for path, unit in model.sources),
        *((path, torch_layer(unit)) for path, unit in model.others),
    ]:
        node = root
        for part in path[:-1]:
            if part not in dict(node.named_children()):
                node.add_module(part, torch.nn.Module())
            node = getattr(node, part)
        node.add_module(path[-1], layer)
    return root.eval(), layers


def torch_output(model: Generated, layers: dict[Unit, torch.nn.Module], x: torch.Tensor) -> torch.Tensor:
    """Return the output for ``(n, channels, length)``."""

    def apply(unit: Unit, x: torch.Tensor) -> torch.Tensor:
        if unit.kind in ("dense", "layer_norm"):
            return layers[unit](x.transpose(1, 2)).transpose(1, 2)
        return layers[unit](x)

    with torch.no_grad():
        return run(model.steps, apply, torch.nn.functional.leaky_relu, x)
