"""Where the rows of one logger went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loss_loggers.base._paths import folder_at
from loss_loggers.base._warn import warn

from ._sent_ranges import UNDELIVERED, SentRanges, folder_name
from ._spool import Spool, epochs_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from loss_loggers.base._protocol import Record

    from ._spool import Item


class DeliveryLog:
    """Counts what arrived, keeps in a file what did not, and tells a run folder of the former."""

    def __init__(self, name: str, target: str, path: Path | None) -> None:
        self.name = name
        self.delivered = self.kept = self.lost = 0
        self._target = target
        self._is_chosen = path is not None
        self._spool = Spool(path or folder_at(f"{folder_name(target)}.{UNDELIVERED}"))
        self._sent: SentRanges | None = None
        self._is_saved = self._is_open = True
        self._warned = False

    @property
    def path(self) -> Path:
        """The file of what was not delivered."""
        return self._spool.path

    def set_record(self, record: Record) -> None:
        """Write into its folder, the file too unless the user chose a place for it."""
        self._sent = SentRanges(record, self._target)
        self._is_saved = False
        if not self._is_chosen:
            self._spool = Spool(record.path / folder_name(self._target) / UNDELIVERED)

    def arrived(self, items: Sequence[Item]) -> None:
        """These were delivered."""
        self.delivered += rows(items)
        if items and self._sent:
            self._sent.add(item[3] for item in items)
            self._sent.epochs.update(epochs_in(items))
            self._is_saved = False

    def keep(self, items: Sequence[Item]) -> None:
        """These were not: they go to the file."""
        try:
            self._spool.append(items)
        except (OSError, ValueError) as error:
            self._lose(items, error)
        else:
            self.kept += rows(items)

    def save(self) -> None:
        """Tell the run folder, if there is news."""
        if self._sent and not self._is_saved:
            self._sent.save(is_open=True)
            self._is_saved = True

    def close(self) -> None:
        """Tell it for the last time, and close the file."""
        if self._sent and self._is_open:
            self._sent.save(is_open=False)
        self._is_open = False
        self._spool.close()

    def _lose(self, items: Sequence[Item], error: Exception) -> None:
        self.lost += rows(items)
        if not self._warned:
            self._warned = True
            warn(
                f"rows that {self.name} did not take cannot be kept in {self.path} ({error}). "
                "They are counted."
            )


def rows(items: Sequence[Item]) -> int:
    """How many of them are rows; the others are hyperparameters."""
    return sum(item[0] is not None for item in items)
