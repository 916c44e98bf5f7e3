"""Rows and hyperparameters in the trackers of Hugging Face Accelerate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loss_loggers.base._hyperparameters import flat
from loss_loggers.base._protocol import check_kind, is_a
from loss_loggers.base._values import Names, floats

from ._adapter import Adapter

if TYPE_CHECKING:
    from accelerate import Accelerator
    from accelerate.tracking import GeneralTracker

    from loss_loggers.base._protocol import Metrics

_ACCELERATOR = "accelerate.accelerator.Accelerator"


class AccelerateLogger(Adapter):
    """Log to all trackers of an `Accelerator`, or to one of them: ClearML, DVCLive, ….

    A tracker calls its backend in its own way (TensorBoard's and MLflow's a number at a time,
    W&B's with a step), and one that fails keeps the row from those behind it. Where this package
    knows the backend, give its adapter what the tracker wraps:
    `WandbLogger(accelerator.get_tracker("wandb", unwrap=True))`.

    Only the main process logs. Rows after `accelerator.end_training()` are the tracker's to treat.

    Example::

        accelerator = Accelerator(log_with="clearml")
        accelerator.init_trackers("gan")
        tracker = LossTracker("G", AccelerateLogger(accelerator))
    """

    def __init__(self, tracker: Accelerator | GeneralTracker) -> None:
        super().__init__()
        fits = is_a(tracker, _ACCELERATOR, "accelerate.tracking.GeneralTracker")
        check_kind(fits, "an Accelerator, or one of its trackers", tracker)
        self._tracker: Any = tracker
        self._names = Names()
        self._known: dict[str, str | float] = {}

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> None:
        """Log one row."""
        if not self._refuses(1):
            self._tracker.log(floats(metrics, self._names), step=int(step))

    def log_hyperparams(self, hyperparams: dict[str, Any]) -> None:
        """Hand them on as the configuration of the run."""
        if self._refuses(0):
            return
        pairs = flat(self._with_earlier(hyperparams))
        # Some backends take no value twice.
        new = {name: value for name, value in pairs.items() if name not in self._known}
        self._known |= pairs
        for tracker in self._trackers():
            tracker.store_init_configuration(new)

    def _trackers(self) -> list[Any]:
        is_one = not is_a(self._tracker, _ACCELERATOR)
        return [self._tracker] if is_one else list(self._tracker.trackers)

    def _ended(self) -> str:
        # Only the main process has trackers.
        if getattr(self._tracker, "trackers", True) or not self._tracker.is_main_process:
            return ""
        return "the Accelerator has no trackers: pass log_with, and call init_trackers first"
