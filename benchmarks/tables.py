"""The style and number format that the commands' tables share."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

_WIDTH = 110


def table(title: str, caption: str | None = None) -> Table:
    """Return an empty table with its title and caption aligned left."""
    return Table(
        box=SIMPLE_HEAD,
        show_edge=False,
        collapse_padding=True,
        title=title,
        title_justify="left",
        title_style="bold",
        caption=caption and f"{caption}\n",
        caption_style="dim",
        caption_justify="left",
    )


def wide(console: Console) -> Console:
    """Return the console, or one as wide as the tables need: wrapped lines are better than lost figures."""
    return Console(highlight=False, width=max(console.width, _WIDTH))


def milliseconds(seconds: float) -> str:
    """Return a time in milliseconds with three figures, or with all that stand before the point."""
    value = seconds * 1e3
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}" if value >= 0.01 else f"{value:.3f}"
