"""What the user chose to see."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from loss_dashboard.curves.decimate import decimate
from loss_dashboard.runs.colours import readable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loss_dashboard._typing import Values
    from loss_dashboard.curves.decimate import Decimated
    from loss_dashboard.reading import RunReader


class Line(NamedTuple):
    """One loss in a chart; that of a validation has no more than dots, beside its training."""

    color: str
    points: Decimated
    is_dotted: bool = False


@dataclass
class View:
    """Which losses are shown, on which scale, and how much of the end of the run.

    Attributes:
        log: Whether losses are on a logarithmic scale, where they can be.
        zoom: How often the shown part was halved.
        hidden: The losses not shown.
    """

    log: bool = True
    zoom: int = 0
    hidden: set[str] = field(default_factory=set)

    def toggle(self, name: str) -> None:
        """Hide a loss, or show it again."""
        self.hidden ^= {name}

    def isolate(self, name: str, names: Iterable[str]) -> None:
        """Hide all others of these losses, or show them again."""
        others = {*names} - {name}
        self.hidden = set() if self.hidden == others else others

    def lines(self, reader: RunReader, column: str, points: int) -> list[Line]:
        """The shown losses, with as many points as there is room for."""
        names = [name for name in reader.losses if name not in self.hidden]
        cut = partial(_cut, column=column, start=self._start(reader), points=points)
        return [
            Line(
                readable(reader.colour_of(name)), cut(reader.series(name)), name in reader.followed
            )
            for name in names
        ]

    def _start(self, reader: RunReader) -> float:
        """The first step shown."""
        steps = [reader.series(name)["step"] for name in reader.losses]
        first = min((own[0] for own in steps), default=0.0)
        last = max((own[-1] for own in steps), default=0.0)
        return float(last - (last - first) / 2**self.zoom)


def _cut(series: dict[str, Values], column: str, start: float, points: int) -> Decimated:
    """A statistic from a step on."""
    shown = series["step"] >= start
    steps = series["step"][shown]
    cut = decimate(steps, series[column][shown], points)
    cut.x[-1:] = steps[-1:]  # so that a line ends where the run does
    return cut
