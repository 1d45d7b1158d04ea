"""The plot: the best baseline's time in multiples of ``auto``'s, for each workload, pass and dtype."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot, ticker

from .comparison import Comparison, mean

_COLOURS = {"float32": "#1b6ca8", "tf32": "#5a9e3f", "bfloat16": "#d1742c"}
_TITLES = {"forward": "forward", "gradient": "forward and both gradients"}


def svg(comparisons: Sequence[Comparison], title: str) -> str:
    """Return the figure as the text of an SVG file, the same for the same figures."""
    with pyplot.rc_context({"svg.hashsalt": "jconvt", "font.family": "sans-serif"}):
        figure = draw(comparisons, title)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
        pyplot.close(figure)
    return file.getvalue()


def draw(comparisons: Sequence[Comparison], title: str) -> Any:
    """Draw one panel for each pass, one row for each workload, one dot for each dtype."""
    steps = list(dict.fromkeys(each.step for each in comparisons))
    workloads = list(dict.fromkeys(each.workload for each in comparisons))
    rows = {name: row for row, name in enumerate([*workloads, "geometric mean"])}
    height = 1.6 + 0.3 * len(rows)
    figure, panels = pyplot.subplots(
        1,
        len(steps),
        figsize=(2.2 + 4.2 * len(steps), height),
        sharey=True,
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for panel, step in zip(panels[0], steps, strict=True):
        _panel(panel, [each for each in comparisons if each.step == step], rows)
        panel.set_title(_TITLES[step], fontsize=10)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=len(labels), frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    figure.supxlabel("the best baseline's time / auto's time; right of the line, auto is faster", fontsize=9)
    return figure


def _panel(panel: Any, comparisons: Sequence[Comparison], rows: dict[str, int]) -> None:
    dtypes = list(dict.fromkeys(each.dtype for each in comparisons))
    for number, dtype in enumerate(dtypes):
        shift = (number - (len(dtypes) - 1) / 2) * 0.26
        group = [each for each in comparisons if each.dtype == dtype]
        points = [(each.ratio, rows[each.workload]) for each in group if each.ratio]
        average = mean([each.ratio for each in group])
        if average:
            points.append((average, rows["geometric mean"]))
        for ratio, row in points:
            panel.plot([1, ratio], [row + shift] * 2, color=_COLOURS[dtype], linewidth=1.5, alpha=0.5)
        panel.plot(
            [ratio for ratio, _ in points], [row + shift for _, row in points], "o",
            color=_COLOURS[dtype], markersize=5, label=dtype,
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
