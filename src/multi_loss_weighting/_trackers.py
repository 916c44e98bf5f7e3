"""Trackers: several LossTrackers with one row and one step for all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ._state import State, check_state
from ._tracker import LossTracker
from .accelerator._readback import Backlog
from .batch._value import checked_step, read_metrics
from .step._loss import by_name, checked_names
from .step._reporter import make_reporter

if TYPE_CHECKING:
    from loss_loggers import Loggers, Row


class Trackers(Mapping[str, LossTracker]):
    """Trackers made together: each has its own update and backward, all share a row and a step.

    Args:
        names: The names of the losses, in the order of the row.
        logger: Where rows go: anything with `log_metrics`, a list of such, or None for nowhere.
        **settings: Of `LossTracker`; a dict from name to value gives each loss its own.

    Raises:
        ValueError: If a name comes twice, or a setting names a loss that is not among `names`.

    >>> trackers = Trackers(["G", "D"], weight={"G": 0.5}, max_loss=100)
    >>> for loss in (2.0, 4.0):
    ...     for tracker in trackers.values():
    ...         weighted = tracker.update(loss, do_backwards=False)
    ...     trackers.step()
    >>> trackers["G"].weighted, trackers["D"].weighted
    (2.0, 4.0)
    """

    def __init__(
        self,
        names: Iterable[str],
        logger: Loggers | None = None,
        **settings: Any,
    ) -> None:
        names = checked_names(names)
        own: dict[str, dict[str, Any]] = {name: {} for name in names}
        for key, setting in settings.items():
            for name, value in by_name(setting, names, key).items():
                own[name][key] = value
        self._trackers = {name: LossTracker(name, **own[name]) for name in names}
        self._reporter = make_reporter(logger, self.hyperparams)
        self._updates = dict.fromkeys(names, 0)
        self._step = 0
        self._share_backlog()

    def _share_backlog(self) -> None:
        """Have losses on an accelerator read back together, in the order in which they came."""
        one = self._trackers[next(iter(self))]
        self._ranks = one._ranks
        # A step leaves one entry for each loss, and one for itself.
        every = one._intake.backlog.every * (len(self) + 1)
        self._backlog = Backlog(every, self._report_late)
        for tracker in self.values():
            tracker._join(self._backlog)
        self._come_before_the_end()

    def _come_before_the_end(self) -> None:
        if self._reporter is not None:
            self._backlog.come_before_the_end_of(self._reporter.logger)

    def __getitem__(self, name: str) -> LossTracker:
        return self._trackers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._trackers)

    def __len__(self) -> int:
        return len(self._trackers)

    def step(self, step: int | None = None, *, extra: Mapping[str, Any] | None = None) -> None:
        """End a step: report one row of all losses that were updated in it.

        A loss that was updated more than once is reported as it was last.

        Args:
            step: The step of the row; by default one more than the last, from 0.
            extra: Numbers of your own for the same row, e.g. `{"lr": lr}`.
        """
        own_metrics = read_metrics(extra) if extra else {}
        step = self._step if step is None else checked_step(step)
        for tracker in self.values():
            tracker.step = step + 1
        self._step = step + 1
        if self._backlog:
            self._end_later(step, own_metrics)
            return
        row = self._row()
        if self._reporter is not None and self._ranks.is_reporter:
            own = {name: float(value) for name, value in own_metrics.items()}
            self._reporter.report(row | own, step)

    def _row(self) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for name, tracker in self.items():
            if tracker.statistics.updates != self._updates[name]:
                self._updates[name] = tracker.statistics.updates
                row |= tracker.row()
        return row

    # On an accelerator a step ends when its losses have been read back, those on the CPU with them.

    def _end_later(self, step: int, own_metrics: dict[str, Any]) -> None:
        for tracker in self.values():
            tracker._come_late()
        later = {name: value for name, value in own_metrics.items() if isinstance(value, Tensor)}

        def take_in(*values: list[float]) -> dict[str, Any] | None:
            row = self._row()
            if self._reporter is None or not self._ranks.is_reporter:
                return None
            own = {name: value for name, (value,) in zip(later, values, strict=True)}
            return row | own_metrics | own

        self._backlog.add(step, list(later.values()), take_in)

    def _report_late(self, rows: list[Row]) -> None:
        if self._reporter is not None:
            self._reporter.report_rows(rows)

    def flush(self) -> None:
        """Wait for the losses that are on their way from an accelerator, and report their rows."""
        for tracker in self.values():
            tracker.flush()

    def __getstate__(self) -> dict[str, Any]:
        """A copy knows everything that these trackers were told."""
        self.flush()
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._come_before_the_end()

    def hyperparams(self) -> dict[str, Any]:
        """The names and the settings of the losses, as loggers record them."""
        settings: dict[str, Any] = {}
        for tracker in self.values():
            settings |= tracker.hyperparams()
        return settings | {"losses": list(self)}

    def reset(self) -> None:
        """Forget every loss. The step goes on, so that the rows of a run stay in order."""
        for tracker in self.values():
            tracker.reset()
        self._updates = dict.fromkeys(self, 0)

    def state_dict(self) -> State:
        """Every number that must survive a restart; JSON and `torch.save` take it."""
        self._backlog.catch_up()
        return {
            "step": self._step,
            "updates": dict(self._updates),
            "trackers": {name: tracker.state_dict() for name, tracker in self.items()},
        }

    def load_state_dict(self, state: State) -> None:
        """Continue from `state_dict()`, to the last bit.

        Raises:
            ValueError: If the state has another shape or other losses; nothing has changed.
        """
        check_state(self.state_dict(), state, "the state of the trackers")
        for name, tracker in self.items():
            tracker.check_state(state["trackers"][name])
        for name, tracker in self.items():
            tracker.load_state_dict(state["trackers"][name])
        self._step, self._updates = state["step"], dict(state["updates"])
