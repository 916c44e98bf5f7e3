"""What a run folder holds for a backend that has not arrived there."""

from __future__ import annotations

from bisect import bisect_left
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from ._record_rows import ends_at, record_rows
from ._remote import DELIVERED, SENT, UNDELIVERED, folder_name, joined, span
from ._undelivered import read_undelivered
from .run_folder import INFO, is_alive, is_run, read_json, run_info, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Unsent = tuple[int | None, float, dict[str, Any]]
"""A row, or hyperparameters, which have no step."""


class Cursor(NamedTuple):
    """How far it was sent: the hyperparameters, the undelivered file, and the record."""

    is_introduced: bool = False
    undelivered: int = 0
    part: int = 0
    offset: int = 0
    time: float = 0.0


class Remainder:
    """The rows that one backend lacks, in order, and the cursor that remembers how far they went.

    First what a `Background` could not deliver, then what the record alone holds: all of it, if
    there was no `Background`, or what was lost when its process was killed. What a `Background`
    that still runs is about to deliver is left to it.
    """

    def __init__(self, path: Path, target: str) -> None:
        is_file = path.is_file()
        folder = path.parent if is_file else path / folder_name(target)
        self._run = None if is_file else path
        self._undelivered = path if is_file else folder / UNDELIVERED
        self._delivered = {} if is_file else read_json(folder / DELIVERED)
        is_ours = self._undelivered == folder / UNDELIVERED and folder.name == folder_name(target)
        self._sent = folder / (SENT if is_ours else f"{path.name}.{folder_name(target)}.{SENT}")
        self._target = target
        self.cursor = self._load()

    def __iter__(self) -> Iterator[tuple[Unsent, Cursor]]:
        """Each item, and the cursor behind it."""
        cursor = self.cursor
        if self._run is not None and not cursor.is_introduced:
            cursor = cursor._replace(is_introduced=True)
            if settings := run_info(self._run).get("hyperparameters"):
                yield (None, 0.0, settings), cursor
        for item, offset in read_undelivered(self._undelivered, cursor.undelivered):
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

    def _recorded(self, run: Path, cursor: Cursor) -> Iterator[tuple[Unsent, Cursor]]:
        place, after = (cursor.part, cursor.offset), -inf
        if not ends_at(run, place, cursor.time):
            # The record went back to a checkpoint: what it recorded since then is of a later time.
            place, after = (0, 0), cursor.time
        others = self._others()
        for row, (part, offset) in record_rows(run, place):
            if row[1] > after and not others.has(row[1]):
                yield row, cursor._replace(part=part, offset=offset, time=row[1])

    def _others(self) -> _Spans:
        """The times of the rows that are, or will be, delivered in another way."""
        spans = [(start, end) for start, end in self._delivered.get("spans", ())]
        spans += [span(item[3], item[1]) for item, _ in read_undelivered(self._undelivered)]
        if self._delivered.get("open") and self._run and is_alive(run_info(self._run)):
            spans.append((self._delivered["since"], inf))
        return _Spans(spans)


class _Spans:
    """Whether a time is in one of many spans."""

    def __init__(self, spans: list[tuple[float, float]]) -> None:
        self._spans = joined(spans)
        self._ends = [end for _, end in self._spans]

    def has(self, time: float) -> bool:
        index = bisect_left(self._ends, time)
        return index < len(self._spans) and self._spans[index][0] < time


def remainder_of(path: Path, target: str) -> Remainder:
    """What a run folder, or a file of undelivered rows, holds for a target."""
    if not path.is_file() and not is_run(path):
        msg = f"a run is a folder with {INFO} or losses.csv; {path} has neither"
        raise FileNotFoundError(msg)
    return Remainder(path, target)
