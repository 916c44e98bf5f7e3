"""Pictures of runs, for papers and notes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from warnings import warn

from loss_loggers import Run

from ._axes import (
    DASHES,
    GREY,
    INK,
    clear,
    draw_band,
    draw_line,
    fit,
    label_ends,
    mark_nonfinite,
    scale,
)
from ._matplotlib import load
from ._smooth import smooth
from .decimate import decimate
from .reader import RunReader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ._lines import Values
    from .decimate import Decimated

POINTS = 1000  # as many as a picture can show
DRAWN = ("loss", "weight")
SMOOTHED = 100  # the clear line is the mean of one such part of the run


FORMATS = (".png", ".svg", ".pdf")


class NothingToDrawError(ValueError):
    """No run has a loss; the message says why, a clause for each run."""


def plot_run(run: Run | str | Path, output: str | Path) -> Path:
    """Draw the losses and weights of a run.

    Clear lines are the mean of a loss over the last steps, with the losses as they came behind
    them; a cross marks a loss that was not finite.

    Args:
        run: A run, or the path of its folder.
        output: Where to write, in the format of its suffix: `.png`, which is added to a name
            without one, `.svg` or `.pdf`.

    Returns:
        The path written.

    Raises:
        NothingToDrawError: If the run has no losses, or they cannot be read.
        ValueError: If the suffix is another one.
    """
    return plot_runs([run], output)


def plot_runs(
    runs: Sequence[Run | str | Path],
    output: str | Path,
    *,
    load_matplotlib: Callable[[], None] = load,
    tell: Callable[[str], object] = warn,
) -> Path:
    """Draw the losses and weights of runs, the first with solid lines and the others dashed.

    Args:
        runs: Runs, or the paths of their folders. Those without losses are left out.
        output: Where to write, in the format of its suffix: `.png`, which is added to a name
            without one, `.svg` or `.pdf`.
        load_matplotlib: How it is loaded, while the runs are read.
        tell: Is told what is amiss with the runs, one sentence a time.

    Returns:
        The path written.

    Raises:
        NothingToDrawError: If no run has losses, or they cannot be read.
        ValueError: If the suffix is another one.
    """
    written = _with_format(Path(output))
    paths = [run.path if isinstance(run, Run) else run for run in runs]
    readers = _drawable(_read_during(load_matplotlib, paths), tell)
    from matplotlib import rc_context

    # A picture of few colours gains little from being packed for long.
    is_png = written.suffix.lower() == ".png"
    packing: dict[str, Any] = {"pil_kwargs": {"compress_level": 1}} if is_png else {}
    with rc_context({"pdf.fonttype": 42}):  # letters that journals take, and that can be searched
        draw_runs(readers).savefig(written, dpi=150, **packing)
    return written


def _with_format(output: Path) -> Path:
    written = output if output.suffix else Path(f"{output}{FORMATS[0]}")
    if written.suffix.lower() not in FORMATS:
        msg = f"a picture ends in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}; got {output.suffix}"
        raise ValueError(msg)
    return written


def _drawable(readers: list[RunReader], tell: Callable[[str], object]) -> list[RunReader]:
    """Those with losses, once it is told what is amiss with any."""
    empty = {reader.path: _why_empty(reader) for reader in readers if not _has_losses(reader)}
    if len(empty) == len(readers):
        raise NothingToDrawError("; ".join(empty.values()))
    for reader in readers:
        problems = [f"{reader.path.name}: {problem}" for problem in reader.problems]
        for line in [empty[reader.path]] if reader.path in empty else problems:
            tell(line)
    return [reader for reader in readers if reader.path not in empty]


def _has_losses(reader: RunReader) -> bool:
    """Whether there are any, beside the user's own numbers."""
    return bool(reader.losses) and reader.info.get("losses") != {}


def _why_empty(reader: RunReader) -> str:
    if reader.problems:
        return f"{reader.path.name}: {' '.join(reader.problems)}"
    return f"{reader.path.name} has no {'losses' if reader.names else 'rows yet'}"


def _read_during(other: Callable[[], None], paths: Sequence[str | Path]) -> list[RunReader]:
    import numpy as np  # noqa: F401, both need it, and two threads should not load it at once

    with ThreadPoolExecutor(1) as pool:
        reading = [pool.submit(RunReader, path, (), always=DRAWN) for path in paths]
        other()
        return [reader.result() for reader in reading]


def draw_runs(readers: Sequence[RunReader]) -> Figure:
    """The figure of runs that were read."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.6))
    losses, weights = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    curves = _curves(readers)
    _draw_losses(losses, curves)
    _draw_weights(weights, curves)
    weights.set_xlabel("step", color=GREY)
    titles = [_title(reader) for reader in readers]
    title = titles[0] if len(titles) == 1 else " · ".join(reader.path.name for reader in readers)
    figure.suptitle(title, x=0.025, ha="left", color=INK, fontsize=13, fontweight="bold")
    rows = _name_runs(losses, titles) if len(titles) > 1 else 0
    fit(figure, above=0.12 + 0.03 * max(0, rows - 1))
    return figure


class _Curve(NamedTuple):
    """One loss of a run, as it is drawn."""

    name: str
    color: str
    run: int
    losses: Decimated
    weights: Decimated


def _curves(readers: Sequence[RunReader]) -> list[_Curve]:
    """The losses of all runs, each with the colour that the first run gives it."""
    colors: dict[str, str] = {}
    for reader in reversed(readers):
        colors |= reader.info.get("losses", {})
    return [
        _curve(reader, name, colors.get(name, GREY), run)
        for run, reader in enumerate(readers)
        for name in reader.losses
    ]


def _curve(reader: RunReader, name: str, color: str, run: int) -> _Curve:
    own = reader.series(name)
    losses, weights = (decimate(own["step"], own[key], POINTS) for key in ("loss", "weight"))
    return _Curve(name, color, run, losses, weights)


def _draw_losses(axes: Axes, curves: list[_Curve]) -> None:
    clear(axes, "losses")
    ends: dict[str, tuple[Values, str]] = {}
    for row, (name, color, run, losses, _) in enumerate(curves):
        mean = smooth(losses.mean, window=max(1, len(losses.x) // SMOOTHED))
        if run == 0:
            draw_band(axes, losses, color)
        draw_line(axes, losses.x, mean, color, run)
        mark_nonfinite(axes, losses.x[losses.nonfinite > 0], color, row)
        ends.setdefault(name, (mean, color))
    scale(axes, [extreme for curve in curves for extreme in (curve.losses.low, curve.losses.high)])
    label_ends(axes, ends)


def _draw_weights(axes: Axes, curves: list[_Curve]) -> None:
    clear(axes, "weights")
    ends: dict[str, tuple[Values, str]] = {}
    for name, color, run, _, weights in curves:
        draw_line(axes, weights.x, weights.mean, color, run)
        ends.setdefault(name, (weights.mean, color))
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    label_ends(axes, ends)


def _name_runs(axes: Axes, titles: Sequence[str]) -> int:
    """Say which line is whose, above the panel; in how many rows."""
    for run, title in enumerate(titles):
        axes.plot([], [], color=GREY, linestyle=DASHES[run % len(DASHES)], label=title)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, labelcolor=INK)
    return ceil(len(titles) / 3)


def _title(reader: RunReader) -> str:
    """The run and its method, such as "gan, CoVWeighting"."""
    weighting = reader.info.get("hyperparameters", {}).get("weighting", {})
    return ", ".join([reader.path.name, *filter(None, [weighting.get("method")])])
