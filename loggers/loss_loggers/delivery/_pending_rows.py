"""What a run folder holds for a backend that has not arrived there."""

from __future__ import annotations

from collections import deque
from itertools import groupby
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from loss_loggers.base._epoch_row import epoch_row
from loss_loggers.recording._epochs import read_epochs
from loss_loggers.recording._rows import ends_at, read_rows
from loss_loggers.recording._run_folder import (
    INFO,
    is_alive,
    is_run,
    read_json,
    run_info,
    write_json,
)

from ._sent_ranges import DELIVERED, SENT, UNDELIVERED, Ranges, folder_name, range_of
from ._spool import epochs_in, read_spool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loss_loggers.recording._epochs import EpochLine

PendingItem = tuple[int | None, float, dict[str, Any]]
"""A row, an epoch (an `EpochRow` with its means), or hyperparameters, which have no step."""

_DIGITS = 16


class Cursor(NamedTuple):
    """How far it was sent: hyperparameters, the undelivered file, the record and its epochs."""

    is_introduced: bool = False
    undelivered: int = 0
    part: int = 0
    offset: int = 0
    time: float = 0.0
    epochs: str = ""
    """A number for each line of the epochs that was sent, in 16 hexadecimal digits.

    Not a place in the file: after it went back to a checkpoint some lines are others.
    """


class PendingRows:
    """The rows that one backend lacks, in order, and the cursor that remembers how far they went.

    First what a `Background` could not deliver, then what the record alone holds: all of it, if
    there was no `Background`, or what was lost when its process was killed. What a `Background`
    that still runs is about to deliver is left to it.
    """

    def __init__(self, path: Path, target: str) -> None:
        is_file = path.is_file()
        folder = path.parent if is_file else path / folder_name(target)
        self._run = None if is_file else path
        self._spool = path if is_file else folder / UNDELIVERED
        self._delivered = {} if is_file else read_json(folder / DELIVERED)
        is_ours = self._spool == folder / UNDELIVERED and folder.name == folder_name(target)
        self._sent = folder / (SENT if is_ours else f"{path.name}.{folder_name(target)}.{SENT}")
        self._target = target
        self.cursor = self._load()

    def __iter__(self) -> Iterator[tuple[PendingItem, Cursor]]:
        """Each item, and the cursor behind it."""
        cursor = self.cursor
        if self._run is not None and not cursor.is_introduced:
            cursor = cursor._replace(is_introduced=True)
            if settings := run_info(self._run).get("hyperparameters"):
                yield (None, 0.0, settings), cursor
        for item, offset in read_spool(self._spool, cursor.undelivered):
            cursor = cursor._replace(undelivered=offset)
            yield item[:3], cursor
        if self._run is not None:
            yield from self._recorded(self._run, cursor)

    def save(self, cursor: Cursor) -> None:
        """Remember that what stands before this cursor was sent."""
        self.cursor = cursor
        self._sent.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._sent, {"target": self._target, **cursor._asdict()})

    def _load(self) -> Cursor:
        known = read_json(self._sent)
        known.pop("target", None)
        return Cursor(**known)

    def _recorded(self, run: Path, cursor: Cursor) -> Iterator[tuple[PendingItem, Cursor]]:
        place, after = (cursor.part, cursor.offset), -inf
        if not ends_at(run, place, cursor.time):
            # The record went back to a checkpoint: what it recorded since then is of a later time.
            place, after = (0, 0), cursor.time
        others, epochs = self._others(), deque(self._epochs(run, cursor.epochs))
        for row, (part, offset) in read_rows(run, place):
            # An epoch comes after the rows of its last step, as it was logged.
            while epochs and epochs[0][0].step < row[0]:
                item, cursor = _epoch(epochs.popleft(), cursor)
                yield item, cursor
            if row[1] > after and not others.has(row[1]):
                cursor = cursor._replace(part=part, offset=offset, time=row[1])
                yield row, cursor
        for lines in epochs:
            item, cursor = _epoch(lines, cursor)
            yield item, cursor

    def _others(self) -> Ranges:
        """The times of the rows that are, or will be, delivered in another way."""
        ranges = [(start, end) for start, end in self._delivered.get("spans", ())]
        ranges += [range_of(item[3], item[1]) for item, _ in read_spool(self._spool)]
        if self._is_live():
            ranges.append((self._delivered["since"], inf))
        return Ranges(ranges)

    def _epochs(self, run: Path, sent: str) -> Iterator[list[EpochLine]]:
        """The lines of each epoch that were not sent, and will not be delivered in another way."""
        if self._is_live():
            return
        others = {(epoch, step) for epoch, step in self._delivered.get("epochs", ())}
        others |= epochs_in(item for item, _ in read_spool(self._spool))
        known = {sent[start : start + _DIGITS] for start in range(0, len(sent), _DIGITS)}
        for key, lines in groupby(read_epochs(run), lambda line: line[:2]):
            new = [line for line in lines if _digits(line) not in known]
            if new and key not in others:
                yield new

    def _is_live(self) -> bool:
        """Whether a `Background` is about to deliver what comes."""
        is_open = bool(self._delivered.get("open"))
        return is_open and self._run is not None and is_alive(run_info(self._run))


def _epoch(lines: list[EpochLine], cursor: Cursor) -> tuple[PendingItem, Cursor]:
    """An epoch, and the cursor behind it."""
    epoch, step = lines[0][:2]
    means = {line.name: (line.mean, line.samples) for line in lines}
    cursor = cursor._replace(epochs=cursor.epochs + "".join(map(_digits, lines)))
    return (step, 0.0, epoch_row(epoch, means)), cursor


def _digits(line: EpochLine) -> str:
    from hashlib import blake2b

    return blake2b(line.text, digest_size=_DIGITS // 2).hexdigest()


def pending_rows(path: Path, target: str) -> PendingRows:
    """What a run folder, or a file of undelivered rows, holds for a target."""
    if not path.is_file() and not is_run(path):
        msg = f"a run is a folder with {INFO} or losses.csv; {path} has neither"
        raise FileNotFoundError(msg)
    return PendingRows(path, target)
