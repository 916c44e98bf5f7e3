"""A logger that `sync` sends rows to, on its own thread: what it raises is raised."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from loss_loggers.base._base_logger import BaseLogger
from loss_loggers.base._pending import Pending, taker_of
from loss_loggers.base._protocol import target_of
from loss_loggers.wrappers.every import Every
from loss_loggers.wrappers.tee import Tee

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from loss_loggers.base._pending import Place
    from loss_loggers.base._protocol import Row
    from loss_loggers.wrappers._guard import Guard

    from ._pending_rows import PendingItem


class NotDeliveredError(RuntimeError):
    """A logger took rows and lost them; it warned about the reason."""


class Destination:
    """One logger, and what is known of its backend.

    Args:
        logger: Takes the rows.
        steps: Those of the rows that may be there already, if the logger can say so.
    """

    def __init__(self, logger: object, steps: frozenset[int] = frozenset()) -> None:
        self._logger: Any = logger
        self._log_rows = getattr(logger, "log_rows", None)
        self._log_pending = taker_of(logger) if isinstance(logger, Tee) else None
        self._settle = logger.settle if isinstance(logger, BaseLogger) else _nothing
        self._is_there: Callable[[Row], bool] | None = None
        if steps and isinstance(logger, BaseLogger):
            self._is_there = logger.known_rows(steps)
        for guard in _guards(logger):  # they spare a training, and here is none
            guard.try_again()

    @property
    def takes_batches(self) -> bool:
        """Whether rows go out together."""
        return self._log_rows is not None

    def send(self, items: list[PendingItem]) -> None:
        """Send what is alike, in one call, but for what is there already."""
        if self._is_there is not None and items[0].kind != "settings":
            items = [item for item in items if not self._is_there(item.row)]
        if not items:
            return
        self._do(partial(self._call, items))

    def first_place(self) -> Place | None:
        """Where the record has the first row that an `Every` holds back."""
        return _first_place(_windows(self._logger))

    def ended(self) -> tuple[dict[str, Place], ...]:
        """Where the record has the last row that each `Every` has sent of each loss."""
        return tuple(map(_ended, _windows(self._logger)))

    def go_on(self, ended: tuple[dict[str, Place], ...]) -> None:
        """Have each `Every` go on behind these places, or from its first row if they are others."""
        found = list(_windows(self._logger))
        known = ended if len(ended) == len(found) else ({},) * len(found)
        for every, places in zip(found, known, strict=True):
            every.go_on(places)

    def finish(self) -> None:
        """Send what an `Every` holds back: its last window, whole or not."""
        for every in _windows(self._logger):
            self._do(every.flush)

    def _do(self, call: Callable[[], object]) -> None:
        before = _lost(self._logger)
        call()
        self._settle()
        if lost := _lost(self._logger) - before:
            msg = f"{target_of(self._logger)} did not take {lost} rows"
            raise NotDeliveredError(msg)

    def _call(self, items: list[PendingItem]) -> None:
        kind, step, _, content, _ = items[0]
        if kind == "settings":
            getattr(self._logger, "log_hyperparams", _nothing)(content)
        elif kind == "epoch" and hasattr(self._logger, "log_epoch"):
            means = content.means  # type: ignore[attr-defined]
            self._logger.log_epoch(content["epoch"], means, step=step)
        elif self._log_pending is not None and kind != "epoch":
            rows = Pending(item.row for item in items)
            rows.late, rows.covered = True, [item.spans for item in items]
            self._log_pending(rows)
        elif self._log_rows is not None and kind != "epoch":
            self._log_rows([item.row for item in items])
        else:
            self._logger.log_metrics(dict(content), step=step)


def ends(logger: object) -> Iterator[object]:
    """The loggers behind a `Tee`, a `Rename` or an `Every`, or the logger itself."""
    if isinstance(logger, Tee):
        for guard in logger.guards:
            yield from ends(guard.logger)
    else:
        yield logger


def _guards(logger: object) -> Iterator[Guard]:
    """The guards within a logger, the outermost first."""
    for guard in logger.guards if isinstance(logger, Tee) else ():
        yield guard
        yield from _guards(guard.logger)


def _windows(logger: object) -> Iterator[Every]:
    """What holds rows back until more have come, the outermost first."""
    within = (guard.logger for guard in _guards(logger))
    return (one for one in (logger, *within) if isinstance(one, Every))


def _first_place(windows: Iterable[Every]) -> Place | None:
    return min(filter(None, (every.first_place() for every in windows)), default=None)


def _ended(every: Every) -> dict[str, Place]:
    """Where its rows end that went out: those that another behind it holds back did not."""
    first = _first_place(islice(_windows(every), 1, None))
    return {loss: min(end, first or end) for loss, end in every.ended().items()}


def _nothing(*_: object) -> None:
    """What a logger does that has no such method."""


def _lost(logger: Any) -> int:
    return int(getattr(logger, "failed", 0)) + int(getattr(logger, "withheld", 0))
