"""Rows and hyperparameters in an MLflow run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from zlib import crc32

from loss_loggers.base._clock import row_time
from loss_loggers.base._hyperparameters import LOSSES, TITLE, flat, plain
from loss_loggers.base._protocol import check_kind, is_a
from loss_loggers.base._values import Names, floats

from ._adapter import Adapter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlflow import MlflowClient
    from mlflow.entities import Run

    from loss_loggers.base._protocol import Metrics, Row

_LONGEST_NAME = 250
_LONGEST_PARAMETER = 6000
_GONE = "no longer set"


class MLflowLogger(Adapter):
    """Log to an MLflow run, which you started: the run or its id, and a client if not the default.

    The run is addressed by its id, so that any thread may log and a row after `mlflow.end_run()`
    still arrives in it; the `mlflow` module itself would start another run without a word. Each
    batch is one request, with the time of each row; it waits for the answer, and MLflow tries
    again for minutes when the server is gone, so put `Background` around it.

    MLflow keeps NaN; infinity becomes 1.797e308 in its databases. Names have letters, digits,
    spaces and `_-.:/`, at most 250: another character becomes `_`, and a name that is taken gets a
    number. A parameter never changes in MLflow: a setting that does becomes a tag, which then tells
    the latest value, or "no longer set". Of a value of more than 6,000 characters the end gives way
    to its length and a checksum.

    Steps that come again after a checkpoint are there twice, as MLflow deletes no number: with
    their own times, and the later one is the latest value.

    Example::

        with mlflow.start_run() as run:
            tracker = LossTracker("G", MLflowLogger(run))
    """

    def __init__(self, run: str | Run, client: MlflowClient | None = None) -> None:
        super().__init__()
        fits = is_a(run, "builtins.str", "mlflow.entities.run.Run")
        check_kind(fits, "a run, as mlflow.start_run() gives, or its id", run)
        self.run_id: str = run if isinstance(run, str) else run.info.run_id
        self._client = client or _default_client()
        self._names = Names(_clean, _LONGEST_NAME)

    @property
    def target(self) -> str:
        """The run, by its id."""
        return f"mlflow {self.run_id}"

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> None:
        """Log one row, with the current time."""
        self.log_rows([(step, row_time(), metrics)])

    def log_rows(self, rows: Sequence[Row]) -> None:
        """Log rows in one batch, with the times that they bring."""
        from mlflow.entities import Metric

        if self._refuses(len(rows)):
            return
        # The client splits a batch where it is longer than the 1000 metrics of a request.
        batch = [
            Metric(name, value, int(moment * 1000), int(step))
            for step, moment, metrics in rows
            for name, value in floats(metrics, self._names).items()
        ]
        self._client.log_batch(self.run_id, metrics=batch, synchronous=True)

    def log_hyperparams(self, hyperparams: dict[str, Any]) -> None:
        """Log them as parameters, or as tags where they change."""
        if self._refuses(0):
            return
        new = {
            self._names[name]: _cut(str(value))
            for name, value in flat(self._with_earlier(hyperparams)).items()
        }
        settings = {_clean(f"{TITLE}/{key}") for key in plain(hyperparams).keys() - {LOSSES}}
        try:
            self._log_texts(new, settings)
        except Exception as error:
            if getattr(error, "error_code", "") != "INVALID_PARAMETER_VALUE":
                raise
            self._log_texts(new, settings)  # another rank was first with one: look again

    def _log_texts(self, new: dict[str, str], settings: set[str]) -> None:
        """Log them, and of these settings also what the run has and they no longer have."""
        from mlflow.entities import Param, RunTag

        data = self._client.get_run(self.run_id).data
        known = {name: data.tags.get(name, text) for name, text in data.params.items()}
        gone = {name for name in known.keys() - new.keys() if not settings.isdisjoint(_above(name))}
        told = {**new, **dict.fromkeys(gone, _GONE)}.items()
        self._client.log_batch(
            self.run_id,
            params=[Param(name, text) for name, text in new.items() if name not in known],
            tags=[RunTag(name, text) for name, text in told if known.get(name, text) != text],
            synchronous=True,
        )


def _above(name: str) -> Iterator[str]:
    """The name, and those that it is a part of.

    >>> list(_above("loss_weighting/layers/2"))
    ['loss_weighting/layers/2', 'loss_weighting/layers', 'loss_weighting']
    """
    while name:
        yield name
        name = name.rpartition("/")[0]


def _default_client() -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient()


def _cut(text: str) -> str:
    """The text as a parameter; two that differ stay different.

    >>> _cut("0.5"), _cut("x" * 7000)[5960:]
    ('0.5', 'xxxxx… (7000 characters, crc32 7fa2c3a1)')
    """
    if len(text) <= _LONGEST_PARAMETER:
        return text
    checksum = crc32(text.encode(errors="backslashreplace"))
    ending = f"… ({len(text)} characters, crc32 {checksum:08x})"
    return text[: _LONGEST_PARAMETER - len(ending)] + ending


def _clean(name: str) -> str:
    """The name as MLflow takes it: one bad name and it would refuse the whole batch.

    >>> [_clean(name) for name in ("loss/G", "loss/ü=1", "/loss//../G/", "")]
    ['loss/G', 'loss/ü_1', 'loss/_/G', '_']
    """
    parts = re.sub(r"[^/\w.\- :]", "_", name).split("/")
    # A name must be one that a path would keep: no empty part, and none that leads upwards.
    return "/".join(re.sub(r"^\.\.|^\.$", "_", part) for part in parts if part) or "_"
