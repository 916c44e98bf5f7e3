"""The rows that a backend did not take, in a file."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from threading import RLock
from typing import TYPE_CHECKING, Any

from loss_loggers.base._epoch_row import EpochRow
from loss_loggers.base._lock import FileLock
from loss_loggers.base._paths import open_file
from loss_loggers.recording._table import senseless
from loss_loggers.recording.files._append_only_file import AppendOnlyFile

from ._spans import numbers, span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from loss_loggers.base._pending import Span

_TAIL = 65536
"""Bytes that tell a file from another one: rows have their times."""

Item = tuple[int | None, float, dict[str, Any], tuple["Span", ...]]
"""A row that waits, and what the record has of it. Hyperparameters are one without a step."""


class Spool:
    """A file of JSON lines that only grows, made when the first row has to be kept.

    Where another `Spool` holds it, in this process or another, it is one with a number.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Spool(Path(folder) / "undelivered.jsonl")
    ...     span = (0, (1, 0), (1, 57))
    ...     file.append([(7, 0.5, {"loss/G": 0.1}, (span,)), (None, 0.75, {"losses": ["G"]}, ())])
    ...     print(file.path.read_text(), end="")
    ...     file.close()
    {"step":7,"time":0.5,"metrics":{"loss/G":0.1},"spans":[[0,1,0,1,57]]}
    {"time":0.75,"hyperparameters":{"losses":["G"]}}
    """

    def __init__(self, path: Path) -> None:
        self._path = self._first = path
        self._lock: FileLock | None = None
        self._taking = RLock()
        self._file: AppendOnlyFile | None = None
        self._encode: Callable[[object], str] = str

    @property
    def path(self) -> Path:
        """The file, which is ours from now on."""
        with self._taking, suppress(OSError):  # there may be no such folder yet
            if self._lock is None:
                self._take()
        return self._path

    def append(self, items: Sequence[Item]) -> None:
        """Write all of them, or raise and write none."""
        file = self._file or self._open()
        if not file.is_there():  # it comes so seldom that it can be asked each time
            self._make_folder_and_take()
            self._file = file = file.written_again(self._path, file.rescued() or b"")
        file.append("".join(self._encode(_named(item)) + "\n" for item in items))

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._lock is not None:
            self._lock.release()

    def _open(self) -> AppendOnlyFile:
        import json

        # A value that is no number may be anything; its text is better than no row.
        self._encode = json.JSONEncoder(separators=(",", ":"), default=str).encode
        self._make_folder_and_take()
        self._file = AppendOnlyFile(self._path)
        self._file.mend()
        return self._file

    def _make_folder_and_take(self) -> None:
        self._first.parent.mkdir(parents=True, exist_ok=True)
        with self._taking:
            if self._lock is None or not self._lock.is_ours():
                self._take()

    def _take(self) -> None:
        """The first file of this name that nobody else holds; without a wait, for rows come."""
        for number in count(1):
            end = "" if number == 1 else f"-{number}"
            path = self._first.with_stem(f"{self._first.stem}{end}")
            lock = FileLock(path.with_name(f"{path.name}.lock"))
            if lock.is_free(wait=0.0):
                self._path, self._lock = path, lock
                return


def read_spool(path: Path, offset: int = 0) -> Iterator[tuple[Item, int]]:
    """What the file holds behind a byte offset, each item with the offset at which it ends."""
    import json

    if not path.exists():
        return
    with open_file(path) as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return  # it is being written, or was when the process was killed
            offset += len(line)
            try:
                item = _item(json.loads(line))
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                raise senseless(path, offset, error) from None
            yield item, offset


def checksum(path: Path, offset: int) -> int:
    """Of the last bytes before an offset: another file of this name has others, or is shorter."""
    from zlib import crc32

    with suppress(FileNotFoundError), open_file(path) as file:
        file.seek(max(0, offset - _TAIL))
        return crc32(file.read(min(offset, _TAIL)))
    return 0


def _named(item: Item) -> dict[str, Any]:
    step, time, content, spans = item
    known = {"spans": [numbers(one) for one in spans]} if spans else {}
    if step is None:
        return {"time": time, "hyperparameters": content, **known}
    kind = {"kind": "epoch"} if isinstance(content, EpochRow) else {}
    return {"step": step, "time": time, "metrics": content, **known, **kind}


def _item(line: dict[str, Any]) -> Item:
    content = line["metrics"] if "step" in line else line["hyperparameters"]
    content = EpochRow(content) if line.get("kind") == "epoch" else content
    return line.get("step"), line["time"], content, tuple(map(span, line.get("spans", ())))
