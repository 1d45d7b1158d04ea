"""Networks from the packages of other libraries, whose convolutions jconvt has never seen.

One file for each library holds functions that build its networks. A network gets a line in ``NETWORKS``, and a function
of the same name in ``torch.py`` if PyTorch has the same layers.
"""

import importlib
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .network import Network


class Entry(NamedTuple):
    """A network that can be built: the module of this package, its function, and its arguments."""

    module: str
    function: str
    arguments: tuple[int, ...]
    quick_arguments: tuple[int, ...]

    def build(self, quick: bool) -> "Network":
        """Build the network. Raises ``ImportError`` if its library is missing."""
        module = importlib.import_module(f"{__name__}.{self.module}")
        return getattr(module, self.function)(*self._arguments(quick))

    def torch(self, quick: bool) -> Any:
        """Return ``(module, batch, target)`` of the same layers in PyTorch, or None if there is no such function.

        Raises ``ImportError`` if PyTorch or torchvision is missing.
        """
        function = getattr(importlib.import_module(f"{__name__}.torch"), self.function, None)
        return function and function(*self._arguments(quick))

    def _arguments(self, quick: bool) -> tuple[int, ...]:
        return self.quick_arguments if quick else self.arguments


_ENTRIES = (
    Entry("keras", "resnet50", (2, 96), (2, 32)),
    Entry("keras", "mobilenet_v2", (2, 96), (2, 32)),
    Entry("keras", "efficientnet_v2", (2, 96), (2, 32)),
    Entry("keras", "xception_unet", (2, 96), (1, 16)),
    Entry("haiku", "resnet18", (4, 64), (2, 32)),
    Entry("haiku", "mobilenet_v1", (4, 96), (2, 64)),
    Entry("flax", "dcgan_generator", (8, 32), (2, 4)),
    Entry("flax", "dcgan_discriminator", (8, 32), (2, 4)),
    Entry("flax", "unet", (1, 128), (1, 16)),
    Entry("equinox", "unet", (1, 128), (1, 16)),
)
NETWORKS = {f"{each.module}-{each.function}".replace("_", "-"): each for each in _ENTRIES}
"""The networks by name. Arguments: the batch, and the side of the images or, for DCGAN, the width of its layers."""
