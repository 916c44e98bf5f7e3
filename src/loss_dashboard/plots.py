"""Pictures of a run, for papers and notes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from loss_loggers import read_run

from ._axes import GREY, INK, clear, draw_line, label_ends, mark_nonfinite, scale
from ._curves import smooth

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from loss_loggers import Run

    from ._curves import Values

SMOOTHED = 100  # the clear line is the mean of one such part of the run


def plot_run(run: Run | str | Path, output: str | Path) -> Path:
    """Draw the losses and weights of a run.

    Faint lines are the losses as they came, clear ones their mean over the steps around; a cross
    marks a loss that was not finite.

    Args:
        run: A run, or the path of its folder.
        output: Where to write; its suffix picks the format (`.png`, `.svg`, `.pdf`, …).

    Returns:
        The path written.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    if isinstance(run, (str, Path)):
        run = read_run(run)
    figure = Figure(
        figsize=(10, 6.6), layout=ConstrainedLayoutEngine(w_pad=0.25, h_pad=0.14, hspace=0.03)
    )
    losses, weights = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    curves = _curves(run)
    _draw_losses(losses, curves)
    _draw_weights(weights, curves)
    weights.set_xlabel("step", color=GREY)
    figure.suptitle(_title(run), x=0.025, ha="left", color=INK, fontsize=13, fontweight="bold")
    figure.savefig(output, dpi=150)
    return Path(output)


class _Curve(NamedTuple):
    """One loss, as it is drawn."""

    name: str
    color: str
    steps: Values
    losses: Values
    weights: Values


def _curves(run: Run) -> list[_Curve]:
    """The losses that have a weight: not their total, nor the user's own numbers."""
    colors = run.info.get("losses") or dict.fromkeys(run.names, GREY)
    names = [name for name in run.names if name in colors and name.split("/")[-1] != "total"]
    columns = {name: run[name] for name in names}
    return [
        _Curve(name, colors[name], own["step"], own["loss"], own["weight"])
        for name, own in columns.items()
    ]


def _draw_losses(axes: Axes, curves: list[_Curve]) -> None:
    clear(axes, "losses")
    ends = {}
    for row, (name, color, steps, losses, _) in enumerate(curves):
        mean = smooth(losses, window=len(losses) // SMOOTHED)
        axes.plot(steps, losses, color=color, alpha=0.25, linewidth=0.6)
        draw_line(axes, steps, mean, color)
        mark_nonfinite(axes, steps, losses, color, row)
        ends[name] = mean, color
    scale(axes, [curve.losses for curve in curves])
    label_ends(axes, ends)


def _draw_weights(axes: Axes, curves: list[_Curve]) -> None:
    clear(axes, "weights")
    for curve in curves:
        draw_line(axes, curve.steps, curve.weights, curve.color)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    label_ends(axes, {curve.name: (curve.weights, curve.color) for curve in curves})


def _title(run: Run) -> str:
    """The run and its method, such as "gan, CoVWeighting"."""
    weighting = run.info.get("hyperparameters", {}).get("weighting", {})
    return ", ".join([run.path.name, *filter(None, [weighting.get("method")])])
