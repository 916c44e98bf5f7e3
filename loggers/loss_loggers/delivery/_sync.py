"""Send later what a backend did not get."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from loss_loggers.base._base_logger import BaseLogger
from loss_loggers.base._lock import FileLock, LocksMissingError
from loss_loggers.base._paths import folder_at
from loss_loggers.base._protocol import check_logger, target_of
from loss_loggers.base._warn import warn
from loss_loggers.recording._run_folder import read_json

from ._background import Background

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


class NotDeliveredError(RuntimeError):
    """A logger took rows and lost them; it warned about the reason."""


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
    row, as `log_epoch` if the logger has it. The folder remembers what was sent, so
    a second call goes on where the first one ended. A call that is killed repeats up to 100 rows,
    and a `Background` that is killed those of its last interval. One call at a time sends to a
    place.

    What a `Background` that still runs is about to deliver is left to it, and counted in
    `Summary.withheld`. From another machine nobody can see whether it runs, so there that is left
    to it as well, unless you say `everything=True`.

    Wrap the logger as it was during the run: `sync(run, Rename("{loss}_{stat}", MLflowLogger(…)))`.

    Args:
        run: A run folder, or a file of undelivered rows.
        logger: Sends the rows, on this thread. What it raises is raised here.
        dry_run: Count only.
        everything: Send also what would be left to a `Background`; it may then come twice.
        progress: Called after every batch.

    Raises:
        FileNotFoundError: If there is no run.
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
    # Imported when it is used, so that importing this package costs nothing more.
    from ._pending_rows import pending_rows

    folder, target = folder_at(run), target_of(logger)
    if dry_run:
        pending = pending_rows(folder, target, everything=everything)
        return _looked_through(pending, target)
    with alone(pending_rows(folder, target).lock, target):
        pending = pending_rows(folder, target, everything=everything)
        return _sent(pending, logger, progress)


def _looked_through(pending: PendingRows, target: str) -> Summary:
    """What is to be sent, and what is not."""
    total = _added(Summary(target), (item for item, _ in pending))
    return total._replace(withheld=pending.withheld, sender=pending.sender)


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
        who = lock.holder()
        msg = (
            f"another sync, process {who.get('pid')} on {who.get('host')}, sends to {target}: wait"
            " until it has ended, and start this one again"
        )
        raise SyncIsRunningError(msg)
    try:
        yield
    finally:
        lock.release()


def _sent(pending: PendingRows, logger: Logger, progress: Progress | None) -> Summary:
    target = target_of(logger)
    total, sent = _looked_through(pending, target), Summary(target)
    if isinstance(logger, BaseLogger):
        logger.forget_from(pending.repeated_from())
    # Where it goes is known from now on, also if nothing of it arrives.
    pending.save(pending.cursor)
    for batch in _batches(pending):
        _send(batch, logger, pending)
        sent = _added(sent, (item for item, _ in batch))
        if progress is not None:
            progress(sent.rows, total.rows)
    return sent._replace(withheld=pending.withheld, sender=pending.sender)


def targets_of(run: str | PathLike[str]) -> list[str]:
    """Where rows of a run folder went, in words; the last place is the latest.

    >>> targets_of("nowhere")
    []
    """
    from ._sent_ranges import DELIVERED, SENT

    files = [file for name in (DELIVERED, SENT) for file in folder_at(run).glob(f"*/{name}")]
    files.sort(key=lambda file: file.stat().st_mtime)
    return [read_json(file)["target"] for file in files if "target" in read_json(file)]


def _batches(pending: PendingRows) -> Iterator[Batch]:
    """Rows together, hyperparameters together, and epochs together."""
    for _, alike in groupby(pending, lambda pair: _kind(pair[0])):
        while batch := list(islice(alike, BATCH)):
            yield batch


def _send(batch: Batch, logger: Logger, pending: PendingRows) -> None:
    cursor = None
    try:
        for piece in _pieces(batch, logger):
            _call(logger, [item for item, _ in piece])
            cursor = piece[-1][1]
    finally:
        if cursor is not None:
            pending.save(cursor)


def _pieces(batch: Batch, logger: Logger) -> list[Batch]:
    """What goes into one call."""
    is_whole = _kind(batch[0][0]) == "rows" and hasattr(logger, "log_rows")
    return [batch] if is_whole else [[pair] for pair in batch]


def _call(logger: Any, items: list[PendingItem]) -> None:
    before = _lost(logger)
    step, _, content = items[0]
    if step is None:
        if hasattr(logger, "log_hyperparams"):
            logger.log_hyperparams(content)
    elif _kind(items[0]) == "epoch":
        _log_epoch(logger, content, step)
    elif hasattr(logger, "log_rows"):
        logger.log_rows(items)
    else:
        logger.log_metrics(content, step=step)
    if lost := _lost(logger) - before:
        msg = f"{target_of(logger)} did not take {lost} rows"
        raise NotDeliveredError(msg)


def _kind(item: PendingItem) -> str:
    step, _, content = item
    if step is None:
        return "hyperparameters"
    # One that a Background could not deliver is a row by now, under the names that it sends.
    return "epoch" if getattr(content, "means", None) else "rows"


def _log_epoch(logger: Any, row: Any, step: int) -> None:
    if hasattr(logger, "log_epoch"):
        logger.log_epoch(row["epoch"], row.means, step=step)
    else:
        logger.log_metrics(dict(row), step=step)


def _lost(logger: Any) -> int:
    return int(getattr(logger, "failed", 0)) + int(getattr(logger, "withheld", 0))


def _added(summary: Summary, items: Iterable[PendingItem]) -> Summary:
    """The summary with these items in it."""
    for step, _, content in items:
        if step is not None:
            first, last = summary.first_step, summary.last_step
            summary = summary._replace(
                rows=summary.rows + 1,
                numbers=summary.numbers + len(content),
                first_step=step if first is None else min(step, first),
                last_step=step if last is None else max(step, last),
            )
    return summary
