"""Steps that come again after going back to a checkpoint: a chart shows each of them once."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from loss_loggers.base._paths import folder_at

if TYPE_CHECKING:
    from collections.abc import Collection


class Purge:
    """Finds where the rows of one writer go back, for all loggers that bring it rows."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last: dict[str, int] = {}
        self._is_first = True

    def is_due(self, writer: Any, tags: Collection[str], step: int) -> bool:
        """Whether what charts have from this step on is to be forgotten before these numbers come.

        It is where a tag goes back, and at the first row in a folder with event files of before;
        unless that counts from 0, as another training does whose tags may be others.
        """
        with self._lock:
            goes_back = any(self._last.get(tag, step) > step for tag in tags)
            if goes_back:
                self._last = {tag: last for tag, last in self._last.items() if last < step}
            elif self._is_first and step > 0:
                goes_back = _has_files_of_before(writer)
            self._is_first = False
            self._last.update(dict.fromkeys(tags, step))
        return goes_back


_PURGES: WeakKeyDictionary[Any, Purge] = WeakKeyDictionary()


def purge_of(writer: Any) -> Purge:
    """That of this writer, made once."""
    return _PURGES.setdefault(writer, Purge())


def _has_files_of_before(writer: Any) -> bool:
    """Whether there are event files beside the one that the writer has open."""
    writer.flush()
    folder = folder_at(getattr(writer, "log_dir", None) or writer.logdir)
    return len(list(folder.glob("*tfevents*"))) > 1
