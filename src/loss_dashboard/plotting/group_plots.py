"""Pictures of groups of runs, such as the seeds of each weighting."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from warnings import warn

from loss_dashboard.curves.groups import about_key, form_groups, grouped, member_of
from loss_dashboard.curves.view_options import ViewOptions
from loss_dashboard.runs.unique_names import keys_of

from ._group_figure import draw_groups
from .load_matplotlib import load
from .plots import drawable, read_during, save, with_format

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loss_dashboard.curves.groups import Group, GroupedLoss

POINTS = 200
"""As many as a panel can show; of a long run each is the mean of several steps."""


class DrawnGroups(NamedTuple):
    """The picture, and what it shows."""

    path: Path
    groups: list[Group]
    losses: list[GroupedLoss]


def plot_groups(
    runs: Sequence[str | Path],
    output: str | Path,
    key: str,
    *,
    smoothing: int = 0,
    load_matplotlib: Callable[[], None] = load,
    tell: Callable[[str], object] = warn,
) -> DrawnGroups:
    """Draw each loss in a panel, with a line, an interval and single runs for each group of runs.

    Args:
        runs: The paths of their folders. Those without losses are left out.
        output: Where to write, in the format of its suffix: `.png`, which is added to a name
            without one, `.svg` or `.pdf`.
        key: The setting by which runs are grouped, such as "weighting.method"; with an empty one
            all runs are a group.
        smoothing: Losses are averaged over so many steps.
        load_matplotlib: How it is loaded, while the runs are read.
        tell: Is told what is amiss with the runs, one sentence a time.

    Raises:
        NothingToDrawError: If no run has losses, or they cannot be read.
        ValueError: If the suffix is another one.
    """
    written = with_format(Path(output))
    readers = drawable(read_during(load_matplotlib, runs, ("loss",)), tell)
    names = keys_of([reader.path for reader in readers])
    members = [member_of(reader, name) for reader, name in zip(readers, names, strict=True)]
    settings = [one.settings for one in members]
    groups = form_groups(names, settings, key)
    if said := about_key(groups, settings, key):
        tell(said)
    import numpy as np

    with np.errstate(all="ignore"):  # a loss may be as large as floats go
        losses = grouped(members, groups, ViewOptions(smoothing=smoothing, points=POINTS))
        save(draw_groups(groups, losses, key, smoothing), written)
    return DrawnGroups(written, groups, losses)
