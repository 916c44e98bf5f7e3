"""A file of JSON lines while it is written, also where somebody takes it away."""

from __future__ import annotations

import json
import os
from itertools import count, takewhile
from typing import TYPE_CHECKING

from loss_loggers.base._warn import warn
from loss_loggers.recording.files._append_only_file import AppendOnlyFile
from loss_loggers.recording.files._watch import Watch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class JsonLinesFile:
    """Lines of JSON objects, appended, and looked after as a `CsvLogger` does with a run.

    Where the file is deleted or replaced, its lines are written again at its path; where something
    else is in the way there, at the first free one of `gan-2.jsonl`, `gan-3.jsonl`, ….

    Raises:
        OSError: If it cannot be opened; the folder is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pid, self._is_closed = os.getpid(), False
        self._watch = Watch()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = AppendOnlyFile(path)
        if dropped := self._file.mend():
            warn(f"{path} ended in a half-written line: {dropped} bytes were dropped")

    @property
    def lost(self) -> int:
        """Rows that were written to a file that is gone, and could not be saved from it."""
        return self._watch.lost

    def written(self, marks: Sequence[object]) -> int:
        """How many of the lines with these marks were written; they are written in order."""
        return self._file.written(marks)

    def append(self, line: str, mark: object) -> None:
        """Write one line, whole or not at all; `written([mark])` then says so."""
        if self._watch.is_due:
            self._look()
        try:
            self._file.append(line, mark)
        except OSError:
            if self._file.is_there():
                raise
            self._look()
            self._file.append(line, mark)
        self._watch.rows += 1

    def close(self) -> None:
        """Close the file; a second time, and in a forked process, nothing happens."""
        if os.getpid() != self._pid or self._is_closed:
            return
        self._is_closed = True
        try:
            self._look()
        except OSError as problem:
            warn(f"{self.path} is gone, and at least {self.lost} rows with it ({problem})")
        finally:
            self._file.close()

    def _look(self) -> None:
        """See whether the file still is there."""
        if self._file.is_whole:
            self._file.seen()
        else:
            self._find_again()
        self._watch.seen()

    def _find_again(self) -> None:
        file, watch, wanted = self._file, self._watch, self.path
        watch.missing()
        if file.is_there():  # it is the same file, and somebody cut it
            lost = file.repair(lambda: _drop_torn(file), watch.rows)
        else:
            lines, path = file.rescued(), _path_for(wanted)
            self._file, self.path = file.written_again(path, lines or b""), path
            lost = watch.rows if lines is None else 0
        watch.found(lost)
        watch.tell(str(wanted), lost, "there" if self.path == wanted else f"in {self.path}")


def is_json_lines(path: Path) -> bool:
    """Whether lines of JSON may be appended to what is at a path, which may be nothing."""
    if not path.exists():
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(1) in (b"", b"{")


def _path_for(wanted: Path) -> Path:
    """The path, or the first free one with a number."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    if is_json_lines(wanted):
        return wanted
    numbered = (wanted.with_stem(f"{wanted.stem}-{number}") for number in count(2))
    return next(path for path in numbered if not path.exists())


def _drop_torn(file: AppendOnlyFile) -> None:
    """Drop a line that was cut, and the next one, which was appended to it: no reader takes it."""
    lines = file.content().splitlines(keepends=True)
    sound = list(takewhile(_is_whole, lines))
    file.truncate(sum(map(len, sound)))
    file.append(b"".join(line for line in lines[len(sound) :] if _is_whole(line)))


def _is_whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return line.endswith(b"\n")
