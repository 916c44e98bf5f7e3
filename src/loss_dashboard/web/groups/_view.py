"""What the page shows of groups of runs, as plain numbers and text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loss_dashboard.curves.decimate import far_ends
from loss_dashboard.curves.groups import (
    INTERVAL,
    about_key,
    final_rows,
    form_groups,
    grouped,
    keys_to_group_by,
)
from loss_dashboard.curves.numbers import numbers, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loss_dashboard._typing import Values
    from loss_dashboard.curves.groups import GroupCurve, GroupedLoss, Member
    from loss_dashboard.curves.view_options import ViewOptions


def groups_view(members: Sequence[Member], key: str, options: ViewOptions) -> dict[str, Any]:
    """Each loss of each group of these runs, and how it ended.

    Args:
        members: The runs.
        key: The setting by which they are grouped.
        options: Which steps, smoothed over how many.
    """
    names, settings = [one.name for one in members], [one.settings for one in members]
    groups = form_groups(names, settings, key)
    losses = grouped(members, groups, options)
    return {
        "by": key,
        "keys": keys_to_group_by(settings),
        "amiss": about_key(groups, settings, key),
        "interval": INTERVAL,
        "smoothing": options.smoothing,
        "groups": [
            {**group._asdict(), "members": [names[at] for at in group.members]} for group in groups
        ],
        "losses": [_loss(loss) for loss in losses],
        "finals": [row.told() for row in final_rows(losses, groups)],
    }


def _loss(loss: GroupedLoss) -> dict[str, Any]:
    curves = [
        None if curve.final is None else _curve(curve, whole=loss.whole) for curve in loss.curves
    ]
    return {
        "name": loss.name,
        "colour": loss.colour,
        "step": loss.step.tolist(),
        "whole": loss.whole,
        "last": loss.last,
        "curves": curves,
    }


def _curve(curve: GroupCurve, *, whole: bool) -> dict[str, Any]:
    """Null where all values were lost, false where there was none to lose; of one run its mean."""
    import numpy as np

    seen = curve.seen.any(axis=0)
    several = len(curve.runs) > 1
    return {
        "mean": _told(curve.mean.mean, seen),
        "half": numbers(curve.mean.half).tolist() if several else [],
        "n": curve.mean.n.astype(int).tolist(),
        "runs": _told(curve.runs, curve.seen) if several else [],
        "reach": [] if whole else [_told(curve.low, seen), _told(curve.high, seen)],
        "far": [] if whole else list(map(_far, curve.runs, curve.lows, curve.highs)),
        "lost": [[int(at), int(curve.lost[at])] for at in np.flatnonzero(curve.lost)],
    }


def _far(means: Values, low: Values, high: Values) -> list[tuple[int, float | None]]:
    """Where the line of a run leaves out an extreme that matters, and that extreme."""
    import numpy as np

    known = np.flatnonzero(np.isfinite(means))
    ends = low[known], high[known]
    each = zip(ends, far_ends(means[known], *ends), strict=True)
    return [
        (int(at), plain(it))
        for end, far in each
        for at, it in zip(known[far], end[far], strict=True)
    ]


def _told(values: Values, seen: Any) -> Any:
    cells = numbers(values)
    cells[~seen] = False
    return cells.tolist()
