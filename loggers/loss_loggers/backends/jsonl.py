"""Rows as lines of JSON."""

from __future__ import annotations

from math import isfinite
from threading import RLock
from typing import TYPE_CHECKING, Any

from loss_loggers.base._clock import row_time
from loss_loggers.base._paths import folder_at
from loss_loggers.base._pending import Pending
from loss_loggers.base._process import finalizer
from loss_loggers.base._values import Names, exact, floats, statistic_and_loss

from ._adapter import Adapter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike
    from pathlib import Path
    from weakref import finalize

    from loss_loggers.base._protocol import Metrics, Row

    from ._json_lines import JsonLinesFile


class JsonlLogger(Adapter):
    """Append each row to a file as a line of JSON, for jq, DuckDB and scripts.

    A line is `{"step", "time", "losses": {"kl": {"loss", "weight", …}}, "values": {"lr": …}}`, with
    each number exactly as it came. JSON has no NaN: such a number is null, and the line then has
    `"nonfinite": {"loss/kl": "nan"}` too. The means of an epoch are a line with `epoch_loss`.

    A line is on its way to the disk when `log_metrics` returns. What is in the file stays: another
    run, or the same one resumed, goes on behind it, after the last whole line. The file is made
    with the first row; one process writes it. If it is deleted, replaced or cut meanwhile, a
    warning says so, and rows go on there. For the settings, and for the dashboard, it takes a
    `CsvLogger`; `losses export --to jsonl` makes this file of its record.

    Args:
        path: The file; its folder is made, too.

    Raises:
        ValueError: If the file has something other than lines of JSON objects.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with JsonlLogger(f"{folder}/gan.jsonl") as logger:
    ...         logger.log_rows([(0, 1.5e9, {"loss/G": 0.5, "lr": 1e-3})])
    ...     print(logger.path.read_text(), end="")
    {"step": 0, "time": 1500000000.0, "losses": {"G": {"loss": 0.5}}, "values": {"lr": 0.001}}
    """

    is_bound_to_process = True

    def __init__(self, path: str | PathLike[str]) -> None:
        super().__init__()
        self._wanted = folder_at(path)
        _check(self._wanted)
        self._names = Names()
        self._file: JsonLinesFile | None = None
        self._finalizer: finalize[Any, Any] | None = None
        self._is_closed = False
        # Reentrant, for a signal handler may close the logger in the middle of a row.
        self._lock = RLock()

    @property
    def path(self) -> Path:
        """The file: the one that was asked for, unless something else took its place."""
        return self._file.path if self._file else self._wanted

    @property
    def failed(self) -> int:
        """Rows that came after the end, in a forked process, or to a disk that is gone.

        Others raise.
        """
        return super().failed + (self._file.lost if self._file else 0)

    @property
    def target(self) -> str:
        """The file."""
        return f"jsonl {self._wanted}"

    @staticmethod
    def line(row: Row) -> str:
        r"""The line of a row whose metrics are plain numbers, with the end of the line.

        >>> JsonlLogger.line((8, 1.5, {"x": float("inf")}))
        '{"step": 8, "time": 1.5, "losses": {}, "values": {"x": null}, "nonfinite": {"x": "inf"}}\n'
        """
        import json  # here, for it is a tenth of what importing this package costs

        step, time, metrics = row
        losses: dict[str, dict[str, Any]] = {}
        values: dict[str, Any] = {}
        line: dict[str, Any] = {"step": step, "time": time, "losses": losses, "values": values}
        if not isfinite(time):
            line |= {"time": None, "nonfinite": {"time": str(time)}}
        for metric, value in metrics.items():
            statistic, loss = statistic_and_loss(metric)
            place = values if statistic == "value" else losses.setdefault(loss, {})
            is_finite = isinstance(value, int) or isfinite(value)
            place[loss if statistic == "value" else statistic] = value if is_finite else None
            if not is_finite:
                line.setdefault("nonfinite", {})[metric] = str(value)
        return json.dumps(line) + "\n"

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> None:
        """Append one row, with the current time."""
        self.log_rows([(step, row_time(), metrics)])

    def log_rows(self, rows: Sequence[Row]) -> None:
        """Append rows, with the times that they bring."""
        self.log_pending(Pending(rows))

    def log_pending(self, pending: Pending) -> None:
        """Append rows that an interrupted delivery may bring again: each is there once."""
        if self._refuses(len(pending)):
            return
        with self._lock:
            try:
                for row in pending[0 if pending.tries < 2 else self._written(pending) :]:
                    step, time, metrics = row
                    file = self._file or self._open()
                    file.append(self.line((int(step), float(time), self._plain(metrics))), row)
            except Exception:  # It may have been closed by the handler of a signal.
                if not self._refuses(len(pending) - self._written(pending)):
                    raise

    def _written(self, rows: Sequence[Row]) -> int:
        return self._file.written(rows) if self._file else 0

    def close(self, error: BaseException | None = None) -> None:
        """Close the file; a second time does nothing."""
        super().close(error)
        if self._is_closed or self._is_foreign:
            return
        with self._lock:
            self._is_closed = True
            if self._finalizer is not None:
                self._finalizer()

    def _open(self) -> JsonLinesFile:
        from ._json_lines import JsonLinesFile

        self._file = file = JsonLinesFile(self._wanted)
        # Nothing waits to be written; but at the end, too, it is to be seen that the file is there.
        self._finalizer = finalizer(self, file.close)
        return file

    def _plain(self, metrics: Metrics) -> Metrics:
        return floats(metrics, self._names, exact)

    def _ended(self) -> str:
        return "it is closed" if self._is_closed else ""


def _check(path: Path) -> None:
    """Raise unless it may be a file of JSON lines: the end of another would be cut off."""
    if path.exists():
        from ._json_lines import is_json_lines

        if not is_json_lines(path):
            msg = f"path must be a new file, or one of JSON lines; {path} has something else"
            raise ValueError(msg)
