"""What a run folder holds for a backend that has not arrived there."""

from __future__ import annotations

import json
from collections import deque
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from loss_loggers.base._epoch_row import epoch_row
from loss_loggers.base._paths import replace_file
from loss_loggers.base._warn import in_short
from loss_loggers.recording._epochs import read_epochs
from loss_loggers.recording._rows import START, read_rows
from loss_loggers.recording._run_folder import (
    INFO,
    is_run,
    part_number,
    parts,
    read_json,
    run_info,
    size_of_epochs,
)
from loss_loggers.recording._table import UnreadableError

from .on_disk._senders import Senders
from .on_disk._spans import END, EPOCHS, Joined, Rewinds, numbers, span
from .on_disk._spool import checksum, read_spool
from .on_disk._target_folder import SENT, CopiedRunError, folder_name, is_spool, noted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from loss_loggers.base._pending import Place, Span
    from loss_loggers.base._protocol import Row
    from loss_loggers.recording._epochs import EpochLine


class PendingItem(NamedTuple):
    """What is to be sent.

    Attributes:
        kind: A "row" of the record; one that was "kept", under the names that the backend takes; an
            "epoch", an `EpochRow` with its means; or "settings", which have no step.
        spans: Where the record has a row.
    """

    kind: str
    step: int | None
    time: float
    content: dict[str, Any]
    spans: tuple[Span, ...] | None = None

    @property
    def row(self) -> Row:
        """As a logger takes it."""
        return self.step or 0, self.time, self.content


class Cursor(NamedTuple):
    """How far it was sent: hyperparameters, files of undelivered rows, the record, its epochs."""

    settings: int = 0
    """A checksum of the hyperparameters, which are sent again when they have changed."""
    undelivered: dict[str, int] = {}  # noqa: RUF012, never changed
    checks: dict[str, int] = {}  # noqa: RUF012, never changed
    """For each such file what tells it from another one of its name."""
    kept: tuple[Span, ...] = ()
    """Where the record has what was sent from such files: they may be deleted after that."""
    generation: int = 0
    rows: Place = START
    epochs: Place = (EPOCHS, 0)
    ended: tuple[dict[str, Place], ...] = ()
    """How far behind `rows` each `Every` has sent each loss, whose windows end at other rows."""
    is_open: bool = False
    """Whether more may have arrived: it was killed, or failed, before it could write that down."""


