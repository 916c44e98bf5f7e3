"""Which rows of a record a `Background` delivers, and which of them arrived."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from loss_loggers.base._lock import FileLock, LocksMissingError, this_process
from loss_loggers.base._paths import open_file, replace_file
from loss_loggers.base._pending import Span
from loss_loggers.recording.files._append_only_file import AppendOnlyFile

from ._sender_mark import SenderMark, read_mark
from ._spans import Joined, numbers, span
from ._target_folder import SenderFiles, sender_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from loss_loggers.base._pending import Place

_MANY = 1000
"""Lines after which the file is written anew, unless it has as many that cannot become one."""


class Delivered(NamedTuple):
    """What such a file says."""

    mark: SenderMark | None
    spans: list[Span]
    is_closed: bool


class DeliveredFile:
    """The file while it is written: a mark, and a line for each batch that arrived.

    A process that was killed leaves the batches that had arrived; the next one adds to them.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = DeliveredFile(Path(folder), "memory", 0, (1, 0), (0, 0))
    ...     file.add([(0, (1, 0), (1, 50)), (0, (1, 50), (1, 90))])
    ...     file.save()
    ...     print(file.files.delivered.read_text().splitlines()[1])
    ...     file.close()
    {"spans": [[0, 1, 0, 1, 90]]}
    """

    def __init__(
        self, folder: Path, target: str, generation: int, rows: Place, epochs: Place
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.files, self._lock = _taken(folder)
        mark = SenderMark(
            target,
            **this_process(),
            generation=generation,
            rows=rows,
            epochs=epochs,
            has_lock=self._lock.is_held,
        )
        self._mark = json.dumps(mark._asdict()) + "\n"
        self._whole, self._new = Joined(), Joined()
        self._whole.add(read_delivered(self.files.delivered).spans)
        self._file = self._written_anew()

    def add(self, spans: Iterable[Span]) -> None:
        """These rows arrived."""
        self._new.add(spans)

    def save(self) -> None:
        """Write it down, if that is possible: if not, some rows will be sent a second time."""
        if not self._new:
            return
        with suppress(OSError):
            if not self._file.is_whole:
                self._restore()
            self._file.append(_line(self._new))
            self._lines += 1
            self._whole.add(self._new)
            self._new = Joined()
            if self._lines > max(_MANY, len(self._whole)):
                self._replace()

    def close(self) -> None:
        """Say that nothing more will arrive, and let go of the lock."""
        self.save()
        with suppress(OSError, ValueError):
            if not self._file.is_whole:
                self._restore()
            self._file.append('{"closed": true}\n')
            self._file.close()
        self._lock.release()

    def _restore(self) -> None:
        """Write it again where the run folder was deleted, and is there again by its record."""
        self.files.delivered.parent.mkdir(exist_ok=True)
        with suppress(LocksMissingError):
            self._lock.acquire()
        self._replace()

    def _replace(self) -> None:
        """Write it anew; where that fails, the old one goes on."""
        old, self._file = self._file, self._written_anew()
        old.close()

    def _written_anew(self) -> AppendOnlyFile:
        lines = _line(self._whole) if self._whole else ""
        replace_file(self.files.delivered, self._mark + lines)
        self._lines = 0
        return AppendOnlyFile(self.files.delivered)


def read_delivered(path: Path) -> Delivered:
    """What the file says; nothing where there is none."""
    mark, spans, is_closed = None, list[Span](), False
    for content in _contents(path):
        with suppress(ValueError, KeyError, TypeError):
            if "spans" in content:
                spans += map(span, content["spans"])
            elif "closed" in content:
                is_closed = True
            else:
                mark = read_mark(content)
    return Delivered(mark, spans, is_closed)


def _contents(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    with open_file(path) as file:
        lines = file.read().splitlines()
    for line in lines:
        # The last one may be half there, as that of a process that was killed while it wrote it.
        with suppress(ValueError):
            yield json.loads(line)


def _line(spans: Iterable[Span]) -> str:
    return json.dumps({"spans": [numbers(one) for one in spans]}) + "\n"


def _taken(folder: Path) -> tuple[SenderFiles, FileLock]:
    """The first files that no other `Background` uses."""
    for number in count(1):
        files = sender_files(folder, number)
        lock = FileLock(files.lock)
        if lock.is_free():
            return files, lock
    raise AssertionError  # numbers do not end
