"""Where the rows of one logger went."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from loss_loggers.base._paths import folder_at
from loss_loggers.base._warn import in_short, warn

from .on_disk._delivered import DeliveredFile
from .on_disk._spans import EPOCHS
from .on_disk._spool import Spool
from .on_disk._target_folder import UNDELIVERED, folder_name, noted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from loss_loggers.base._protocol import Record

    from .on_disk._spool import Item


class DeliveryLog:
    """Counts what arrived, keeps in a file what did not, and tells a run folder of the former."""

    def __init__(self, name: str, target: str, path: Path | None) -> None:
        self.name = name
        self.delivered = self.kept = self.lost = self.unsaved = 0
        self._target = target
        self._is_chosen = path is not None
        self._spool = Spool(path or _in_working_directory(f"{folder_name(target)}.{UNDELIVERED}"))
        self._sent: DeliveredFile | None = None
        self._warned = False

    @property
    def path(self) -> Path:
        """The file of what was not delivered."""
        return self._spool.path

    def write_beside(self, record: Record) -> None:
        """Write into its run folder, the file too unless the user chose a place for it."""
        target = noted(record.path, self._target)
        folder = record.path / folder_name(target)
        undelivered = folder / UNDELIVERED
        # Where it cannot be written, the record says so; what arrived is then sent again by sync.
        with suppress(OSError):
            epochs = EPOCHS, record.state_dict()["epochs"]
            generation = len(record.resumed)
            self._sent = DeliveredFile(folder, target, generation, record.place, epochs)
            undelivered = self._sent.files.undelivered
        if not self._is_chosen:
            self._spool.close()
            self._spool = Spool(undelivered)

    def arrived(self, items: Sequence[Item]) -> None:
        """These were delivered."""
        count = rows(items)
        self.delivered += count
        self.unsaved += count
        if self._sent:
            for item in items:
                self._sent.add(item[3])

    def keep(self, items: Sequence[Item]) -> None:
        """These were not: they go to the file."""
        try:
            self._spool.append(items)
        except Exception as error:  # a value may be anything, and raise where its text is asked for
            if isinstance(error, OSError) or len(items) == 1:
                self._lose(items, error)
                return
            for item in items:
                self.keep([item])
        else:
            self.kept += rows(items)

    def save(self) -> None:
        """Tell the run folder, if there is news."""
        self.unsaved = 0
        if self._sent:
            self._sent.save()

    def close(self) -> None:
        """Tell it for the last time, and close the files."""
        sent, self._sent = self._sent, None  # by one of the threads that end it
        if sent:
            sent.close()
        self._spool.close()

    def _lose(self, items: Sequence[Item], error: Exception) -> None:
        self.lost += rows(items)
        if not self._warned:
            self._warned = True
            warn(
                f"rows that {self.name} did not take cannot be kept in {self.path} "
                f"({in_short(error)}). "
                "They are counted."
            )


def _in_working_directory(name: str) -> Path:
    """Its path, for which nobody asked: where that folder is gone, a row to be kept says so."""
    from pathlib import Path

    try:
        return folder_at(name)
    except FileNotFoundError:
        return Path(name)


def rows(items: Sequence[Item]) -> int:
    """How many of them are rows; the others are hyperparameters."""
    return sum(item[0] is not None for item in items)
