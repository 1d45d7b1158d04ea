"""The layout of image arrays: the positions of the batch, the channels and the spatial axes."""

import dataclasses
from collections.abc import Sequence

from .arguments import Size


@dataclasses.dataclass(frozen=True)
class Layout:
    """The batch first, ``rank`` spatial axes, and the channels either second or last.

    >>> Layout(2).shape(8, (32, 48), 3), Layout(2, channels_first=True).shape(8, (32, 48), 3)
    ((8, 32, 48, 3), (8, 3, 32, 48))
    >>> Layout(2, channels_first=True).spatial((8, 3, 32, 48))
    (32, 48)
    """

    rank: int
    channels_first: bool = False

    @property
    def channel_axis(self) -> int:
        """The position of the channels."""
        return 1 if self.channels_first else self.rank + 1

    @property
    def spatial_axes(self) -> tuple[int, ...]:
        """The positions of the spatial axes."""
        start = 2 if self.channels_first else 1
        return tuple(range(start, start + self.rank))

    def shape(self, batch: Size, spatial: Sequence[Size], channels: Size) -> tuple[Size, ...]:
        """The shape of an array with these sizes in this layout."""
        if self.channels_first:
            return (batch, channels, *spatial)
        return (batch, *spatial, channels)

    def spatial(self, shape: Sequence[Size]) -> tuple[Size, ...]:
        """The spatial sizes of a shape in this layout."""
        return tuple(shape[2:] if self.channels_first else shape[1:-1])
