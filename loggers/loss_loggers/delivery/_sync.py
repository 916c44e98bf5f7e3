"""Send later what a backend did not get."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from itertools import groupby, islice
from typing import TYPE_CHECKING, NamedTuple

from loss_loggers.base._base_logger import BaseLogger
from loss_loggers.base._lock import FileLock, LocksMissingError
from loss_loggers.base._paths import folder_at
from loss_loggers.base._protocol import check_logger, target_of
from loss_loggers.base._warn import warn

from ._background import Background
from ._destination import Destination, ends
from ._destination import NotDeliveredError as NotDeliveredError
from .on_disk._target_folder import CopiedRunError as CopiedRunError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from os import PathLike
    from pathlib import Path

    from loss_loggers.base._protocol import Logger

    from ._pending_rows import Cursor, PendingItem, PendingRows

    Batch = list[tuple[PendingItem, Cursor]]

BATCH = 100

Progress = Callable[[int, int], object]
"""Called with the number of rows that were sent, and of all that are to be."""


class SyncIsRunningError(RuntimeError):
    """Another `sync` sends the rows of the same run to the same place."""


class Summary(NamedTuple):
    """What was sent, or would be.

    Attributes:
        target: Where it went, in words.
        rows: How many rows, each with all losses of a step, or the means of an epoch.
        numbers: How many numbers were in them.
        first_step: The lowest step, or None if there was no row.
        last_step: The highest step.
        withheld: How many rows were left to a `Background` that still runs, or may.
        sender: Which one, in words.
    """

    target: str
    rows: int = 0
    numbers: int = 0
    first_step: int | None = None
    last_step: int | None = None
    withheld: int = 0
    sender: str = ""


def sync(
    run: str | PathLike[str],
    logger: Logger,
    *,
    dry_run: bool = False,
    everything: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Send a logger the rows of a run folder that its backend lacks: in order, exact, once.

    These are all rows of the record; or, if a `Background` was there, those that it could not
    deliver and those that it had not delivered when its process was killed. They have their own
    step, and their own time where the logger takes times; the means of an epoch come after its last
    row, as `log_epoch` if the logger has it. The folder remembers what was sent, by where the
    record has it, so a second call goes on where the first one ended. One call at a time sends to
    a place.

    Where a call, or a `Background`, was killed in the middle of a batch, that batch comes again: up
    to 100 rows, or all since the first one in a window of an `Every` that was open.
    `TensorBoardLogger` reads what its directory has, and leaves that out; MLflow's databases keep a
    row that comes twice once.

    What a `Background` that still runs is about to deliver is left to it, and counted in
    `Summary.withheld`. From another machine nobody can see whether it runs, so there that is left
    to it as well, unless you say `everything=True`.

    Wrap the logger as it was during the run: `sync(run, Rename("{loss}_{stat}", MLflowLogger(…)))`.
    The last window of an `Every` is sent at the end, whole or not.

    Args:
        run: A run folder, or a file of undelivered rows.
        logger: Sends the rows, on this thread. What it raises is raised here.
        dry_run: Count only.
        everything: Send also what would be left to a `Background`; it may then come twice.
        progress: Called after every batch.

    Raises:
        FileNotFoundError: If there is no run.
        CopiedRunError: If the folder is a copy of another, which was sent there: both would mix.
        SyncIsRunningError: If another call is sending to the same place.
        NotDeliveredError: If the logger took rows and lost them.

    >>> from tempfile import TemporaryDirectory
    >>> from loss_loggers import CsvLogger, MemoryLogger
    >>> memory = MemoryLogger()
    >>> with TemporaryDirectory() as folder:
    ...     with CsvLogger(f"{folder}/gan") as logger:
    ...         logger.log_metrics({"loss/G": 0.5, "loss/D": 0.25}, step=0)
    ...     sync(logger.path, memory)
    ...     sync(logger.path, memory).rows
    Summary(target='memory', rows=1, numbers=2, first_step=0, last_step=0, withheld=0, sender='')
    0
    >>> memory["loss/D"]
    [(0, 0.25)]
    """
    if isinstance(check_logger(logger), Background):
        msg = "sync waits for what it sends: pass the logger itself, not in a Background"
        raise TypeError(msg)
    if dry_run:
        return _looked_through(_pending(run, logger, everything=everything))
    with alone(_pending(run, logger, everything=everything).lock, target_of(logger)):
        return _sent(_pending(run, logger, everything=everything), logger, progress)


def _pending(run: str | PathLike[str], logger: Logger, *, everything: bool) -> PendingRows:
    # Imported when it is used, so that importing this package costs nothing more.
    from ._pending_rows import pending_rows

    return pending_rows(folder_at(run), target_of(logger), everything=everything)


def _looked_through(pending: PendingRows) -> Summary:
    """What is to be sent, and what is not."""
    total = _added(Summary(pending.target), (item for item, _ in pending))
    return _with_withheld(total, pending)


