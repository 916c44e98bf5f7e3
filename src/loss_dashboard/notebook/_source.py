"""Where a figure takes its numbers from."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple, Protocol

from loss_dashboard.reading.headline import headline
from loss_dashboard.runs.run_json import followed_in
from loss_loggers.alerts import is_total
from loss_loggers.recording import GREY, new_colour

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loss_dashboard._typing import Values
    from loss_dashboard.reading import RunReader
    from multi_loss_weighting import LossGroup, LossTracker, Trackers


class Curve(NamedTuple):
    """One loss, as a figure shows it.

    Attributes:
        is_part: whether it is a part of the objective.
        statistics: its mean, std and CoV as they were recorded, which may be of its last values
            alone; without them they are those of all losses that are shown.
    """

    name: str
    color: str
    steps: Values
    losses: Values
    weights: Values
    is_part: bool = True
    statistics: Mapping[str, float] = {}


class Source(Protocol):
    """What a figure shows."""

    @property
    def state(self) -> str:
        """What has become of it, as a run's."""

    def poll(self) -> bool:
        """Take in what is new; whether anything is."""

    def notice(self) -> None:
        """Take in what is gone by the next poll; quick, for it is called at every step."""

    def title(self) -> str:
        """What it is, in a line."""

    def curves(self) -> list[Curve]:
        """The losses."""


class RunSource:
    """A run folder, which another process may be writing."""

    def __init__(self, reader: RunReader) -> None:
        self.reader = reader

    @property
    def state(self) -> str:
        """What has become of the run."""
        return self.reader.state

    def poll(self) -> bool:
        """Read what is new."""
        return self.reader.poll()

    def notice(self) -> None:
        """The run keeps everything."""

    def title(self) -> str:
        """Name, method, state and step."""
        return headline(self.reader)

    def curves(self) -> list[Curve]:
        """The losses of the run, and its totals."""
        reader = self.reader
        parts = [name for name in reader.losses if name not in reader.followed]
        return [self._curve(name, name in parts) for name in (*reader.losses, *reader.totals)]

    def _curve(self, name: str, is_part: bool) -> Curve:
        own, colour = self.reader.series(name), self.reader.colour_of(name)
        last = {key: float(own[key.lower()][-1]) for key in ("mean", "std", "CoV")}
        known = {key: number for key, number in last.items() if number == number}
        return Curve(name, colour, own["step"], own["loss"], own["weight"], is_part, known)


class Memory:
    """Losses and weights that are kept as they come: 24 bytes for each."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._columns: dict[str, tuple[array[float], array[float], array[float]]] = {}

    @property
    def state(self) -> str:
        """Alive, as long as this process is."""
        return "running"

    def poll(self) -> bool:
        """Nothing is new but what was added."""
        return True

    def notice(self) -> None:
        """Nothing is new but what was added."""

    def add(self, name: str, step: float, loss: float, weight: float) -> None:
        """Keep one loss of one step."""
        if name not in self._columns:
            self._columns[name] = array("d"), array("d"), array("d")
        steps, losses, weights = self._columns[name]
        steps.append(step)
        losses.append(loss)
        weights.append(weight)

    def title(self) -> str:
        """What it is and how far it is."""
        steps = [steps[-1] for steps, _, _ in self._columns.values()]
        return f"{self.name}  step {max(steps):.0f}" if steps else self.name

    def curves(self) -> list[Curve]:
        """The losses so far, and behind them their totals."""
        names = sorted(self._columns, key=is_total)
        followed = followed_in({}, names)
        parts = [name for name in names if not (is_total(name) or name in followed)]
        alone = [name for name, loss in followed.items() if loss == name]
        colors: dict[str, str] = {}
        for name in (*parts, *alone):
            colors[name] = new_colour(name, colors.values())
        return [
            self._curve(name, colors.get(followed.get(name, name), GREY), name in parts)
            for name in names
        ]

    def _curve(self, name: str, color: str, is_part: bool) -> Curve:
        import numpy as np

        steps, losses, weights = map(np.array, self._columns[name])
        return Curve(name, color, steps, losses, weights, is_part)


class GroupSource(Memory):
    """A group or trackers of this process: the losses they remember, then what each poll sees."""

    def __init__(self, name: str, losses: Mapping[str, LossTracker] | LossGroup | Trackers) -> None:
        super().__init__(name)
        self._losses = losses
        self._seen: dict[str, int] = {}

    def poll(self) -> bool:
        """Keep the losses that were updated since the last poll, as far as they are remembered."""
        new = [self._take(name) for name in self._losses]
        return any(new)

    def notice(self) -> None:
        """Keep the weights of this step, which a group forgets; but wait for no accelerator."""
        if not any(self._losses[name].is_behind for name in self._losses):
            self.poll()

    def _take(self, name: str) -> bool:
        loss = self._losses[name]
        updates = loss.updates
        new = updates - self._seen.get(name, 0)
        self._seen[name] = updates
        if new <= 0:
            return False
        values = [loss.value] if new == 1 else loss.get_history(new)
        for behind, value in zip(range(len(values), 0, -1), values, strict=True):
            weight = loss.last_weight if behind == 1 else float("nan")
            self.add(name, updates - behind, value, weight)
        return True
