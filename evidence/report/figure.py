"""The figure of the page: each seed a dot, one panel a problem."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from .tables import comparisons

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from evidence.compare import Comparison

COLUMNS = 5
VERDICTS = {"win": "#2e8b57", "tie": "#888888", "loss": "#d1495b"}
SCHEMES = {"light": ("white", "black"), "dark": ("#1e2129", "#dddddd")}
"""Background and ink, those of the site."""

TICKS = (0.1, 0.2, 0.5, 1, 2, 5)
LIMITS = 0.05, 8.0
"""What lies beyond is drawn at the edge."""


def draw(results: dict[str, Any], folder: Path) -> None:
    """Save it twice, for light and dark pages."""
    for scheme, (paper, ink) in SCHEMES.items():
        colors = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor")
        style: Any = {**dict.fromkeys(colors, ink), "axes.facecolor": paper, "font.size": 8}
        with mpl.rc_context(style):
            figure = _figure(results)
            figure.savefig(folder / f"evidence-{scheme}.png", dpi=110, facecolor=paper)


def _figure(results: dict[str, Any]) -> Figure:
    problems = results["problems"]
    names = [name for name in results["methods"] if name != "plain"]
    columns = min(COLUMNS, len(problems))
    rows = -(-len(problems) // columns)
    size = (2.2 + 2.6 * columns, 0.6 + (0.5 + 0.17 * len(names)) * rows)
    figure = Figure(figsize=size, layout="constrained")
    axes = [*figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat]
    for axis, (name, problem) in zip(axes, problems.items(), strict=False):
        axis.set_title(problem["title"], fontsize=9)
        _panel(axis, names, comparisons(results, name))
    for axis in axes[len(problems) :]:
        axis.set_axis_off()
    labels = [results["methods"][name]["title"].replace("`", "") for name in names]
    axes[0].set_yticks(range(len(names)), labels)
    axes[0].set_ylim(len(names) - 0.4, -0.6)
    axes[0].set_xscale("log")
    axes[0].set_xlim(*LIMITS)
    axes[0].set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes[0].set_xticks([], minor=True)
    figure.supxlabel("metric over that of the plain sum, the same seed; left of 1 is better")
    return figure


def _panel(axis: Axes, names: list[str], of: dict[str, Comparison]) -> None:
    axis.axvline(1, color="#888888", linewidth=0.8)
    axis.tick_params(length=0, labelbottom=True)
    axis.grid(axis="x", color="#888888", alpha=0.2)
    for place, name in enumerate(names):
        if name not in of:
            continue
        own = of[name]
        color = VERDICTS[own.verdict]
        dots = [min(max(ratio, LIMITS[0]), LIMITS[1]) for ratio in own.ratios]
        axis.plot(dots, [place] * len(dots), ".", color=color, alpha=0.45, markersize=4, mew=0)
        axis.plot([own.low, own.high], [place, place], color=color, linewidth=1.6)
        axis.plot(own.ratio, place, "|", color=color, markersize=8, mew=1.8)
