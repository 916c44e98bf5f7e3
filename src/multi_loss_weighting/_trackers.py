"""Trackers: several LossTrackers with one row and one step for all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from loss_loggers import Pending, row_time

from ._tracker import AS_IT_WAS, LossTracker
from ._warn import warn_user
from .accelerator._owner import Entry, Owner
from .accelerator._readback import Readback
from .batch._names import by_name, checked_names
from .batch._value import checked_step, read_metrics
from .statistics._record import RARE, UPDATES, LossRecord
from .step.report._outbox import Outbox
from .step.report._reporter import PendingEpoch, make_reporter
from .tensors._state import pack, unpack

if TYPE_CHECKING:
    from loss_loggers import Loggers

    from .distributed._ranks import Ranks
    from .statistics._record import Numbers


MANY = 100
"""After this many updates without a `step()`, it was probably forgotten."""


class _State(NamedTuple):
    """What changes at a step. A new one takes the place of the old one by a single store.

    Attributes:
        step: The next step.
        reported: The numbers of each loss at its last row.
        number: How many steps ended.
        taken: How many of them have their row; the others are on their way from a device.
    """

    step: int
    reported: dict[str, Numbers]
    number: int = 0
    taken: int = 0


class _Rows(Owner):
    """The steps of several trackers, each with one row of all.

    Args:
        trackers: The trackers, by the names of their losses.
        outbox: Gets the rows.
        ranks: Which of them reports.
    """

    state: _State
    outbox: Outbox

    def __init__(self, trackers: dict[str, LossTracker], outbox: Outbox, ranks: Ranks) -> None:
        self._trackers = trackers
        self.outbox = outbox
        self._ranks = ranks
        self._has_warned = False
        numbers = {name: one.recorder.state.records[0] for name, one in trackers.items()}
        self.state = _State(0, numbers)
        self.lost = 0

    @property
    def reports(self) -> bool:
        """Whether there is somebody to report to, and this rank does."""
        return self.outbox.reporter is not None and self._ranks.is_reporter

    def row(self) -> tuple[dict[str, Any], dict[str, Numbers]]:
        """What there is to report since the last row, and what was reported with it."""
        row: dict[str, Any] = {}
        seen, reports = dict(self.state.reported), self.reports
        for name, tracker in self._trackers.items():
            state = tracker.recorder.state
            before, now = seen[name], state.records[0]
            if now[UPDATES] != before[UPDATES]:
                if reports:
                    row |= state.losses.template.row((before,), (now,), None)
                seen[name] = now
        return row, seen

    def warn_without_step(self) -> None:
        """Say, once, that there is no row where `step` seems to be forgotten."""
        updates = max(one.recorder.state.number for one in self._trackers.values())
        state = self.state
        is_new = not (state.number or state.step or self._has_warned)  # and no state was loaded
        if is_new and self.reports and updates >= MANY:
            self._has_warned = True
            warn_user(
                f"trackers were updated {updates} times, and there is no row yet: their step(),"
                " called once after these updates, makes it"
            )

    def complete(self, entry: Entry, values: list[list[float]]) -> None:
        """Make the row of a step that was read back."""
        own, later = entry.details
        known = {name: value for name, (value,) in zip(later, values, strict=True)}
        while entry.number > (state := self.state).taken:
            metrics, seen = self.row()
            row = (entry.step, entry.time, metrics | own | known) if self.reports else None
            self.take(entry, state, row, reported=seen)


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
        first = self._trackers[names[0]].recorder
        outbox = Outbox(make_reporter(logger, self.hyperparams))
        self._rows = _Rows(self._trackers, outbox, first.ranks)
        # A step leaves one entry for each loss, and one for itself.
        self._readback = Readback(first.readback.every * (len(self) + 1), self._resume)
        for tracker in self.values():
            tracker.join(self._readback, self._renew)
        self._come_before_the_end()

    def _come_before_the_end(self) -> None:
        if self._rows.outbox.reporter is not None:
            self._readback.come_before_the_end_of(self._rows.outbox.reporter.logger)

    def _numbers(self, name: str) -> Numbers:
        return self._trackers[name].recorder.state.records[0]

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

        Raises:
            TypeError: If `extra` is no dict of numbers.
            ValueError: If `step` is no whole number, or `extra` has a name of the row's own.
        """
        own = read_metrics(extra) if extra is not None else {}
        if own:
            for tracker in self._trackers.values():
                tracker.recorder.state.losses.template.check_extra(own)
        step = None if step is None else checked_step(step)
        with self._readback.lock:
            at = self._rows.state.step if step is None else step
            (self._end_later if self._readback else self._end_now)(at, own)

    def _end_now(self, step: int, own: dict[str, Any]) -> None:
        if self._rows.outbox.rows or self._rows.outbox.epochs:
            self._resume()
        row, seen = self._rows.row()
        number = self._rows.state.number + 1
        held = None
        if self._rows.reports:
            row |= {name: float(value) for name, value in own.items()}
            held = number, Pending([(step, row_time(), row)])
            self._rows.outbox.rows.append(held)
        self._rows.state = _State(step + 1, seen, number, number)
        self._resume(held)

    def _resume(self, held: tuple[int, Pending] | None = None) -> None:
        """Do the rest of a step that was taken in, or of an epoch: also of an interrupted one."""
        if self._readback.is_at_end:
            self._rows.warn_without_step()
        step, ended = self._rows.state.step, 0
        for tracker in self._trackers.values():  # not those of a Mapping: this is at every step
            if tracker.recorder.state.step != step:
                tracker.recorder.change(step=step)
        for means in self._rows.outbox.epochs:
            if self._readback:
                self._readback.wait()  # which calls this, too
            for tracker in self.values():
                if tracker.recorder.state.epoch == means.epoch:
                    tracker.end_epoch()
            ended = means.epoch + 1
        self._rows.outbox.send(self._rows.state.taken, ended, held)

    # On an accelerator a step ends when its losses have been read back, those on the CPU with them.

    def _end_later(self, step: int, own: dict[str, Any]) -> None:
        for tracker in self.values():
            tracker.use_readback()
        later = [name for name, value in own.items() if isinstance(value, Tensor)]
        tensors = [own[name] for name in later]
        number = self._rows.state.number + 1
        self._readback.add(Entry(self._rows, number, step, tensors, (own, later)))
        self._rows.change(step=step + 1, number=number)
        self._resume()
        self._readback.proceed()

    def flush(self) -> None:
        """Wait for the losses that are on their way from an accelerator, and report their rows."""
        with self._readback.lock:
            for tracker in self.values():
                tracker.flush()
            self._rows.warn_without_step()
            self._resume()

    @property
    def lost(self) -> int:
        """How many steps could not be read back from an accelerator."""
        return self._rows.lost

    def end_epoch(self) -> dict[str, float]:
        """End an epoch: the mean of each loss that came in it, by samples, which is reported, too.

        The row is one of its own at the last step: `epoch`, from 0, and `epoch_loss/G`.
        """
        with self._readback.lock:
            self.flush()
            first, *others = (tracker.recorder for tracker in self.values())
            epoch = first.state.epoch
            for one in others:  # also one that ended an epoch, or was loaded, by itself
                one.change(epoch=epoch)
            records = {name: LossRecord._make(self._numbers(name)) for name in self}
            means = {
                name: (record.epoch_mean, record.epoch_samples)
                for name, record in records.items()
                if record.epoch_samples
            }
            told = means if self._rows.reports else {}
            self._rows.outbox.epochs.append(
                PendingEpoch(epoch, told, max(self._rows.state.step - 1, 0))
            )
            self._resume()
        return {name: mean for name, (mean, _) in means.items()}

    def __getstate__(self) -> dict[str, Any]:
        """Wait for what is on its way, so that the copy is complete."""
        self.flush()
        return self.__dict__

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
        with self._readback.lock:
            for tracker in self.values():
                tracker.reset()

    def _renew(self, name: str) -> None:
        """A loss was reset or loaded: what it begins with is no news."""
        with self._readback.lock:
            reported = {**self._rows.state.reported, name: self._numbers(name)}
            self._rows.change(reported=reported)

    def state_dict(self) -> dict[str, Tensor]:
        """Every number that must survive a restart: a tensor for each loss, one for the step."""
        with self._readback.lock:
            self.flush()
            own = {f"tracker {name}": one.state_dict()["state"] for name, one in self.items()}
            state = self._rows.state
        updates = {
            name: [numbers[UPDATES], numbers[RARE].blocks_completed]
            for name, numbers in state.reported.items()
        }
        return own | {"step": pack({"step": state.step, "reported": updates})}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state_dict()`, bit-identical.

        Raises:
            ValueError: If the state has other losses or settings; nothing has changed.
        """
        needed = {"step", *(f"tracker {name}" for name in self)}
        if not isinstance(state, Mapping) or set(state) != needed:
            got = ", ".join(map(str, state)) if isinstance(state, Mapping) else repr(state)
            keys = ", ".join(sorted(needed))
            msg = f"the state of the trackers must have the keys {keys}, got {got}"
            raise ValueError(msg)
        own = unpack(state["step"], AS_IT_WAS)
        if not isinstance(own, dict) or set(own) != {"step", "reported"}:
            msg = f"the state 'step' must be the step of the trackers, got {own!r:.80}"
            raise ValueError(msg)
        states = {name: {"state": state[f"tracker {name}"]} for name in self}
        with self._readback.lock:
            for name, tracker in self.items():
                tracker.checked_state(states[name])
            for name, tracker in self.items():
                tracker.load_state_dict(states[name])
            reported: dict[str, Numbers] = {}
            for name in self:
                record = LossRecord._make(self._numbers(name))
                updates, blocks = own["reported"][name]
                rare = record.rare._replace(blocks_completed=blocks)
                reported[name] = record._replace(updates=updates, rare=rare)
            self._rows.outbox.rows, self._rows.outbox.epochs = [], []
            self._rows.change(step=own["step"], reported=reported)