def _with_withheld(summary: Summary, pending: PendingRows) -> Summary:
    withheld, sender = pending.withheld()
    return summary._replace(withheld=withheld, sender=sender)


@contextmanager
def alone(path: Path, target: str) -> Iterator[None]:
    """While nobody else sends to a place; the file at `path` is held for it.

    Raises:
        SyncIsRunningError: If another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        is_ours = lock.acquire()
    except LocksMissingError as error:
        warn(f"another sync to {target} at the same time would not be noticed: {error}")
        is_ours = True
    if not is_ours:
        msg = (
            f"another sync, {lock.held_by()}, sends to {target}: wait until it has ended, and start"
            " this one again"
        )
        raise SyncIsRunningError(msg)
    try:
        yield
    finally:
        lock.release()


def _sent(pending: PendingRows, logger: Logger, progress: Progress | None) -> Summary:
    total = _looked_through(pending).rows if progress is not None else 0
    if isinstance(logger, BaseLogger):
        logger.forget_from(pending.repeated_from())
        logger.settle()
    outlet = _Outlet(pending, logger)
    sent = Summary(pending.target)
    # Where it goes is known from now on, also if nothing of it arrives.
    pending.save(pending.cursor._replace(is_open=True))
    try:
        for batch in _batches(pending):
            outlet.send(batch)
            sent = _added(sent, (item for item, _ in batch))
            if progress is not None:
                progress(sent.rows, total)
        outlet.finish()
    finally:
        outlet.let_go()
    return _with_withheld(sent, pending)


class _Outlet:
    """Sends batches, and remembers how far that went."""

    def __init__(self, pending: PendingRows, logger: Logger) -> None:
        steps = (item.step for item, _ in pending if item.step is not None)
        asked = frozenset(steps if pending.is_in_doubt else ())
        self._pending = pending
        self._reached = pending.cursor
        self._whole = Destination(logger, asked)
        self._whole.go_on(pending.cursor.ended)
        # What was kept has passed all that changes rows, such as a Rename.
        behind = [one for one in ends(logger) if one is not logger]
        self._behind = [Destination(one, asked) for one in behind] or [self._whole]

    def finish(self) -> None:
        """Send what the logger holds back."""
        self._whole.finish()
        self._pending.save(self._reached._replace(is_open=False))

    def let_go(self) -> None:
        """Leave nothing in a window of an `Every` that would go out at its end, and come again."""
        self._whole.go_on(())

    def send(self, batch: Batch) -> None:
        """Send what is alike."""
        kind = batch[0][0].kind
        targets = self._behind if kind == "kept" else [self._whole]
        together = kind in ("row", "kept") and all(target.takes_batches for target in targets)
        safe = None
        try:
            for piece in [batch] if together else [[pair] for pair in batch]:
                for target in targets:
                    target.send([item for item, _ in piece])
                self._reached = piece[-1][1]
                safe = self._before_what_waits()
        finally:
            if safe is not None:
                self._pending.save(safe)

    def _before_what_waits(self) -> Cursor:
        """How far all has gone out: rows that an `Every` holds back are read again."""
        first = self._whole.first_place() or self._reached.rows
        rows = min(first, self._reached.rows)
        return self._reached._replace(rows=rows, ended=self._whole.ended())


def targets_of(run: str | PathLike[str]) -> list[str]:
    """Where rows of a run folder went, in words; the last place is the latest.

    >>> targets_of("nowhere")
    []
    """
    from .on_disk._target_folder import targets_in

    return targets_in(folder_at(run))


def note_of(run: str | PathLike[str], target: str) -> Path:
    """The folder in which a run folder notes what went to a target, in words.

    >>> note_of("runs/gan", "memory").name
    'memory'
    """
    from .on_disk._target_folder import folder_name, noted

    folder = folder_at(run)
    return folder / folder_name(noted(folder, target))


def has_news(run: str | PathLike[str], logger: Logger, *, everything: bool = False) -> bool:
    """Whether `sync` would send anything, be it settings alone."""
    return any(True for _ in _pending(run, logger, everything=everything))


def _batches(pending: PendingRows) -> Iterator[Batch]:
    """What is alike, together."""
    for _, alike in groupby(pending, lambda pair: pair[0].kind):
        while batch := list(islice(alike, BATCH)):
            yield batch


def _added(summary: Summary, items: Iterable[PendingItem]) -> Summary:
    """The summary with these items in it."""
    rows, numbers, first, last = summary[1:5]
    for _, step, _, content, _ in items:
        if step is not None:
            rows, numbers = rows + 1, numbers + len(content)
            first = step if first is None else min(step, first)
            last = step if last is None else max(step, last)
    return summary._replace(rows=rows, numbers=numbers, first_step=first, last_step=last)
