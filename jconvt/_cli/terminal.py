"""Output that several commands share: colors, tables, times, and the name of the device."""

import jax
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ..errors import ArgumentError

GOOD, BAD, QUIET = "green", "bold red", "dim"


def default_device() -> dict[str, str]:
    """Return the platform and kind of JAX's default device, and JAX's version. Raise if JAX finds no device."""
    try:
        device = jax.devices()[0]
    except RuntimeError as error:
        legal, fix = "a platform that JAX can initialise", "set JAX_PLATFORMS=cpu to compute on the CPU"
        raise ArgumentError("JAX finds no device", got=error, legal=legal, fix=fix) from error
    return {"platform": device.platform, "kind": device.device_kind, "jax": jax.__version__}


def ran_on(device: dict[str, str]) -> Text:
    return Text("Ran on platform {platform}, device {kind}, JAX {jax}".format_map(device), QUIET)


def table(*columns: str, caption: str | None = None) -> Table:
    """Return a table without edges. Its first column is aligned left, the others are aligned right."""
    found = Table(box=SIMPLE_HEAD, show_edge=False, caption=caption, caption_style=QUIET, caption_justify="left")
    for number, name in enumerate(columns):
        found.add_column(name, justify="right" if number else "left", no_wrap=True)
    return found


def milliseconds(seconds: float) -> str:
    """Return a time in milliseconds with three figures, or with all that stand before the point.

    >>> milliseconds(0.00123456), milliseconds(1.23456)
    ('1.23', '1,235')
    """
    value = seconds * 1e3
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}" if value >= 0.01 else f"{value:.3f}"
