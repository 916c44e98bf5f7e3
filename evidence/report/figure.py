"""The figure of the page: each seed a dot, a panel a problem, a row of panels an expectation."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .markdown import number
from .tables import comparisons, families, others, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.axes import Axes

    from evidence.compare import Comparison

    from .tables import Data

COLUMNS = 5
VERDICTS = {"win": "#0072b2", "tie": "#888888", "both failed": "#888888", "loss": "#d55e00"}
"""Colours that the colour-blind tell apart, those of the notebook."""
SCHEMES = {"light": ("white", "black"), "dark": ("#1e2129", "#dddddd")}
"""Background and ink, those of the site."""

TICKS = (0.1, 0.2, 0.5, 1, 2, 5)
LIMITS = 0.05, 8.0
"""What lies beyond is drawn at the edge, as an arrow."""

CAPTION = """\
Each dot is a seed, the bar their mean and its interval: blue for a win, orange for a loss, grey for
a tie, a cross where both failed. Left of 1 is better. An arrow stands for what is beyond the edge;
a mean that is has its number.
"""


def draw(results: Data, folder: Path) -> None:
    """Save it twice, for light and dark pages."""
    for scheme, (paper, ink) in SCHEMES.items():
        colors = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor")
        style: Any = {**dict.fromkeys(colors, ink), "axes.facecolor": paper, "font.size": 9}
        with mpl.rc_context(style):
            figure = _figure(results)
            figure.savefig(folder / f"evidence-{scheme}.png", dpi=130, facecolor=paper)


def _figure(results: Data) -> Figure:
    places = [*_places(results)]
    names, rows = others(results), places[-1][0] + 1
    columns = min(COLUMNS, max(column for _, column, _ in places) + 1)
    size = (3.1 + 1.75 * columns, 0.9 + (0.8 + 0.17 * len(names)) * rows)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for row, column, name in places:
        axes[row, column].set_axis_on()
        _panel(axes[row, column], results, name, names)
        if column == 0:
            expected = f"where weights {results['problems'][name]['family']}"
            axes[row, column].text(
                *(-0.05, 1.03, expected),
                transform=axes[row, column].transAxes,
                ha="right",
                fontweight="bold",
            )
    labels = [results["methods"][name]["title"].replace("`", "") for name in names]
    axes[0, 0].set_yticks(range(len(names)), labels)
    axes[0, 0].set_ylim(len(names) - 0.4, -0.6)
    axes[0, 0].set_xscale("log")
    axes[0, 0].set_xlim(*LIMITS)
    axes[0, 0].set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes[0, 0].set_xticks([], minor=True)
    figure.legend(handles=[*_legend()], loc="outside upper center", ncols=6, frameon=False)
    figure.supxlabel("metric over that of the plain sum, the same seed; left of 1 is better")
    return figure


def _places(results: Data) -> Iterator[tuple[int, int, str]]:
    """Row, column and problem of each panel, in the order of the page."""
    row = 0
    for names in families(results).values():
        for place, name in enumerate(names):
            yield row + place // COLUMNS, place % COLUMNS, name
        row += -(-len(names) // COLUMNS)


def _panel(axis: Axes, results: Data, problem: str, names: list[str]) -> None:
    one, of = results["problems"][problem], comparisons(results, problem)
    axis.set_title(fill(one["title"], 22), fontsize=9)
    axis.axvline(1, color="#888888", linewidth=0.8)
    axis.tick_params(length=0, labelbottom=True)
    axis.grid(color="#888888", alpha=0.2)
    for place, name in enumerate(names):
        if name in of:
            _draw(axis, place, of[name], verdict(results, problem, name))


def _draw(axis: Axes, place: int, own: Comparison, what: str) -> None:
    color = VERDICTS[what]
    for ratio in own.ratios:
        if _is_inside(ratio):
            axis.plot(ratio, place, ".", color=color, alpha=0.5, markersize=5, mew=0)
    for size, values in ((4, own.ratios), (6, (own.low, own.high)), (8, (own.ratio,))):
        for value in values:
            if not _is_inside(value):
                axis.plot(_clipped(value), place, _arrow(value), color=color, markersize=size)
                axis.lines[-1].set_clip_on(False)
    ends = [_clipped(own.low), _clipped(own.high)]
    axis.plot(ends, [place, place], color=color, linewidth=2)
    if _is_inside(own.ratio):
        marker, size = ("x", 6) if what == "both failed" else ("|", 8)
        axis.plot(own.ratio, place, marker, color=color, markersize=size, mew=1.8)
    else:
        _write(axis, place, own.ratio, color)


def _write(axis: Axes, place: int, ratio: float, color: str) -> None:
    """The number of a mean that is beyond the edge."""
    side, shift = ("right", -8) if ratio > 1 else ("left", 8)
    where = _clipped(ratio), place
    way: Any = {"textcoords": "offset points", "ha": side, "va": "center"}
    axis.annotate(number(ratio), where, (shift, 0), color=color, **way)


def _clipped(ratio: float) -> float:
    return min(max(ratio, LIMITS[0]), LIMITS[1])


def _is_inside(ratio: float) -> bool:
    return LIMITS[0] <= ratio <= LIMITS[1]


def _arrow(ratio: float) -> str:
    return ">" if ratio > 1 else "<"


def _legend() -> Iterator[Line2D]:
    shown = (("win", "|"), ("tie", "|"), ("both failed", "x"), ("loss", "|"))
    for name, marker in shown:
        yield Line2D([], [], color=VERDICTS[name], marker=marker, mew=1.8, linewidth=2, label=name)
    for marker, label in ((".", "a seed"), (">", "beyond the edge")):
        yield Line2D([], [], color="#888888", marker=marker, linestyle="", label=label)
