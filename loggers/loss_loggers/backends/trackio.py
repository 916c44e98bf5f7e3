"""Rows and hyperparameters in a Trackio run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loss_loggers.base._clock import row_time
from loss_loggers.base._epoch_row import epoch_row
from loss_loggers.base._hyperparameters import flat
from loss_loggers.base._protocol import check_kind, is_a
from loss_loggers.base._values import Names, floats

from ._adapter import Adapter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trackio.run import Run

    from loss_loggers.base._protocol import Means, Metrics, Row


class TrackioLogger(Adapter):
    """Log to a Trackio run, which you started.

    A row is handed to Trackio's own thread, which writes it within half a second; a process that is
    killed loses those. Rows that come late or in a batch (from an accelerator, through
    `Background`, or by `losses sync`) are in the database when `log_rows` returns, with their own
    times, and a row that comes twice is there once. Where Trackio sends to a Space or a server, or
    keeps files on a network disk, it gets these one by one as well, and they have the time at which
    it does.

    NaN and infinity arrive. Trackio keeps the names `project`, `run`, `timestamp`, `step`, `time`
    and `metrics` for itself: a number that is called so gets a `_` behind it. Hyperparameters go
    with the next row. A row after `run.finish()` still arrives.

    Example::

        run = trackio.init(project="gan")
        tracker = LossTracker("G", TrackioLogger(run))
        run.finish()
    """

    def __init__(self, run: Run) -> None:
        super().__init__()
        check_kind(is_a(run, "trackio.run.Run"), "a Trackio run, as trackio.init() gives", run)
        self._run = run
        self._names = Names(_clean)
        self._has_news = False
        self._told: set[str] = set()

    @property
    def target(self) -> str:
        """The run, by its project and its name."""
        return f"trackio {self._run.project}/{self._run.name}"

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> None:
        """Log one row."""
        if not self._refuses(1):
            self._run.log(floats(metrics, self._names), step=int(step))

    def log_rows(self, rows: Sequence[Row]) -> None:
        """Log rows that come late, with the times that they bring."""
        if self._refuses(len(rows)):
            return
        if self._is_direct():
            self._write([(int(s), t, floats(metrics, self._names)) for s, t, metrics in rows])
        else:
            for step, _, metrics in rows:
                self._run.log(floats(metrics, self._names), step=int(step))

    def log_epoch(self, epoch: int, means: Means, /, *, step: int) -> None:
        """Log the means of an epoch as a row."""
        self.log_rows([(step, row_time(), epoch_row(epoch, means))])

    def log_hyperparams(self, hyperparams: dict[str, Any]) -> None:
        """Add them to the configuration of the run."""
        if self._refuses(0):
            return
        run, self._has_news = self._run, True
        pairs = flat(self._with_earlier(hyperparams))
        for name in self._told - pairs.keys():
            run.config.pop(name, None)
        self._told = {*pairs}
        run.config.update(pairs)
        # Trackio sends it with its first row alone, and takes but one of the rows it has not sent.
        for entry in list(run._queued_logs):  # noqa: SLF001
            entry["config"] = dict(run.config) if entry["config"] else None
        run._config_logged = False  # noqa: SLF001

    def _is_direct(self) -> bool:
        """Whether this process writes the database of the run."""
        from trackio.utils import get_storage_mode

        return self._run.url is None and get_storage_mode() == "sqlite"

    def _write(self, rows: list[Row]) -> None:
        # As Trackio's own imports do: Run.log takes no times.
        from trackio.sqlite_storage import SQLiteStorage

        SQLiteStorage.bulk_log(
            self._run.project,
            self._run.name,
            [metrics for _, _, metrics in rows],
            steps=[step for step, _, _ in rows],
            timestamps=[_iso(moment) for _, moment, _ in rows],
            config=self._run.config if self._has_news else None,
            log_ids=[_identity(self._run.id, row) for row in rows],
            run_id=self._run.id,
        )
        self._has_news = False


_RESERVED = ("project", "run", "timestamp", "step", "time", "metrics")


def _clean(name: str) -> str:
    """The name as Trackio takes it.

    >>> _clean("step"), _clean("__x"), _clean("loss/step")
    ('step_', 'x', 'loss/step')
    """
    name = name.removeprefix("__")
    return f"{name}_" if name in _RESERVED else name


def _iso(moment: float) -> str:
    from datetime import datetime, timezone

    return datetime.fromtimestamp(moment, timezone.utc).isoformat()


def _identity(run: str, row: Row) -> str:
    """What a row is known by: Trackio passes over one that it has."""
    from hashlib import blake2b

    return blake2b(repr((run, *row)).encode(), digest_size=16).hexdigest()
