"""What a run folder knows about one backend: a folder in it, named after the backend.

runs/gan/mlflow-58453a7e/undelivered.jsonl  rows that the backend did not take during the run
runs/gan/mlflow-58453a7e/delivered.json     which rows it took, by their places in the record
runs/gan/mlflow-58453a7e/sent.json          how far `sync` came
runs/gan/mlflow-58453a7e/sender.lock        held by a `Background` while it lives
"""

from __future__ import annotations

from bisect import bisect_left
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from loss_loggers.base._lock import FileLock, LocksMissingError, this_process
from loss_loggers.recording._run_folder import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from loss_loggers.base._pending import Place, Range
    from loss_loggers.base._protocol import Record

UNDELIVERED = "undelivered.jsonl"
DELIVERED = "delivered.json"
SENT = "sent.json"
SENDER = "sender.lock"

EpochKey = tuple[int, int]
"""An epoch and its last step: the record has no places of epochs."""


def folder_name(target: str) -> str:
    """The name of the folder for a target: its first word, and a number for the others.

    >>> folder_name("mlflow 3f2a"), folder_name("memory")
    ('mlflow-58453a7e', 'memory')
    """
    from zlib import crc32

    word, _, others = target.partition(" ")
    kind = "".join(letter if letter.isalnum() else "_" for letter in word) or "logger"
    return f"{kind}-{crc32(others.encode()):08x}" if others else kind


class Sent(NamedTuple):
    """Where a row, or several, are in a record: the places after `start`, up to `end`.

    `resumed` is how often the record had gone on, or back, by then: what it has written since may
    be at the same places.
    """

    start: Place
    end: Place
    resumed: int

    def kept(self, resumed: Sequence[dict[str, Any]]) -> Range | None:
        """What is still there of it, after all the times that the record went on, or back."""
        end = min([self.end, *map(_entry, resumed[self.resumed :])])
        return (self.start, end) if self.start < end else None


class SentRanges:
    """What a backend has, rows as ranges of places, and epochs: what it lacks can be sent later.

    A process that was killed leaves the ranges that were saved last; the next one adds to them.
    """

    def __init__(self, record: Record, target: str) -> None:
        folder = record.path / folder_name(target)
        self.begins = record.place
        self._record, self._target = record, target
        self._path = folder / DELIVERED
        self._lock = FileLock(folder / SENDER)
        known = read_json(self._path)
        self._sent = [sent_from(one) for one in known.get("sent", [])]
        self.epochs: set[EpochKey] = {(epoch, step) for epoch, step in known.get("epochs", [])}

    def add(self, sent: Iterable[Sent | None]) -> None:
        """These rows arrived."""
        for one in sent:
            if one is None:
                continue
            last = self._sent[-1] if self._sent else None
            if last and last.resumed == one.resumed and last.start <= one.start <= last.end:
                self._sent[-1] = last._replace(end=max(last.end, one.end))
            else:
                self._sent.append(one)

    def save(self, *, is_open: bool) -> None:
        """Write it down, if that is possible: if not, some rows will be sent a second time."""
        content = {
            "target": self._target,
            "open": is_open,
            "sender": this_process(),
            "begins": self.begins,
            "sent": self._sent,
            "epochs": sorted(self.epochs),
        }
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if is_open:
                self._hold()
            write_json(self._path, content)
        if not is_open:
            self._lock.release()

    def _hold(self) -> None:
        with suppress(LocksMissingError):
            self._lock.acquire()


def sent_from(one: Sequence[Any]) -> Sent:
    """The same, as it was written down."""
    (first, start), (last, end), resumed = one
    return Sent((first, start), (last, end), resumed)


def joined(ranges: Iterable[Range]) -> list[Range]:
    """The ranges in order, with those that touch made one.

    >>> joined([((1, 4), (1, 5)), ((1, 0), (1, 1)), ((1, 1), (1, 2))])
    [((1, 0), (1, 2)), ((1, 4), (1, 5))]
    """
    whole: list[Range] = []
    for start, end in sorted(ranges):
        if whole and start <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(whole[-1][1], end))
        else:
            whole.append((start, end))
    return whole


class Ranges:
    """Whether the row that ends at a place is in one of many ranges."""

    def __init__(self, ranges: Iterable[Range]) -> None:
        self._ranges = joined(ranges)
        self._ends = [end for _, end in self._ranges]

    def has(self, place: Place) -> bool:
        index = bisect_left(self._ends, place)
        return index < len(self._ranges) and self._ranges[index][0] < place


def _entry(entry: dict[str, Any]) -> Place:
    return entry["part"], entry["offset"]