class PendingRows:
    """The rows that one backend lacks, in order, and the cursor that remembers how far they went.

    First what a `Background` could not deliver, then what the record alone holds: all of it, if
    there was no `Background`, or what was lost when its process was killed. What a `Background`
    may still deliver is left to it, and counted.
    """

    def __init__(self, path: Path, target: str, *, everything: bool = False) -> None:
        is_file = path.is_file()
        self._noted = noted(path.parent.parent if is_file else path, target)
        name = folder_name(self._noted)
        folder = path.parent if is_file else path / name
        is_ours = not is_file or (is_spool(path) and folder.name == name)
        self._sent = folder / (SENT if is_ours else f"{path.name}.{name}.{SENT}")
        self.target = target
        self._record = None if is_file else _Record(path, folder, everything=everything)
        self._spools = [path] if self._record is None else self._record.senders.spools
        self._went_back_to: Place | None = None
        self._run = path
        self.cursor = self._load()

    @property
    def is_in_doubt(self) -> bool:
        """Whether some of it may have arrived, and nobody could write that down."""
        return self.cursor.is_open or (self._record is not None and self._record.senders.have_died)

    def __iter__(self) -> Iterator[tuple[PendingItem, Cursor]]:
        """Each item, and the cursor behind it."""
        cursor, record = self.cursor, self._record
        settings = record.info.get("hyperparameters") if record is not None else None
        checksum = crc32(json.dumps(settings, sort_keys=True).encode())
        if settings and isinstance(settings, dict) and cursor.settings != checksum:  # or edited
            cursor = cursor._replace(settings=checksum)
            yield PendingItem("settings", None, 0.0, settings), cursor
        for path in self._spools:
            for (step, time, content, spans), offset in read_spool(
                path, cursor.undelivered.get(path.name, 0)
            ):
                if spans and record is not None and record.has_again(step, spans):
                    continue
                offsets = {**cursor.undelivered, path.name: offset}
                cursor = cursor._replace(undelivered=offsets)
                kind = "settings" if step is None else "kept"
                yield PendingItem(kind, step, time, content), cursor
        if record is not None:
            yield from record.pending(cursor)

    def withheld(self) -> tuple[int, str]:
        """How many rows are left to a `Background`, and to which."""
        return self._record.withheld(self.cursor) if self._record is not None else (0, "")

    def repeated_from(self) -> int | None:
        """The first step that is sent a second time, if the record went back behind what arrived.

        Who has sent rows from behind there since then knew it himself.
        """
        if self._record is None or self._went_back_to is None:
            return None
        return self._record.first_step_behind(self._went_back_to, self._record.until[0])

    @property
    def lock(self) -> Path:
        """The file that one `sync` at a time holds."""
        return self._sent.with_name(f"{self._sent.name}.lock")

    def save(self, cursor: Cursor) -> None:
        """Remember that what stands before this cursor was sent."""
        checks = {
            path.name: checksum(path, cursor.undelivered[path.name])
            for path in self._spools
            if path.name in cursor.undelivered
        }
        self.cursor = cursor = cursor._replace(checks=checks)
        if not cursor.is_open:
            self.cursor = cursor = self._with_kept(cursor)
        self._sent.parent.mkdir(parents=True, exist_ok=True)
        # Without indentation, which takes as long as all the rest: this is after every batch.
        note = {"target": self._noted, "run": str(self._run), **cursor._asdict()}
        note["kept"] = [numbers(one) for one in cursor.kept]
        replace_file(self._sent, json.dumps(note) + "\n")

    def _load(self) -> Cursor:
        cursor = _cursor(self._sent)
        offsets = {
            path.name: offset
            for path in self._spools
            if (offset := cursor.undelivered.get(path.name))
            and cursor.checks.get(path.name) in (None, checksum(path, offset))
        }
        cursor = cursor._replace(undelivered=offsets)
        if self._record is None:
            return cursor
        if self._noted == self.target:  # it is elsewhere, and no copy of it came along
            self._check_not_copied(self._record.info.get("id"))
        cursor = self._with_kept(cursor)
        arrived = (cursor.generation, START, cursor.rows), *cursor.kept
        delivered = self._record.senders.delivered
        self._went_back_to = self._record.rewinds.went_back_to([*arrived, *delivered])
        return self._record.cut(cursor)

    def _with_kept(self, cursor: Cursor) -> Cursor:
        """The cursor, which knows where the record has what was sent from files until here."""
        kept = Joined(cursor.kept)
        for path in self._spools:
            offset = cursor.undelivered.get(path.name, 0)
            for (*_, spans), end in read_spool(path) if offset else ():
                kept.add(spans if end <= offset else ())
        return cursor._replace(kept=tuple(kept))

    def _check_not_copied(self, run_id: object) -> None:
        """Raise if the folder that sent it is another one and still there."""
        other = Path(str(read_json(self._sent).get("run", self._run)))
        if run_id and run_info(other).get("id") == run_id and not other.samefile(self._run):
            msg = (
                f"{self._run} is a copy of {other}, and rows of both would mix in {self.target}:"
                f" remove {self._sent.parent} to send all of the copy to a place of its own"
            )
            raise CopiedRunError(msg)


def _cursor(path: Path) -> Cursor:
    """The one that a file has; the first where there is none."""
    file = read_json(path)
    known = {name: file[name] for name in Cursor._fields if name in file}
    try:
        for name in ("rows", "epochs"):
            known[name] = _place(known.get(name, getattr(Cursor(), name)))
        known["generation"] = int(known.get("generation", 0))
        for name in ("undelivered", "checks"):
            known[name] = {key: int(number) for key, number in dict(known.get(name, {})).items()}
        known["ended"] = tuple(
            {loss: _place(end) for loss, end in every.items()} for every in known.get("ended", ())
        )
        known["kept"] = tuple(map(span, known.get("kept", ())))
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        msg = f"it is not as sync wrote it ({in_short(error)}): delete it to send all again"
        raise UnreadableError(path, 1, msg) from None
    return Cursor(**known)


def _place(numbers: Iterable[Any]) -> Place:
    part, offset = map(int, numbers)
    return part, offset


