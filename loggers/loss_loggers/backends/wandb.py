"""Rows and hyperparameters in a W&B run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from loss_loggers.base._clock import row_time
from loss_loggers.base._hyperparameters import TITLE, merge
from loss_loggers.base._protocol import check_kind, is_a
from loss_loggers.base._values import Names, floats

from ._adapter import Adapter
from ._wandb_steps import knows_its_step, step_of, steps_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wandb import Run

    from loss_loggers.base._protocol import Metrics, Row

_RESERVED = ("_step", "_timestamp", "_runtime", "_wandb")
"""What W&B writes into each row itself."""


def _clean(name: str) -> str:
    """The name as W&B takes it: it drops a number without a name."""
    return name or "_"


class WandbLogger(Adapter):
    """Log to a W&B run that you started.

    A W&B run has one step, which only grows: W&B drops what comes for an earlier one, with no more
    than a line on the terminal. `step` says where a row goes:

    - "auto", to the W&B step of its own number while that is open, else to the next one. All our
      rows arrive, those of several trackers too, and so do yours, whether you log with the same
      `step=` or with none. Each row carries `step_metric`, which our charts have below them.
      W&B keeps one number of a name at a step of its own: the later, if you log it beside us.
      Rows that come late, through `Background` or from an accelerator, each take a W&B step of
      their own; beside them log without `step=`, for W&B drops yours if it has passed it.
    - "own", to the next W&B step, whatever its number: "auto" as if all rows were late. For a run
      to which other processes log as well.
    - "explicit", to the W&B step of its own number and nowhere else, as `run.log(row, step=step)`
      would: charts keep W&B's own step. A row that is late is counted as failed.

    The default is "auto" since it is the only one that loses none of ours and, while rows come on
    time, none of yours. NaN and infinity arrive. After `run.finish()` no row is sent.

    Names stay as they are, but for four that W&B writes itself: `_step` becomes `_step_2`, and so
    do `_timestamp`, `_runtime` and `_wandb`. An empty name becomes `_`.

    Args:
        run: The run.
        step: See above.
        step_metric: The metric that tells our step, hidden in the workspace. A number of yours that
            is called so gets another name: choose one that you do not use.

    Example::

        with wandb.init(project="gan") as run:
            tracker = LossTracker("G", WandbLogger(run))
    """

    def __init__(
        self,
        run: Run,
        step: Literal["auto", "explicit", "own"] = "auto",
        *,
        step_metric: str = "multi_loss_weighting/step",
    ) -> None:
        super().__init__()
        fits = is_a(run, "wandb.sdk.wandb_run.Run")
        check_kind(fits, "a W&B run, as wandb.init() gives", run)
        if step not in ("auto", "explicit", "own"):
            msg = f"step is 'auto', 'explicit' or 'own'; got {step!r}"
            raise ValueError(msg)
        if not step_metric or "*" in step_metric:
            msg = f"step_metric must be the name of a metric, without '*'; got {step_metric!r}"
            raise ValueError(msg)
        if getattr(run, "_is_finished", False):
            msg = "a run that goes on is needed; this one is finished"
            raise ValueError(msg)
        self._run = run
        self._step_metric = step_metric
        self._names = Names(_clean, reserved=[step_metric, *_RESERVED])
        self._defined: set[str] = set()
        self._steps = steps_in(run)
        self._is_disabled = run.disabled
        self._mode = "own" if step == "auto" and not knows_its_step(run) else step
        self._refuses(0)

    @property
    def target(self) -> str:
        """The run, by its path."""
        return f"wandb {self._run.path}"

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> None:
        """Log one row."""
        if self._mode == "own":
            self.log_rows([(step, row_time(), metrics)])
        elif self._refuses(1):
            return
        elif self._mode == "auto":
            self._steps.log(self._run, self._row(metrics, step), self._step_metric)
        else:
            self._log_explicitly(metrics, int(step))

    def log_rows(self, rows: Sequence[Row]) -> None:
        """Log rows that come late, with the times that they bring."""
        if self._mode == "explicit":
            for step, _, metrics in rows:
                self.log_metrics(metrics, step=step)
        elif not self._refuses(len(rows)):
            late = [
                {**self._row(metrics, step), "_timestamp": moment} for step, moment, metrics in rows
            ]
            self._steps.log_late(self._run, late)

    def log_hyperparams(self, hyperparams: dict[str, Any]) -> None:
        """Add them to the configuration of the run."""
        if self._refuses(0):
            return
        config: Any = self._run.config
        known = dict(config.get(TITLE, {}))
        merge(known, hyperparams)
        config.update({TITLE: known}, allow_val_change=True)

    def _log_explicitly(self, metrics: Metrics, step: int) -> None:
        if step < (now := step_of(self._run)):
            self._lose(1, f"W&B is at step {now}, and drops what comes for step {step}")
        else:
            self._run.log(floats(metrics, self._names), step=step)

    def _row(self, metrics: Metrics, step: int) -> dict[str, float]:
        """The row with our step, which is to stand below the charts of its metrics."""
        row = floats(metrics, self._names)
        if not self._defined:
            self._run.define_metric(self._step_metric, hidden=True)
        for name in row.keys() - self._defined:
            self._defined.add(name)
            if "*" not in name:  # which W&B takes for a pattern
                self._run.define_metric(name, step_metric=self._step_metric)
        row[self._step_metric] = int(step)
        return row

    def _ended(self) -> str:
        if self._is_disabled:
            return "the run is disabled"
        return "the run is finished" if getattr(self._run, "_is_finished", False) else ""
