"""Plots of ratios of times: those of the comparison with other libraries, and those of the networks."""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot, ticker

from .comparison import Comparison, mean

_COLOURS = {
    **{"float32": "#1b6ca8", "tf32": "#5a9e3f", "bfloat16": "#d1742c", "float16": "#7b5aa6"},
    **{"JAX": "#1b6ca8", "PyTorch": "#d1742c"},
}
_TITLES = {"forward": "forward", "gradient": "forward and both gradients"}


class Dot(NamedTuple):
    """A ratio of times, its panel, its row, and the kind of which it is; kinds have colours."""

    panel: str
    row: str
    kind: str
    ratio: float | None


def svg(comparisons: Sequence[Comparison], title: str) -> str:
    """Return the best baseline's time in multiples of ``auto``'s, for each workload, pass and dtype."""
    dots = [Dot(_TITLES[each.step], each.workload, each.dtype, each.ratio) for each in comparisons]
    return of_dots(dots, title, "the best baseline's time / auto's time; right of the line, auto is faster")


def of_dots(dots: Sequence[Dot], title: str, label: str) -> str:
    """Return the figure as the text of an SVG file, the same for the same figures. ``label`` explains the ratio."""
    with pyplot.rc_context({"svg.hashsalt": "jconvt", "font.family": "sans-serif"}):
        figure = _draw(dots, title, label)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
        pyplot.close(figure)
    return file.getvalue()


def _draw(dots: Sequence[Dot], title: str, label: str) -> Any:
    """Draw one panel, one row and one colour for each that the dots name."""
    names = list(dict.fromkeys(each.panel for each in dots))
    rows = {name: row for row, name in enumerate([*dict.fromkeys(each.row for each in dots), "geometric mean"])}
    height = 1.6 + 0.3 * len(rows)
    figure, panels = pyplot.subplots(
        1,
        len(names),
        figsize=(2.2 + 4.2 * len(names), height),
        sharey=True,
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for panel, name in zip(panels[0], names, strict=True):
        _panel(panel, [each for each in dots if each.panel == name], rows)
        panel.set_title(name, fontsize=10)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=len(labels), frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    figure.supxlabel(label, fontsize=9)
    return figure


def _panel(panel: Any, dots: Sequence[Dot], rows: dict[str, int]) -> None:
    kinds = list(dict.fromkeys(each.kind for each in dots))
    for number, kind in enumerate(kinds):
        shift = (number - (len(kinds) - 1) / 2) * 0.26
        group = [each for each in dots if each.kind == kind]
        points = [(each.ratio, rows[each.row]) for each in group if each.ratio]
        average = mean([each.ratio for each in group])
        if average:
            points.append((average, rows["geometric mean"]))
        for ratio, row in points:
            panel.plot([1, ratio], [row + shift] * 2, color=_COLOURS[kind], linewidth=1.5, alpha=0.5)
        panel.plot(
            [ratio for ratio, _ in points], [row + shift for _, row in points], "o",
            color=_COLOURS[kind], markersize=5, label=kind,
        )  # fmt: skip
    panel.axvline(1, color="black", linewidth=1)
    panel.axhline(rows["geometric mean"] - 0.5, color="grey", linewidth=0.6)
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    panel.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))  # a range within ten has few powers of ten
    panel.xaxis.set_minor_locator(ticker.NullLocator())
    panel.set_yticks(list(rows.values()), list(rows), fontsize=9)
    panel.set_ylim(len(rows) - 0.4, -0.6)
    panel.grid(axis="x", which="both", linewidth=0.4, alpha=0.5)
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)
    panel.tick_params(axis="y", length=0)
