"""What every `Background` that delivered to a backend has left, and may still do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._delivered import read_delivered
from ._sender_mark import holder
from ._spans import END, Ranges
from ._spool import read_spool
from ._target_folder import all_sender_files

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from loss_loggers.base._pending import Place, Span

    from ._sender_mark import SenderMark
    from ._spans import Rewinds
    from ._target_folder import SenderFiles


class Senders:
    """All of them, as they are now.

    Attributes:
        delivered: Which rows they delivered.
        spools: Their files of rows that they could not deliver.
        holders: Those that may still deliver rows, in words.
        have_died: Whether one ended before it could write down all that it had delivered.
    """

    def __init__(self, folder: Path, rewinds: Rewinds) -> None:
        self.delivered: list[Span] = []
        self.spools: list[Path] = []
        self.holders: list[str] = []
        self.have_died = False
        self._rewinds = rewinds
        self._kept: list[Span] = []
        self._alive: list[SenderMark] = []
        for files in all_sender_files(folder):
            self._read(files)
        self._known = rewinds.ranges([*self.delivered, *self._kept])

    def known_or_behind(self, end: Place, sent: Iterable[Span]) -> Ranges:
        """What was delivered or sent, or is in a file to be sent; and all behind this end."""
        return Ranges([*self._known, *self._rewinds.ranges(sent), (end, END)])

    def hold_from(self, rows_end: Place, epochs_end: Place) -> tuple[Place, Place]:
        """Where the rows and the epochs begin that one may still deliver; at most these ends."""
        for mark in self._alive:
            rows_end = min(rows_end, self._rewinds.place(mark.generation, mark.rows))
            epochs_end = min(epochs_end, self._rewinds.place(mark.generation, mark.epochs))
        return rows_end, epochs_end

    def _read(self, files: SenderFiles) -> None:
        delivered = read_delivered(files.delivered)
        self.spools.append(files.undelivered)
        self.delivered += delivered.spans
        for (*_, spans), _ in read_spool(files.undelivered):
            self._kept += spans
        if delivered.mark is None or delivered.is_closed:
            return
        if who := holder(delivered.mark, files.lock):
            self._alive.append(delivered.mark)
            self.holders.append(who)
        else:
            self.have_died = True
