"""What a run folder holds for a backend that has not arrived there."""

from __future__ import annotations

from collections import deque
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from loss_loggers.base._epoch_row import epoch_row
from loss_loggers.base._lock import FileLock, LocksMissingError, this_process
from loss_loggers.recording._epochs import read_epochs
from loss_loggers.recording._rows import read_rows
from loss_loggers.recording._run_folder import INFO, is_run, read_json, run_info, write_json

from ._sent_ranges import (
    DELIVERED,
    SENDER,
    SENT,
    UNDELIVERED,
    Ranges,
    Sent,
    folder_name,
    sent_from,
)
from ._spool import epochs_in, read_spool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loss_loggers.base._pending import Place
    from loss_loggers.recording._epochs import EpochLine

PendingItem = tuple[int | None, float, dict[str, Any]]
"""A row, an epoch (an `EpochRow` with its means), or hyperparameters, which have no step."""

_DIGITS = 16


class Cursor(NamedTuple):
    """How far it was sent: hyperparameters, the spool, the record and its epochs."""

    is_introduced: bool = False
    spool: int = 0
    part: int = 1
    offset: int = 0
    resumed: int = 0
    """How often the record had gone on, or back: what it has written since is new."""
    epochs: str = ""
    """A number for each line of the epochs that was sent, in 16 hexadecimal digits.

    Not a place in the file: after it went back to a checkpoint some lines are others.
    """


