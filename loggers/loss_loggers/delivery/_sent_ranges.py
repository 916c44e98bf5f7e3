"""What a run folder knows about one backend: a folder in it, named after the backend.

runs/gan/mlflow-58453a7e/undelivered.jsonl  rows that the backend did not take during the run
runs/gan/mlflow-58453a7e/delivered.json     which rows it took, by their times
runs/gan/mlflow-58453a7e/sent.json          how far `sync` came
"""

from __future__ import annotations

from bisect import bisect_left
from contextlib import suppress
from math import inf, nextafter
from time import time
from typing import TYPE_CHECKING

from loss_loggers.recording._run_folder import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

UNDELIVERED = "undelivered.jsonl"
DELIVERED = "delivered.json"
SENT = "sent.json"

Range = tuple[float, float]
"""The times after the first one, up to the second one."""

EpochKey = tuple[int, int]
"""An epoch and its last step: the record has no times of epochs."""


def folder_name(target: str) -> str:
    """The name of the folder for a target: its first word, and a number for the others.

    >>> folder_name("mlflow 3f2a"), folder_name("memory")
    ('mlflow-58453a7e', 'memory')
    """
    from zlib import crc32

    word, _, others = target.partition(" ")
    kind = "".join(letter if letter.isalnum() else "_" for letter in word) or "logger"
    return f"{kind}-{crc32(others.encode()):08x}" if others else kind


class SentRanges:
    """What a backend has, rows as ranges of time, and epochs: what it lacks can be sent later.

    A process that was killed leaves the ranges that were saved last; the next one adds to them.
    """

    def __init__(self, folder: Path, target: str) -> None:
        self.since = time()
        self._path = folder / DELIVERED
        self._target = target
        known = read_json(self._path)
        self._starts = {end: start for start, end in known.get("spans", [])}
        self.epochs: set[EpochKey] = {(epoch, step) for epoch, step in known.get("epochs", [])}

    def add(self, after: float, until: float) -> None:
        """The rows after this time, up to that one, arrived."""
        after, until = range_of(after, until)
        self._starts[until] = self._starts.pop(after, after)

    def save(self, *, is_open: bool) -> None:
        """Write it down, if that is possible: if not, some rows will be sent a second time."""
        ranges = joined((start, end) for end, start in self._starts.items())
        content = {
            "target": self._target,
            "since": self.since,
            "open": is_open,
            "spans": ranges,
            "epochs": sorted(self.epochs),
        }
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._path, content)


def range_of(after: float, until: float) -> Range:
    """The rows after one time, up to another."""
    # A clock may go back, and a caller may give times of his own: then it is this row alone.
    return (after if after < until else nextafter(until, -inf), until)


def joined(ranges: Iterable[Range]) -> list[Range]:
    """The ranges in order, with those that touch made one.

    >>> joined([(4.0, 5.0), (0.0, 1.0), (1.0, 2.0)])
    [(0.0, 2.0), (4.0, 5.0)]
    """
    whole: list[Range] = []
    for start, end in sorted(ranges):
        if whole and start <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(whole[-1][1], end))
        else:
            whole.append((start, end))
    return whole


class Ranges:
    """Whether a time is in one of many ranges."""

    def __init__(self, ranges: list[tuple[float, float]]) -> None:
        self._ranges = joined(ranges)
        self._ends = [end for _, end in self._ranges]

    def has(self, time: float) -> bool:
        index = bisect_left(self._ends, time)
        return index < len(self._ranges) and self._ranges[index][0] < time
