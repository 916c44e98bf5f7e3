"""What the page shows of a run, as plain numbers and text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from loss_loggers._colours import GREY

from ._contribution import shares
from ._info import settings_in
from ._lost import lost_in
from ._numbers import plain
from ._sparks import Sparks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._lines import Values
    from .alerts import Alert
    from .reader import RunReader


class Curves(Protocol):
    """Draws the curves of a run."""

    def draw(self, losses: dict[str, dict[str, Values]], times_begun: int, /) -> dict[str, Any]:
        """The curves of the losses, which were read from the beginning so many times."""


def view(
    reader: RunReader,
    curves: Curves,
    alerts: Sequence[Alert] = (),
    sparks: Sparks | None = None,
) -> dict[str, Any]:
    """Everything about a run that fits on a screen; live curves go on from their last view."""
    import numpy as np

    losses = {name: reader.series(name) for name in reader.losses}
    with np.errstate(all="ignore"):  # a loss may be as large as floats go
        return {
            **_head(reader, losses),
            "alerts": [alert._asdict() for alert in alerts],
            "losses": _table(reader, losses, sparks or Sparks()),
            "curves": curves.draw(losses, reader.times_begun),
        }


def _head(reader: RunReader, losses: dict[str, dict[str, Values]]) -> dict[str, Any]:
    settings = settings_in(reader.info)
    steps = [float(own["step"][-1]) for own in losses.values()]
    return {
        "name": reader.path.name,
        "path": str(reader.path),
        "state": reader.state,
        "is_unreadable": reader.is_unreadable,
        "error": reader.error,
        "settings": {key: value for key, value in settings.items() if key != "losses"},
        "start": reader.info.get("start"),
        "step": max(steps, default=None),
        "steps_per_second": plain(reader.steps_per_second),
        "elapsed": plain(reader.elapsed),
        "silent": plain(reader.silent),
        "progress": plain(reader.progress),
        "problems": reader.problems,
    }


def _table(
    reader: RunReader, losses: dict[str, dict[str, Values]], sparks: Sparks
) -> list[dict[str, Any]]:
    """A line for each loss; its share is of what all of them contribute to the total."""
    parts = shares(losses)
    return [
        {
            "name": name,
            "colour": reader.colours.get(name, GREY),
            "share": plain(parts[name]),
            "spark": sparks.draw(name, own["loss"], reader.times_begun),
            **_line(own),
        }
        for name, own in losses.items()
    ]


def _line(own: dict[str, Values]) -> dict[str, Any]:
    """Where a loss stands; the last value is in words if it was lost."""
    lost = lost_in(own)
    return {
        **{column: plain(own[column][-1]) for column in ("weight", "mean", "std", "cov")},
        "last": str(float(own["loss"][-1])) if lost[-1] else plain(own["loss"][-1]),
        "lost": int(lost.sum()),
        "first_lost": float(own["step"][lost.argmax()]) if lost.any() else None,
    }
