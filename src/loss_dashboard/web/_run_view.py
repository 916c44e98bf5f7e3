"""What the page shows of a run, as plain numbers and text."""

from __future__ import annotations

from itertools import islice
from math import nan
from typing import TYPE_CHECKING, Any, Protocol

from loss_dashboard.curves.numbers import plain
from loss_dashboard.curves.shares import by_size, objective, shares
from loss_dashboard.curves.sparklines import Sparklines
from loss_dashboard.reading.extras import VALUE
from loss_dashboard.reading.nonfinite import nonfinite_in
from loss_dashboard.runs.run_json import flat_settings, settings_in
from loss_loggers.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy import bool_
    from numpy.typing import NDArray

    from loss_dashboard._typing import Values
    from loss_dashboard.reading import RunReader
    from loss_loggers.alerts import Alert

    Series = dict[str, dict[str, Values]]


MOST = 60
"""So many of the user's own numbers are shown; their page has an end."""


class Curves(Protocol):
    """Draws the curves of a run."""

    def draw(self, losses: Series, extras: Series, times_begun: int, /) -> dict[str, Any]:
        """The curves of losses and own numbers, read from the beginning so many times."""


def view(
    reader: RunReader,
    curves: Curves,
    alerts: Sequence[Alert] = (),
    sparklines: Sparklines | None = None,
    explained: str = "",
) -> dict[str, Any]:
    """Everything about a run that fits on a screen; live curves go on from their last view."""
    import numpy as np

    losses = {name: reader.series(name) for name in reader.losses}
    extras = extras_of(reader)
    with np.errstate(all="ignore"):  # a loss may be as large as floats go
        return {
            **_head(reader),
            "explained": explained if reader.names else "",
            "alerts": [alert._asdict() for alert in alerts],
            "losses": _table(reader, losses, sparklines or Sparklines()),
            "by_size": by_size(_optimised(reader, losses)),
            "totals": [_total(name, reader.series(name)) for name in reader.totals],
            "extras": [_extra(name, own) for name, own in extras.items()],
            "epochs": _epochs(reader, losses),
            "extras_in_all": len(reader.extras),
            "curves": curves.draw(losses, extras, reader.times_begun),
        }


def extras_of(reader: RunReader) -> dict[str, dict[str, Values]]:
    """The user's own numbers that are shown."""
    return dict(islice(reader.extras.items(), MOST))


def _head(reader: RunReader) -> dict[str, Any]:
    settings = settings_in(reader.info)
    return {
        "name": reader.name,
        "path": printable(reader.path),
        "state": reader.state,
        "is_unreadable": reader.is_unreadable,
        "error": reader.error,
        "settings": {key: value for key, value in settings.items() if key != "losses"},
        "hyperparameters": flat_settings(settings),
        "start": reader.info.get("start"),
        "step": None if reader.last_step is None else float(reader.last_step),
        "steps_per_second": plain(reader.steps_per_second),
        "elapsed": plain(reader.elapsed),
        "silent": plain(reader.silent),
        "progress": plain(reader.progress),
        "problems": reader.problems,
    }


def _table(
    reader: RunReader, losses: dict[str, dict[str, Values]], sparklines: Sparklines
) -> list[dict[str, Any]]:
    """A line for each loss; its share is of what all of them contribute to the total.

    One of a validation has no share, and is told with the loss of the training that it stands
    beside (`of`).
    """
    parts = shares(_optimised(reader, losses))
    return [
        {
            "name": name,
            "of": reader.followed.get(name),
            "colour": reader.colour_of(name),
            "share": plain(parts.get(name, nan)),
            "spark": sparklines.draw(name, own["loss"], reader.times_begun),
            **_line(own),
        }
        for name, own in losses.items()
    ]


def _optimised(
    reader: RunReader, losses: dict[str, dict[str, Values]]
) -> dict[str, dict[str, Values]]:
    return {name: losses[name] for name in objective(settings_in(reader.info), losses)}


def _line(own: dict[str, Values]) -> dict[str, Any]:
    """Where a loss stands."""
    numbers = {column: plain(own[column][-1]) for column in ("weight", "mean", "std", "cov")}
    return {**numbers, "best": _best(own), **_end(own, "loss", nonfinite_in(own))}


def _best(own: dict[str, Values]) -> float | None:
    """The smallest finite value, of all rows."""
    import numpy as np

    return plain(float(np.min(own["loss"], where=np.isfinite(own["loss"]), initial=np.inf)))


def _epochs(reader: RunReader, losses: dict[str, dict[str, Values]]) -> dict[str, Any] | None:
    """When the epochs ended, and the means of each loss; None where no epoch has."""
    ends = reader.epochs.ends
    if not ends or not losses:
        return None
    means = reader.epochs.means
    return {
        "first": min(float(own["step"].min()) for own in losses.values()),
        "ends": ends,
        "each": [
            {
                "name": name,
                "of": reader.followed.get(name),
                "colour": reader.colour_of(name),
                "epoch": [one.epoch for one in own],
                "step": [one.step for one in own],
                "mean": [plain(one.mean) for one in own],
                "samples": [plain(one.samples) for one in own],
            }
            for name, own in means.items()
        ],
    }


def _total(name: str, own: dict[str, Values]) -> dict[str, Any]:
    """Where an objective stands."""
    return {"name": name, "best": _best(own), **_end(own, "loss", nonfinite_in(own))}


def _extra(name: str, own: dict[str, Values]) -> dict[str, Any]:
    """Where one of the user's own numbers stands."""
    import numpy as np

    return {"name": name, **_end(own, VALUE, ~np.isfinite(own[VALUE]))}


def _end(own: dict[str, Values], column: str, lost: NDArray[bool_]) -> dict[str, Any]:
    """The last value, in words if it was lost, and what was lost before."""
    last = own[column][-1]
    return {
        "last": str(float(last)) if lost[-1] else plain(last),
        "lost": int(lost.sum()),
        "first_lost": float(own["step"][lost.argmax()]) if lost.any() else None,
    }
