"""The same layers in PyTorch: torchvision's networks, and those that it lacks. Images are channels first."""

# pyright: reportMissingImports=false
# torchvision may be missing.

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import library, nn

try:
    import torchvision  # noqa: F401
except RuntimeError:
    # The wheel on PyPI has its operators for CUDA only. The networks need none of them, but the import declares two.
    _OPERATORS = library.Library("torchvision", "FRAGMENT")
    for _name in ("nms", "qnms"):
        _OPERATORS.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from torchvision import models
from torchvision.models.efficientnet import EfficientNet, FusedMBConvConfig, MBConvConfig
from torchvision.ops import Conv2dNormActivation

_CLASSES = 1000
LAYOUTS = {"torch": torch.contiguous_format, "torch-last": torch.channels_last}
"""The contenders, and how each keeps its images and kernels in memory."""
Built = tuple[nn.Module, torch.Tensor, torch.Tensor]


def resnet18(batch: int, side: int) -> Built:
    return _classifier(models.resnet18(), batch, side)


def resnet50(batch: int, side: int) -> Built:
    return _classifier(models.resnet50(), batch, side)


def mobilenet_v2(batch: int, side: int) -> Built:
    return _classifier(models.mobilenet_v2(), batch, side)


def efficientnet_v2(batch: int, side: int) -> Built:
    """The stages of Keras's model: factor of the channels, kernel, stride, channels in and out, layers."""
    stages = [
        FusedMBConvConfig(1, 3, 1, 32, 16, 1),
        FusedMBConvConfig(4, 3, 2, 16, 32, 2),
        FusedMBConvConfig(4, 3, 2, 32, 48, 2),
        MBConvConfig(4, 3, 2, 48, 96, 3),
        MBConvConfig(6, 3, 1, 96, 112, 5),
        MBConvConfig(6, 3, 2, 112, 192, 8),
    ]
    return _classifier(EfficientNet(stages, dropout=0.2, last_channel=1280), batch, side)


def mobilenet_v1(batch: int, side: int) -> Built:
    layers: list[nn.Module] = [Conv2dNormActivation(3, 32, 3, 2)]
    channels = 32
    for stride, features in zip(
        (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1), (64, *(128,) * 2, *(256,) * 2, *(512,) * 6, *(1024,) * 2), strict=True
    ):
        layers += [Conv2dNormActivation(channels, channels, 3, stride, groups=channels)]
        layers += [Conv2dNormActivation(channels, features, 1)]
        channels = features
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, _CLASSES)]
    return _classifier(nn.Sequential(*layers), batch, side)


def dcgan_generator(batch: int, width: int) -> Built:
    sizes = 8 * width, 4 * width, 2 * width, width
    layers: list[nn.Module] = [nn.Linear(100, 16 * sizes[0], bias=False), nn.Unflatten(1, (sizes[0], 4, 4))]
    for channels, features in zip(sizes, (*sizes[1:], 3), strict=True):
        layers += [nn.BatchNorm2d(channels, track_running_stats=False), nn.ReLU()]
        layers += [nn.ConvTranspose2d(channels, features, 5, 2, 2, 1, bias=False)]
    return nn.Sequential(*layers, nn.Tanh()), torch.randn(batch, 100), torch.randn(batch, 3, 64, 64)


def dcgan_discriminator(batch: int, width: int) -> Built:
    layers: list[nn.Module] = [nn.Conv2d(3, width, 5, 2, 2), nn.LeakyReLU(0.2)]
    for factor in (1, 2, 4):
        layers += [nn.Conv2d(factor * width, 2 * factor * width, 5, 2, 2, bias=False)]
        layers += [nn.BatchNorm2d(2 * factor * width, track_running_stats=False), nn.LeakyReLU(0.2)]
    layers += [nn.Flatten(), nn.Linear(16 * 8 * width, 1)]
    return nn.Sequential(*layers), torch.randn(batch, 3, 64, 64), torch.randn(batch, 1)


def unet(batch: int, side: int) -> Built:
    return _UNet(16, 4), torch.randn(batch, 3, side, side), torch.randn(batch, 3, side, side)


class _UNet(nn.Module):
    def __init__(self, width: int, depth: int):
        super().__init__()
        sizes = [3, *(width << level for level in range(depth + 1))]
        self.down = nn.ModuleList(_block(a, b) for a, b in itertools.pairwise(sizes))
        self.transposes = nn.ModuleList(nn.ConvTranspose2d(2 * size, size, 2, 2) for size in reversed(sizes[1:-1]))
        self.up = nn.ModuleList(_block(2 * size, size) for size in reversed(sizes[1:-1]))
        self.last = nn.Conv2d(width, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for block in self.down[:-1]:
            skips.append(block(x))
            x = nn.functional.max_pool2d(skips[-1], 2)
        x = self.down[-1](x)
        for transpose, block in zip(self.transposes, self.up, strict=True):
            x = block(torch.cat([skips.pop(), transpose(x)], 1))
        return self.last(x)


def _block(channels: int, features: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, features, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(features, features, 3, padding=1),
        nn.ReLU(),
    )


def _classifier(module: nn.Module, batch: int, side: int) -> Built:
    return module, torch.randn(batch, 3, side, side), torch.randn(batch, _CLASSES)


def call(built: Built, program: str, rate: float, contender: str) -> Callable[[], Any]:
    """Return a function that runs inference or a training step."""
    module, batch, target = built
    module = module.to(memory_format=LAYOUTS[contender])  # type: ignore[call-overload]
    if batch.dim() == 4:
        batch = batch.contiguous(memory_format=LAYOUTS[contender])
    optimizer = torch.optim.SGD(module.parameters(), rate)

    def inference() -> torch.Tensor:
        with torch.inference_mode():
            return module.eval()(batch)

    def training() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(module.train()(batch), target)
        loss.backward()
        optimizer.step()
        return loss

    return {"inference": inference, "training": training}[program]