class PendingRows:
    """The rows that one backend lacks, in order, and the cursor that remembers how far they went.

    First what a `Background` could not deliver, then what the record alone holds: all of it, if
    there was no `Background`, or what was lost when its process was killed. What a `Background`
    is about to deliver that still runs, or that may still run on another machine, is left to it.

    Attributes:
        withheld: How many rows were left to it, once all were looked through.
        sender: Who they were left to, in words; empty if there is nobody.
    """

    def __init__(self, path: Path, target: str, *, everything: bool = False) -> None:
        is_file = path.is_file()
        folder = path.parent if is_file else path / folder_name(target)
        self._run = None if is_file else path
        self._spool = path if is_file else folder / UNDELIVERED
        self._delivered = {} if is_file else read_json(folder / DELIVERED)
        is_ours = self._spool == folder / UNDELIVERED and folder.name == folder_name(target)
        self._sent = folder / (SENT if is_ours else f"{path.name}.{folder_name(target)}.{SENT}")
        self._target = target
        resumed = run_info(path).get("resumed", []) if self._run else []
        self._resumed = resumed if isinstance(resumed, list) else []
        self._went_back = False
        self.withheld = 0
        self.sender = "" if everything or is_file else self._live_sender(folder)
        self.cursor = self._load()

    def __iter__(self) -> Iterator[tuple[PendingItem, Cursor]]:
        """Each item, and the cursor behind it."""
        cursor, self.withheld = self.cursor, 0
        if self._run is not None and not cursor.is_introduced:
            cursor = cursor._replace(is_introduced=True)
            if settings := run_info(self._run).get("hyperparameters"):
                yield (None, 0.0, settings), cursor
        for item, offset in read_spool(self._spool, cursor.spool):
            cursor = cursor._replace(spool=offset)
            yield item[:3], cursor
        if self._run is not None:
            yield from self._recorded(self._run, cursor)

    def repeated_from(self) -> int | None:
        """The first step that is sent a second time, if the record went back behind what was sent.

        Where others delivered rows as well, it is for them to know.
        """
        if self._run is None or not self._went_back or self._delivered:
            return None
        place = (self.cursor.part, self.cursor.offset)
        first = next((row[0] for row, _ in read_rows(self._run, place)), None)
        before = [row[0] for row, end in read_rows(self._run, (1, 0)) if end <= place][-1:]
        # A step that has rows on both sides of the place stays, with what is sent of it again.
        return first + 1 if first is not None and before == [first] else first

    @property
    def lock(self) -> Path:
        """The file that one `sync` at a time holds."""
        return self._sent.with_name(f"{self._sent.name}.lock")

    def save(self, cursor: Cursor) -> None:
        """Remember that what stands before this cursor was sent."""
        self.cursor = cursor
        self._sent.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._sent, {"target": self._target, **cursor._asdict()})

    def _load(self) -> Cursor:
        known = read_json(self._sent)
        known.pop("target", None)
        cursor = Cursor(**known)
        kept = Sent((0, 0), (cursor.part, cursor.offset), cursor.resumed).kept(self._resumed)
        part, offset = kept[1] if kept else (1, 0)
        self._went_back = (part, offset) < (cursor.part, cursor.offset)
        return cursor._replace(part=part, offset=offset, resumed=len(self._resumed))

    def _recorded(self, run: Path, cursor: Cursor) -> Iterator[tuple[PendingItem, Cursor]]:
        others, epochs = self._others(), deque(self._epochs(run, cursor.epochs))
        begins = self._begins()
        for row, place in read_rows(run, (cursor.part, cursor.offset)):
            # An epoch comes after the rows of its last step, as it was logged.
            while epochs and epochs[0][0].step < row[0]:
                item, cursor = _epoch(epochs.popleft(), cursor)
                yield item, cursor
            if others.has(place):
                continue
            if begins is not None and place > begins:
                self.withheld += 1
                continue
            cursor = cursor._replace(part=place[0], offset=place[1])
            yield row, cursor
        for lines in epochs:
            item, cursor = _epoch(lines, cursor)
            yield item, cursor

    def _others(self) -> Ranges:
        """The places of the rows that were, or will be, delivered in another way."""
        sent = [sent_from(one) for one in self._delivered.get("sent", ())]
        sent += [item[3] for item, _ in read_spool(self._spool) if item[3] is not None]
        return Ranges(kept for one in sent if (kept := one.kept(self._resumed)))

    def _begins(self) -> Place | None:
        """Where the rows begin that are left to a live sender."""
        if not self.sender:
            return None
        part, offset = self._delivered.get("begins", (1, 0))
        return part, offset

    def _epochs(self, run: Path, sent: str) -> Iterator[list[EpochLine]]:
        """The lines of each epoch that were not sent, and will not be delivered in another way."""
        if self.sender:
            return
        others = {(epoch, step) for epoch, step in self._delivered.get("epochs", ())}
        others |= epochs_in(item for item, _ in read_spool(self._spool))
        known = {sent[start : start + _DIGITS] for start in range(0, len(sent), _DIGITS)}
        for key, lines in groupby(read_epochs(run), lambda line: line[:2]):
            new = [line for line in lines if _digits(line) not in known]
            if new and key not in others:
                yield new

    def _live_sender(self, folder: Path) -> str:
        """Who is about to deliver what comes, or may be, since from here nobody can know."""
        if not self._delivered.get("open"):
            return ""
        sender, ours = self._delivered.get("sender", {}), this_process()
        who = f"a Background in process {sender.get('pid')} on {sender.get('host')}"
        lock = FileLock(folder / SENDER)
        try:
            is_free = lock.acquire()
        except LocksMissingError:
            is_free = False
        except OSError:  # a folder that one may only read
            is_free = True
        lock.release()
        if not is_free:
            return who
        is_near = sender.get("boot") == ours["boot"] or sender.get("host") == ours["host"]
        return "" if is_near else f"{who}, which may still run there"


def _epoch(lines: list[EpochLine], cursor: Cursor) -> tuple[PendingItem, Cursor]:
    """An epoch, and the cursor behind it."""
    epoch, step = lines[0][:2]
    means = {line.name: (line.mean, line.samples) for line in lines}
    cursor = cursor._replace(epochs=cursor.epochs + "".join(map(_digits, lines)))
    return (step, 0.0, epoch_row(epoch, means)), cursor


def _digits(line: EpochLine) -> str:
    from hashlib import blake2b

    return blake2b(line.text, digest_size=_DIGITS // 2).hexdigest()


def pending_rows(path: Path, target: str, *, everything: bool = False) -> PendingRows:
    """What a run folder, or a file of undelivered rows, holds for a target."""
    if not path.is_file() and not is_run(path):
        msg = f"a run is a folder with {INFO} or losses.csv; {path} has neither"
        raise FileNotFoundError(msg)
    return PendingRows(path, target, everything=everything)