class _Record:
    """What the record holds, up to its end when it was opened, and what is left to others."""

    def __init__(self, run: Path, folder: Path, *, everything: bool) -> None:
        self._run = run
        self._firsts: dict[Place, int | None] = {}
        # Before the senders are asked: who records a row later says before that it is theirs.
        rows_end, epochs_end = _end_of_rows(run), (EPOCHS, size_of_epochs(run))
        self.info = run_info(run)
        resumed = self.info.get("resumed")
        self._resumed = resumed if isinstance(resumed, list) else []
        self.rewinds = Rewinds(self._resumed)
        self.senders = Senders(folder, self.rewinds)
        self._ends = rows_end, epochs_end
        self.until = self._ends if everything else self.senders.hold_from(*self._ends)

    def cut(self, cursor: Cursor) -> Cursor:
        """The cursor, or where the record went back to before it."""
        place = self.rewinds.place
        return cursor._replace(
            generation=len(self._resumed),
            rows=place(cursor.generation, cursor.rows),
            epochs=place(cursor.generation, cursor.epochs),
            ended=tuple(
                {loss: place(cursor.generation, end) for loss, end in every.items()}
                for every in cursor.ended
            ),
        )

    def pending(self, cursor: Cursor) -> Iterator[tuple[PendingItem, Cursor]]:
        """What is to be sent, each with the cursor behind it."""
        return self._between(cursor, *self.until)

    def has_again(self, step: int | None, spans: tuple[Span, ...]) -> bool:
        """Whether the record went back behind a row, and has what comes from its step on anew."""
        if step is None or self.rewinds.ranges(spans):
            return False
        place = self.rewinds.place(spans[-1][0], END)
        if place not in self._firsts:
            self._firsts[place] = self.first_step_behind(place)
        first = self._firsts[place]
        return first is not None and step >= first

    def first_step_behind(self, place: Place, until: Place = END) -> int | None:
        """The first step that has rows behind a place and none before it, if there is one."""
        behind = ((row[0], end) for row, end in read_rows(self._run, place))
        first = next((step for step, end in behind if end <= until), None)
        before = [row[0] for row, end in read_rows(self._run) if end <= place][-1:]
        return first + 1 if first is not None and before == [first] else first

    def withheld(self, cursor: Cursor) -> tuple[int, str]:
        """How many rows a sender may still deliver, and which."""
        rows, epochs = self.until
        behind = cursor._replace(rows=max(cursor.rows, rows), epochs=max(cursor.epochs, epochs))
        count = sum(1 for _ in self._between(behind, *self._ends))
        return count, " and ".join(self.senders.holders) if count else ""

    def _between(
        self, cursor: Cursor, rows_end: Place, epochs_end: Place
    ) -> Iterator[tuple[PendingItem, Cursor]]:
        epochs = deque(self._epochs(cursor, epochs_end))
        left_out = self.senders.known_or_behind(rows_end, cursor.kept)
        for row, end in read_rows(self._run, cursor.rows, left_out.has):
            # An epoch comes after the rows of its last step, as it was logged.
            while epochs and epochs[0][0].step < row[0]:
                item, cursor = _epoch(epochs.popleft(), cursor)
                yield item, cursor
            span = cursor.generation, cursor.rows, end
            cursor = cursor._replace(rows=end)
            yield PendingItem("row", *row, (span,)), cursor
        for lines in epochs:
            item, cursor = _epoch(lines, cursor)
            yield item, cursor

    def _epochs(self, cursor: Cursor, until: Place) -> Iterator[list[EpochLine]]:
        """The lines of each epoch."""
        left_out = self.senders.known_or_behind(until, cursor.kept)
        for _, alike in groupby(read_epochs(self._run), lambda line: line[:2]):
            places = ((line, (EPOCHS, line.end)) for line in alike)
            if new := [
                line for line, end in places if end > cursor.epochs and not left_out.has(end)
            ]:
                yield new


def _epoch(lines: list[EpochLine], cursor: Cursor) -> tuple[PendingItem, Cursor]:
    """An epoch, and the cursor behind it."""
    epoch, step = lines[0][:2]
    means = {line.name: (line.mean, line.samples) for line in lines}
    cursor = cursor._replace(epochs=(EPOCHS, lines[-1].end))
    return PendingItem("epoch", step, 0.0, epoch_row(epoch, means)), cursor


def _end_of_rows(run: Path) -> Place:
    paths = parts(run)
    return (part_number(paths[-1]), paths[-1].stat().st_size) if paths else START


def pending_rows(path: Path, target: str, *, everything: bool = False) -> PendingRows:
    """What a run folder, or a file of undelivered rows, holds for a target."""
    if not path.is_file() and not is_run(path):
        msg = f"a run is a folder with {INFO} or losses.csv; {path} has neither"
        raise FileNotFoundError(msg)
    return PendingRows(path, target, everything=everything)
