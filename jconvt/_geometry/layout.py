"""Where the batch, the channels and the spatial axes of an image array lie."""

import dataclasses
from collections.abc import Sequence

from .arguments import Size


@dataclasses.dataclass(frozen=True)
class Layout:
    """An array with the batch first, ``rank`` spatial axes, and the channels either second or last."""

    rank: int
    channels_first: bool = False

    @property
    def channel_axis(self) -> int:
        """The axis of the channels."""
        return 1 if self.channels_first else self.rank + 1

    @property
    def spatial_axes(self) -> tuple[int, ...]:
        """The axes that the kernel extends along."""
        start = 2 if self.channels_first else 1
        return tuple(range(start, start + self.rank))

    def shape(self, batch: Size, spatial: Sequence[Size], channels: Size) -> tuple[Size, ...]:
        """The shape of an array with these sizes in this layout."""
        if self.channels_first:
            return (batch, channels, *spatial)
        return (batch, *spatial, channels)

    def spatial(self, shape: Sequence[Size]) -> tuple[Size, ...]:
        """The spatial sizes of a shape in this layout."""
        return tuple(shape[axis] for axis in self.spatial_axes)
