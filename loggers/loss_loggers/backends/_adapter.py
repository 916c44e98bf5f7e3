"""What the loggers that hand rows to a run of yours have in common."""

from __future__ import annotations

import os
from typing import Any

from loss_loggers.base._base_logger import BaseLogger
from loss_loggers.base._hyperparameters import merge
from loss_loggers.base._warn import warn


class Adapter(BaseLogger):
    """A logger whose run is somebody else's, and may end before the last row.

    A row that comes too late is counted and warned about once. It neither raises nor opens a new
    run, which some of the backends would do without a word.
    """

    def __init__(self) -> None:
        self._lost = 0
        self._warned = False
        self._pid = os.getpid()
        self._hyperparameters: dict[str, Any] = {}

    @property
    def failed(self) -> int:
        """Rows that the run no longer took, or that a forked process brought. Others raise."""
        return self._lost

    @property
    def _is_foreign(self) -> bool:
        """Whether this process was forked from the one that it belongs to."""
        return os.getpid() != self._pid

    def _ended(self) -> str:
        """Why the run takes no rows, if so."""
        return ""

    def _with_earlier(self, hyperparams: dict[str, Any]) -> dict[str, Any]:
        """These, and those of the trackers that brought theirs before."""
        merge(self._hyperparameters, hyperparams)
        return self._hyperparameters

    def _refuses(self, rows: int) -> bool:
        if self._is_foreign:
            return self._lose(rows, "it belongs to the process that forked this one")
        reason = self._ended()
        return bool(reason) and self._lose(rows, reason)

    def _lose(self, rows: int, reason: str) -> bool:
        self._lost += rows
        if not self._warned:
            self._warned = True
            warn(f"{type(self).__name__} cannot deliver: {reason}. Later rows are counted.")
        return True
