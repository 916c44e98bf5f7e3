"""Outbox: the rows of steps until the loggers have them, whoever interrupts in between."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from loss_loggers import Pending

if TYPE_CHECKING:
    from types import FrameType

    from loss_loggers import Row

    from ._reporter import PendingEpoch, Reporter


class Outbox:
    """Holds a row from before its step counts until the loggers have it.

    Ctrl-C may come at any moment. What was put here goes out with the next `send` after its step
    came to count. A logger may call back, e.g. to save a checkpoint: it does not get the row again
    that it is just taking.

    Attributes:
        reporter: Who gets the rows; None for nobody.
        rows: The numbers of steps, each with its row.
        late: The numbers of steps that were read back, each with its row, and those that are going
            out, together. One attribute, so that no row is in both or in none.
        epochs: The means of epochs.

    Args:
        reporter: Who gets the rows.
    """

    def __init__(self, reporter: Reporter | None) -> None:
        self.reporter = reporter
        self.rows: list[tuple[int, Pending]] = []
        self.epochs: list[PendingEpoch] = []
        self.late: tuple[list[tuple[int, Row]], tuple[Pending, ...]] = [], ()
        self._counted = 0, 0
        self._sender: FrameType | None = None

    def __getstate__(self) -> dict[str, Any]:
        """A copy does not send what is held here once more."""
        empty: dict[str, Any] = {"rows": [], "epochs": [], "late": ([], ()), "_sender": None}
        return self.__dict__ | empty

    def send(
        self,
        number: int,
        ended: int,
        row: tuple[int, Pending] | None = None,
        means: PendingEpoch | None = None,
    ) -> None:
        """Report what is held of steps up to this number, and of epochs before `ended`.

        Args:
            number: Up to which step rows count.
            ended: How many epochs have ended.
            row: The row that was put here just now. The handler of a signal that saves a checkpoint
                drops it where its step does not count yet. No logger gets it twice.
            means: The means of an epoch that were put here just now, likewise.
        """
        self._counted = number, ended
        if row is not None and self.rows[-1:] != [row]:
            self.rows.append(row)
        if means is not None and self.epochs[-1:] != [means]:
            self.epochs.append(means)
        if self._sender is not None and self._is_sending():
            self._record()
            return
        try:
            self._sender = sys._getframe()
            while True:
                if self.late[0]:
                    self._gather_late()
                elif self.late[1]:
                    self._send_late()
                elif self.epochs:
                    self._send_epoch()
                elif self.rows:
                    own, pending = self.rows[0]
                    if own <= self._counted[0] and self.reporter is not None:
                        self.reporter.report(pending)
                    self.rows = self.rows[1:]  # A logger may have recorded other steps.
                else:
                    break
        finally:
            self._sender = None

    def _record(self) -> None:
        """Have the record take what is going out: whoever asks may save its state next."""
        self._gather_late()
        counted = [pending for number, pending in self.rows if number <= self._counted[0]]
        if self.reporter is not None:
            for pending in [*self.late[1], *counted]:
                self.reporter.logger.record(pending)

    def _is_sending(self) -> bool:
        """Whether it is a logger that asks; an interrupt may leave a sender that has gone."""
        frame: FrameType | None = sys._getframe()
        while frame is not None and frame is not self._sender:
            frame = frame.f_back
        return frame is not None

    def _gather_late(self) -> None:
        held = self.late[0]
        count = len(held)
        # By number, for an interrupted step comes again.
        rows = {number: row for number, row in held[:count] if number <= self._counted[0]}
        pending = Pending(rows.values())
        pending.late = True
        if self.late[0] is held:  # The handler of a signal may have gathered them.
            self.late = held[count:], (*self.late[1], pending)

    def _send_late(self) -> None:
        if self.reporter is not None:
            self.reporter.report(self.late[1][0])
        self.late = self.late[0], self.late[1][1:]

    def _send_epoch(self) -> None:
        means = self.epochs[0]
        if means.epoch < self._counted[1] and means.means and self.reporter is not None:
            self.reporter.report_epoch(means)
        self.epochs = self.epochs[1:]
